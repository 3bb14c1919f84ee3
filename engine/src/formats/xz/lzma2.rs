//! Encodes LZMA2 data: parts that compress with liblzma, the others as uncompressed chunks.
//!
//! Each part begins with a reset of the dictionary, so that parts do not depend on one another.

use std::io;

use xz2::stream::{Action, Check, Filters, Status, Stream};

use super::encode::encoder_error;
use super::{HEADER_BYTES, probe};
use crate::formats::FormatError;

/// Control bytes of chunks.
const END: u8 = 0;
const UNCOMPRESSED_WITH_RESET: u8 = 1;
const UNCOMPRESSED: u8 = 2;
const LZMA: u8 = 0x80;
const LZMA_WITH_PROPERTIES: u8 = 0xc0;
/// Longest uncompressed chunk.
const CHUNK_MAX_BYTES: usize = 1 << 16;
/// Room for the headers of liblzma's stream, its index and its footer.
const STREAM_BYTES: usize = 1024;

/// Appends the LZMA2 data of `content`, with its end mark. `filters` has the options.
///
/// # Errors
/// Too little memory; unsupported options.
pub(super) fn encode(filters: &Filters, content: &[u8], data: &mut Vec<u8>) -> Result<(), FormatError> {
    for part in probe::parts(content) {
        let bytes = &content[part.range];
        if part.is_compressible {
            compress(filters, bytes, data)?;
        } else {
            store(bytes, data)?;
        }
    }
    data.push(END);
    Ok(())
}

/// Appends uncompressed chunks.
fn store(content: &[u8], data: &mut Vec<u8>) -> Result<(), FormatError> {
    reserve(data, content.len() + 3 * (content.len() / CHUNK_MAX_BYTES + 1))?;
    let mut control = UNCOMPRESSED_WITH_RESET;
    for chunk in content.chunks(CHUNK_MAX_BYTES) {
        data.push(control);
        data.extend_from_slice(&((chunk.len() - 1) as u16).to_be_bytes());
        data.extend_from_slice(chunk);
        control = UNCOMPRESSED;
    }
    Ok(())
}

/// Appends what liblzma makes of `content`, without the end mark: the only block of a stream, without the stream.
fn compress(filters: &Filters, content: &[u8], data: &mut Vec<u8>) -> Result<(), FormatError> {
    let start = data.len();
    let mut stream = Stream::new_stream_encoder(filters, Check::None).map_err(encoder_error)?;
    reserve(data, STREAM_BYTES)?;
    loop {
        let consumed = (stream.total_in() as usize).min(content.len());
        let before = (stream.total_in(), data.len());
        let status = stream.process_vec(&content[consumed..], data, Action::Finish).map_err(encoder_error)?;
        if status == Status::StreamEnd {
            break;
        }
        if data.len() == data.capacity() {
            reserve(data, content.len() / 4 + STREAM_BYTES)?;
        } else if (stream.total_in(), data.len()) == before {
            return Err(FormatError::Io(io::Error::other("liblzma makes no progress")));
        }
    }
    let range = chunks(&data[start..]).ok_or_else(|| io::Error::other("liblzma made another stream"))?;
    data.truncate(start + range.end);
    data.drain(start..start + range.start);
    Ok(())
}

/// Where the chunks of a stream's first block are, without the end mark.
fn chunks(stream: &[u8]) -> Option<std::ops::Range<usize>> {
    let header_len = (usize::from(*stream.get(HEADER_BYTES)?) + 1) * 4;
    let start = HEADER_BYTES + header_len;
    let mut at = start;
    loop {
        let control = *stream.get(at)?;
        let length = |offset: usize| {
            let bytes = stream.get(at + offset..at + offset + 2)?;
            Some(usize::from(u16::from_be_bytes([bytes[0], bytes[1]])) + 1)
        };
        at += match control {
            END => return Some(start..at),
            UNCOMPRESSED_WITH_RESET | UNCOMPRESSED => 3 + length(1)?,
            LZMA_WITH_PROPERTIES.. => 6 + length(3)?,
            LZMA.. => 5 + length(3)?,
            _ => return None,
        };
    }
}

fn reserve(data: &mut Vec<u8>, len: usize) -> Result<(), FormatError> {
    data.try_reserve(len).map_err(|_| FormatError::Io(io::ErrorKind::OutOfMemory.into()))
}
