//! Decodes an xz file front to back, with all its streams and the padding between them.
//!
//! liblzma can decode several streams at once, but then it does not distinguish data after the last one from damage.

use xz2::stream::{Action, Status, Stream, TELL_UNSUPPORTED_CHECK};

use super::{FORMAT, HEADER_MAGIC, lzma_error};
use crate::formats::FormatError;
use crate::formats::pump::{PushDecoder, Step};

/// The decoder. Takes as much memory as the dictionary of the largest block, up to its limit.
pub(in crate::formats) struct XzDecoder {
    state: State,
    memory_bytes: u64,
    offset_bytes: u64,
    stream_bytes: u64,
    first: bool,
}

enum State {
    Magic { seen: usize },
    Stream(Stream),
    Between { padding: u64 },
}

impl XzDecoder {
    pub(in crate::formats) fn new(memory_bytes: u64) -> Self {
        let state = State::Magic { seen: 0 };
        Self { state, memory_bytes, offset_bytes: 0, stream_bytes: 0, first: true }
    }

    fn place(&self) -> String {
        format!("near byte {}", self.offset_bytes)
    }

    fn damaged(&self, detail: &str) -> FormatError {
        FormatError::Damaged { format: FORMAT, detail: format!("{detail} {}", self.place()) }
    }

    fn magic(&mut self, mut seen: usize, input: &[u8]) -> Result<usize, FormatError> {
        for (index, &byte) in input.iter().enumerate() {
            if byte != HEADER_MAGIC[seen] {
                return Err(if self.first {
                    self.damaged("no xz header")
                } else {
                    FormatError::TrailingData { format: FORMAT, offset_bytes: self.stream_bytes }
                });
            }
            seen += 1;
            if seen == HEADER_MAGIC.len() {
                self.begin()?;
                return Ok(index + 1);
            }
        }
        self.state = State::Magic { seen };
        Ok(input.len())
    }

    /// Makes a decoder and passes it the bytes that were read.
    fn begin(&mut self) -> Result<(), FormatError> {
        let refused = |error| lzma_error(error, self.memory_bytes, &self.place());
        let mut stream =
            Stream::new_stream_decoder(self.memory_bytes, TELL_UNSUPPORTED_CHECK).map_err(refused)?;
        stream.process(&HEADER_MAGIC, &mut [], Action::Run).map_err(refused)?;
        if stream.total_in() != HEADER_MAGIC.len() as u64 {
            return Err(self.damaged("unreadable stream header"));
        }
        self.state = State::Stream(stream);
        Ok(())
    }

    fn stream(&mut self, input: &[u8], output: &mut [u8]) -> Result<Step, FormatError> {
        let State::Stream(stream) = &mut self.state else { return Ok(Step::default()) };
        let before = (stream.total_in(), stream.total_out());
        let status = stream.process(input, output, Action::Run);
        let consumed = (stream.total_in() - before.0) as usize;
        let produced = (stream.total_out() - before.1) as usize;
        let status = status.map_err(|error| lzma_error(error, self.memory_bytes, &self.place()))?;
        if status == Status::StreamEnd {
            self.state = State::Between { padding: 0 };
            self.first = false;
        }
        Ok(Step { consumed, produced })
    }

    /// Reads stream padding, up to the next stream's first byte.
    fn between(&mut self, padding: u64, input: &[u8]) -> Result<usize, FormatError> {
        let zeros = input.iter().take_while(|&&byte| byte == 0).count();
        let padding = padding + zeros as u64;
        self.state = State::Between { padding };
        if zeros < input.len() {
            self.check_padding(padding)?;
            self.stream_bytes = self.offset_bytes + zeros as u64;
            return Ok(zeros + self.magic(0, &input[zeros..])?);
        }
        Ok(zeros)
    }

    fn check_padding(&self, padding: u64) -> Result<(), FormatError> {
        if padding % 4 == 0 {
            Ok(())
        } else {
            Err(self.damaged("stream padding is not a multiple of four bytes"))
        }
    }
}

impl PushDecoder for XzDecoder {
    fn step(&mut self, input: &[u8], output: &mut [u8]) -> Result<Step, FormatError> {
        let step = match self.state {
            State::Stream(_) => self.stream(input, output)?,
            _ if input.is_empty() => Step::default(),
            State::Magic { seen } => Step { consumed: self.magic(seen, input)?, produced: 0 },
            State::Between { padding } => Step { consumed: self.between(padding, input)?, produced: 0 },
        };
        self.offset_bytes += step.consumed as u64;
        Ok(step)
    }

    fn end(&mut self) -> Result<(), FormatError> {
        let detail = match self.state {
            State::Between { padding } => return self.check_padding(padding),
            State::Magic { seen: 0 } => "the file is empty".to_owned(),
            State::Magic { .. } => "it ends in a stream header".to_owned(),
            State::Stream(_) => format!("it ends within a stream, at byte {}", self.offset_bytes),
        };
        Err(FormatError::Truncated { format: FORMAT, detail })
    }

    fn format(&self) -> &'static str {
        FORMAT
    }
}
