//! Reads the archive as blocks and counts the position, so that every error can have it.

use super::trailer::Index;
use super::{BLOCK_BYTES, BLOCK_LEN, FORMAT, FormatError, truncated};
use crate::formats::within;
use std::io::{self, Read};
use xxhash_rust::xxh3::Xxh3;

/// How many bytes are skipped at once.
const SKIP_BYTES: usize = 16 * 1024;

/// An input of which bytes can be passed over.
pub(crate) trait Skip: Read {
    /// Passes over up to `len_bytes`, and returns how many; 0 only at the end of the input.
    ///
    /// # Errors
    /// Those of the input.
    fn skip(&mut self, len_bytes: u64) -> io::Result<u64>;
}

impl<S: Skip + ?Sized> Skip for &mut S {
    fn skip(&mut self, len_bytes: u64) -> io::Result<u64> {
        (**self).skip(len_bytes)
    }
}

/// Passes over up to `len_bytes` of any input by reading them.
///
/// # Errors
/// Those of the input.
pub(crate) fn skip_by_reading<R: Read + ?Sized>(input: &mut R, len_bytes: u64) -> io::Result<u64> {
    let mut buffer = [0; SKIP_BYTES];
    let wanted = within(SKIP_BYTES, len_bytes);
    input.read(&mut buffer[..wanted]).map(|len| len as u64)
}

pub(super) struct Blocks<R> {
    inner: R,
    skip: fn(&mut R, u64) -> io::Result<u64>,
    offset_bytes: u64,
    /// Of everything but data and padding.
    headers: Xxh3,
}

impl<R: Read> Blocks<R> {
    pub(super) fn new(inner: R) -> Self {
        Self { inner, skip: skip_by_reading, offset_bytes: 0, headers: Xxh3::new() }
    }

    /// The same for an input with its own way to pass over bytes.
    pub(super) fn skipping(self) -> Self
    where
        R: Skip,
    {
        Self { skip: R::skip, ..self }
    }

    /// The hash of all headers so far: extended ones, maps of sparse files and the end mark among them.
    pub(super) fn headers_hash(&self) -> u128 {
        self.headers.digest128()
    }

    /// Bytes read so far.
    pub(super) fn offset_bytes(&self) -> u64 {
        self.offset_bytes
    }

    /// Reads up to `buffer.len()` bytes; 0 only at the end of the input.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> Result<usize, FormatError> {
        loop {
            match self.inner.read(buffer) {
                Ok(len) => {
                    self.offset_bytes = self.offset_bytes.saturating_add(len as u64);
                    return Ok(len);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Fills `buffer`, or less of it at the end of the input.
    fn fill(&mut self, buffer: &mut [u8]) -> Result<usize, FormatError> {
        let mut done = 0;
        while done < buffer.len() {
            match self.read(&mut buffer[done..])? {
                0 => break,
                len => done += len,
            }
        }
        Ok(done)
    }

    /// The next block; `None` at the end of the input.
    pub(super) fn block(&mut self) -> Result<Option<[u8; BLOCK_BYTES]>, FormatError> {
        let mut block = [0; BLOCK_BYTES];
        match self.fill(&mut block)? {
            0 => Ok(None),
            BLOCK_BYTES => {
                self.headers.update(&block);
                Ok(Some(block))
            }
            _ => Err(self.cut_off("a whole block")),
        }
    }

    /// The next block, which must exist.
    pub(super) fn expect_block(&mut self, what: &str) -> Result<[u8; BLOCK_BYTES], FormatError> {
        self.block()?.ok_or_else(|| self.cut_off(what))
    }

    /// Reads `len_bytes` and the padding after them. The caller has bounded `len_bytes`.
    pub(super) fn payload(&mut self, len_bytes: usize, what: &str) -> Result<Vec<u8>, FormatError> {
        let mut payload = vec![0; len_bytes];
        if self.fill(&mut payload)? < len_bytes {
            return Err(self.cut_off(what));
        }
        self.headers.update(&payload);
        self.skip(super::padding(len_bytes as u64), what)?;
        Ok(payload)
    }

    /// Reads and discards `len_bytes`.
    pub(super) fn skip(&mut self, len_bytes: u64, what: &str) -> Result<(), FormatError> {
        let mut left = len_bytes;
        while left > 0 {
            match (self.skip)(&mut self.inner, left) {
                Ok(0) => return Err(self.cut_off(what)),
                Ok(len) => {
                    self.offset_bytes = self.offset_bytes.saturating_add(len);
                    left = left.saturating_sub(len);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Reads to the end of the input: zeros in whole blocks, and then an optional index of pixz. Returns whether there
    /// was one.
    pub(super) fn drain(&mut self) -> Result<bool, FormatError> {
        let mut buffer = [0; SKIP_BYTES];
        let mut index: Option<Index> = None;
        let mut offset_bytes = 0;
        loop {
            let start = self.offset_bytes;
            let len = self.fill(&mut buffer)?;
            let mut rest = &buffer[..len];
            if index.is_none() {
                let zeros = rest.iter().take_while(|byte| **byte == 0).count();
                if zeros < rest.len() {
                    offset_bytes = start + zeros as u64;
                    index = Some(Index::new(offset_bytes));
                    rest = &rest[zeros..];
                }
            }
            if let Some(index) = &mut index {
                if !index.is_next(rest) {
                    return Err(FormatError::TrailingData { format: FORMAT, offset_bytes });
                }
            }
            if len < buffer.len() {
                return match index {
                    Some(index) if index.is_whole() => Ok(true),
                    Some(_) => Err(FormatError::TrailingData { format: FORMAT, offset_bytes }),
                    None if self.offset_bytes % BLOCK_LEN == 0 => Ok(false),
                    None => Err(self.cut_off("a whole block")),
                };
            }
        }
    }

    pub(super) fn cut_off(&self, expected: &str) -> FormatError {
        truncated(format!("it ends at byte {} where {expected} should be", self.offset_bytes))
    }
}
