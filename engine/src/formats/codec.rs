//! One decoder and one function for the decoded length, for all compressions of images.
//!
//! This module chooses the format and the way to decode. Recognising the format is in `formats::sniff`; hashing and
//! progress are elsewhere.

use std::fmt;
use std::io::{ErrorKind, Read};

use replicator_hal::Compute;

use super::block_reader::{BlockReader, Room};
use super::bzip2::Bzip2Decoder;
use super::gzip::GzipDecoder;
use super::pump::{Feed, InlineReader, OverlappedReader, PushDecoder};
use super::seek::{self, BlockIndex, SeekReader};
use super::xz::index::Index;
use super::xz::stream::XzDecoder;
use super::zstd::frame_map::FrameMap;
use super::zstd::{ZstdDecoder, frames};
use super::{FormatError, Front, ReadAt, bzip2, fwtool, gzip};

pub use super::block_reader::WORKER_BYTES as DECODER_WORKER_BYTES;
pub use super::xz::encode::{XzEncoder, XzSettings};
pub use super::zstd::encode::{ZstdEncoder, ZstdSettings};

/// How a file is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Compression {
    /// Not at all.
    None,
    /// xz, with LZMA2.
    Xz,
    /// bzip2.
    Bzip2,
    /// gzip.
    Gzip,
    /// zstd.
    Zstd,
}

impl Compression {
    /// The extension of its files; the empty string for `None`.
    pub fn extension(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Xz => ".xz",
            Self::Bzip2 => ".bz2",
            Self::Gzip => ".gz",
            Self::Zstd => ".zst",
        }
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::None => "none",
            Self::Xz => "xz",
            Self::Bzip2 => "bzip2",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        })
    }
}

/// Limits on the memory of a decoder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// For the dictionary or window of one decoder.
    pub memory_bytes: u64,
    /// For all workers that decode blocks in parallel, with their blocks.
    pub workers_bytes: u64,
    /// For the block map of an xz file.
    pub index_bytes: u64,
}

impl Default for Limits {
    /// Enough for `xz -9` (65 MiB), and for a map of 4 TiB in blocks of 4 MiB.
    fn default() -> Self {
        const MIB: u64 = 1024 * 1024;
        Self { memory_bytes: 80 * MIB, workers_bytes: 256 * MIB, index_bytes: 8 * MIB }
    }
}

/// The decoded length of a compressed file, if the file has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DecodedLen {
    /// The length in bytes.
    Known(u64),
    /// The file does not have it.
    Unknown,
}

/// Decoded bytes, front to back.
///
/// `read` returns `Ok(0)` only when the compressed file was decoded to its end, every stream, member or frame in it was
/// checked, and nothing follows. A reader that stops earlier has not checked the rest.
///
/// With [`Compute::Inline`] the input is read from front to back in chunks of a fixed size. With threads, one or more
/// workers decode ahead; the caller of `read` reads the input in both cases.
///
/// Errors of the format are [`FormatError`]s in the `io::Error` and are final. Errors of the input are returned
/// unchanged; the read may be retried after them.
///
/// # Errors
/// Those of the input; too little memory. Errors of the format come from `read`.
pub fn decoder<'a>(
    compression: Compression,
    input: &'a mut (dyn ReadAt + Send),
    compute: Compute,
    limits: Limits,
) -> Result<Box<dyn Read + Send + 'a>, FormatError> {
    let push: Box<dyn PushDecoder> = match compression {
        Compression::None => return Ok(Box::new(Feed::new(input))),
        Compression::Xz => return xz_decoder(input, compute, limits),
        Compression::Bzip2 => Box::new(Bzip2Decoder::new(limits.memory_bytes, fwtool::starts(input)?)),
        Compression::Gzip => Box::new(GzipDecoder::new(fwtool::starts(input)?)),
        Compression::Zstd => return zstd_decoder(input, compute, limits),
    };
    streaming(push, input, compute)
}

fn streaming<'a>(
    push: Box<dyn PushDecoder>,
    input: &'a mut (dyn ReadAt + Send),
    compute: Compute,
) -> Result<Box<dyn Read + Send + 'a>, FormatError> {
    Ok(match compute {
        Compute::Inline => Box::new(InlineReader::new(input, push)),
        Compute::Threads(_) => Box::new(OverlappedReader::new(input, push).map_err(FormatError::Io)?),
    })
}

fn xz_decoder<'a>(
    input: &'a mut (dyn ReadAt + Send),
    compute: Compute,
    limits: Limits,
) -> Result<Box<dyn Read + Send + 'a>, FormatError> {
    if let Compute::Threads(threads) = compute {
        match Index::read(input, limits.index_bytes) {
            Ok(index) => {
                if let Some(room) = Room::new(index.largest_block_bytes, threads, limits.workers_bytes) {
                    let blocks = index.into_blocks();
                    return Ok(Box::new(BlockReader::new(input, blocks, room, limits.memory_bytes)?));
                }
            }
            Err(FormatError::Io(error)) => return Err(FormatError::Io(error)),
            // A large index, or a bad file, whose first error is found by decoding front to back.
            Err(_) => {}
        }
    }
    streaming(Box::new(XzDecoder::new(limits.memory_bytes)), input, compute)
}

fn zstd_decoder<'a>(
    input: &'a mut (dyn ReadAt + Send),
    compute: Compute,
    limits: Limits,
) -> Result<Box<dyn Read + Send + 'a>, FormatError> {
    if let Compute::Threads(threads) = compute {
        if let Some(map) = FrameMap::read(input, limits.index_bytes)? {
            if let Some(room) = Room::new(map.largest_frame_bytes, threads, limits.workers_bytes) {
                return Ok(Box::new(BlockReader::new(input, map, room, limits.memory_bytes)?));
            }
        }
    }
    streaming(Box::new(ZstdDecoder::new(limits.memory_bytes)?), input, compute)
}

/// Decoded bytes at offsets, if that is possible without decoding everything before: for uncompressed files, and for xz
/// and zstd files with blocks or frames of limited length. `None` for others.
///
/// Each block that is read is checked as in [`decoder`]. Other blocks are not checked.
///
/// # Errors
/// Of the format, and those of the input.
pub fn seekable<'a>(
    compression: Compression,
    input: &'a mut (dyn ReadAt + Send),
    limits: Limits,
) -> Result<Option<Box<dyn ReadAt + 'a>>, FormatError> {
    match compression {
        Compression::None => Ok(Some(Box::new(input))),
        Compression::Xz => {
            let index = Index::read(input, limits.index_bytes)?;
            let largest_bytes = index.largest_block_bytes;
            Ok(seek_reader(input, index, largest_bytes, limits))
        }
        Compression::Zstd => Ok(FrameMap::read(input, limits.index_bytes)?.and_then(|map| {
            let largest_bytes = map.largest_frame_bytes;
            seek_reader(input, map, largest_bytes, limits)
        })),
        Compression::Bzip2 | Compression::Gzip => Ok(None),
    }
}

fn seek_reader<'a, I: BlockIndex + 'a>(
    input: &'a mut (dyn ReadAt + Send),
    index: I,
    largest_bytes: u64,
    limits: Limits,
) -> Option<Box<dyn ReadAt + 'a>> {
    let fits = seek::fits(largest_bytes);
    fits.then(|| -> Box<dyn ReadAt + 'a> { Box::new(SeekReader::new(input, index, limits.memory_bytes)) })
}

/// Metadata that the builder of an image put behind its data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metadata {
    /// Its name, for messages.
    pub what: &'static str,
    /// Where it begins in the file; `None` if only decoding finds that, and the decoder ignores it.
    pub start_bytes: Option<u64>,
}

/// Finds metadata behind the data of a file; `None` if there is no known one.
///
/// For xz and zstd, the structure of the data shows that it is complete without the metadata; for gzip and bzip2,
/// decoding shows it. An uncompressed file has no end mark: there, metadata must begin at a sector.
///
/// # Errors
/// Those of the input.
pub fn metadata(
    compression: Compression,
    input: &mut (dyn ReadAt + Send),
    limits: Limits,
) -> Result<Option<Metadata>, FormatError> {
    let starts = fwtool::starts(input)?;
    let what = "OpenWrt's metadata";
    let start_bytes = match compression {
        _ if starts.is_empty() => return Ok(None),
        Compression::Gzip | Compression::Bzip2 => None,
        Compression::None => starts.iter().copied().rfind(|start| *start > 0 && start % 512 == 0),
        Compression::Xz | Compression::Zstd => {
            let mut found = None;
            for start in starts {
                let mut front = Front::new(&mut *input, start);
                match decoded_len(compression, &mut front, limits) {
                    Ok(_) => found = Some(start),
                    Err(FormatError::Io(error)) if error.kind() != ErrorKind::UnexpectedEof => {
                        return Err(FormatError::Io(error));
                    }
                    Err(_) => {}
                }
            }
            found
        }
    };
    let is_known = start_bytes.is_some() || matches!(compression, Compression::Gzip | Compression::Bzip2);
    Ok(is_known.then_some(Metadata { what, start_bytes }))
}

/// The decoded length, if the file has it. Checks all of its structure that can be checked without decoding.
///
/// xz: by the indexes of all its streams. zstd: by the table of the seekable format, if the frame headers agree; or by the
/// headers of all frames and blocks, if each frame has its length. gzip and bzip2 do not have it; only their first bytes
/// are checked.
///
/// # Errors
/// Of the format, and those of the input.
pub fn decoded_len(
    compression: Compression,
    input: &mut (dyn ReadAt + Send),
    limits: Limits,
) -> Result<DecodedLen, FormatError> {
    match compression {
        Compression::None => Ok(DecodedLen::Known(input.len_bytes())),
        Compression::Xz => {
            Index::read(input, limits.index_bytes).map(|index| DecodedLen::Known(index.uncompressed_len))
        }
        Compression::Zstd => {
            if let Some(map) = FrameMap::of_table(input, limits.index_bytes)? {
                return Ok(DecodedLen::Known(map.content_len));
            }
            Ok(frames::decoded_len(input)?.map_or(DecodedLen::Unknown, DecodedLen::Known))
        }
        Compression::Gzip => check_start(input, "gzip", &gzip::MAGIC),
        Compression::Bzip2 => check_start(input, "bzip2", &bzip2::MAGIC),
    }
}

fn check_start(
    input: &mut (dyn ReadAt + Send),
    format: &'static str,
    magic: &[u8],
) -> Result<DecodedLen, FormatError> {
    let mut start = vec![0; input.len_bytes().min(magic.len() as u64) as usize];
    input.read_exact_at(0, &mut start)?;
    if !magic.starts_with(&start) {
        return Err(FormatError::Damaged { format, detail: format!("no {format} header") });
    }
    if start.len() < magic.len() {
        return Err(FormatError::Truncated { format, detail: "no room for a header".to_owned() });
    }
    Ok(DecodedLen::Unknown)
}
