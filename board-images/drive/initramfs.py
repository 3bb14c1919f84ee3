"""The content of the initramfs: the replicator as /init, the programs that it runs, kernel modules, optionally a shell."""

import gzip
import lzma
import shutil

from cpio import Archive
from kernel import KernelError, run

# Without modules, after compression. Boards load it into RAM over a slow USB port.
SIZE_MAX_BYTES = 16_000_000
# Programs that the replicator runs (hal/src/linux/tools.rs), and the Debian packages with them and their libraries.
PROGRAMS = ["mke2fs", "e2fsck", "resize2fs", "fsck.fat"]
PACKAGES = ["e2fsprogs", "libext2fs2", "libcom-err2", "libblkid1", "libuuid1", "libc6", "dosfstools", "busybox-static"]
# Commands for the console of a board; others can be run as `busybox NAME`. The replicator uses `setsid` to give the shell
# its controlling terminal.
APPLETS = """ash cat chmod cp cut date dd df dmesg du echo egrep env find free grep gunzip gzip halt head hexdump ifconfig
    insmod kill less ln ls lsmod md5sum mkdir mknod more mount mv ping poweroff ps pwd readlink reboot rm rmdir rmmod sed
    setsid sh sleep sort stat sync tail tar tee time top touch tr true udhcpc umount uname uptime vi wc which xargs xzcat
    zcat""".split()
DIRECTORIES = ["dev", "etc", "mnt", "proc", "root", "run", "sys", "tmp"]
MODULE_LIST = "etc/replicator/modules"
COMPRESSORS = {
    "none": lambda data: data,
    # No time and no name in the header, so that the same content gives the same file.
    "gzip": lambda data: gzip.compress(data, 9, mtime=0),
    # The decoder of the kernel supports no other check.
    "xz": lambda data: lzma.compress(data, lzma.FORMAT_XZ, check=lzma.CHECK_CRC32, preset=9),
}


def add_base(archive, replicator):
    """The program as /init and /bin/replicator, and the device nodes that a kernel needs before /dev is mounted."""
    archive.file("init", replicator.read_bytes(), 0o755)
    archive.symlink("bin/replicator", "/init")
    for name in DIRECTORIES:
        archive.directory(name)
    archive.directory("tmp", 0o1777)
    archive.character_device("dev/console", 5, 1)
    archive.character_device("dev/null", 1, 3, 0o666)


def add_programs(archive, root):
    """The programs of `root`, a tree of unpacked packages or of a target, with their libraries."""
    libraries = {}
    for name in PROGRAMS:
        path = find(root, name, ["sbin", "usr/sbin", "bin", "usr/bin"])
        archive.file(f"sbin/{name}", path.read_bytes(), 0o755)
        add_libraries(root, path, libraries)
    for place, content in libraries.items():
        archive.file(place, content, 0o755)


def add_libraries(root, program, libraries):
    """Adds all libraries of `program` to `libraries`, by the path where the loader searches them."""
    needed, interpreter = linked_to(program)
    if interpreter and interpreter.strip("/") not in libraries:
        libraries[interpreter.strip("/")] = within(root, interpreter).read_bytes()
    for name in needed:
        if interpreter_name(libraries, name):
            continue
        path = find(root, name, library_directories(root))
        place = str(path.relative_to(root)).removeprefix("usr/")
        if place not in libraries:
            libraries[place] = path.read_bytes()
            add_libraries(root, path, libraries)


def interpreter_name(libraries, name):
    """Whether a library was already added; the loader itself is often listed as a library."""
    return any(place.rsplit("/", 1)[-1] == name for place in libraries)


def linked_to(path):
    """Names of the shared libraries of an ELF file, and its loader."""
    needed, interpreter = [], None
    for line in run(["readelf", "-dlW", path]).stdout.splitlines():
        if "(NEEDED)" in line:
            needed.append(line[line.index("[") + 1 : line.rindex("]")])
        elif "[Requesting program interpreter:" in line:
            interpreter = line.split(":", 1)[1].strip(" ]")
    return needed, interpreter


def library_directories(root):
    """The directories that the loader of that system searches: plain and multi-arch."""
    plain = [directory for directory in ("lib", "usr/lib", "lib64", "usr/lib64") if (root / directory).is_dir()]
    multiarch = [
        str(path.relative_to(root)) for directory in plain for path in sorted((root / directory).glob("*-linux-gnu*"))
    ]
    return plain + multiarch


def find(root, name, directories):
    """A file in one of the directories of a root."""
    for directory in directories:
        path = root / directory / name
        if path.is_file():
            return path
    raise KernelError(f"no {name} in {root}")


def within(root, path):
    """A file of a root by its absolute path. Symlinks between top directories are followed inside of the root."""
    for candidate in (path, f"/usr{path}"):
        place = root / candidate.strip("/")
        if place.is_symlink() and str(place.readlink()).startswith("/"):
            place = root / str(place.readlink()).strip("/")
        if place.is_file():
            return place
    raise KernelError(f"no {path} in {root}")


def add_shell(archive, root):
    """A statically linked busybox, and symlinks for its commands."""
    path = find(root, "busybox", ["bin", "usr/bin"])
    if linked_to(path)[0]:
        raise KernelError(f"{path} is not statically linked")
    archive.file("bin/busybox", path.read_bytes(), 0o755)
    for name in APPLETS:
        archive.symlink(f"bin/{name}", "busybox")


def add_modules(archive, files):
    """Module files, and the list from which the replicator loads them: absolute paths, one per line, in load order."""
    for place, content in files:
        archive.file(place, content)
    archive.file(MODULE_LIST, "".join(f"/{place}\n" for place, _ in files).encode())


def pack(archive, compression):
    """The archive, compressed, and its size without kernel modules.

    Raises KernelError if this size is over the limit.
    """
    compress = COMPRESSORS[compression]
    bare_len_bytes = len(compress(archive.without("lib/modules").bytes()))
    if bare_len_bytes > SIZE_MAX_BYTES:
        raise KernelError(f"the initramfs has {bare_len_bytes} bytes without modules; the limit is {SIZE_MAX_BYTES}")
    return compress(archive.bytes()), bare_len_bytes


def fetch_tools(fetcher, architecture, root):
    """Unpacks the programs' Debian packages of an architecture into `root`, once."""
    mark = root / "complete"
    if mark.exists():
        return
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir(parents=True)
    run([str(fetcher), "--unpack", architecture, str(root), *PACKAGES])
    mark.touch()
