//! Reading a tree of files.

use super::{DirectoryEntry, Metadata, VolumeFile, Xattr};
use crate::{InodeFlags, RelativePath, Result};
use std::sync::Arc;

crate::forward::part! {
/// Reading a tree of files. A function that takes `&dyn ReadTree` cannot change anything.
pub trait ReadTree: Send + Sync {
    /// The entries of a directory without `.` and `..`, in no particular order.
    ///
    /// # Errors
    /// `NotFound`, `NotADirectory`, `SymlinkInPath`.
    fn list(&self, directory: &RelativePath) -> Result<Vec<DirectoryEntry>>;

    /// Metadata of the entry itself; a symlink is not followed.
    ///
    /// # Errors
    /// `NotFound`, `SymlinkInPath`.
    fn metadata(&self, path: &RelativePath) -> Result<Metadata>;

    /// Follows every symlink of `path` as if the volume were the root of the system, and gives the path that remains.
    /// `..` in a link stops at the root. An absolute link that starts with the place where a Linux backend mounts the
    /// volume is taken as relative to it.
    ///
    /// # Errors
    /// `NotFound` for a dangling link; `SymlinkInPath` for a loop.
    fn resolve(&self, path: &RelativePath) -> Result<RelativePath>;

    /// The text of a symlink.
    ///
    /// # Errors
    /// `InvalidInput` if it is none.
    fn read_link(&self, path: &RelativePath) -> Result<Vec<u8>>;

    /// Opens a regular file for reading.
    ///
    /// # Errors
    /// `NotFound`, `SymlinkInPath`, `IsADirectory`; `InvalidInput` for a device, fifo or socket, which is never opened.
    fn open(&self, path: &RelativePath) -> Result<Box<dyn VolumeFile>>;

    /// All extended attributes of the entry itself, sorted by name.
    ///
    /// # Errors
    /// As [`ReadTree::metadata`].
    fn xattrs(&self, path: &RelativePath) -> Result<Vec<Xattr>>;

    /// Inode flags of the entry itself. Only files and directories have some, and not on every file system.
    ///
    /// # Errors
    /// As [`ReadTree::metadata`].
    fn flags(&self, path: &RelativePath) -> Result<InodeFlags>;

    /// Why a copy of content and metadata would not be the same as the entry itself, in words that follow its name: it is
    /// encrypted, signed or matched without regard to case by its own file system. `None` for everything else.
    ///
    /// # Errors
    /// As [`ReadTree::metadata`].
    fn not_copyable(&self, path: &RelativePath) -> Result<Option<&'static str>>;
}
layer ReadTreeLayer: Send + Sync;
pointers (& Box Arc);
}
