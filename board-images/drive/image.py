"""The drive: a partition table, one partition with the label REPLICATOR, and its files. Needs no root."""

import hashlib
import os
import pathlib
import shutil
import uuid

from kernel import KernelError, run

LABEL = "REPLICATOR"
MIB = 1 << 20
SECTOR_LEN_BYTES = 512
PARTITION_START_BYTES = MIB
# The backup GPT at the end, rounded up to a MiB.
PARTITION_END_BYTES = MIB
# Free space before the replicator grows the partition; and the smallest size with a FAT32 file system.
FREE_BYTES = 16 * MIB
LEN_MIN_BYTES = 64 * MIB
PARTITION_TYPES = {
    ("mbr", "ext4"): "83",
    ("mbr", "ext2"): "83",
    ("mbr", "fat32"): "c",
    ("gpt", "ext4"): "0FC63DAF-8483-4772-8E79-3D69D8477DE4",
    ("gpt", "ext2"): "0FC63DAF-8483-4772-8E79-3D69D8477DE4",
    ("gpt", "fat32"): "EBD0A0A2-B9E5-4433-87C0-68B6B72699C7",
}


def identity(directory):
    """A UUID that is computed from the content of a directory, so that the same files give the same drive."""
    digest = hashlib.sha256()
    for path in sorted(path for path in directory.rglob("*") if path.is_file()):
        digest.update(f"{path.relative_to(directory)}\0{path.stat().st_size}\0".encode())
        digest.update(path.read_bytes())
    return uuid.UUID(bytes=digest.digest()[:16], version=4)


def least_len_bytes(directory):
    """Size of a drive for the files of a directory, in whole MiB."""
    files = sum(path.stat().st_size + 64 * 1024 for path in directory.rglob("*"))
    wanted = max(LEN_MIN_BYTES, files * 11 // 10 + FREE_BYTES)
    return (wanted + MIB - 1) // MIB * MIB


def build(image, directory, partition_table, file_system, len_bytes, time_seconds):
    """Makes the drive image with everything that is in `directory`.

    Raises KernelError if a tool fails, or if the files do not fit.
    """
    drive_id = identity(directory)
    partition_len_bytes = len_bytes - PARTITION_START_BYTES - PARTITION_END_BYTES
    if partition_len_bytes <= 0:
        raise KernelError(f"{len_bytes} bytes are too few for a drive")
    for path in [directory, *directory.rglob("*")]:
        os.utime(path, (time_seconds, time_seconds))
    # Start with a new file, so that no data of an older image is left.
    image.unlink(missing_ok=True)
    with open(image, "wb") as file:
        file.truncate(len_bytes)
    partition(image, partition_table, file_system, partition_len_bytes, drive_id)
    # Make the file system in a file of its own and copy it, because mke2fs checks the bytes after its end.
    content = image.with_suffix(".partition")
    content.unlink(missing_ok=True)
    try:
        with open(content, "wb") as file:
            file.truncate(partition_len_bytes)
        if file_system == "fat32":
            make_fat(content, directory, drive_id, time_seconds)
        else:
            make_ext(content, directory, file_system, drive_id, time_seconds)
        place = f"seek={PARTITION_START_BYTES // MIB}"
        run(["dd", f"if={content}", f"of={image}", "bs=1M", place, "conv=notrunc,sparse"])
    finally:
        content.unlink(missing_ok=True)


def partition(image, partition_table, file_system, len_bytes, drive_id):
    """Writes the partition table. The partition is marked as bootable, because U-Boot searches for this mark."""
    label_id = f"0x{drive_id.hex[:8]}" if partition_table == "mbr" else str(drive_id)
    lines = [f"label: {'dos' if partition_table == 'mbr' else 'gpt'}", f"label-id: {label_id}"]
    entry = [
        f"start={PARTITION_START_BYTES // SECTOR_LEN_BYTES}",
        f"size={len_bytes // SECTOR_LEN_BYTES}",
        f"type={PARTITION_TYPES[partition_table, file_system]}",
    ]
    if partition_table == "mbr":
        entry.append("bootable")
    else:
        entry += [f"uuid={uuid.uuid5(drive_id, 'partition')}", f"name={LABEL}", "attrs=LegacyBIOSBootable"]
    lines.append(", ".join(entry))
    script = image.with_suffix(".sfdisk")
    script.write_text("\n".join(lines) + "\n")
    try:
        run(["sh", "-c", 'PATH=$PATH:/usr/sbin:/sbin; exec sfdisk --quiet "$1" <"$2"', "sh", str(image), str(script)])
    finally:
        script.unlink()


def make_ext(content, directory, file_system, drive_id, time_seconds):
    """An ext file system that old bootloaders can read; all files belong to root."""
    # Bootloaders before 2018 support neither checksums nor 64-bit block numbers.
    features = "^metadata_csum,^64bit,^metadata_csum_seed,^orphan_file"
    features = features if mke2fs_has("orphan_file") else "^metadata_csum,^64bit"
    os.environ["E2FSPROGS_FAKE_TIME"] = str(time_seconds)
    command = ["mke2fs", "-q", "-F", "-t", file_system, "-O", features, "-L", LABEL, "-U", str(drive_id), "-m", "0"]
    command += ["-I", "256", "-b", "4096", "-E", f"hash_seed={drive_id},root_owner=0:0,lazy_itable_init=0", "-d"]
    run([*command, str(directory), str(content)])
    # mke2fs copies owners and status times of the files; set them to fixed values.
    script = content.with_suffix(".debugfs")
    lines = []
    for path in ["/", *(f"/{path.relative_to(directory)}" for path in sorted(directory.rglob("*")))]:
        for name in ("uid", "gid", "atime_extra", "ctime_extra", "mtime_extra", "crtime_extra"):
            lines.append(f'set_inode_field "{path}" {name} 0')
        for name in ("atime", "ctime", "mtime", "crtime"):
            lines.append(f'set_inode_field "{path}" {name} @{time_seconds}')
    script.write_text("\n".join(lines) + "\n")
    try:
        end = run(["debugfs", "-w", "-f", str(script), str(content)])
    finally:
        script.unlink()
    # debugfs exits with 0 even if a command fails.
    errors = [line for line in end.stderr.splitlines() if not line.startswith("debugfs ")]
    if errors:
        raise KernelError(f"debugfs: {errors[0]}")
    run(["e2fsck", "-fn", str(content)])


def mke2fs_has(feature):
    """Whether this mke2fs has a feature, and so may enable it by default."""
    return feature in pathlib.Path("/etc/mke2fs.conf").read_text() if os.path.exists("/etc/mke2fs.conf") else False


def make_fat(content, directory, drive_id, time_seconds):
    """A FAT32 file system; the label is in the boot sector and in the root directory."""
    os.environ["SOURCE_DATE_EPOCH"] = str(time_seconds)
    sectors = content.stat().st_size // SECTOR_LEN_BYTES
    if sectors < LEN_MIN_BYTES // 2 // SECTOR_LEN_BYTES:
        raise KernelError(f"{content.stat().st_size} bytes are too few for FAT32")
    # Small clusters on a small drive: below 65,525 of them it would not be FAT32.
    cluster_sectors = "1" if sectors < 512 * MIB // SECTOR_LEN_BYTES else "8"
    start = str(PARTITION_START_BYTES // SECTOR_LEN_BYTES)
    command = ["mformat", "-i", str(content), "-F", "-T", str(sectors), "-h", "64", "-s", "32", "-H", start]
    run([*command, "-c", cluster_sectors, "-N", drive_id.hex[:8], "-v", LABEL, "::"])
    run(["mcopy", "-i", str(content), "-s", "-m", *map(str, sorted(directory.iterdir())), "::/"])


def stage(directory, files):
    """Copies files to an empty directory. A file is a pair: path on the drive, and content or path of the source."""
    shutil.rmtree(directory, ignore_errors=True)
    for place, content in files:
        path = directory / place.strip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            shutil.copyfile(content, path)
