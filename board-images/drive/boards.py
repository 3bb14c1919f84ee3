"""The table `[drive]` of a board file, `board-images/boards/NAME.toml`: the parts of a drive for this board.

A board has one drive with its own name, or, with tables `[drive.variant.X]`, one drive `NAME-X` for each variant; the keys
of the variant are added to those of `[drive]`. The rest of the file is the board's profile, which the replicator reads.
"""

import pathlib
import tomllib
from dataclasses import dataclass, field

DIRECTORY = pathlib.Path(__file__).parent.parent / "boards"
TEMPLATES = pathlib.Path(__file__).parent / "scripts"

ARCHITECTURES = {
    # Our name: the name in Debian, the name in mkimage.
    "armv5": ("armel", "arm"),
    "armv7": ("armhf", "arm"),
    "arm64": ("arm64", "arm64"),
    "x86-64": ("amd64", "x86_64"),
}
# Kernel file, and the U-Boot command that starts it.
KERNELS = {"zImage": "bootz", "uImage": "bootm", "Image": "booti", "bzImage": "zboot"}
LOADERS = ("u-boot", "none")
PARTITION_TABLES = ("mbr", "gpt")
FILE_SYSTEMS = ("ext4", "ext2", "fat32")


class BoardError(Exception):
    """A board without a drive, or an error in a table `[drive]`."""


@dataclass
class Board:
    """One drive. With `loader = "none"`, the machine gets kernel and initramfs by other means."""

    # Name of the drive, and of the replicator's profile.
    name: str
    profile: str
    architecture: str
    kernel: str
    # When the bootloader starts the drive; text for the board's page.
    starts: str
    loader: str = "u-boot"
    # Address of the uImage's content, for `kernel = "uImage"`.
    load_address: str = ""
    # "raw", or "uboot" for old bootloaders that need a U-Boot header.
    initramfs: str = "raw"
    # Source of the boot script, or a template in `scripts/`; and the paths of the script on the drive.
    boot_script: str = ""
    template: str = ""
    scripts: list = field(default_factory=list)
    # Values of `@NAME@` in the source. KERNEL, BOOT and APPEND are set automatically.
    values: dict = field(default_factory=dict)
    # Patterns of the device trees that the script may load.
    dtbs: list = field(default_factory=list)
    # Files that are copied to /boot if the kernel's input has them, such as the bitstream of an FPGA.
    optional_files: list = field(default_factory=list)
    partition_table: str = "mbr"
    file_system: str = "ext4"
    # Modules that the machine needs for drive, media and LEDs, if they are not built into the kernel.
    modules: list = field(default_factory=list)
    # Debian package with a kernel for this board.
    debian_kernel: str = ""

    @property
    def debian_architecture(self):
        return ARCHITECTURES[self.architecture][0]

    @property
    def mkimage_architecture(self):
        return ARCHITECTURES[self.architecture][1]

    def script_text(self, append):
        """The source of the boot script with the values of this board, and with `append` on the kernel command line."""
        text, source = self.boot_script, "boot_script"
        if self.template:
            path = TEMPLATES / self.template
            if not path.is_file():
                raise BoardError(f"{self.name}: no template {self.template} in {TEMPLATES}")
            text, source = path.read_text(), self.template
        unused = [name for name in self.values if f"@{name}@" not in text]
        if unused:
            raise BoardError(f"{self.name}: {source} has no @{unused[0]}@")
        for name, value in {"KERNEL": self.kernel, "BOOT": KERNELS[self.kernel], "APPEND": append, **self.values}.items():
            text = text.replace(f"@{name}@", value)
        left = sorted({word for word in text.split("@")[1::2] if word.isupper()})
        if left:
            raise BoardError(f"{self.name}: {source} needs {', '.join(left)}, which [drive.values] lacks")
        return text


def names(directory=DIRECTORY):
    """The names of all drives that can be built."""
    return sorted(board.name for path in directory.glob("*.toml") for board in parse(path.stem, path.read_text()))


def load(name, directory=DIRECTORY):
    """The drive called `name`.

    Raises BoardError if there is none, or if its board file has an error.
    """
    for path in directory.glob("*.toml"):
        # Read only the file of this name, so that an error in another file does not matter.
        if name == path.stem or name.startswith(f"{path.stem}-"):
            for board in parse(path.stem, path.read_text()):
                if board.name == name:
                    return board
    raise BoardError(f"no drive can be made for '{name}'; known boards: {', '.join(names(directory))}")


def parse(profile, text):
    """The drives of a board file: none without a table `[drive]`, several with variants."""
    try:
        drive = tomllib.loads(text).get("drive")
        if drive is None:
            return []
        variants = drive.pop("variant", None)
        if variants is None:
            return [checked(Board(name=profile, profile=profile, **drive))]
        return [checked(Board(name=f"{profile}-{variant}", profile=profile, **{**drive, **keys}))
                for variant, keys in variants.items()]
    except (tomllib.TOMLDecodeError, TypeError, AttributeError) as error:
        raise BoardError(f"{profile}.toml: [drive]: {error}") from error


def checked(board):
    """Returns the board, or raises BoardError if a value is wrong."""
    for key, allowed in [
        ("architecture", ARCHITECTURES),
        ("kernel", KERNELS),
        ("loader", LOADERS),
        ("initramfs", ("raw", "uboot")),
        ("partition_table", PARTITION_TABLES),
        ("file_system", FILE_SYSTEMS),
    ]:
        if getattr(board, key) not in allowed:
            value = getattr(board, key)
            raise BoardError(f"{board.name}: {key} is '{value}'; expected one of {', '.join(allowed)}")
    if (board.kernel == "uImage") != bool(board.load_address):
        raise BoardError(f"{board.name}: load_address is needed for kernel = \"uImage\", and allowed only there")
    sources = [source for source in (board.boot_script, board.template) if source]
    if board.loader == "none" and (sources or board.scripts):
        raise BoardError(f"{board.name}: loader = \"none\" runs no boot script")
    if board.loader == "u-boot" and (len(sources) != 1 or not board.scripts):
        raise BoardError(f"{board.name}: U-Boot needs scripts, and either boot_script or template")
    return board
