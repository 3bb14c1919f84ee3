//! The drive: built by `ci/qemu`, enlarged to the size of a USB stick; and its content after a run.

use super::media::{self, MIB, Mounted};
use super::stage::{Stage, copy};
use super::tools::{run, shell};
use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};

const LEN_BYTES: u64 = 768 * MIB;
/// Files on a drive before its first run.
const FIRST_FILES: [&str; 3] = ["boot", "lost+found", "replicator.toml"];

/// A drive's image.
pub(crate) struct Drive {
    /// The image.
    pub(crate) file: PathBuf,
}

impl Drive {
    /// A new drive, whose partition does not fill it yet.
    pub(crate) fn new(stage: &Stage, name: &str) -> Self {
        let file = stage.path(name);
        copy(&stage.drive_file("drive.img"), &file);
        OpenOptions::new().write(true).open(&file).unwrap().set_len(LEN_BYTES).unwrap();
        Self { file }
    }

    /// A copy of its current state.
    pub(crate) fn copy(&self, stage: &Stage, name: &str) -> Self {
        let file = stage.path(name);
        copy(&self.file, &file);
        Self { file }
    }

    /// Puts a file into its root.
    #[track_caller]
    pub(crate) fn put(&self, name: &str, content: &[u8]) {
        if media::is_fat(&self.file) {
            let outside = self.file.with_extension("put");
            fs::write(&outside, content).unwrap();
            let (drive, place) = (media::for_mtools(&self.file), format!("::/{name}"));
            run("mcopy", ["-o", "-i", &drive, outside.to_str().unwrap(), &place]);
            return;
        }
        let mounted = Mounted::read_write(&self.file);
        fs::write(mounted.path.join(name), content).unwrap();
        mounted.end();
    }

    /// Changes files in its root; not for FAT.
    #[track_caller]
    pub(crate) fn change(&self, change: impl FnOnce(&Path)) {
        let mounted = Mounted::read_write(&self.file);
        change(&mounted.path);
        mounted.end();
    }

    /// Names in its root, without those of a new drive.
    #[track_caller]
    pub(crate) fn names(&self) -> Vec<String> {
        let mounted = Mounted::read_only(&self.file);
        let entries = fs::read_dir(&mounted.path).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        mounted.end();
        names.retain(|name| !FIRST_FILES.contains(&name.as_str()));
        names.sort();
        names
    }

    /// Fails unless the first bytes of a medium are those of a disk image on the drive.
    #[track_caller]
    pub(crate) fn compare(&self, image: &str, medium: &Path) {
        let mounted = Mounted::read_only(&self.file);
        let image = mounted.path.join(image);
        shell("xz -dc \"$1\" | cmp -n \"$(xz -dc \"$1\" | wc -c)\" - \"$2\"", [image.as_path(), medium]);
        mounted.end();
    }

    /// For a medium that is larger than a GPT image on the drive: fails unless the bytes between the tables are those of the
    /// image, and the tables fit the length of the medium.
    #[track_caller]
    pub(crate) fn compare_on_larger(&self, image: &str, medium: &Path) {
        let mounted = Mounted::read_only(&self.file);
        let image = mounted.path.join(image);
        let between =
            "len=$(xz -dc \"$1\" | wc -c); cmp -i 1MiB -n $((len - (2 << 20))) <(xz -dc \"$1\") \"$2\"";
        shell(between, [image.as_path(), medium]);
        mounted.end();
        media::check(medium);
    }

    /// Fails unless its file system is clean and fills the drive, and every image on it is complete and matches its sidecars.
    #[track_caller]
    pub(crate) fn check(&self) {
        media::check(&self.file);
        let (start, len) = media::partition(&self.file, 1);
        assert!(start + len + 2 * MIB >= LEN_BYTES, "the partition was not expanded: {start}, {len}");
        let mounted = Mounted::read_only(&self.file);
        shell(CHECK_IMAGES, [&mounted.path]);
        mounted.end();
    }
}

/// As an operator would check them on a PC.
const CHECK_IMAGES: &str = r#"
cd "$1"
for image in *image.*.xz; do
    xz -t "$image"
    content=${image%.xz}
    [ "$(xz -dc "$image" | md5sum | cut -d' ' -f1)" = "$(cut -d' ' -f1 "$content.md5")" ]
done
"#;
