"""The source of the kernel: a directory, a Debian package, or the output of Buildroot."""

import gzip
import lzma
import pathlib
import shutil
import subprocess

# File names of installed kernels, by the name in the board file.
NAMES = {
    "zImage": ["zImage", "vmlinuz"],
    "bzImage": ["bzImage", "vmlinuz"],
    "Image": ["Image", "vmlinuz"],
    # If there is no uImage, it is made from a zImage.
    "uImage": ["uImage", "zImage", "vmlinuz"],
}
DECOMPRESSORS = {
    ".ko": lambda path: path.read_bytes(),
    ".gz": lambda path: gzip.decompress(path.read_bytes()),
    ".xz": lambda path: lzma.decompress(path.read_bytes()),
    ".zst": lambda path: subprocess.run(["zstd", "-dcq", path], check=True, stdout=subprocess.PIPE).stdout,
}


class KernelError(Exception):
    """Something that the drive needs is missing or ambiguous."""


class Kernel:
    """Directories with a kernel, its device trees and its modules."""

    def __init__(self, images, modules, work):
        self.images = images
        # modprobe prints absolute paths.
        self.work = work.absolute()
        versions = sorted(path for path in modules.glob("*") if (path / "kernel").is_dir()) if modules else []
        if len(versions) > 1:
            listed = ", ".join(path.name for path in versions)
            raise KernelError(f"{modules} has modules of several kernels: {listed}")
        self.modules = versions[0] if versions else None

    @classmethod
    def of_directory(cls, directory, work):
        """`directory` has the kernel and device trees at any depth, and modules, if any, in `lib/modules`."""
        if not directory.is_dir():
            raise KernelError(f"{directory} is not a directory")
        modules = [path for path in (directory / "lib/modules", directory / "usr/lib/modules") if path.is_dir()]
        return cls([directory], modules[0] if modules else None, work)

    @classmethod
    def of_package(cls, package, work):
        """A Debian package `linux-image-VERSION`."""
        unpacked = work / "kernel"
        shutil.rmtree(unpacked, ignore_errors=True)
        subprocess.run(["dpkg", "-x", package, unpacked], check=True)
        return cls.of_directory(unpacked, work)

    @classmethod
    def of_buildroot(cls, output, work):
        """Buildroot's output directory."""
        images, modules = output / "images", output / "target/lib/modules"
        if not images.is_dir():
            raise KernelError(f"{images} is missing: {output} is not the output directory of a finished Buildroot build")
        return cls([images], modules if modules.is_dir() else None, work)

    def find(self, pattern):
        """All files with a name, at any depth; module directories are not searched."""
        found = []
        for directory in self.images:
            for path in directory.rglob(pattern):
                if path.is_file() and "modules" not in path.relative_to(directory).parts:
                    found.append(path)
        return sorted(found)

    def image(self, kind):
        """The kernel of a kind, and its name in `NAMES`.

        Raises KernelError if there is none, or if there are several different ones.
        """
        for name in NAMES[kind]:
            found = self.find(name) or self.find(f"{name}-*")
            contents = {path.read_bytes() for path in found}
            if len(contents) > 1:
                raise KernelError(f"several kernels: {', '.join(map(str, found))}")
            if found:
                return found[0], name
        raise KernelError(f"no {' or '.join(NAMES[kind])} in {', '.join(map(str, self.images))}")

    def module_files(self, names, optional_names):
        """Module files with their dependencies, in load order, as pairs of path in the root and content.

        Built-in modules are left out. Raises KernelError if the kernel lacks one of `names`. The second value lists
        the missing ones of `optional_names`.
        """
        wanted = [(name, True) for name in names] + [(name, False) for name in optional_names]
        if self.modules is None:
            if names:
                raise KernelError(f"the kernel's input has no modules, but --module names {', '.join(names)}")
            return [], list(optional_names)
        root = self._indexed()
        paths, missing = {}, []
        for name, needed in wanted:
            lines = self._show_depends(root, name)
            if lines is None and needed:
                raise KernelError(f"this kernel has no module {name}")
            if lines is None:
                missing.append(name)
            for line in lines or []:
                if line.startswith("insmod "):
                    paths.setdefault(pathlib.Path(line.split()[1]))
        files = []
        for path in paths:
            place = "lib/modules/" + str(path.relative_to(root / "lib/modules"))
            plain = place[: place.index(".ko") + len(".ko")]
            files.append((plain, DECOMPRESSORS[path.suffix](path)))
        return files, missing

    def _indexed(self):
        """A root with an index of the modules. A package has no index, and inputs are not changed, so it is made here."""
        root = self.work / "modules"
        shutil.rmtree(root, ignore_errors=True)
        place = root / "lib/modules" / self.modules.name
        place.mkdir(parents=True)
        for path in self.modules.iterdir():
            if path.name in ("modules.order", "modules.builtin", "modules.builtin.modinfo"):
                shutil.copy(path, place)
            elif path.is_dir() and path.name not in ("build", "source"):
                (place / path.name).symlink_to(path.resolve())
        run(["depmod", "-b", root, self.modules.name])
        return root

    def _show_depends(self, root, name):
        # With an empty configuration: blacklists and options of the build machine do not apply to the board.
        command = ["modprobe", "-C", "/dev/null", "-d", root, "-S", self.modules.name, "--show-depends", name]
        end = run(command, check=False)
        return end.stdout.splitlines() if end.returncode == 0 else None


def run(command, check=True):
    """Runs a program, also from /usr/sbin and /sbin, which are not in every user's PATH."""
    program = shutil.which(command[0]) or shutil.which(command[0], path="/usr/sbin:/sbin")
    if program is None:
        raise KernelError(f"{command[0]} is not installed")
    end = subprocess.run([program, *command[1:]], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if check and end.returncode != 0:
        raise KernelError(f"{command[0]}: exit {end.returncode}: {end.stderr.strip()}")
    return end
