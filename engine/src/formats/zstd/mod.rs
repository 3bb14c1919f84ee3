//! Zstandard (RFC 8878): a sequence of frames, skippable ones included.
//!
//! This file has the streaming decoder; [`frames`] reads headers, and the decoded length from them; [`frame_map`] finds
//! the frames of a file, so that workers decode them; `encode` writes, with the table of `seek_table`. Frames that need a
//! dictionary or a window beyond the memory limit are refused, and so is any data after the last frame. A file that was
//! cut exactly between two frames cannot be distinguished from a complete one.

pub(super) mod encode;
pub(super) mod frame_map;
pub(super) mod frames;
mod seek_table;

use ::zstd::zstd_safe::zstd_sys::ZSTD_ErrorCode;
use ::zstd::zstd_safe::{DCtx, DParameter, InBuffer, OutBuffer, get_error_name};

use super::FormatError;
use super::pump::{PushDecoder, Step};

const FORMAT: &str = "zstd";
const MAGIC_BYTES: usize = 4;

/// The decoder.
pub(super) struct ZstdDecoder {
    state: State,
    context: DCtx<'static>,
    memory_bytes: u64,
    offset_bytes: u64,
    frame_bytes: u64,
    first: bool,
}

enum State {
    Magic { seen: [u8; MAGIC_BYTES], len: usize },
    Frame,
    Between,
}

impl ZstdDecoder {
    /// # Errors
    /// Out of memory.
    pub(super) fn new(memory_bytes: u64) -> Result<Self, FormatError> {
        let mut context = DCtx::try_create().ok_or_else(out_of_memory)?;
        context
            .set_parameter(DParameter::WindowLogMax(window_log_max(memory_bytes)))
            .map_err(|code| FormatError::Io(std::io::Error::other(get_error_name(code))))?;
        let state = State::Magic { seen: [0; MAGIC_BYTES], len: 0 };
        Ok(Self { state, context, memory_bytes, offset_bytes: 0, frame_bytes: 0, first: true })
    }

    fn magic(&mut self, input: &[u8]) -> Result<usize, FormatError> {
        let State::Magic { seen, len } = &mut self.state else { return Ok(0) };
        for (index, &byte) in input.iter().enumerate() {
            seen[*len] = byte;
            *len += 1;
            if !starts_frame(&seen[..*len]) {
                return Err(not_a_frame(self.first, self.frame_bytes));
            }
            if *len == MAGIC_BYTES {
                let magic = *seen;
                self.state = State::Frame;
                let step = self.frame(&magic, &mut [])?;
                if step.consumed != MAGIC_BYTES {
                    return Err(self.damaged("unreadable frame header"));
                }
                return Ok(index + 1);
            }
        }
        Ok(input.len())
    }

    fn frame(&mut self, input: &[u8], output: &mut [u8]) -> Result<Step, FormatError> {
        let mut given = InBuffer::around(input);
        let mut taken = OutBuffer::around(output);
        let hint = self.context.decompress_stream(&mut taken, &mut given).map_err(|code| self.error(code))?;
        let step = Step { consumed: given.pos(), produced: taken.pos() };
        if hint == 0 {
            self.state = State::Between;
            self.first = false;
            self.frame_bytes = self.offset_bytes + step.consumed as u64;
        }
        Ok(step)
    }

    fn damaged(&self, detail: &str) -> FormatError {
        FormatError::Damaged { format: FORMAT, detail: format!("{detail} near byte {}", self.offset_bytes) }
    }

    fn error(&self, code: usize) -> FormatError {
        error_of(code, self.memory_bytes, &format!("near byte {}", self.offset_bytes))
    }
}

impl PushDecoder for ZstdDecoder {
    fn step(&mut self, input: &[u8], output: &mut [u8]) -> Result<Step, FormatError> {
        if matches!(self.state, State::Between) && !input.is_empty() {
            self.state = State::Magic { seen: [0; MAGIC_BYTES], len: 0 };
        }
        let step = match self.state {
            State::Frame => self.frame(input, output)?,
            State::Magic { .. } => Step { consumed: self.magic(input)?, produced: 0 },
            State::Between => Step::default(),
        };
        self.offset_bytes += step.consumed as u64;
        Ok(step)
    }

    fn end(&mut self) -> Result<(), FormatError> {
        let detail = match self.state {
            State::Between => return Ok(()),
            State::Magic { len: 0, .. } => "the file is empty".to_owned(),
            State::Magic { .. } => "it ends in a frame header".to_owned(),
            State::Frame => "it ends within a frame".to_owned(),
        };
        Err(FormatError::Truncated { format: FORMAT, detail })
    }

    fn format(&self) -> &'static str {
        FORMAT
    }
}

fn damaged(detail: &str) -> FormatError {
    FormatError::Damaged { format: FORMAT, detail: detail.to_owned() }
}

/// The error for a code of the library; `place` is where it happened.
fn error_of(code: usize, memory_bytes: u64, place: &str) -> FormatError {
    let number = 0_usize.wrapping_sub(code);
    let is = |error: ZSTD_ErrorCode| number == error as usize;
    if is(ZSTD_ErrorCode::ZSTD_error_frameParameter_windowTooLarge) {
        FormatError::MemoryLimit {
            format: FORMAT,
            limit_bytes: memory_bytes,
            detail: format!("a window of more than 2^{} bytes", window_log_max(memory_bytes)),
        }
    } else if is(ZSTD_ErrorCode::ZSTD_error_memory_allocation) {
        out_of_memory()
    } else if is(ZSTD_ErrorCode::ZSTD_error_dictionary_wrong) {
        FormatError::Unsupported { format: FORMAT, what: "a dictionary".to_owned() }
    } else if is(ZSTD_ErrorCode::ZSTD_error_frameParameter_unsupported) {
        FormatError::Unsupported { format: FORMAT, what: "a reserved header flag".to_owned() }
    } else {
        damaged(&format!("{} {place}", get_error_name(code)))
    }
}

/// The largest window that leaves room for the decoder's own buffers; 64 MiB for the default limit of 80 MiB.
fn window_log_max(memory_bytes: u64) -> u32 {
    const OWN_BYTES: u64 = 1024 * 1024;
    const SMALLEST: u32 = 10;
    // The limit of the library on 32-bit machines.
    const LARGEST: u32 = 30;
    memory_bytes.saturating_sub(OWN_BYTES).checked_ilog2().unwrap_or(0).clamp(SMALLEST, LARGEST)
}

/// Whether these first bytes (up to four) can be those of a frame.
pub(super) fn starts_frame(bytes: &[u8]) -> bool {
    const FRAME: [u8; MAGIC_BYTES] = 0xfd2f_b528_u32.to_le_bytes();
    const SKIPPABLE: [u8; MAGIC_BYTES] = 0x184d_2a50_u32.to_le_bytes();
    let skippable = |index: usize, byte: u8| match index {
        0 => byte & 0xf0 == SKIPPABLE[0],
        _ => byte == SKIPPABLE[index],
    };
    let head = &bytes[..bytes.len().min(MAGIC_BYTES)];
    FRAME.starts_with(head) || head.iter().enumerate().all(|(index, &byte)| skippable(index, byte))
}

fn not_a_frame(first: bool, offset_bytes: u64) -> FormatError {
    if first {
        FormatError::Damaged { format: FORMAT, detail: "no zstd header".to_owned() }
    } else {
        FormatError::TrailingData { format: FORMAT, offset_bytes }
    }
}

fn out_of_memory() -> FormatError {
    FormatError::Io(std::io::ErrorKind::OutOfMemory.into())
}
