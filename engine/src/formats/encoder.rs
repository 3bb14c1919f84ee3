//! One encoder for all compressions of captured images.

use std::fmt;
use std::io::{self, Write};

use replicator_hal::Compute;

use super::FormatError;
use super::codec::{Compression, XzEncoder, XzSettings, ZstdEncoder, ZstdSettings};
use crate::size::Size;

/// How an image is compressed, with the settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// Not at all.
    Plain,
    /// xz.
    Xz(XzSettings),
    /// zstd.
    Zstd(ZstdSettings),
}

impl Encoding {
    /// The compression of the file.
    pub fn compression(&self) -> Compression {
        match self {
            Self::Plain => Compression::None,
            Self::Xz(_) => Compression::Xz,
            Self::Zstd(_) => Compression::Zstd,
        }
    }

    /// The same, with a shorter dictionary and shorter blocks if `workers` would need more than `limit_bytes` together, but
    /// not so short that the file becomes much larger unless even one worker would need more.
    #[must_use]
    pub fn for_workers(&self, workers: usize, limit_bytes: u64) -> Self {
        match self {
            Self::Plain => Self::Plain,
            Self::Xz(settings) => Self::Xz(settings.for_workers(workers, limit_bytes)),
            Self::Zstd(settings) => Self::Zstd(settings.within(limit_bytes)),
        }
    }

    /// The memory that one worker needs, in bytes.
    pub fn worker_bytes(&self) -> u64 {
        match self {
            Self::Plain => 0,
            Self::Xz(settings) => settings.worker_bytes(),
            Self::Zstd(settings) => settings.worker_bytes(),
        }
    }
}

impl fmt::Display for Encoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plain => f.write_str("no compression"),
            Self::Xz(settings) => write!(
                f,
                "xz preset {} with a dictionary of {} and blocks of {}",
                settings.preset,
                Size(settings.dictionary_len_bytes().into()),
                Size(settings.block_len_bytes)
            ),
            Self::Zstd(settings) => {
                write!(f, "zstd level {} with frames of {}", settings.level, Size(settings.frame_len_bytes))
            }
        }
    }
}

/// Encodes the bytes that are written to it into a sink. Only [`Encoder::finish`] completes the file.
pub struct Encoder<W: Write>(Kind<W>);

enum Kind<W: Write> {
    Plain(W),
    Xz(XzEncoder<W>),
    Zstd(ZstdEncoder<W>),
}

impl<W: Write> Encoder<W> {
    /// Begins a file.
    ///
    /// # Errors
    /// Unsupported settings; too little memory.
    pub fn new(sink: W, encoding: &Encoding, compute: Compute) -> Result<Self, FormatError> {
        Ok(Self(match encoding {
            Encoding::Plain => Kind::Plain(sink),
            Encoding::Xz(settings) => Kind::Xz(XzEncoder::new(sink, settings, compute)?),
            Encoding::Zstd(settings) => Kind::Zstd(ZstdEncoder::new(sink, settings, compute)?),
        }))
    }

    /// Completes the file and returns the sink, to which all of it was written but which was not flushed.
    ///
    /// # Errors
    /// Those of the sink; an earlier error.
    pub fn finish(self) -> Result<W, FormatError> {
        match self.0 {
            Kind::Plain(sink) => Ok(sink),
            Kind::Xz(encoder) => encoder.finish(),
            Kind::Zstd(encoder) => encoder.finish(),
        }
    }
}

impl<W: Write> Write for Encoder<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.0 {
            Kind::Plain(sink) => sink.write(bytes),
            Kind::Xz(encoder) => encoder.write(bytes),
            Kind::Zstd(encoder) => encoder.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.0 {
            Kind::Plain(sink) => sink.flush(),
            Kind::Xz(encoder) => encoder.flush(),
            Kind::Zstd(encoder) => encoder.flush(),
        }
    }
}
