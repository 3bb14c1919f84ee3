//! Writes xz: one stream, in blocks of a fixed decoded length, so that it can be decoded block by block.
//!
//! xz2's own writer is not used: it completes the stream when it is dropped, so that an interrupted capture would leave a
//! valid file, and its `flush` ends a block.

use std::io::{self, Write};

use replicator_hal::Compute;
use xz2::stream::{Action, Check, Error, Filters, LzmaOptions, MtStreamBuilder, Status, Stream};

use super::FORMAT;
use crate::formats::FormatError;
use crate::formats::workers::MAX_THREADS;

/// The sink gets chunks of this length, and one shorter last one.
const OUTPUT_CHUNK_BYTES: usize = 256 * 1024;
const MAX_PRESET: u32 = 9;

/// How to compress.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct XzSettings {
    /// 0 (fast) to 9 (small), as for `xz`.
    pub preset: u32,
    /// Dictionary length, if not the preset's.
    pub dictionary_len_bytes: Option<u32>,
    /// Decoded length of each block except the last.
    pub block_len_bytes: u64,
}

impl Default for XzSettings {
    fn default() -> Self {
        Self { preset: 2, dictionary_len_bytes: None, block_len_bytes: 4 * 1024 * 1024 }
    }
}

/// Compresses the bytes that are written to it into a sink.
///
/// Only [`XzEncoder::finish`] completes the stream; dropping the encoder leaves one that no decoder accepts. `flush`
/// flushes the sink, but neither ends a block nor writes data that is still being compressed.
///
/// The calls of the sink depend on the data and the settings only.
pub struct XzEncoder<W: Write> {
    sink: W,
    stream: Stream,
    output: Box<[u8]>,
    filled: usize,
    /// For an encoder that ends the blocks itself: their length, and the remaining length of the current one.
    blocks: Option<BlockBorders>,
    failed: bool,
}

struct BlockBorders {
    len_bytes: u64,
    left_bytes: u64,
}

impl<W: Write> XzEncoder<W> {
    /// Begins a stream. With threads, liblzma compresses that many blocks at a time.
    ///
    /// # Errors
    /// Unsupported settings; too little memory.
    pub fn new(sink: W, settings: &XzSettings, compute: Compute) -> Result<Self, FormatError> {
        let filters = filters(settings)?;
        let (stream, blocks) = match compute {
            Compute::Inline => {
                let len_bytes = settings.block_len_bytes;
                let stream = Stream::new_stream_encoder(&filters, Check::Crc64);
                (stream, Some(BlockBorders { len_bytes, left_bytes: len_bytes }))
            }
            Compute::Threads(threads) => {
                let stream = MtStreamBuilder::new()
                    .threads(threads.clamp(1, MAX_THREADS) as u32)
                    .block_size(settings.block_len_bytes)
                    .filters(filters)
                    .check(Check::Crc64)
                    .encoder();
                (stream, None)
            }
        };
        let stream = stream.map_err(encoder_error)?;
        let output = vec![0; OUTPUT_CHUNK_BYTES].into_boxed_slice();
        Ok(Self { sink, stream, output, filled: 0, blocks, failed: false })
    }

    /// Completes the stream and returns the sink, to which all of it was written but which was not flushed.
    ///
    /// # Errors
    /// Those of the sink; an earlier error.
    pub fn finish(mut self) -> Result<W, FormatError> {
        self.check_usable()?;
        self.drive_to_end(Action::Finish)?;
        self.sink.write_all(&self.output[..self.filled])?;
        Ok(self.sink)
    }

    fn check_usable(&self) -> io::Result<()> {
        if self.failed {
            return Err(io::Error::other("compressing failed before"));
        }
        Ok(())
    }

    /// Compresses all of `input`.
    fn compress(&mut self, mut input: &[u8]) -> io::Result<()> {
        let mut stalled = false;
        while !input.is_empty() {
            let (status, consumed, produced) = self.process(input, Action::Run)?;
            input = &input[consumed..];
            let progress = consumed > 0 || produced > 0;
            if status == Status::StreamEnd || (!progress && stalled) {
                return Err(io::Error::other("liblzma makes no progress"));
            }
            stalled = !progress;
        }
        Ok(())
    }

    fn drive_to_end(&mut self, action: Action) -> io::Result<()> {
        let mut stalled = false;
        loop {
            let (status, _, produced) = self.process(&[], action)?;
            if status == Status::StreamEnd {
                return Ok(());
            }
            if produced == 0 && stalled {
                return Err(io::Error::other("liblzma makes no progress"));
            }
            stalled = produced == 0;
        }
    }

    /// One call of liblzma; writes the output when a chunk is full.
    fn process(&mut self, input: &[u8], action: Action) -> io::Result<(Status, usize, usize)> {
        let before = (self.stream.total_in(), self.stream.total_out());
        let status = self
            .stream
            .process(input, &mut self.output[self.filled..], action)
            .map_err(|error| io::Error::from(encoder_error(error)))?;
        let consumed = (self.stream.total_in() - before.0) as usize;
        let produced = (self.stream.total_out() - before.1) as usize;
        self.filled += produced;
        if self.filled == self.output.len() {
            self.sink.write_all(&self.output)?;
            self.filled = 0;
        }
        Ok((status, consumed, produced))
    }

    fn write_within_block(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Some(blocks) = &mut self.blocks else {
            self.compress(bytes)?;
            return Ok(bytes.len());
        };
        let len = bytes.len().min(usize::try_from(blocks.left_bytes).unwrap_or(usize::MAX));
        blocks.left_bytes -= len as u64;
        let block_is_full = blocks.left_bytes == 0;
        if block_is_full {
            blocks.left_bytes = blocks.len_bytes;
        }
        self.compress(&bytes[..len])?;
        if block_is_full {
            self.drive_to_end(Action::FullFlush)?;
        }
        Ok(len)
    }
}

impl<W: Write> Write for XzEncoder<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.check_usable()?;
        if bytes.is_empty() {
            return Ok(0);
        }
        // After an error, it is not known how much of `bytes` was taken.
        self.write_within_block(bytes).inspect_err(|_| self.failed = true)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.check_usable()?;
        self.sink.flush()
    }
}

fn filters(settings: &XzSettings) -> Result<Filters, FormatError> {
    let unsupported = |what: String| FormatError::Unsupported { format: FORMAT, what };
    if settings.preset > MAX_PRESET {
        return Err(unsupported(format!("preset {}", settings.preset)));
    }
    if settings.block_len_bytes == 0 {
        return Err(unsupported("blocks of no length".to_owned()));
    }
    let mut options = LzmaOptions::new_preset(settings.preset).map_err(encoder_error)?;
    if let Some(len_bytes) = settings.dictionary_len_bytes {
        options.dict_size(len_bytes);
    }
    let mut filters = Filters::new();
    filters.lzma2(&options);
    Ok(filters)
}

fn encoder_error(error: Error) -> FormatError {
    match error {
        Error::Options => {
            FormatError::Unsupported { format: FORMAT, what: "these encoder settings".to_owned() }
        }
        Error::Mem | Error::MemLimit => FormatError::Io(io::ErrorKind::OutOfMemory.into()),
        error => FormatError::Io(io::Error::other(error)),
    }
}
