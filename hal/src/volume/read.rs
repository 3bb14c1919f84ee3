//! Reading a tree of files.

use super::{Capabilities, DirectoryEntry, Metadata, VolumeFile, Xattr};
use crate::{InodeFlags, RelativePath, Result};
use std::sync::Arc;

crate::forward::part! {
/// Reads a tree of files. A function that takes `&dyn ReadTree` cannot change anything.
pub trait ReadTree: Send + Sync {
    /// What the file system can store.
    fn capabilities(&self) -> Capabilities;

    /// The entries of a directory without `.` and `..`, in no particular order.
    ///
    /// # Errors
    /// `NotFound`, `NotADirectory`, `SymlinkInPath`.
    fn list(&self, directory: &RelativePath) -> Result<Vec<DirectoryEntry>>;

    /// Metadata of the entry itself; does not follow a symlink.
    ///
    /// # Errors
    /// `NotFound`, `SymlinkInPath`.
    fn metadata(&self, path: &RelativePath) -> Result<Metadata>;

    /// Follows every symlink of `path` as if the volume were the root of the system, and returns the resulting path.
    /// `..` in a link stops at the root. An absolute link that starts with the mount point of the drive is relative to
    /// the volume.
    ///
    /// # Errors
    /// `NotFound` for a dangling link; `SymlinkInPath` for a loop.
    fn resolve(&self, path: &RelativePath) -> Result<RelativePath>;

    /// The text of a symlink.
    ///
    /// # Errors
    /// `InvalidInput` if it is not a symlink.
    fn read_link(&self, path: &RelativePath) -> Result<Vec<u8>>;

    /// Opens a regular file for reading.
    ///
    /// # Errors
    /// `NotFound`, `SymlinkInPath`, `IsADirectory`; `InvalidInput` for a device, fifo or socket, which is never opened.
    fn open(&self, path: &RelativePath) -> Result<Box<dyn VolumeFile>>;

    /// Announces that the regular files at `paths` are opened and read from their start next, so that a backend can read
    /// some of them ahead. It may ignore any of them, or more than 64 that were not opened yet. An error is returned when the
    /// file is opened or read.
    fn read_ahead(&self, paths: &[RelativePath]);

    /// All extended attributes of the entry itself, sorted by name.
    ///
    /// # Errors
    /// As [`ReadTree::metadata`].
    fn xattrs(&self, path: &RelativePath) -> Result<Vec<Xattr>>;

    /// Inode flags of the entry itself. Only files and directories have flags, and not on every file system.
    ///
    /// # Errors
    /// As [`ReadTree::metadata`].
    fn flags(&self, path: &RelativePath) -> Result<InodeFlags>;

    /// Why a copy of content and metadata would differ from the entry itself, as words that follow its name: its file
    /// system encrypts it, signs it, or ignores case in it. `None` for everything else.
    ///
    /// # Errors
    /// As [`ReadTree::metadata`].
    fn not_copyable(&self, path: &RelativePath) -> Result<Option<&'static str>>;
}
layer ReadTreeLayer: Send + Sync;
pointers (& Box Arc);
}
