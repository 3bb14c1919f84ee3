//! A mounted volume: a rooted tree of files.
//!
//! Its calls are in three traits by what a caller needs, [`ReadTree`], [`WriteTree`] and [`SetAttributes`]; [`Volume`] is
//! all of them, with the calls for the file system as a whole. [`VolumeFile`] is an open file.
//!
//! Paths cannot leave the root. No call follows a symlink, neither in the last component nor on the way: a symlink on
//! the way is `SymlinkInPath`. Where following is needed, [`ReadTree::resolve`] does it once, inside of the root, and
//! returns a path without links. A new name is durable after `sync_dir` of its directory, new content after `sync` of the
//! file.

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
pub use types::{DirectoryEntry, FileKind, Metadata, NodeKind, Owner, Xattr};
pub use write::{WriteTree, WriteTreeLayer};

use crate::{FileSystemKind, Result};
use std::sync::Arc;

/// Names a mounted volume for as long as it is mounted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct VolumeId(pub u64);

/// Whether a mounted volume may be changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Not one byte of the region changes: a dirty journal is not replayed (`noload`).
    ReadOnly,
    /// Reading and writing.
    ReadWrite,
}

/// What a volume's file system can hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Capabilities {
    /// The family.
    pub file_system: FileSystemKind,
    /// Symlinks, hard links, device nodes, owners and modes.
    pub unix: bool,
    /// Files with holes.
    pub sparse: bool,
    /// Whether `A` and `a` are the same name.
    pub case_insensitive: bool,
    /// Whether a rename over an existing name is old or new after a power cut, and nothing else.
    pub atomic_replace: bool,
    /// Longest file.
    pub file_len_max_bytes: u64,
}

/// Free and total space.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// What can still be written.
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
    /// Names this volume in a [`crate::Region`] or a [`crate::Hook`].
    fn id(&self) -> VolumeId;

    /// What the file system can hold.
    fn capabilities(&self) -> Capabilities;

    /// Free and total space.
    ///
    /// # Errors
    /// If the file system does not answer.
    fn space(&self) -> Result<Space>;

    /// Brings everything on the volume onto its medium.
    ///
    /// # Errors
    /// As [`WriteTree::sync_dir`].
    fn sync(&self) -> Result<()>;

    /// Changes between read-only and read-write.
    ///
    /// # Errors
    /// `Busy` if a file is open for writing; `ReadOnly` if the device refuses writes.
    fn remount(&self, access: Access) -> Result<()>;

    /// Syncs and unmounts. After `Ok` every call on the volume fails with `NotFound`; after an error it can be tried
    /// again. Dropping a mounted volume unmounts it as a last resort, without a word.
    ///
    /// # Errors
    /// `Busy` while files are open; `Io` if the last writes failed.
    fn unmount(&self) -> Result<()>;
}
layer VolumeLayer: WriteTreeLayer + SetAttributesLayer;
pointers (& Box Arc);
}
