//! Changing the names and contents of a tree of files.

use super::{NodeKind, ReadTree, ReadTreeLayer, VolumeFile};
use crate::{RelativePath, Result};
use std::sync::Arc;

crate::forward::part! {
/// Creates, renames and removes files, and makes their names durable.
pub trait WriteTree: ReadTree {
    /// Opens an existing regular file for reading and writing.
    ///
    /// # Errors
    /// As [`ReadTree::open`]; `ReadOnly`.
    fn open_write(&self, path: &RelativePath) -> Result<Box<dyn VolumeFile>>;

    /// Creates a regular file, open for reading and writing. `mode` is exact: no umask applies.
    ///
    /// # Errors
    /// `AlreadyExists`, `ReadOnly`, `NoSpace`.
    fn create_new(&self, path: &RelativePath, mode: u32) -> Result<Box<dyn VolumeFile>>;

    /// Creates a directory. `mode` is exact.
    ///
    /// # Errors
    /// As [`WriteTree::create_new`].
    fn create_dir(&self, path: &RelativePath, mode: u32) -> Result<()>;

    /// Creates a symlink with exactly this text.
    ///
    /// # Errors
    /// As [`WriteTree::create_new`]; `Unsupported` if the file system has none.
    fn symlink(&self, path: &RelativePath, text: &[u8]) -> Result<()>;

    /// Gives `existing` a second name. A symlink is linked itself.
    ///
    /// # Errors
    /// As [`WriteTree::symlink`].
    fn hard_link(&self, existing: &RelativePath, path: &RelativePath) -> Result<()>;

    /// Creates a device node or named pipe. `mode` is exact.
    ///
    /// # Errors
    /// As [`WriteTree::symlink`]; `PermissionDenied` without privileges.
    fn make_node(&self, path: &RelativePath, kind: NodeKind, mode: u32) -> Result<()>;

    /// Renames within the volume. Replaces a file at `to`.
    ///
    /// # Errors
    /// `NotFound`, `ReadOnly`, `IsADirectory`, `DirectoryNotEmpty`.
    fn rename(&self, from: &RelativePath, to: &RelativePath) -> Result<()>;

    /// Removes a file, a symlink or a node, but not a directory.
    ///
    /// # Errors
    /// `NotFound`, `IsADirectory`, `ReadOnly`.
    fn remove_file(&self, path: &RelativePath) -> Result<()>;

    /// Removes an empty directory.
    ///
    /// # Errors
    /// `NotFound`, `NotADirectory`, `DirectoryNotEmpty`, `ReadOnly`.
    fn remove_dir(&self, path: &RelativePath) -> Result<()>;

    /// Makes the names in a directory durable.
    ///
    /// # Errors
    /// `Io`: changes since the last successful sync count as lost.
    fn sync_dir(&self, directory: &RelativePath) -> Result<()>;
}
layer WriteTreeLayer: ReadTreeLayer;
pointers (& Box Arc);
}
