//! Reads the block map of an xz file: the indexes of all its streams, backwards from the end of the file.
//!
//! It checks everything that can be checked without decoding: stream headers, footers, indexes, their sums, and that they
//! cover the whole file. Blocks are not read.

use super::{CHECKS, FOOTER_MAGIC, FORMAT, HEADER_BYTES, HEADER_MAGIC, crc32};
use crate::formats::seek::BlockIndex;
use crate::formats::{FormatError, ReadAt};
use std::borrow::Borrow;

/// The smallest stream: header, empty index, footer.
const MIN_STREAM_BYTES: u64 = 32;
/// Memory of a stream beside its records, for the limit.
const STREAM_COST_BYTES: u64 = 64;
/// The largest value the format allows for any size and any sum of sizes.
const MAX_VALUE: u64 = u64::MAX / 2;
/// How much of the end of a file is searched for padding, and for a footer with other data after it.
const TAIL_BYTES: u64 = 64 * 1024;

/// The map of an xz file. Takes about as much memory as the indexes in the file.
#[derive(Debug)]
pub(in crate::formats) struct Index {
    streams: Vec<StreamIndex>,
    /// Length of all decoded data.
    pub(in crate::formats) uncompressed_len: u64,
    /// The largest sum of stored and decoded length of a block.
    pub(in crate::formats) largest_block_bytes: u64,
}

#[derive(Debug)]
struct StreamIndex {
    start: u64,
    check: u8,
    record_count: u64,
    /// The records as stored, which are checked and take the least memory.
    records: Vec<u8>,
}

/// One block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::formats) struct Block {
    /// Its number in the whole file, from 0.
    pub(in crate::formats) number: u64,
    /// Where it starts in the file.
    pub(in crate::formats) offset_bytes: u64,
    /// Where its data starts in the decoded content.
    pub(in crate::formats) image_offset_bytes: u64,
    /// Stored length without padding.
    pub(in crate::formats) unpadded_len: u64,
    /// Decoded length.
    pub(in crate::formats) uncompressed_len: u64,
    /// Check type of its stream.
    pub(in crate::formats) check: u8,
}

impl Block {
    /// Length in the file.
    pub(in crate::formats) fn padded_len(&self) -> u64 {
        padded(self.unpadded_len)
    }
}

fn padded(len: u64) -> u64 {
    (len + 3) & !3
}

fn damaged(detail: String) -> FormatError {
    FormatError::Damaged { format: FORMAT, detail }
}

fn truncated(detail: &str) -> FormatError {
    FormatError::Truncated { format: FORMAT, detail: detail.to_owned() }
}

impl Index {
    /// Reads and checks the indexes of all streams; they may take `limit_bytes` of memory in all.
    ///
    /// # Errors
    /// Truncated, damaged, trailing data, memory limit; those of the input.
    pub(in crate::formats) fn read(input: &mut dyn ReadAt, limit_bytes: u64) -> Result<Self, FormatError> {
        let len = input.len_bytes();
        check_start(input, len)?;
        let mut index = Self { streams: Vec::new(), uncompressed_len: 0, largest_block_bytes: 0 };
        let mut cost_bytes = 0;
        let mut end = len;
        while end > 0 {
            end = skip_padding(input, end)?;
            if end < MIN_STREAM_BYTES {
                return Err(truncated("no room for a whole stream"));
            }
            end = index.read_stream(input, end, limit_bytes, &mut cost_bytes)?;
        }
        index.streams.reverse();
        Ok(index)
    }

    /// Reads the stream that ends at `end`. Returns where it starts.
    fn read_stream(
        &mut self,
        input: &mut dyn ReadAt,
        end: u64,
        limit_bytes: u64,
        cost_bytes: &mut u64,
    ) -> Result<u64, FormatError> {
        let footer_at = end - HEADER_BYTES as u64;
        let mut footer = [0; HEADER_BYTES];
        input.read_exact_at(footer_at, &mut footer)?;
        if footer[10..] != FOOTER_MAGIC {
            return Err(no_footer(input, end)?);
        }
        if footer[..4] != crc32(&footer[4..10]) {
            return Err(damaged(format!("wrong check of the footer before byte {end}")));
        }
        let check = check_type([footer[8], footer[9]])?;
        let backward = u32::from_le_bytes([footer[4], footer[5], footer[6], footer[7]]);
        let index_len = (u64::from(backward) + 1) * 4;
        let Some(index_at) = footer_at.checked_sub(index_len) else {
            return Err(damaged(format!(
                "the footer before byte {end} has an impossible length of the index"
            )));
        };
        *cost_bytes += index_len + STREAM_COST_BYTES;
        if *cost_bytes > limit_bytes {
            let detail = "its block index is very large".to_owned();
            return Err(FormatError::MemoryLimit { format: FORMAT, limit_bytes, detail });
        }
        let bytes = read_vec(input, index_at, index_len)?;
        let (mut stream, blocks_len) = self
            .parse(bytes, check)
            .ok_or_else(|| damaged(format!("the index at byte {index_at} is invalid")))?;
        let start = index_at.checked_sub(blocks_len).and_then(|at| at.checked_sub(HEADER_BYTES as u64));
        stream.start = start
            .ok_or_else(|| damaged(format!("the index at byte {index_at} lists more than the file has")))?;
        let mut header = [0; HEADER_BYTES];
        input.read_exact_at(stream.start, &mut header)?;
        if header != super::stream_header(check) {
            return Err(damaged(format!("no matching stream header at byte {}", stream.start)));
        }
        let start = stream.start;
        self.streams.push(stream);
        Ok(start)
    }

    /// Checks an index and adds its sums. Returns the stream, and the length of its blocks in the file.
    fn parse(&mut self, mut bytes: Vec<u8>, check: u8) -> Option<(StreamIndex, u64)> {
        let body_len = bytes.len().checked_sub(4)?;
        if bytes[body_len..] != crc32(&bytes[..body_len]) || bytes.first() != Some(&0) {
            return None;
        }
        let (record_count, used) = vli(&bytes[1..body_len])?;
        let mut blocks = Records { bytes: &bytes[..body_len], at: 1 + used };
        let records_at = blocks.at;
        let mut blocks_len = 0_u64;
        for _ in 0..record_count {
            let (unpadded_len, uncompressed_len) = blocks.next()?;
            let stored_len = padded(unpadded_len);
            blocks_len = blocks_len.checked_add(stored_len).filter(|&sum| sum <= MAX_VALUE)?;
            self.uncompressed_len =
                self.uncompressed_len.checked_add(uncompressed_len).filter(|&sum| sum <= MAX_VALUE)?;
            self.largest_block_bytes = self.largest_block_bytes.max(stored_len + uncompressed_len);
        }
        let records_end = blocks.at;
        // Up to three zero bytes pad the index to a multiple of four.
        let padding = &bytes[records_end..body_len];
        if padding.len() > 3 || padding.iter().any(|&byte| byte != 0) {
            return None;
        }
        bytes.truncate(records_end);
        bytes.drain(..records_at);
        bytes.shrink_to_fit();
        Some((StreamIndex { start: 0, check, record_count, records: bytes }, blocks_len))
    }

    /// All blocks in the order of the file.
    pub(in crate::formats) fn into_blocks(self) -> Blocks<Self> {
        Blocks::of(self)
    }

    /// The same, keeping the index.
    pub(in crate::formats) fn blocks(&self) -> Blocks<&Self> {
        Blocks::of(self)
    }
}

impl BlockIndex for Index {
    type Block = Block;

    fn content_len(&self) -> u64 {
        self.uncompressed_len
    }

    fn block_at(&self, offset_bytes: u64) -> Result<Option<Block>, FormatError> {
        let mut blocks = self.blocks();
        while let Some(block) = blocks.next_block()? {
            if (block.image_offset_bytes..block.image_offset_bytes + block.uncompressed_len)
                .contains(&offset_bytes)
            {
                return Ok(Some(block));
            }
        }
        Ok(None)
    }
}

/// Iterates over the blocks of a file.
#[derive(Debug)]
pub(in crate::formats) struct Blocks<I> {
    index: I,
    stream: usize,
    record: u64,
    at: usize,
    offset_bytes: u64,
    image_offset_bytes: u64,
    number: u64,
}

impl<I: Borrow<Index>> Blocks<I> {
    fn of(index: I) -> Self {
        Self { index, stream: 0, record: 0, at: 0, offset_bytes: 0, image_offset_bytes: 0, number: 0 }
    }

    /// The next block; `None` after the last one.
    ///
    /// # Errors
    /// None in practice: reading the index has found them.
    pub(in crate::formats) fn next_block(&mut self) -> Result<Option<Block>, FormatError> {
        while let Some(stream) = self.index.borrow().streams.get(self.stream) {
            if self.record == stream.record_count {
                self.stream += 1;
                self.record = 0;
                self.at = 0;
                continue;
            }
            if self.record == 0 {
                self.offset_bytes = stream.start + HEADER_BYTES as u64;
            }
            let mut records = Records { bytes: &stream.records, at: self.at };
            let (unpadded_len, uncompressed_len) =
                records.next().ok_or_else(|| damaged("the index changed".to_owned()))?;
            let block = Block {
                number: self.number,
                offset_bytes: self.offset_bytes,
                image_offset_bytes: self.image_offset_bytes,
                unpadded_len,
                uncompressed_len,
                check: stream.check,
            };
            self.at = records.at;
            self.record += 1;
            self.number += 1;
            self.offset_bytes += block.padded_len();
            self.image_offset_bytes += uncompressed_len;
            return Ok(Some(block));
        }
        Ok(None)
    }
}

struct Records<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Records<'_> {
    /// Unpadded and uncompressed length of the next block.
    fn next(&mut self) -> Option<(u64, u64)> {
        let (unpadded_len, used) = vli(&self.bytes[self.at..])?;
        self.at += used;
        let (uncompressed_len, used) = vli(&self.bytes[self.at..])?;
        self.at += used;
        // The smallest block has a header of eight bytes without padding; the largest must have room for padding.
        (5..=MAX_VALUE & !3).contains(&unpadded_len).then_some((unpadded_len, uncompressed_len))
    }
}

/// A variable-length integer, in its shortest form only, and how many bytes it takes.
fn vli(bytes: &[u8]) -> Option<(u64, usize)> {
    let mut value = 0;
    for (index, &byte) in bytes.iter().take(9).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return (byte != 0 || index == 0).then_some((value, index + 1));
        }
    }
    None
}

/// Writes a variable-length integer.
pub(super) fn push_vli(bytes: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

fn check_start(input: &mut dyn ReadAt, len: u64) -> Result<(), FormatError> {
    if len == 0 {
        return Err(truncated("the file is empty"));
    }
    let mut start = [0; HEADER_MAGIC.len()];
    let start = &mut start[..len.min(HEADER_MAGIC.len() as u64) as usize];
    input.read_exact_at(0, start)?;
    if !HEADER_MAGIC.starts_with(start) {
        return Err(damaged("no xz header".to_owned()));
    }
    Ok(())
}

fn check_type(flags: [u8; 2]) -> Result<u8, FormatError> {
    if flags[0] != 0 || flags[1] & 0xf0 != 0 {
        return Err(FormatError::Unsupported { format: FORMAT, what: "a reserved stream flag".to_owned() });
    }
    if !CHECKS.contains(&flags[1]) {
        return Err(FormatError::Unsupported { format: FORMAT, what: "an unknown check type".to_owned() });
    }
    Ok(flags[1])
}

/// Where the stream padding before `end` starts.
fn skip_padding(input: &mut dyn ReadAt, end: u64) -> Result<u64, FormatError> {
    // Most files have none, so a short read comes first.
    let mut window = 4;
    let mut at = end;
    while at > 0 {
        let start = at.saturating_sub(window);
        let bytes = read_vec(input, start, at - start)?;
        let zeros = bytes.iter().rev().take_while(|&&byte| byte == 0).count() as u64;
        at -= zeros;
        if zeros < bytes.len() as u64 {
            break;
        }
        window = TAIL_BYTES;
    }
    if (end - at) % 4 != 0 {
        let mut magic = [0; FOOTER_MAGIC.len()];
        input.read_exact_at(at.saturating_sub(2), &mut magic)?;
        // The last bytes of a file that is cut off can be zero, too.
        return Err(if magic == FOOTER_MAGIC {
            damaged("stream padding is not a multiple of four bytes".to_owned())
        } else {
            truncated("no footer at its end")
        });
    }
    Ok(at)
}

/// The error for an `end` without a footer before it. If there is a footer a little earlier and no stream after it, other
/// data follows; otherwise the file is cut off.
fn no_footer(input: &mut dyn ReadAt, end: u64) -> Result<FormatError, FormatError> {
    let start = end.saturating_sub(TAIL_BYTES) & !3;
    let tail = read_vec(input, start, end - start)?;
    let is_footer = |bytes: &[u8]| bytes[10..] == FOOTER_MAGIC && bytes[..4] == crc32(&bytes[4..10]);
    // Streams start at 0 and are multiples of four bytes long, so footers end at a multiple of four.
    let found = (HEADER_BYTES..=tail.len())
        .rev()
        .filter(|stop| stop % 4 == 0)
        .find(|&stop| is_footer(&tail[stop - HEADER_BYTES..stop]));
    let Some(stop) = found else { return Ok(truncated("no footer at its end")) };
    let padding = tail[stop..].iter().take_while(|&&byte| byte == 0).count();
    let rest = &tail[stop + padding..];
    Ok(if padding % 4 == 0 && HEADER_MAGIC.starts_with(&rest[..rest.len().min(HEADER_MAGIC.len())]) {
        truncated("no footer at the end of its last stream")
    } else {
        let offset_bytes = start + (stop + padding / 4 * 4) as u64;
        FormatError::TrailingData { format: FORMAT, offset_bytes }
    })
}

/// Reads `len` bytes. The caller has checked that they are in the file and within a limit.
fn read_vec(input: &mut dyn ReadAt, offset_bytes: u64, len: u64) -> Result<Vec<u8>, FormatError> {
    let len = usize::try_from(len).map_err(|_| FormatError::Io(std::io::ErrorKind::OutOfMemory.into()))?;
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(len).map_err(|_| FormatError::Io(std::io::ErrorKind::OutOfMemory.into()))?;
    bytes.resize(len, 0);
    input.read_exact_at(offset_bytes, &mut bytes)?;
    Ok(bytes)
}
