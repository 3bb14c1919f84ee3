//! Positioned reads within one region, for code that reads file systems without mounting them.

pub(super) use crate::signature::{le16, le32};
use crate::{Error, ErrorKind, Result};
use std::fs::File;
use std::os::unix::fs::FileExt;

/// The bytes of one region.
pub(super) trait ReadAt {
    /// Length of the region.
    fn len_bytes(&self) -> u64;

    /// Reads into `buffer` at `offset_bytes`. Returns the number of bytes, which is less than the buffer only at the
    /// end.
    fn read_up_to(&mut self, offset_bytes: u64, buffer: &mut [u8]) -> Result<usize>;

    /// Fills `buffer`. Bytes past the end of the region are zeros.
    fn read_padded(&mut self, offset_bytes: u64, buffer: &mut [u8]) -> Result<()> {
        let len = self.read_up_to(offset_bytes, buffer)?;
        buffer[len..].fill(0);
        Ok(())
    }
}

/// A range of an open file or block device.
pub(super) struct FileRange {
    file: File,
    name: String,
    offset_bytes: u64,
    len_bytes: u64,
}

impl FileRange {
    /// The range of `len_bytes` bytes of `file` from `offset_bytes` on. `name` is for error messages.
    pub(super) fn new(file: File, name: String, offset_bytes: u64, len_bytes: u64) -> Self {
        Self { file, name, offset_bytes, len_bytes }
    }
}

impl ReadAt for FileRange {
    fn len_bytes(&self) -> u64 {
        self.len_bytes
    }

    fn read_up_to(&mut self, offset_bytes: u64, buffer: &mut [u8]) -> Result<usize> {
        let Some(left) = self.len_bytes.checked_sub(offset_bytes) else { return Ok(0) };
        let len = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
        let Some(start) = self.offset_bytes.checked_add(offset_bytes) else {
            return Err(Error::new(ErrorKind::OutOfRange, "reading", &self.name, "offset too large"));
        };
        crate::io::read_full(&mut buffer[..len], |done, rest| {
            self.file
                .read_at(rest, start + done)
                .map_err(|error| Error::from_io(error, "reading", self.name.as_str()))
        })
    }
}
