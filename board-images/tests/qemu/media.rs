//! Images of media, and checks of them by independent tools.

use super::tools::{run, shell};
use std::fs::{self, File};
use std::path::{Path, PathBuf};

pub(crate) const MIB: u64 = 1 << 20;

/// Makes an empty medium.
pub(crate) fn blank(path: &Path, len_bytes: u64) {
    File::create(path).unwrap().set_len(len_bytes).unwrap();
}

/// Start and length of a partition in bytes, read by sfdisk.
#[track_caller]
pub(crate) fn partition(image: &Path, number: usize) -> (u64, u64) {
    let text = run("sfdisk", ["--json".as_ref(), image.as_os_str()]);
    let table: serde_json::Value = serde_json::from_str(&text).unwrap();
    let entry = &table["partitiontable"]["partitions"][number - 1];
    let sectors = |key: &str| entry[key].as_u64().unwrap_or_else(|| panic!("{key} in {text}"));
    (sectors("start") * 512, sectors("size") * 512)
}

/// Makes an ext4 file system in the first partition.
#[track_caller]
pub(crate) fn make_ext4(image: &Path, label: &str) {
    let (start, len) = partition(image, 1);
    let (offset, blocks) = (format!("offset={start}"), format!("{}k", len / 1024));
    let file = image.display().to_string();
    run("mke2fs", ["-q", "-F", "-t", "ext4", "-L", label, "-E", &offset, &file, &blocks]);
}

/// Makes a medium with two partitions, which can only be captured as a disk image.
pub(crate) fn two_partitions(image: &Path) {
    blank(image, 64 * MIB);
    super::tools::partition(image, "label: gpt\nstart=1MiB, size=24MiB\nstart=25MiB, size=30MiB");
    make_ext4(image, "two");
}

/// Fails unless the partition table and the file system of the first partition are valid. A dirty journal is allowed.
#[track_caller]
pub(crate) fn check(image: &Path) {
    run("sfdisk", ["--verify".as_ref(), image.as_os_str()]);
    let label = run("sfdisk", ["--json".as_ref(), image.as_os_str()]);
    if label.contains("\"gpt\"") {
        let result = run("sgdisk", ["-v".as_ref(), image.as_os_str()]);
        assert!(result.contains("No problems found"), "{}: {result}", image.display());
    }
    let (start, len) = partition(image, 1);
    if is_fat(image) {
        // fsck.vfat has no option for an offset.
        let content = image.with_extension("partition");
        let [skip, count] = [start, len].map(|bytes| (bytes / 512).to_string());
        let copy = "dd if=\"$1\" of=\"$2\" bs=512 skip=\"$3\" count=\"$4\" conv=sparse status=none";
        shell(copy, [image.as_os_str(), content.as_os_str(), skip.as_ref(), count.as_ref()]);
        run("fsck.vfat", ["-n".as_ref(), content.as_os_str()]);
        fs::remove_file(&content).unwrap();
    } else {
        run("e2fsck", ["-fn".to_owned(), format!("{}?offset={start}", image.display())]);
    }
}

/// Whether the first partition of an image is a FAT file system.
pub(crate) fn is_fat(image: &Path) -> bool {
    let (start, _) = partition(image, 1);
    let offset = start.to_string();
    let words = ["-p", "-s", "TYPE", "-o", "value", "-O", &offset, image.to_str().unwrap()];
    run("blkid", words).trim() == "vfat"
}

/// The first partition of an image in the syntax of mtools.
pub(crate) fn for_mtools(image: &Path) -> String {
    format!("{}@@{}", image.display(), partition(image, 1).0)
}

/// Whether a board might try to boot from this medium: it has a partition table.
pub(crate) fn has_partition_table(image: &Path) -> bool {
    let text = shell("sfdisk --json \"$1\" 2>/dev/null || true", [image]);
    text.contains("\"partitions\"")
}

/// Whether `secret` is anywhere in the bytes of an image.
pub(crate) fn holds(image: &Path, secret: &str) -> bool {
    let line = "LC_ALL=C grep -qaF -- \"$2\" \"$1\" && echo found || true";
    shell(line, [image.as_os_str(), secret.as_ref()]).contains("found")
}

/// The files of the first partition of an image, mounted on this machine; unmounted on drop.
pub(crate) struct Mounted {
    /// The mount point.
    pub(crate) path: PathBuf,
    /// The files are copied and not mounted, and removed at the end: the kernel of this machine may not support FAT.
    is_copy: bool,
}

impl Mounted {
    /// Read-only, without a replay of the journal.
    #[track_caller]
    pub(crate) fn read_only(image: &Path) -> Self {
        if is_fat(image) { Self::copied(image) } else { Self::new(image, "ro,noload") }
    }

    /// Read-write.
    #[track_caller]
    pub(crate) fn read_write(image: &Path) -> Self {
        Self::new(image, "rw")
    }

    #[track_caller]
    fn new(image: &Path, options: &str) -> Self {
        let path = Self::place(image);
        let (start, len) = partition(image, 1);
        let options = format!("{options},loop,offset={start},sizelimit={len}");
        run("mount", ["-o".as_ref(), options.as_ref(), image.as_os_str(), path.as_os_str()]);
        Self { path, is_copy: false }
    }

    #[track_caller]
    fn copied(image: &Path) -> Self {
        let path = Self::place(image);
        let words = ["-s", "-m", "-i", &for_mtools(image), "::/"].map(str::to_owned);
        run("mcopy", words.into_iter().chain([path.display().to_string()]));
        Self { path, is_copy: true }
    }

    fn place(image: &Path) -> PathBuf {
        let path = image.with_extension("mounted");
        fs::create_dir_all(&path).unwrap();
        path
    }

    /// Unmounts it; panics if that fails.
    #[track_caller]
    pub(crate) fn end(self) {
        if self.is_copy {
            fs::remove_dir_all(&self.path).unwrap();
        } else {
            run("umount", [&self.path]);
        }
        std::mem::forget(self);
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // Reached only after a failure, which must not be hidden. A copy is removed with the stage.
        if !self.is_copy {
            let _ = std::process::Command::new("umount").arg(&self.path).status();
        }
    }
}
