"""The cpio archive that the kernel unpacks as its initramfs.

cpio(1) is not used, because it archives files of a disk, and device nodes on a disk need root. The format is "newc" of the
kernel's Documentation/driver-api/early-userspace/buffer-format.rst.
"""

import stat

TRAILER = "TRAILER!!!"
ALIGNMENT = 4


class Archive:
    """Collects entries and adds their parent directories. All belong to root and have the same time."""

    def __init__(self, time_seconds):
        self.time_seconds = time_seconds
        self.entries = {}

    def directory(self, path, mode=0o755):
        """Adds a directory and its parents."""
        self._put(path, stat.S_IFDIR | mode, b"", (0, 0), replace=False)

    def file(self, path, content, mode=0o644):
        """Adds a regular file with `content` (bytes)."""
        self._put(path, stat.S_IFREG | mode, content, (0, 0))

    def symlink(self, path, target):
        """Adds a symlink to `target`."""
        self._put(path, stat.S_IFLNK | 0o777, target.encode(), (0, 0))

    def character_device(self, path, major, minor, mode=0o600):
        """Adds a character device node."""
        self._put(path, stat.S_IFCHR | mode, b"", (major, minor))

    def without(self, prefix):
        """A copy that lacks everything below `prefix`."""
        copy = Archive(self.time_seconds)
        copy.entries = {path: entry for path, entry in self.entries.items() if not path.startswith(prefix)}
        return copy

    def _put(self, path, mode, content, device, replace=True):
        path = path.strip("/")
        parts = path.split("/")
        if not path or any(part in ("", ".", "..") for part in parts):
            raise ValueError(f"'{path}' is not a valid path in an archive")
        for depth in range(1, len(parts)):
            parent = "/".join(parts[:depth])
            mode_of_parent = self.entries.setdefault(parent, (stat.S_IFDIR | 0o755, b"", (0, 0)))[0]
            if not stat.S_ISDIR(mode_of_parent):
                raise ValueError(f"'{path}' cannot be added: '{parent}' is not a directory")
        if path not in self.entries:
            self.entries[path] = (mode, content, device)
        elif replace:
            raise ValueError(f"'{path}' is already in the archive")

    def bytes(self):
        """The whole archive, sorted by name, so that parents come before their children."""
        parts = []
        for number, (path, (mode, content, device)) in enumerate(sorted(self.entries.items()), start=1):
            parts.append(self._entry(number, path, mode, content, device))
        parts.append(self._entry(0, TRAILER, 0, b"", (0, 0)))
        return b"".join(parts)

    def _entry(self, number, path, mode, content, device):
        name = path.encode() + b"\0"
        time_seconds = 0 if path == TRAILER else self.time_seconds
        links = 2 if stat.S_ISDIR(mode) else 1
        fields = [number, mode, 0, 0, links, time_seconds, len(content), 0, 0, *device, len(name), 0]
        header = b"070701" + b"".join(b"%08X" % field for field in fields)
        return padded(header + name) + padded(content)


def padded(data):
    """`data` with zeros up to the next multiple of four."""
    return data + bytes(-len(data) % ALIGNMENT)
