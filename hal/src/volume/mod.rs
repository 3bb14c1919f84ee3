//! A mounted volume: a rooted tree of files.
//!
//! Its methods are in three traits by what a caller needs, [`ReadTree`], [`WriteTree`] and [`SetAttributes`].
//! [`Volume`] is all of them, with the methods for the file system as a whole. [`VolumeFile`] is an open file.
//!
//! Paths cannot leave the root. No method follows a symlink, neither in the last component nor in another one: a
//! symlink in another component is the error `SymlinkInPath`. [`ReadTree::resolve`] follows all symlinks of a path,
//! inside the root, and returns a path without links. A new name is durable after `sync_dir` of its directory, new
//! content after `sync` of the file.

mod attributes;
mod file;
#[cfg(feature = "mock")]
mod mock;
mod read;
mod types;
mod write;

pub use attributes::{SetAttributes, SetAttributesLayer};
#[cfg(feature = "mock")]
pub use file::MockVolumeFile;
pub use file::{VolumeFile, VolumeFileLayer};
#[cfg(feature = "mock")]
pub use mock::MockVolume;
pub use read::{ReadTree, ReadTreeLayer};
pub use types::{DirectoryEntry, FileExtent, FileKind, Metadata, NodeKind, Owner, Xattr};
pub use write::{WriteTree, WriteTreeLayer};

use crate::{FileSystemKind, Result};
use std::sync::Arc;

/// Identifies a mounted volume while it is mounted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct VolumeId(pub u64);

/// Whether a mounted volume may be changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// No byte of the region changes: a dirty journal is not replayed (`noload`).
    ReadOnly,
    /// Reading and writing.
    ReadWrite,
}

/// What the volume's file system can store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Capabilities {
    /// The kind.
    pub file_system: FileSystemKind,
    /// Symlinks, hard links, device nodes, owners and modes.
    pub unix: bool,
    /// Files with holes.
    pub sparse: bool,
    /// Whether `A` and `a` are the same name.
    pub case_insensitive: bool,
    /// Whether a rename over an existing name is atomic: after a power cut the old or the new file is there.
    pub atomic_replace: bool,
    /// Longest file.
    pub file_len_max_bytes: u64,
}

/// Free and total space.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// How much can still be written.
    pub free_bytes: u64,
    /// Size of the file system.
    pub total_bytes: u64,
}

crate::forward::part! {
/// A mounted volume.
///
/// # Passing a part of it
///
/// A function takes the smallest trait that it needs. A reference to a `&dyn Volume` or `Box<dyn Volume>` is also a
/// reference to each of its parts:
///
/// ```
/// use replicator_hal::{ReadTree, RelativePath, Result, Volume};
///
/// fn count(tree: &dyn ReadTree, directory: &RelativePath) -> Result<usize> {
///     Ok(tree.list(directory)?.len())
/// }
///
/// fn count_in_root(volume: &dyn Volume) -> Result<usize> {
///     count(&volume, &RelativePath::root())
/// }
/// ```
pub trait Volume: WriteTree + SetAttributes {
    /// Identifies this volume in a [`crate::Region`] or a [`crate::Hook`].
    fn id(&self) -> VolumeId;

    /// Free and total space.
    ///
    /// # Errors
    /// If the kernel cannot read it.
    fn space(&self) -> Result<Space>;

    /// Writes all changes to the medium (syncfs).
    ///
    /// # Errors
    /// As [`WriteTree::sync_dir`].
    fn sync(&self) -> Result<()>;

    /// Changes between read-only and read-write.
    ///
    /// # Errors
    /// `Busy` if a file is open for writing; `ReadOnly` if the device is read-only.
    fn remount(&self, access: Access) -> Result<()>;

    /// Syncs and unmounts. After `Ok` every call on the volume fails with `NotFound`; after an error it can be tried
    /// again. Dropping a mounted volume unmounts it too, but cannot report errors.
    ///
    /// # Errors
    /// `Busy` while files are open; `Io` if the last writes failed.
    fn unmount(&self) -> Result<()>;
}
layer VolumeLayer: WriteTreeLayer + SetAttributesLayer;
pointers (& Box Arc);
}
