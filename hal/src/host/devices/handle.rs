//! An open disk image: a range of a file that never grows.

use crate::{CacheBypass, DeviceName, Discarded, Error, ErrorKind, Result, Source, Target};
use nix::errno::Errno;
use nix::fcntl::{FallocateFlags, PosixFadviseAdvice, fallocate, posix_fadvise};
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;

/// The unit of discards: no file system has smaller holes.
const DISCARD_UNIT_BYTES: u64 = 4096;
/// Bytes that one write zeroes if holes cannot be punched.
const ZEROS_LEN_BYTES: usize = 256 * 1024;

/// A source or target over a file, with a claim `C` that keeps its device in use until it is closed.
pub(super) struct Handle<C> {
    /// The file, and the claim on its device; `None` once closed.
    open: Option<(File, C)>,
    window: Range<u64>,
    name: DeviceName,
}

impl<C> Handle<C> {
    pub(super) fn new(file: File, window: Range<u64>, name: DeviceName, claim: C) -> Self {
        Self { open: Some((file, claim)), window, name }
    }

    fn len(&self) -> u64 {
        self.window.end - self.window.start
    }

    fn file(&self, operation: &str) -> Result<&File> {
        self.open.as_ref().map(|(file, _)| file).ok_or_else(|| {
            Error::new(ErrorKind::InvalidInput, operation, self.name.to_string(), "the device is closed")
        })
    }

    fn failed(&self, error: impl Into<io::Error>, operation: &str) -> Error {
        Error::from_io(error.into(), operation, self.name.to_string())
    }

    fn no_space(&self, operation: &str) -> Error {
        let detail = "past the end of the device";
        Error::new(ErrorKind::NoSpace, operation, self.name.to_string(), detail)
    }

    fn read(&self, offset_bytes: u64, buffer: &mut [u8]) -> Result<usize> {
        let file = self.file("reading")?;
        let left = self.len().saturating_sub(offset_bytes);
        if left == 0 {
            return Ok(0);
        }
        let len = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let read = file.read_at(&mut buffer[..len], self.window.start + offset_bytes);
        read.map_err(|error| self.failed(error, "reading"))
    }

    fn write(&self, offset_bytes: u64, data: &[u8], operation: &str) -> Result<usize> {
        let file = self.file(operation)?;
        let left = self.len().saturating_sub(offset_bytes);
        if data.is_empty() {
            return Ok(0);
        }
        if left == 0 {
            return Err(self.no_space(operation));
        }
        let len = data.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let written = file.write_at(&data[..len], self.window.start + offset_bytes);
        written.map_err(|error| self.failed(error, operation))
    }

    /// Makes a hole; `Ok(false)` if the file system cannot, or a signal came first.
    fn punch(&self, file: &File, offset_bytes: u64, len_bytes: u64, operation: &str) -> Result<bool> {
        let offset = libc::off_t::try_from(self.window.start + offset_bytes);
        let (Ok(offset), Ok(len)) = (offset, libc::off_t::try_from(len_bytes)) else { return Ok(false) };
        let flags = FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE;
        match fallocate(file, flags, offset, len) {
            Ok(()) => Ok(true),
            Err(Errno::EOPNOTSUPP | Errno::ENOSYS | Errno::EINTR) => Ok(false),
            Err(errno) => Err(self.failed(errno, operation)),
        }
    }

    fn sync_file(&self) -> Result<()> {
        self.file("syncing")?.sync_all().map_err(|error| self.failed(error, "syncing"))
    }

    /// The claim is dropped after the file, so that nobody opens the device in between.
    fn close_file(&mut self) -> Result<()> {
        match self.open.take() {
            Some((file, _claim)) => nix::unistd::close(file).map_err(|errno| self.failed(errno, "closing")),
            None => Ok(()),
        }
    }
}

impl<C: Send> Source for Handle<C> {
    fn len_bytes(&self) -> u64 {
        self.len()
    }

    fn read_at(&mut self, offset_bytes: u64, buffer: &mut [u8]) -> Result<usize> {
        self.read(offset_bytes, buffer)
    }

    fn close(&mut self) -> Result<()> {
        self.close_file()
    }
}

impl<C: Send> Target for Handle<C> {
    fn len_bytes(&self) -> u64 {
        self.len()
    }

    fn write_at(&mut self, offset_bytes: u64, data: &[u8]) -> Result<usize> {
        self.write(offset_bytes, data, "writing")
    }

    fn zero(&mut self, offset_bytes: u64, len_bytes: u64) -> Result<()> {
        let operation = "zeroing";
        let file = self.file(operation)?;
        let Some(end) = offset_bytes.checked_add(len_bytes).filter(|end| *end <= self.len()) else {
            return Err(self.no_space(operation));
        };
        if len_bytes == 0 {
            return Ok(());
        }
        // A hole keeps the image sparse.
        if self.punch(file, offset_bytes, len_bytes, operation)? {
            return Ok(());
        }
        let zeros = vec![0; ZEROS_LEN_BYTES];
        let mut at = offset_bytes;
        while at < end {
            let len = usize::try_from(end - at).unwrap_or(usize::MAX).min(zeros.len());
            at += self.write(at, &zeros[..len], operation)? as u64;
        }
        Ok(())
    }

    fn discard_unit_bytes(&self) -> Option<u64> {
        Some(DISCARD_UNIT_BYTES)
    }

    fn discard(&mut self, offset_bytes: u64, len_bytes: u64) -> Result<Discarded> {
        let operation = "discarding";
        let file = self.file(operation)?;
        let Some(end) = offset_bytes.checked_add(len_bytes).filter(|end| *end <= self.len()) else {
            return Err(self.no_space(operation));
        };
        let unit = DISCARD_UNIT_BYTES;
        let (first, last) = (offset_bytes.next_multiple_of(unit), end - end % unit);
        if first >= last {
            return Ok(Discarded::Accepted(offset_bytes..offset_bytes));
        }
        Ok(match self.punch(file, first, last - first, operation)? {
            true => Discarded::Accepted(first..last),
            false => Discarded::Unsupported,
        })
    }

    fn sync(&mut self) -> Result<()> {
        self.sync_file()
    }

    fn begin_verify(&mut self) -> Result<CacheBypass> {
        // Only clean pages can be dropped, so sync first.
        self.sync_file()?;
        let file = self.file("dropping the cache of")?;
        posix_fadvise(file, 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED)
            .map_err(|errno| self.failed(errno, "dropping the cache of"))?;
        Ok(CacheBypass::Dropped)
    }

    fn read_at(&mut self, offset_bytes: u64, buffer: &mut [u8]) -> Result<usize> {
        self.read(offset_bytes, buffer)
    }

    fn close(&mut self) -> Result<()> {
        if self.open.is_none() {
            return Ok(());
        }
        let synced = self.sync_file();
        let closed = self.close_file();
        synced.and(closed)
    }
}
