//! Bzip2: a sequence of streams. The checksums of all blocks and streams are verified.
//!
//! Any data after the last stream, except known metadata, is an error. A file that was cut exactly between two streams
//! cannot be distinguished from a complete one.

use ::bzip2::{Decompress, Error, Status};

use super::FormatError;
use super::pump::{PushDecoder, Step};

const FORMAT: &str = "bzip2";
/// The start of each stream, before the block size's digit.
pub(super) const MAGIC: [u8; 3] = *b"BZh";
const HEADER_BYTES: usize = 4;

/// The decoder. Takes up to 3.7 MB, by the block size in the stream header.
pub(super) struct Bzip2Decoder {
    state: State,
    memory_bytes: u64,
    offset_bytes: u64,
    stream_bytes: u64,
    first: bool,
    /// Where known metadata may begin.
    metadata_bytes: Vec<u64>,
}

enum State {
    Header {
        seen: usize,
    },
    Stream(Decompress),
    Between,
    /// Metadata after the last stream.
    Metadata,
}

impl Bzip2Decoder {
    /// After the end of a stream, data that begins at one of `metadata_bytes` is ignored, up to the end of the file.
    pub(super) fn new(memory_bytes: u64, metadata_bytes: Vec<u64>) -> Self {
        let state = State::Header { seen: 0 };
        Self { state, memory_bytes, offset_bytes: 0, stream_bytes: 0, first: true, metadata_bytes }
    }

    fn damaged(&self, detail: &str) -> FormatError {
        FormatError::Damaged { format: FORMAT, detail: format!("{detail} near byte {}", self.offset_bytes) }
    }

    fn header(&mut self, mut seen: usize, input: &[u8]) -> Result<usize, FormatError> {
        for (index, &byte) in input.iter().enumerate() {
            let right = match MAGIC.get(seen) {
                Some(&magic) => byte == magic,
                None => byte.is_ascii_digit() && byte != b'0',
            };
            if !right && self.first {
                return Err(self.damaged("no bzip2 header"));
            }
            if !right {
                return Err(FormatError::TrailingData { format: FORMAT, offset_bytes: self.stream_bytes });
            }
            seen += 1;
            if seen == HEADER_BYTES {
                self.begin(byte)?;
                return Ok(index + 1);
            }
        }
        self.state = State::Header { seen };
        Ok(input.len())
    }

    /// Makes a decoder and passes it the header that was read.
    fn begin(&mut self, level: u8) -> Result<(), FormatError> {
        // 100 KB plus four times the block size, by the manual of bzip2.
        let need_bytes = 100_000 + u64::from(level - b'0') * 400_000;
        if need_bytes > self.memory_bytes {
            let detail = format!("{need_bytes} bytes by its header");
            let limit_bytes = self.memory_bytes;
            return Err(FormatError::MemoryLimit { format: FORMAT, limit_bytes, detail });
        }
        let mut stream = Decompress::new(false);
        let header = [MAGIC[0], MAGIC[1], MAGIC[2], level];
        match stream.decompress(&header, &mut []) {
            Ok(Status::Ok) if stream.total_in() == header.len() as u64 => {}
            _ => return Err(self.damaged("unreadable stream header")),
        }
        self.state = State::Stream(stream);
        Ok(())
    }

    fn stream(&mut self, input: &[u8], output: &mut [u8]) -> Result<Step, FormatError> {
        let State::Stream(stream) = &mut self.state else { return Ok(Step::default()) };
        let before = (stream.total_in(), stream.total_out());
        let status = stream.decompress(input, output);
        let consumed = (stream.total_in() - before.0) as usize;
        let produced = (stream.total_out() - before.1) as usize;
        match status {
            Ok(Status::StreamEnd) => {
                self.state = State::Between;
                self.stream_bytes = self.offset_bytes + consumed as u64;
                self.first = false;
            }
            Ok(Status::MemNeeded) => {
                return Err(FormatError::Io(std::io::ErrorKind::OutOfMemory.into()));
            }
            Ok(_) => {}
            Err(Error::Data | Error::DataMagic) => return Err(self.damaged("invalid data or wrong checksum")),
            Err(error) => return Err(FormatError::Io(std::io::Error::other(error))),
        }
        Ok(Step { consumed, produced })
    }
}

impl PushDecoder for Bzip2Decoder {
    fn step(&mut self, input: &[u8], output: &mut [u8]) -> Result<Step, FormatError> {
        let step = match self.state {
            State::Stream(_) => self.stream(input, output)?,
            _ if input.is_empty() => Step::default(),
            State::Header { seen } => Step { consumed: self.header(seen, input)?, produced: 0 },
            State::Between if self.metadata_bytes.contains(&self.offset_bytes) => {
                self.state = State::Metadata;
                Step { consumed: input.len(), produced: 0 }
            }
            State::Between => Step { consumed: self.header(0, input)?, produced: 0 },
            State::Metadata => Step { consumed: input.len(), produced: 0 },
        };
        self.offset_bytes += step.consumed as u64;
        Ok(step)
    }

    fn end(&mut self) -> Result<(), FormatError> {
        let detail = match self.state {
            State::Between | State::Metadata => return Ok(()),
            State::Header { seen: 0 } => "the file is empty".to_owned(),
            State::Header { .. } => "it ends in a stream header".to_owned(),
            State::Stream(_) => "it ends within a stream".to_owned(),
        };
        Err(FormatError::Truncated { format: FORMAT, detail })
    }

    fn format(&self) -> &'static str {
        FORMAT
    }
}
