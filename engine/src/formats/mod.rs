//! File formats as pure functions: bytes in, bytes out.
//!
//! This module does not use the HAL's devices, the boot sequence or the LEDs, so every format can be tested and fuzzed
//! alone. All input is untrusted: no parser panics, loops for ever, or takes more memory than its limit.

pub(crate) mod base64;
mod block_encoder;
pub(crate) mod block_map;
mod block_reader;
mod bzip2;
pub mod codec;
pub mod digest;
pub mod encoder;
pub(crate) mod foreign;
mod fwtool;
mod gzip;
pub(crate) mod hashing;
pub mod partition;
mod pump;
mod seek;
pub mod sidecar;
pub(crate) mod sniff;
pub(crate) mod swap;
pub mod tar;
pub(crate) mod text;
mod workers;
mod xz;
pub(crate) mod zeros;
mod zstd;

use crate::size::Size;
use std::io;

/// Bytes at offsets: a file on the drive, a medium, a slice in a test.
pub trait ReadAt {
    /// Length of the whole input.
    fn len_bytes(&self) -> u64;

    /// Reads at `offset_bytes`. The read may be short; it is `Ok(0)` only at or past the end.
    ///
    /// # Errors
    /// Those of the medium behind it.
    fn read_at(&mut self, offset_bytes: u64, buffer: &mut [u8]) -> io::Result<usize>;

    /// Fills `buffer`, or less of it at the end. Returns how much.
    ///
    /// # Errors
    /// Those of [`ReadAt::read_at`], except `Interrupted`.
    fn read_full_at(&mut self, offset_bytes: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let mut done = 0;
        while done < buffer.len() {
            match self.read_at(offset_bytes + done as u64, &mut buffer[done..]) {
                Ok(0) => break,
                Ok(len) => done += len,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }

    /// Fills `buffer` or fails.
    ///
    /// # Errors
    /// `UnexpectedEof` if the input is too short; otherwise those of [`ReadAt::read_at`].
    fn read_exact_at(&mut self, offset_bytes: u64, buffer: &mut [u8]) -> io::Result<()> {
        match self.read_full_at(offset_bytes, buffer)? {
            len if len < buffer.len() => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }
}

impl<T: ReadAt + ?Sized> ReadAt for &mut T {
    fn len_bytes(&self) -> u64 {
        (**self).len_bytes()
    }

    fn read_at(&mut self, offset_bytes: u64, buffer: &mut [u8]) -> io::Result<usize> {
        (**self).read_at(offset_bytes, buffer)
    }
}

impl ReadAt for &[u8] {
    fn len_bytes(&self) -> u64 {
        self.len() as u64
    }

    fn read_at(&mut self, offset_bytes: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let rest = usize::try_from(offset_bytes).ok().and_then(|start| self.get(start..)).unwrap_or(&[]);
        let len = rest.len().min(buffer.len());
        buffer[..len].copy_from_slice(&rest[..len]);
        Ok(len)
    }
}

/// The first bytes of an input, as if it ended behind them.
pub(crate) struct Front<T> {
    input: T,
    len_bytes: u64,
}

impl<T: ReadAt> Front<T> {
    /// The first `len_bytes` of `input`, or all of a shorter one.
    pub(crate) fn new(input: T, len_bytes: u64) -> Self {
        let len_bytes = len_bytes.min(input.len_bytes());
        Self { input, len_bytes }
    }

    /// The whole input.
    pub(crate) fn into_inner(self) -> T {
        self.input
    }
}

impl<T: ReadAt> ReadAt for Front<T> {
    fn len_bytes(&self) -> u64 {
        self.len_bytes
    }

    fn read_at(&mut self, offset_bytes: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let len = within(buffer.len(), self.len_bytes.saturating_sub(offset_bytes));
        self.input.read_at(offset_bytes, &mut buffer[..len])
    }
}

/// The smaller of `len` and `left_bytes`, which may be larger than any `usize`.
pub(crate) fn within(len: usize, left_bytes: u64) -> usize {
    usize::try_from(left_bytes).map_or(len, |left| left.min(len))
}

/// An error in a file's content.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FormatError {
    /// The input could not be read, or the output could not be written.
    #[error(transparent)]
    Io(io::Error),
    /// The bytes are invalid in this format.
    #[error("damaged {format}: {detail}")]
    Damaged {
        /// The format's usual name, such as `xz`.
        format: &'static str,
        /// What is wrong, where.
        detail: String,
    },
    /// The input ends too early.
    #[error("{format} is cut off: {detail}")]
    Truncated {
        /// The format's usual name.
        format: &'static str,
        /// What was expected.
        detail: String,
    },
    /// Other data follows the end of the format's data.
    #[error("{format} ends at byte {offset_bytes}, and other data follows")]
    TrailingData {
        /// The format's usual name.
        format: &'static str,
        /// Where the extra bytes start in the compressed file.
        offset_bytes: u64,
    },
    /// Decoding would take more memory than allowed.
    #[error("{format} needs more memory than the limit of {}: {detail}", Size(*.limit_bytes))]
    MemoryLimit {
        /// The format's usual name.
        format: &'static str,
        /// The limit.
        limit_bytes: u64,
        /// What needs the memory.
        detail: String,
    },
    /// Valid, but not supported.
    #[error("{format} with {what} is not supported")]
    Unsupported {
        /// The format's usual name.
        format: &'static str,
        /// The feature.
        what: String,
    },
}

impl FormatError {
    /// A short stable code for logs and reports.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Io(_) => "F-IO",
            Self::Damaged { .. } => "F-DAMAGED",
            Self::Truncated { .. } => "F-TRUNCATED",
            Self::TrailingData { .. } => "F-TRAILING",
            Self::MemoryLimit { .. } => "F-MEMORY",
            Self::Unsupported { .. } => "F-UNSUPPORTED",
        }
    }

    /// Unpacks a format error from an I/O error that carries it; wraps any other I/O error.
    pub fn from_io(error: io::Error) -> Self {
        match error.downcast::<FormatError>() {
            Ok(inner) => inner,
            Err(error) => Self::Io(error),
        }
    }
}

impl From<io::Error> for FormatError {
    fn from(error: io::Error) -> Self {
        Self::from_io(error)
    }
}

/// Carries a format error through `Read`; [`FormatError::from_io`] unpacks it again.
impl From<FormatError> for io::Error {
    fn from(error: FormatError) -> Self {
        match error {
            FormatError::Io(error) => error,
            error => io::Error::new(io::ErrorKind::InvalidData, error),
        }
    }
}
