//! Decodes an xz file block by block in workers, with the block map from its index.
//!
//! The caller's thread reads the blocks, the workers decode them, and the caller's thread takes the results in order. A
//! budget limits the blocks in progress; a block's stated size is checked against it before anything is allocated. The
//! workers' dictionaries are limited, too: a block with a larger one than `xz -6` makes is decoded in the caller's
//! thread, one at a time, so that many threads do not take many times the limit. Files whose blocks are too large for the
//! budget are decoded front to back elsewhere.

use std::io::{self, Read};

use xz2::stream::{Action, Status, Stream, TELL_UNSUPPORTED_CHECK};

use super::index::{Block, Blocks, Index, push_vli};
use super::{FORMAT, crc32, lzma_error, stream_footer, stream_header};
use crate::formats::pump::{failed_before, worker_failed};
use crate::formats::workers::{MAX_THREADS, Workers};
use crate::formats::{FormatError, ReadAt};

const BUDGET_BYTES_PER_THREAD: u64 = 8 * 1024 * 1024;
/// Memory limit of a worker's decoder: 8 MiB for the dictionary of presets up to 6, and liblzma's own needs.
const WORKER_MEMORY_BYTES: u64 = 10 * 1024 * 1024;
/// What a worker needs at most: its dictionary, and its part of the blocks in progress.
pub const WORKER_BYTES: u64 = WORKER_MEMORY_BYTES + BUDGET_BYTES_PER_THREAD;
/// Cost of a block beside its bytes: limits the number of tiny blocks in progress.
const BLOCK_COST_BYTES: u64 = 4096;

/// The budget for this number of threads, in bytes.
fn budget_bytes(threads: usize) -> u64 {
    (threads.clamp(1, MAX_THREADS) as u64 + 1) * BUDGET_BYTES_PER_THREAD
}

/// Whether the file's blocks are small enough that at least two of them fit into the budget.
pub(in crate::formats) fn fits(index: &Index, threads: usize) -> bool {
    index
        .largest_block_bytes
        .checked_add(BLOCK_COST_BYTES)
        .and_then(|cost| cost.checked_mul(2))
        .is_some_and(|cost| cost <= budget_bytes(threads))
}

struct Job {
    block: Block,
    stored: Vec<u8>,
    memory_bytes: u64,
}

/// Returns the decoded blocks in order.
pub(in crate::formats) struct BlockReader<'a> {
    input: &'a mut (dyn ReadAt + Send),
    workers: Workers<Job, Outcome>,
    blocks: Blocks<Index>,
    /// The next block for a worker; `None` after the last one.
    upcoming: Option<Block>,
    memory_bytes: u64,
    budget_bytes: u64,
    in_flight_bytes: u64,
    ready: Vec<u8>,
    served: usize,
    failed: bool,
}

impl<'a> BlockReader<'a> {
    /// `index` is that of `input`, and [`fits`].
    ///
    /// # Errors
    /// If the system does not allow a thread.
    pub(in crate::formats) fn new(
        input: &'a mut (dyn ReadAt + Send),
        index: Index,
        threads: usize,
        memory_bytes: u64,
    ) -> Result<Self, FormatError> {
        let mut blocks = index.into_blocks();
        let upcoming = blocks.next()?;
        Ok(Self {
            input,
            workers: Workers::start(threads, run_job).map_err(FormatError::Io)?,
            blocks,
            upcoming,
            memory_bytes,
            budget_bytes: budget_bytes(threads),
            in_flight_bytes: 0,
            ready: Vec::new(),
            served: 0,
            failed: false,
        })
    }

    /// Gives blocks to the workers while the budget allows it. A failed read loses nothing and may be retried.
    fn fill(&mut self) -> Result<(), FormatError> {
        while let Some(block) = self.upcoming {
            let cost_bytes = block.padded_len() + block.uncompressed_len + BLOCK_COST_BYTES;
            if self.in_flight_bytes + cost_bytes > self.budget_bytes {
                break;
            }
            let mut stored = vec![0; block.padded_len() as usize];
            self.input.read_exact_at(block.offset_bytes, &mut stored)?;
            let memory_bytes = self.memory_bytes.min(WORKER_MEMORY_BYTES);
            self.workers.submit(Job { block, stored, memory_bytes });
            self.in_flight_bytes += cost_bytes;
            self.upcoming = self.blocks.next()?;
        }
        Ok(())
    }

    /// Takes the next decoded block; false at the end.
    fn advance(&mut self) -> io::Result<bool> {
        self.in_flight_bytes -= self.ready.len() as u64;
        self.ready = Vec::new();
        self.served = 0;
        self.fill()?;
        let Some(outcome) = self.workers.next() else {
            if self.upcoming.is_some() {
                return Err(io::Error::other("a block is larger than the budget"));
            }
            return Ok(false);
        };
        let mut outcome = outcome.map_err(|panicked| {
            self.failed = true;
            worker_failed(panicked)
        })?;
        if let Some(job) = outcome.too_large.take() {
            outcome.decoded = decode_block(&Job { memory_bytes: self.memory_bytes, ..job });
        }
        self.ready = outcome.decoded.inspect_err(|_| self.failed = true)?;
        self.in_flight_bytes -= outcome.freed_bytes;
        // Again, so that the workers continue while the caller uses this block.
        self.fill()?;
        Ok(true)
    }
}

impl Read for BlockReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if self.failed {
                return Err(failed_before(FORMAT));
            }
            if buffer.is_empty() || self.served < self.ready.len() {
                let len = buffer.len().min(self.ready.len() - self.served);
                buffer[..len].copy_from_slice(&self.ready[self.served..self.served + len]);
                self.served += len;
                return Ok(len);
            }
            if !self.advance()? {
                return Ok(0);
            }
        }
    }
}

/// A decoded block, and the part of its cost that is free again.
struct Outcome {
    decoded: Result<Vec<u8>, FormatError>,
    freed_bytes: u64,
    /// The job, if the memory limit of a worker was too small for it.
    too_large: Option<Job>,
}

fn run_job(job: Job) -> Outcome {
    let freed_bytes = job.stored.len() as u64 + BLOCK_COST_BYTES;
    let decoded = decode_block(&job);
    let too_large = matches!(decoded, Err(FormatError::MemoryLimit { .. })).then_some(job);
    Outcome { decoded, freed_bytes, too_large }
}

/// Reads and decodes one block of `input`, all of whose lengths are within a limit.
///
/// # Errors
/// Damaged, memory limit; those of the input.
pub(super) fn decode_one(
    input: &mut (dyn ReadAt + Send),
    block: Block,
    memory_bytes: u64,
) -> Result<Vec<u8>, FormatError> {
    let mut stored = vec![0; block.padded_len() as usize];
    input.read_exact_at(block.offset_bytes, &mut stored)?;
    decode_block(&Job { block, stored, memory_bytes })
}

/// Decodes a block as the only one of a synthetic stream, so that liblzma checks all of it: its header, its check, and
/// both its lengths against the index.
fn decode_block(job: &Job) -> Result<Vec<u8>, FormatError> {
    let Job { block, stored, memory_bytes } = job;
    let place = format!(
        "in block {} at byte {} (byte {} of the content)",
        block.number, block.offset_bytes, block.image_offset_bytes
    );
    let refused = |error| lzma_error(error, *memory_bytes, &place);
    let damaged = |detail: &str| FormatError::Damaged { format: FORMAT, detail: format!("{detail} {place}") };
    let out_of_memory = || FormatError::Io(io::ErrorKind::OutOfMemory.into());

    let index = one_record_index(block);
    let header = stream_header(block.check);
    let footer = stream_footer(block.check, index.len() as u64);
    let want = usize::try_from(block.uncompressed_len).map_err(|_| out_of_memory())?;
    let mut decoded = Vec::new();
    // One more byte than expected, so that the decoder can find the block's end.
    decoded.try_reserve_exact(want + 1).map_err(|_| out_of_memory())?;

    let mut stream = Stream::new_stream_decoder(*memory_bytes, TELL_UNSUPPORTED_CHECK).map_err(refused)?;
    let mut status = Status::Ok;
    for mut part in [&header[..], stored, &index, &footer] {
        while !part.is_empty() {
            if status == Status::StreamEnd {
                return Err(damaged("more data than expected"));
            }
            let before = (stream.total_in(), decoded.len());
            status = stream.process_vec(part, &mut decoded, Action::Run).map_err(refused)?;
            part = &part[(stream.total_in() - before.0) as usize..];
            if decoded.len() > want || (stream.total_in(), decoded.len()) == before {
                return Err(damaged("more data than expected"));
            }
        }
    }
    if status != Status::StreamEnd || decoded.len() != want {
        return Err(damaged("less data than expected"));
    }
    Ok(decoded)
}

fn one_record_index(block: &Block) -> Vec<u8> {
    let mut index = vec![0];
    push_vli(&mut index, 1);
    push_vli(&mut index, block.unpadded_len);
    push_vli(&mut index, block.uncompressed_len);
    index.resize(index.len().next_multiple_of(4), 0);
    index.extend_from_slice(&crc32(&index));
    index
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::xz::encode::{XzEncoder, XzSettings};
    use replicator_hal::Compute;
    use std::io::Write;

    const MIB: u64 = 1024 * 1024;

    /// Three blocks with a dictionary of this length.
    fn packed(dictionary_len_bytes: u32) -> Vec<u8> {
        let settings = XzSettings {
            preset: 0,
            dictionary_len_bytes: Some(dictionary_len_bytes),
            block_len_bytes: 100_000,
        };
        let mut encoder = XzEncoder::new(Vec::new(), &settings, Compute::Inline).unwrap();
        encoder.write_all(&[7; 300_000]).unwrap();
        encoder.finish().unwrap()
    }

    fn reader<'a>(file: &'a mut &'static [u8], memory_bytes: u64) -> BlockReader<'a> {
        let index = Index::read(file, MIB).unwrap();
        BlockReader::new(file, index, 4, memory_bytes).unwrap()
    }

    #[test]
    fn workers_refuse_large_dictionaries_and_the_caller_decodes_those_blocks() {
        for (dictionary_len_bytes, by_worker) in [(8 << 20, true), (64 << 20, false)] {
            let mut file: &'static [u8] = packed(dictionary_len_bytes).leak();
            let mut reader = reader(&mut file, 80 * MIB);
            reader.fill().unwrap();
            let outcome = reader.workers.next().unwrap().unwrap();
            assert_eq!(outcome.decoded.is_ok(), by_worker, "{dictionary_len_bytes}");
            assert_eq!(outcome.too_large.is_none(), by_worker);

            drop(reader);
            let mut decoded = Vec::new();
            self::reader(&mut file, 80 * MIB).read_to_end(&mut decoded).unwrap();
            assert!(decoded == [7; 300_000]);
        }
    }

    #[test]
    fn a_dictionary_beyond_the_limit_is_a_final_error() {
        let mut file: &'static [u8] = packed(64 << 20).leak();
        let mut reader = reader(&mut file, 32 * MIB);
        for code in ["F-MEMORY", "F-DAMAGED"] {
            let error = reader.read(&mut [0; 10]).unwrap_err();
            assert_eq!(FormatError::from_io(error).code(), code);
        }
    }
}
