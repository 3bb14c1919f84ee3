//! Encodes data in blocks of a fixed length that do not depend on one another, and writes them in order.
//!
//! With [`Compute::Threads`] workers encode the blocks; with [`Compute::Inline`] the caller does. The file is the same. A
//! block of zeros is encoded once and used again. The formats are in `xz::encode` and `zstd::encode`.

use std::collections::VecDeque;
use std::io::{self, Write};

use replicator_hal::Compute;

use super::pump::worker_failed;
use super::workers::{MAX_THREADS, Workers};
use super::zeros::only_zeros;
use super::{FormatError, within};

/// The sink gets chunks of this length, and one shorter last one.
const OUTPUT_CHUNK_BYTES: usize = 256 * 1024;

/// A format whose files consist of blocks.
pub(super) trait BlockFormat {
    /// Whether the buffers of encoded blocks are used again: worth their memory only if encoding takes little time, because
    /// the kernel has to clear the pages of each new buffer.
    const KEEPS_BUFFERS: bool;

    /// What a worker needs to encode a block.
    type Settings: Clone + Send + 'static;

    /// The settings of the encoder.
    fn settings(&self) -> Self::Settings;

    /// The bytes before the first block.
    fn start(&self) -> Vec<u8>;

    /// Encodes one block into `buffer`, whose content is replaced.
    ///
    /// # Errors
    /// Too little memory; settings that the library refuses.
    fn encode(settings: &Self::Settings, content: &[u8], buffer: Vec<u8>) -> Result<Block, FormatError>;

    /// Takes note of the next block of the file.
    fn add(&mut self, block: &Block);

    /// The bytes behind the last block.
    ///
    /// # Errors
    /// As [`BlockFormat::encode`].
    fn end(&mut self) -> Result<Vec<u8>, FormatError>;
}

/// An encoded block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Block {
    /// As it is in the file.
    pub(super) bytes: Vec<u8>,
    /// Length of `bytes` without padding at the end.
    pub(super) unpadded_len: u64,
    /// Length of the content.
    pub(super) content_len: u64,
}

/// Encodes the bytes that are written to it into a sink.
///
/// Only [`BlockEncoder::finish`] completes the file; dropping the encoder leaves one that no decoder accepts. `flush`
/// flushes the sink, but neither ends a block nor writes data that is still being encoded.
///
/// The calls of the sink depend on the data and the settings only.
pub(super) struct BlockEncoder<W: Write, F: BlockFormat> {
    sink: ChunkSink<W>,
    format: F,
    block_len: usize,
    /// The block that is not full yet.
    content: Vec<u8>,
    /// `None` if the caller's thread encodes.
    workers: Option<Workers<Job<F>, Outcome>>,
    /// The blocks that are not written yet, in order.
    pending: VecDeque<Pending>,
    /// How many of them may be with the workers.
    in_work_max: usize,
    in_work: usize,
    /// Whether there was a block of zeros of the full length, and the block once it is encoded.
    has_zeros: bool,
    zeros: Option<Block>,
    /// Buffers to use again: for content, and for encoded blocks.
    spare: Vec<Vec<u8>>,
    spare_encoded: Vec<Vec<u8>>,
    failed: bool,
}

enum Pending {
    /// A worker has it. If `is_zeros`, it is the first block of zeros.
    InWork { is_zeros: bool },
    /// The same as the first block of zeros, which is before it.
    Zeros,
}

struct Job<F: BlockFormat> {
    settings: F::Settings,
    content: Vec<u8>,
    buffer: Vec<u8>,
}

/// The content is returned for its buffer.
struct Outcome {
    content: Vec<u8>,
    block: Result<Block, FormatError>,
}

fn run_job<F: BlockFormat>(job: Job<F>) -> Outcome {
    let block = F::encode(&job.settings, &job.content, job.buffer);
    Outcome { content: job.content, block }
}

impl<W: Write, F: BlockFormat + 'static> BlockEncoder<W, F> {
    /// Begins a file with blocks of `block_len_bytes` of content, which is not 0.
    ///
    /// # Errors
    /// Too little memory; no thread.
    pub(super) fn new(
        sink: W,
        format: F,
        block_len_bytes: u64,
        compute: Compute,
    ) -> Result<Self, FormatError> {
        let (workers, in_work_max) = match compute {
            Compute::Inline => (None, 0),
            Compute::Threads(threads) => {
                let threads = threads.clamp(1, MAX_THREADS);
                (Some(Workers::start(threads, run_job::<F>)?), threads)
            }
        };
        let mut sink = ChunkSink { sink, chunk: Vec::with_capacity(OUTPUT_CHUNK_BYTES) };
        sink.write(&format.start())?;
        Ok(Self {
            sink,
            format,
            block_len: within(usize::MAX, block_len_bytes),
            content: Vec::new(),
            workers,
            pending: VecDeque::new(),
            in_work_max,
            in_work: 0,
            has_zeros: false,
            zeros: None,
            spare: Vec::new(),
            spare_encoded: Vec::new(),
            failed: false,
        })
    }

    /// Completes the file and returns the sink, to which all of it was written but which was not flushed.
    ///
    /// # Errors
    /// Those of the sink; an earlier error.
    pub(super) fn finish(mut self) -> Result<W, FormatError> {
        self.check_usable()?;
        if !self.content.is_empty() {
            self.end_block()?;
        }
        while !self.pending.is_empty() {
            self.write_next()?;
        }
        let end = self.format.end()?;
        self.sink.write(&end)?;
        Ok(self.sink.finish()?)
    }

    fn check_usable(&self) -> io::Result<()> {
        if self.failed {
            return Err(io::Error::other("compressing failed before"));
        }
        Ok(())
    }

    fn write_all_blocks(&mut self, mut bytes: &[u8]) -> Result<(), FormatError> {
        while !bytes.is_empty() {
            if self.content.capacity() == 0 {
                self.content = self.spare.pop().unwrap_or_default();
            }
            let (now, later) = bytes.split_at(bytes.len().min(self.block_len - self.content.len()));
            // A whole block at once after the first bytes, because a buffer that grows leaves unused memory behind.
            let room = if self.content.is_empty() { now.len() } else { self.block_len - self.content.len() };
            if self.content.try_reserve_exact(room).is_err() {
                return Err(FormatError::Io(io::ErrorKind::OutOfMemory.into()));
            }
            self.content.extend_from_slice(now);
            bytes = later;
            if self.content.len() == self.block_len {
                self.end_block()?;
            }
        }
        Ok(())
    }

    /// Encodes the current block, or gives it to a worker.
    fn end_block(&mut self) -> Result<(), FormatError> {
        let is_zeros = self.content.len() == self.block_len && only_zeros(&self.content);
        if is_zeros && self.has_zeros {
            self.content.clear();
            self.pending.push_back(Pending::Zeros);
        } else if self.workers.is_some() {
            self.give_to_worker(is_zeros)?;
        } else {
            let buffer = self.spare_encoded.pop().unwrap_or_default();
            let block = F::encode(&self.format.settings(), &self.content, buffer)?;
            self.content.clear();
            self.write_encoded(block, is_zeros)?;
        }
        self.has_zeros |= is_zeros;
        while matches!(self.pending.front(), Some(Pending::Zeros)) {
            self.write_next()?;
        }
        Ok(())
    }

    /// Gives the current block to a worker. If all of them are at work, it waits for the oldest block first, and writes it
    /// afterwards, so that no worker waits for the sink. No more blocks are in memory.
    fn give_to_worker(&mut self, is_zeros: bool) -> Result<(), FormatError> {
        let oldest = if self.in_work == self.in_work_max {
            while matches!(self.pending.front(), Some(Pending::Zeros)) {
                self.write_next()?;
            }
            let was_zeros = matches!(self.pending.pop_front(), Some(Pending::InWork { is_zeros: true }));
            Some((self.take_outcome()?, was_zeros))
        } else {
            None
        };
        let content = std::mem::take(&mut self.content);
        if let Some(workers) = &mut self.workers {
            let buffer = self.spare_encoded.pop().unwrap_or_default();
            workers.submit(Job { settings: self.format.settings(), content, buffer });
            self.in_work += 1;
            self.pending.push_back(Pending::InWork { is_zeros });
        }
        oldest.map_or(Ok(()), |(block, was_zeros)| self.write_encoded(block, was_zeros))
    }

    /// Waits for the oldest block that a worker has.
    fn take_outcome(&mut self) -> Result<Block, FormatError> {
        self.in_work -= 1;
        let outcome = self.workers.as_mut().and_then(Workers::next);
        let outcome = outcome.ok_or_else(|| io::Error::other("no encoder is at work"))?;
        let Outcome { mut content, block } = outcome.map_err(worker_failed)?;
        content.clear();
        self.spare.push(content);
        block
    }

    /// Writes the first pending block; waits for it if a worker has it.
    fn write_next(&mut self) -> Result<(), FormatError> {
        match self.pending.pop_front() {
            None => Ok(()),
            Some(Pending::Zeros) => match self.zeros.take() {
                Some(block) => {
                    let written = self.write_block(&block);
                    self.zeros = Some(block);
                    written
                }
                None => Err(io::Error::other("the block of zeros is not encoded").into()),
            },
            Some(Pending::InWork { is_zeros }) => {
                let block = self.take_outcome()?;
                self.write_encoded(block, is_zeros)
            }
        }
    }

    /// Writes a block. Keeps the first one of zeros, and perhaps the buffer of another.
    fn write_encoded(&mut self, mut block: Block, is_zeros: bool) -> Result<(), FormatError> {
        self.write_block(&block)?;
        if is_zeros {
            block.bytes.shrink_to_fit();
            self.zeros = Some(block);
        } else if F::KEEPS_BUFFERS {
            self.spare_encoded.push(block.bytes);
        }
        Ok(())
    }

    fn write_block(&mut self, block: &Block) -> Result<(), FormatError> {
        self.format.add(block);
        Ok(self.sink.write(&block.bytes)?)
    }
}

impl<W: Write, F: BlockFormat + 'static> Write for BlockEncoder<W, F> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.check_usable()?;
        // After an error, it is not known how much of `bytes` was taken.
        self.write_all_blocks(bytes).inspect_err(|_| self.failed = true)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.check_usable()?;
        self.sink.sink.flush()
    }
}

/// Writes in chunks of one length.
struct ChunkSink<W> {
    sink: W,
    chunk: Vec<u8>,
}

impl<W: Write> ChunkSink<W> {
    fn write(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let (now, later) = bytes.split_at(bytes.len().min(OUTPUT_CHUNK_BYTES - self.chunk.len()));
            self.chunk.extend_from_slice(now);
            bytes = later;
            if self.chunk.len() == OUTPUT_CHUNK_BYTES {
                self.sink.write_all(&self.chunk)?;
                self.chunk.clear();
            }
        }
        Ok(())
    }

    fn finish(mut self) -> io::Result<W> {
        self.sink.write_all(&self.chunk)?;
        Ok(self.sink)
    }
}
