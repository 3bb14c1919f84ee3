//! Adapters from files on the drive to the traits of the formats: bytes at offsets, and a sink.

use crate::error::{Error, Result};
use crate::formats::{ReadAt, within};
use crate::operation::Operation;
use replicator_hal::{self as hal, ErrorKind, ReadTree, RelativePath, VolumeFile};
use std::io;

/// An open file on the drive, for reading.
pub(crate) struct DriveFile<'a> {
    operation: &'a Operation<'a>,
    file: Box<dyn VolumeFile>,
    len_bytes: u64,
}

impl<'a> DriveFile<'a> {
    /// Opens a file; `path` must be resolved.
    ///
    /// # Errors
    /// Those of [`ReadTree::open`].
    pub(crate) fn open(
        operation: &'a Operation<'a>,
        volume: &dyn ReadTree,
        path: &RelativePath,
    ) -> Result<Self> {
        let doing = || format!("opening {path} on the drive");
        let file = operation.retry(|| volume.open(path)).map_err(Error::hal(doing()))?;
        let len_bytes = file.len_bytes().map_err(Error::hal(doing()))?;
        Ok(Self { operation, file, len_bytes })
    }

    /// Closes the file.
    ///
    /// # Errors
    /// Those of [`VolumeFile::close`].
    pub(crate) fn close(mut self) -> Result<()> {
        self.file.close().map_err(Error::hal("closing a file on the drive"))
    }
}

impl ReadAt for DriveFile<'_> {
    fn len_bytes(&self) -> u64 {
        self.len_bytes
    }

    fn read_at(&mut self, offset_bytes: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let file = &mut self.file;
        let len = within(buffer.len(), self.len_bytes.saturating_sub(offset_bytes));
        Ok(self.operation.retry(|| file.read_at(offset_bytes, &mut buffer[..len]))?)
    }
}

/// A new file on the drive that is written from front to back.
pub(crate) struct DriveSink<'a> {
    operation: &'a Operation<'a>,
    file: &'a mut dyn VolumeFile,
    offset_bytes: u64,
}

impl<'a> DriveSink<'a> {
    /// Writes to `file` from its start.
    pub(crate) fn new(operation: &'a Operation<'a>, file: &'a mut dyn VolumeFile) -> Self {
        Self { operation, file, offset_bytes: 0 }
    }

    /// How much was written.
    pub(crate) fn offset_bytes(&self) -> u64 {
        self.offset_bytes
    }
}

impl io::Write for DriveSink<'_> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let (file, offset_bytes) = (&mut self.file, self.offset_bytes);
        let len = self.operation.retry(|| file.write_at(offset_bytes, data))?;
        self.offset_bytes += len as u64;
        Ok(len)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Reads the whole content of a small file.
///
/// # Errors
/// `FileTooLarge` if it is longer than `limit_bytes`; else those of the volume.
pub(crate) fn read_small(
    volume: &dyn ReadTree,
    path: &RelativePath,
    limit_bytes: usize,
) -> hal::Result<Vec<u8>> {
    let mut file = volume.open(path)?;
    let mut content = vec![0; limit_bytes + 1];
    let len = hal::io::read_file(&mut *file, 0, &mut content)?;
    file.close()?;
    if len > limit_bytes {
        return Err(hal::Error::new(
            ErrorKind::FileTooLarge,
            "reading",
            path.to_string(),
            format!("more than {limit_bytes} bytes"),
        ));
    }
    content.truncate(len);
    Ok(content)
}
