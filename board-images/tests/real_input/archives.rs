//! A drive with one archive of another tool, and a medium to write it to.

use super::devices::{Medium, Mount};
use super::replicator::{Board, make_drive};
use super::stage::Stage;
use super::tools::{run, shell};
use std::fs;
use std::path::{Path, PathBuf};

const MIB: u64 = 1 << 20;

/// Drive, medium, and a directory for the tree to pack.
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

    /// A new directory for the tree to pack.
    pub(crate) fn root(&self) -> PathBuf {
        let root = self.stage.path("root");
        fs::create_dir(&root).unwrap();
        root
    }

    /// Makes the file `name` the only image on the drive with a shell line. It gets `arguments` as `$1`, `$2`, ... and then the
    /// path of the new file.
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

    /// Checks the file system on the medium with e2fsck, and calls `inspect` with its tree.
    #[track_caller]
    pub(crate) fn with_written<T>(&mut self, inspect: impl FnOnce(&Path) -> T) -> T {
        self.medium.show_partitions();
        let partition = self.medium.partition(1);
        run("e2fsck", ["-fn".as_ref(), partition.as_os_str()]);
        let result = inspect(&Mount::read_only(&partition, &self.stage.path("written")).path);
        self.medium.hide_partitions();
        result
    }
}
