//! A drive with one archive on it that another tool made, and a medium to write it to.

use super::devices::{Medium, Mount};
use super::replicator::{Board, make_drive};
use super::stage::Stage;
use super::tools::{run, shell};
use std::fs;
use std::path::{Path, PathBuf};

const MIB: u64 = 1 << 20;

/// Drive, medium, and a place for the tree to be packed.
pub(crate) struct Bench<'a> {
    stage: &'a Stage,
    drive: Medium,
    /// The medium.
    pub(crate) medium: Medium,
}

impl<'a> Bench<'a> {
    /// An empty drive and a medium with old content.
    pub(crate) fn new(stage: &'a Stage) -> Self {
        Self::with_medium(stage, 64 * MIB)
    }

    /// The same with a medium of this length.
    pub(crate) fn with_medium(stage: &'a Stage, len_bytes: u64) -> Self {
        let drive = make_drive(&stage.path("drive"), 128 * MIB);
        Self { stage, drive, medium: Medium::used(&stage.path("medium"), len_bytes) }
    }

    /// A new directory for the tree to be packed.
    pub(crate) fn root(&self) -> PathBuf {
        let root = self.stage.path("root");
        fs::create_dir(&root).unwrap();
        root
    }

    /// Makes the file `name` the only image on the drive: by a shell line that gets `arguments` as `$1` and on, and behind
    /// them the path of the file to be made.
    #[track_caller]
    pub(crate) fn pack(&self, name: &str, line: &str, arguments: &[&Path]) {
        let mount = Mount::new(&self.drive.device, &self.stage.path("drive-files"));
        shell("rm -f \"$1\"/*image.*", [&mount.path]);
        let file = mount.path.join(name);
        shell(line, arguments.iter().copied().chain([file.as_path()]));
    }

    /// Drive and medium as a board.
    pub(crate) fn board(&self) -> Board<'_> {
        Board { stage: self.stage, drive: &self.drive, media: vec![("sd", &self.medium)] }
    }

    /// Looks at the tree on the medium, which no check of a file system finds anything wrong with.
    #[track_caller]
    pub(crate) fn with_written<T>(&mut self, look: impl FnOnce(&Path) -> T) -> T {
        self.medium.show_partitions();
        let partition = self.medium.partition(1);
        run("e2fsck", ["-fn".as_ref(), partition.as_os_str()]);
        let seen = look(&Mount::read_only(&partition, &self.stage.path("written")).path);
        self.medium.hide_partitions();
        seen
    }
}
