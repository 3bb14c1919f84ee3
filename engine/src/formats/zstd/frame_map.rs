//! The frames of a zstd file, for decoding them alone.
//!
//! The lengths come from the table at the end of the file, if it has one and the headers of all frames agree, or from the
//! headers of all frames and blocks. A file has no map if a frame does not state the length of its content, if its first
//! frame is long, or if it has an error; decoding front to back finds the first error. A wrong table cannot change the
//! content: each frame must have the length that its header states, and end where the next one begins.

use std::io;

use zstd::zstd_safe::DCtx;

use super::frames::{self, HEADER_MAX_BYTES, Header};
use super::seek_table::SeekTable;
use super::{FORMAT, damaged, error_of, out_of_memory};
use crate::formats::block_reader::{BlockList, CodedBlock};
use crate::formats::seek::BlockIndex;
use crate::formats::{FormatError, ReadAt, within};

/// Frames with more content are not decoded alone, so a file that begins with one is not searched.
const CONTENT_MAX_BYTES: u64 = 16 * 1024 * 1024;

/// A frame with its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::formats) struct Frame {
    offset_bytes: u64,
    stored_len: u64,
    content_offset_bytes: u64,
    content_len: u64,
}

/// All frames with content, in order.
#[derive(Debug, Default)]
pub(in crate::formats) struct FrameMap {
    frames: Vec<Frame>,
    /// Length of the content.
    pub(in crate::formats) content_len: u64,
    /// The largest sum of stored and decoded length of a frame.
    pub(in crate::formats) largest_frame_bytes: u64,
    next: usize,
}

impl FrameMap {
    /// The map of `input`, which may take `limit_bytes`; `None` if there is none.
    ///
    /// # Errors
    /// Those of the input.
    pub(in crate::formats) fn read(
        input: &mut dyn ReadAt,
        limit_bytes: u64,
    ) -> Result<Option<Self>, FormatError> {
        if let Some(map) = Self::of_table(input, limit_bytes)? {
            return Ok(Some(map));
        }
        if header_at(input, 0)?.is_none_or(|header| !is_short(header)) {
            return Ok(None);
        }
        let mut map = Self::default();
        let mut is_complete = true;
        let walked = frames::walk(input, &mut |offset_bytes, stored_len, header| {
            is_complete &= match header {
                Header::Skippable => true,
                Header::Frame { content_len } => content_len.is_some_and(|content_len| {
                    map.has_room(limit_bytes) && map.add(offset_bytes, stored_len, content_len)
                }),
            };
            is_complete
        });
        match walked {
            Ok(()) => Ok(is_complete.then_some(map)),
            Err(FormatError::Io(error)) if error.kind() != io::ErrorKind::UnexpectedEof => {
                Err(FormatError::Io(error))
            }
            Err(_) => Ok(None),
        }
    }

    /// The map of a file with a table that agrees with all its frame headers.
    pub(in crate::formats) fn of_table(
        input: &mut dyn ReadAt,
        limit_bytes: u64,
    ) -> Result<Option<Self>, FormatError> {
        let Some((table, end)) = SeekTable::read(input, limit_bytes)? else { return Ok(None) };
        let mut map = Self::default();
        let mut at = 0;
        for (stored_len, content_len) in table.entries {
            let (stored_len, content_len) = (u64::from(stored_len), u64::from(content_len));
            let agrees = header_at(input, at)? == Some(Header::Frame { content_len: Some(content_len) });
            if !agrees || !map.has_room(limit_bytes) || !map.add(at, stored_len, content_len) {
                return Ok(None);
            }
            at += stored_len;
        }
        Ok((at == end).then_some(map))
    }

    fn has_room(&self, limit_bytes: u64) -> bool {
        (self.frames.len() * size_of::<Frame>()) as u64 <= limit_bytes
    }

    /// Adds the next frame; `false` if the lengths are impossible.
    fn add(&mut self, offset_bytes: u64, stored_len: u64, content_len: u64) -> bool {
        let Some(sum) = self.content_len.checked_add(content_len) else { return false };
        let content_offset_bytes = std::mem::replace(&mut self.content_len, sum);
        let cost_bytes = stored_len.saturating_add(content_len);
        self.largest_frame_bytes = self.largest_frame_bytes.max(cost_bytes);
        self.frames.push(Frame { offset_bytes, stored_len, content_offset_bytes, content_len });
        true
    }
}

fn is_short(header: Header) -> bool {
    match header {
        Header::Skippable => true,
        Header::Frame { content_len } => content_len.is_some_and(|len| len <= CONTENT_MAX_BYTES),
    }
}

/// The header at `offset_bytes`; `None` if there is none or if it cannot be decoded.
fn header_at(input: &mut dyn ReadAt, offset_bytes: u64) -> Result<Option<Header>, FormatError> {
    let mut bytes = [0; HEADER_MAX_BYTES];
    let len = within(HEADER_MAX_BYTES, input.len_bytes().saturating_sub(offset_bytes));
    input.read_exact_at(offset_bytes, &mut bytes[..len])?;
    Ok(frames::header(&mut &bytes[..len]).ok())
}

impl BlockList for FrameMap {
    type Block = Frame;

    fn next(&mut self) -> Result<Option<Frame>, FormatError> {
        let frame = self.frames.get(self.next).copied();
        self.next += 1;
        Ok(frame)
    }
}

impl BlockIndex for FrameMap {
    type Block = Frame;

    fn content_len(&self) -> u64 {
        self.content_len
    }

    fn block_at(&self, offset_bytes: u64) -> Result<Option<Frame>, FormatError> {
        // The last one that begins here or before; frames without content begin where the next one does.
        let behind = self.frames.partition_point(|frame| frame.content_offset_bytes <= offset_bytes);
        let frame = behind.checked_sub(1).and_then(|index| self.frames.get(index).copied());
        Ok(frame.filter(|frame| offset_bytes - frame.content_offset_bytes < frame.content_len))
    }
}

impl CodedBlock for Frame {
    const FORMAT: &'static str = FORMAT;

    fn offset_bytes(&self) -> u64 {
        self.offset_bytes
    }

    fn stored_len(&self) -> u64 {
        self.stored_len
    }

    fn content_offset_bytes(&self) -> u64 {
        self.content_offset_bytes
    }

    fn content_len(&self) -> u64 {
        self.content_len
    }

    fn decodes_like(&self, other: &Self) -> bool {
        self.content_len == other.content_len
    }

    fn decode(&self, stored: &[u8], memory_bytes: u64, mut content: Vec<u8>) -> Result<Vec<u8>, FormatError> {
        let place = || format!("in the frame at byte {}", self.offset_bytes);
        let want = usize::try_from(self.content_len).map_err(|_| out_of_memory())?;
        content.clear();
        content.try_reserve_exact(want).map_err(|_| out_of_memory())?;
        let mut context = DCtx::try_create().ok_or_else(out_of_memory)?;
        context.decompress(&mut content, stored).map_err(|code| error_of(code, memory_bytes, &place()))?;
        if content.len() != want {
            return Err(damaged(&format!("less data than expected {}", place())));
        }
        Ok(content)
    }
}
