"""What a drive for a board is made of: the tables in `board-images/boot`."""

import pathlib
import tomllib
from dataclasses import dataclass, field

DIRECTORY = pathlib.Path(__file__).parent.parent / "boot"

ARCHITECTURES = {
    # Ours: Debian's, mkimage's.
    "armv5": ("armel", "arm"),
    "armv7": ("armhf", "arm"),
    "arm64": ("arm64", "arm64"),
    "x86-64": ("amd64", "x86_64"),
}
KERNELS = ("zImage", "uImage", "Image", "bzImage")
LOADERS = ("u-boot", "none")
PARTITION_TABLES = ("mbr", "gpt")
FILE_SYSTEMS = ("ext4", "ext2", "fat32")


class BoardError(Exception):
    """A table that is missing or says something wrong."""


@dataclass
class Board:
    """One table. `loader = "none"` is a machine that is handed kernel and initramfs by other means."""

    name: str
    architecture: str
    kernel: str
    loader: str = "u-boot"
    # The replicator's profile of this board, if it has another name than the table.
    profile: str = ""
    # Address of the uImage's content, for `kernel = "uImage"`.
    load_address: str = ""
    # "raw", or "uboot" for old bootloaders that want a header around it.
    initramfs: str = "raw"
    # Template in this directory, and where the script made of it goes on the drive.
    template: str = ""
    scripts: list = field(default_factory=list)
    # What `@NAME@` in the template becomes.
    values: dict = field(default_factory=dict)
    # Patterns of the device trees that the script may ask for.
    dtbs: list = field(default_factory=list)
    # Files for /boot that are taken along if the kernel's input has them, such as an FPGA's bitstream.
    optional_files: list = field(default_factory=list)
    partition_table: str = "mbr"
    file_system: str = "ext4"
    # Modules that the machine needs for drive, media and LEDs where the kernel has them as modules.
    modules: list = field(default_factory=list)
    # Debian package that brings a kernel for it.
    debian_kernel: str = ""

    @property
    def debian_architecture(self):
        return ARCHITECTURES[self.architecture][0]

    @property
    def mkimage_architecture(self):
        return ARCHITECTURES[self.architecture][1]

    def template_text(self, append):
        """The boot script's source, with this board's values in it, and `append` on the kernel's command line."""
        text = (DIRECTORY / self.template).read_text()
        for name, value in {**self.values, "APPEND": append}.items():
            if f"@{name}@" not in text:
                raise BoardError(f"{self.name}: the template {self.template} has no @{name}@")
            text = text.replace(f"@{name}@", value)
        left = [word for word in text.split("@")[1::2] if word.isupper()]
        if left:
            raise BoardError(f"{self.name}: nothing is said for {', '.join(sorted(set(left)))} of {self.template}")
        return text


def names():
    """All boards with a table."""
    return sorted(path.stem for path in DIRECTORY.glob("*.toml"))


def load(name):
    """The table of one board.

    Raises BoardError if there is none, or for what is wrong in it.
    """
    path = DIRECTORY / f"{name}.toml"
    if not path.is_file():
        raise BoardError(f"no drive can be made for '{name}'; boards are {', '.join(names())}")
    return parse(name, path.read_text())


def parse(name, text):
    """As `load`, of a table's text."""
    try:
        board = Board(name=name, **tomllib.loads(text))
    except (tomllib.TOMLDecodeError, TypeError) as error:
        raise BoardError(f"{name}.toml: {error}") from error
    for key, allowed in [
        ("architecture", ARCHITECTURES),
        ("kernel", KERNELS),
        ("loader", LOADERS),
        ("initramfs", ("raw", "uboot")),
        ("partition_table", PARTITION_TABLES),
        ("file_system", FILE_SYSTEMS),
    ]:
        if getattr(board, key) not in allowed:
            told = f"{key} is '{getattr(board, key)}', and has to be one of {', '.join(allowed)}"
            raise BoardError(f"{name}.toml: {told}")
    if (board.kernel == "uImage") != bool(board.load_address):
        raise BoardError(f"{name}.toml: load_address belongs to kernel = \"uImage\"")
    if (board.loader == "u-boot") != bool(board.scripts and board.template):
        raise BoardError(f"{name}.toml: template and scripts belong to loader = \"u-boot\"")
    return board
