"""Builds the drive that a board boots: kernel, device trees, initramfs and boot script on one partition.

Needs no root. The same inputs give the same drive, bit by bit.
"""

import argparse
import os
import pathlib
import shutil
import subprocess
import sys

import boards
import image
import initramfs
from cpio import Archive
from kernel import Kernel, KernelError, run

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
FETCHER = ROOT / "ci/fetch-packages"
# 1980-01-01, the earliest date in FAT.
TIME_SECONDS = 315_532_800
ALLOWED = "Kernel and modules: one of --kernel, --kernel-deb, --buildroot."


def arguments():
    parser = argparse.ArgumentParser(prog="ci/drive", description=__doc__, epilog=ALLOWED)
    parser.add_argument("board", choices=boards.names(), metavar="BOARD", help="one of " + ", ".join(boards.names()))
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--kernel", type=pathlib.Path, metavar="DIR", help="directory with kernel, device trees, lib/modules")
    deb_help = "a Debian kernel package; `debian` fetches the board's"
    source.add_argument("--kernel-deb", metavar="FILE|debian", help=deb_help)
    source.add_argument("--buildroot", type=pathlib.Path, metavar="OUTPUT", help="Buildroot's output directory")
    program_help = "the replicator (default: the one that ci/cross built)"
    parser.add_argument("--replicator", type=pathlib.Path, metavar="FILE", help=program_help)
    tools_help = "directory tree with e2fsprogs (default: Debian's packages)"
    parser.add_argument("--tools", type=pathlib.Path, metavar="ROOT", help=tools_help)
    parser.add_argument("--shell", action="store_true", help="add busybox for a shell on the console")
    parser.add_argument("--module", action="append", default=[], metavar="NAME", help="add a kernel module")
    parser.add_argument("--file", action="append", default=[], metavar="FILE=PATH", help="add a file to the initramfs")
    parser.add_argument("--drive-file", action="append", default=[], metavar="FILE=PATH", help="add a file to the drive")
    config_help = "replicator.toml (default: names the board)"
    parser.add_argument("--config", type=pathlib.Path, metavar="FILE", help=config_help)
    parser.add_argument("--append", default="", metavar="WORDS", help="append to the kernel command line")
    parser.add_argument("--compress", choices=sorted(initramfs.COMPRESSORS), default="gzip", help="compression of the initramfs")
    parser.add_argument("--file-system", choices=boards.FILE_SYSTEMS, help="file system of the drive (default: by board)")
    parser.add_argument("--size-mib", type=int, metavar="N", help="size of the drive (default: as small as possible)")
    parser.add_argument("--output", type=pathlib.Path, metavar="DIR", help="default: target/drive/BOARD")
    return parser.parse_args()


def kernel_of(wanted, board, work):
    if wanted.kernel:
        return Kernel.of_directory(wanted.kernel, work)
    if wanted.buildroot:
        return Kernel.of_buildroot(wanted.buildroot, work)
    if wanted.kernel_deb != "debian":
        return Kernel.of_package(wanted.kernel_deb, work)
    if not board.debian_kernel:
        raise KernelError(f"Debian has no kernel for {board.name}")
    downloads = work / "debian"
    shutil.rmtree(downloads, ignore_errors=True)
    run([str(FETCHER), "--newest", board.debian_architecture, str(downloads), board.debian_kernel])
    return Kernel.of_package(next(downloads.glob("*.deb")), work)


def pair(text):
    source, separator, place = text.partition("=")
    if not separator or not place.strip("/"):
        raise KernelError(f"expected FILE=PATH, not '{text}'")
    return pathlib.Path(source), place.strip("/")


def make_initramfs(wanted, board, kernel, time_seconds):
    archive = Archive(time_seconds)
    program = wanted.replicator or ROOT / "target/cross" / board.architecture / "replicator"
    if not program.is_file():
        raise KernelError(f"{program} is missing: run ci/cross build, or name a program with --replicator")
    if initramfs.linked_to(program)[1]:
        raise KernelError(f"{program} is not statically linked")
    tools = wanted.tools or ROOT / "target/cross/tools" / board.debian_architecture
    if not wanted.tools:
        initramfs.fetch_tools(FETCHER, board.debian_architecture, tools)
    initramfs.add_base(archive, program)
    initramfs.add_programs(archive, tools)
    if wanted.shell:
        initramfs.add_shell(archive, tools)
    files, missing = kernel.module_files(wanted.module, board.modules)
    if missing:
        print(f"modules not found in this kernel (possibly built in): {', '.join(missing)}")
    initramfs.add_modules(archive, files)
    for source, place in map(pair, wanted.file):
        archive.file(place, source.read_bytes(), 0o755 if os.access(source, os.X_OK) else 0o644)
    packed, bare_len_bytes = initramfs.pack(archive, wanted.compress)
    limit = f"{bare_len_bytes:,} without modules, at most {initramfs.SIZE_MAX_BYTES:,}"
    print(f"initramfs: {len(packed):,} bytes; {limit}")
    print(f"modules: {len(files)}")
    return packed


def kernel_file(board, kernel, output):
    """The kernel in the format of the board's bootloader."""
    path, name = kernel.image(board.kernel)
    made = output / board.kernel
    if board.kernel != "uImage" or name == "uImage":
        shutil.copyfile(path, made)
        return made
    address = board.load_address
    mkimage(board, ["-T", "kernel", "-a", address, "-e", address, "-d", str(path), str(made)])
    return made


def mkimage(board, words):
    run(["mkimage", "-A", board.mkimage_architecture, "-O", "linux", "-C", "none", "-n", "replicator", *words])


def boot_files(wanted, board, output, packed):
    """Boot script and initramfs of a board with U-Boot, as pairs for the drive."""
    source = output / "boot.cmd"
    source.write_text(board.script_text(wanted.append))
    script = output / "boot.scr"
    mkimage(board, ["-T", "script", "-d", str(source), str(script)])
    files = [(place, script) for place in board.scripts]
    if board.initramfs == "raw":
        return [*files, ("boot/initramfs", packed)]
    wrapped = output / "initramfs.uboot"
    mkimage(board, ["-T", "ramdisk", "-d", str(output / "initramfs"), str(wrapped)])
    return [*files, ("boot/initramfs", wrapped)]


def device_trees(board, kernel):
    found = []
    for pattern in board.dtbs:
        matches = kernel.find(pattern)
        if not matches:
            raise KernelError(f"the kernel's input has no device tree {pattern}")
        found += matches
    names = [path.name for path in found]
    if len(set(names)) < len(names):
        raise KernelError(f"several device trees have the same name: {', '.join(map(str, found))}")
    return found


def main():
    wanted = arguments()
    board = boards.load(wanted.board)
    output = wanted.output or ROOT / "target/drive" / board.name
    output.mkdir(parents=True, exist_ok=True)
    time_seconds = max(int(os.environ.get("SOURCE_DATE_EPOCH", TIME_SECONDS)), TIME_SECONDS)
    # Without this, mkimage writes the current time into its headers.
    os.environ["SOURCE_DATE_EPOCH"] = str(time_seconds)
    work = output / "work"
    work.mkdir(exist_ok=True)
    kernel = kernel_of(wanted, board, work)
    packed = make_initramfs(wanted, board, kernel, time_seconds)
    (output / "initramfs").write_bytes(packed)
    kernel_path = kernel_file(board, kernel, output)
    files = [(f"boot/{board.kernel}", kernel_path)]
    trees = device_trees(board, kernel)
    shutil.rmtree(output / "dtbs", ignore_errors=True)
    image.stage(output / "dtbs", [(path.name, path) for path in trees])
    files += [(f"boot/{path.name}", path) for path in trees]
    if board.loader == "u-boot":
        files += boot_files(wanted, board, output, packed)
    else:
        files.append(("boot/initramfs", packed))
    for name in board.optional_files:
        files += [(f"boot/{name}", path) for path in kernel.find(name)[:1]]
    config = wanted.config.read_bytes() if wanted.config else f'board = "{board.profile}"\n'.encode()
    files.append(("replicator.toml", config))
    files += [(place, source) for source, place in map(pair, wanted.drive_file)]
    image.stage(work / "drive", files)
    len_bytes = wanted.size_mib * image.MIB if wanted.size_mib else image.least_len_bytes(work / "drive")
    drive = output / "drive.img"
    file_system = wanted.file_system or board.file_system
    image.build(drive, work / "drive", board.partition_table, file_system, len_bytes, time_seconds)
    shutil.rmtree(work)
    print(f"drive: {drive}, {len_bytes // image.MIB} MiB, {board.partition_table}, {file_system}, label {image.LABEL}")
    for place, _ in sorted(files, key=lambda entry: entry[0]):
        print(f"    {place}")


if __name__ == "__main__":
    try:
        main()
    except (boards.BoardError, KernelError, ValueError, OSError, subprocess.CalledProcessError) as error:
        sys.exit(f"ci/drive: {error}")
