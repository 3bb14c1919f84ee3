//! An open regular file of a volume.

use super::{FileExtent, Metadata, Owner, Xattr};
use crate::{InodeFlags, LayerMut, Result, Timestamp};
use std::ops::Range;

crate::forward::part! {
/// An open regular file.
///
/// Its attributes can be read and set without its path, which costs less than the methods of a volume that look up a path.
#[cfg_attr(feature = "mock", mockall::automock)]
pub trait VolumeFile: Send {
    /// The current length.
    ///
    /// # Errors
    /// If the kernel cannot read it.
    fn len_bytes(&self) -> Result<u64>;

    /// As [`ReadTree::metadata`](crate::ReadTree::metadata) of the file.
    ///
    /// # Errors
    /// If the kernel cannot read it.
    fn metadata(&self) -> Result<Metadata>;

    /// As [`ReadTree::not_copyable`](crate::ReadTree::not_copyable) of the file.
    ///
    /// # Errors
    /// If the kernel cannot read it.
    fn not_copyable(&self) -> Result<Option<&'static str>>;

    /// As [`ReadTree::xattrs`](crate::ReadTree::xattrs) of the file.
    ///
    /// # Errors
    /// If the kernel cannot read them.
    fn xattrs(&self) -> Result<Vec<Xattr>>;

    /// As [`ReadTree::flags`](crate::ReadTree::flags) of the file.
    ///
    /// # Errors
    /// If the kernel cannot read them.
    fn flags(&self) -> Result<InodeFlags>;

    /// As [`SetAttributes::set_owner`](crate::SetAttributes::set_owner) of the file, which must be open for writing.
    ///
    /// # Errors
    /// As there.
    fn set_owner(&mut self, owner: Owner) -> Result<()>;

    /// As [`SetAttributes::set_mode`](crate::SetAttributes::set_mode) of the file, which must be open for writing.
    ///
    /// # Errors
    /// As there.
    fn set_mode(&mut self, mode: u32) -> Result<()>;

    /// As [`SetAttributes::set_modified`](crate::SetAttributes::set_modified) of the file, which must be open for
    /// writing. A later write changes the time again.
    ///
    /// # Errors
    /// As there.
    fn set_modified(&mut self, modified: Timestamp) -> Result<()>;

    /// As [`SetAttributes::set_xattr`](crate::SetAttributes::set_xattr) of the file, which must be open for writing.
    ///
    /// # Errors
    /// As there.
    fn set_xattr(&mut self, xattr: &Xattr) -> Result<()>;

    /// Reads at `offset_bytes`; may be short; `Ok(0)` only at or past the end.
    ///
    /// # Errors
    /// `Io`, `DeviceGone`.
    fn read_at(&mut self, offset_bytes: u64, buffer: &mut [u8]) -> Result<usize>;

    /// Writes at `offset_bytes` and extends the file if needed; may be short. A gap before the data becomes a hole.
    ///
    /// # Errors
    /// `NoSpace`, `FileTooLarge`, `ReadOnly`, `Io`.
    fn write_at(&mut self, offset_bytes: u64, data: &[u8]) -> Result<usize>;

    /// Truncates or extends the file. The extension reads as zeros.
    ///
    /// # Errors
    /// As [`VolumeFile::write_at`].
    fn set_len(&mut self, len_bytes: u64) -> Result<()>;

    /// The next extent at or after `offset_bytes` that may contain other bytes than zeros; `None` if only a hole
    /// follows. A file system without holes returns the rest of the file.
    ///
    /// # Errors
    /// As [`VolumeFile::read_at`].
    fn next_data(&mut self, offset_bytes: u64) -> Result<Option<Range<u64>>>;

    /// Where the data of the file is in the region of its volume, in whole blocks and in the order of the file. Only written
    /// data that is there as it is read: no holes, and nothing that is compressed, encrypted, packed with other data or
    /// known to be shared with another file. Empty if the backend or the file system cannot tell. At most 2^16 extents.
    ///
    /// # Errors
    /// As [`VolumeFile::read_at`].
    fn extents(&self) -> Result<Vec<FileExtent>>;

    /// Gives the blocks of a range back to the file system, so that it reads as zeros; the length stays. `false` if the
    /// file system cannot do this; then nothing changes. The bytes stay in the free blocks.
    ///
    /// # Errors
    /// As [`VolumeFile::write_at`].
    fn punch(&mut self, offset_bytes: u64, len_bytes: u64) -> Result<bool>;

    /// Writes content and length to the medium (fsync).
    ///
    /// # Errors
    /// `Io`: what was written since the last successful sync counts as lost.
    fn sync(&mut self) -> Result<()>;

    /// Makes the following reads come from the medium and not from the page cache. Includes a [`VolumeFile::sync`].
    ///
    /// # Errors
    /// If the pages cannot be dropped.
    fn drop_cache(&mut self) -> Result<()>;

    /// Closes the file. Dropping it closes it too, but cannot report errors.
    ///
    /// # Errors
    /// If the kernel reports an error.
    fn close(&mut self) -> Result<()>;
}
layer VolumeFileLayer: LayerMut + Send;
pointers (mut Box);
}
