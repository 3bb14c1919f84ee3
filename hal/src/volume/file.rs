//! An open regular file of a volume.

use crate::{LayerMut, Result};
use std::ops::Range;

crate::forward::part! {
/// An open regular file.
#[cfg_attr(feature = "mock", mockall::automock)]
pub trait VolumeFile: Send {
    /// The current length.
    ///
    /// # Errors
    /// If the kernel cannot read it.
    fn len_bytes(&self) -> Result<u64>;

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
