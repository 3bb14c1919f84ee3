//! Decodes a file block by block in workers.
//!
//! The caller's thread reads the blocks, the workers decode them, and the caller's thread takes the results in order. A
//! budget limits the blocks in progress; a block's stated size is checked against it before anything is allocated. The
//! workers' dictionaries are limited, too: a block with a larger one is decoded in the caller's thread, one at a time, so
//! that many threads do not take many times the limit. Files whose blocks are too large for the budget are decoded front
//! to back elsewhere.
//!
//! Once a block was decoded to zeros, blocks with the same stored bytes are not decoded.

use std::collections::VecDeque;
use std::io::{self, Read};

use super::pump::{failed_before, worker_failed};
use super::workers::{MAX_THREADS, Workers};
use super::zeros::only_zeros;
use super::{FormatError, ReadAt, within};

/// What the blocks in progress may take for each thread, if none of them is longer.
const USUAL_BYTES_PER_THREAD: u64 = 8 * 1024 * 1024;
/// Files with longer blocks, stored and decoded, are decoded front to back.
const BLOCK_MAX_BYTES: u64 = 64 * 1024 * 1024;
/// Memory limit of a worker's decoder: 8 MiB for the dictionary, and the library's own needs.
const WORKER_MEMORY_BYTES: u64 = 10 * 1024 * 1024;
/// What a worker needs unless blocks are long: its dictionary, and its part of the blocks in progress.
pub const WORKER_BYTES: u64 = WORKER_MEMORY_BYTES + USUAL_BYTES_PER_THREAD;
/// Cost of a block beside its bytes: limits the number of tiny blocks in progress.
const BLOCK_COST_BYTES: u64 = 4096;
/// The longest stored block of zeros that is remembered.
const ZEROS_MAX_BYTES: usize = 64 * 1024;

/// A block that can be decoded alone.
pub(super) trait CodedBlock: Copy + Send + PartialEq + 'static {
    /// The format's usual name.
    const FORMAT: &'static str;

    /// Where it starts in the file.
    fn offset_bytes(&self) -> u64;

    /// Its length in the file.
    fn stored_len(&self) -> u64;

    /// Where it starts in the content.
    fn content_offset_bytes(&self) -> u64;

    /// Length of its content.
    fn content_len(&self) -> u64;

    /// Whether the same stored bytes have the same content here as in `other`.
    fn decodes_like(&self, other: &Self) -> bool;

    /// Decodes all of it into `buffer`, whose content is replaced, and checks its length and its check.
    ///
    /// # Errors
    /// Of the format; too little memory.
    fn decode(&self, stored: &[u8], memory_bytes: u64, buffer: Vec<u8>) -> Result<Vec<u8>, FormatError>;
}

/// The blocks of a file, in order.
pub(super) trait BlockList: Send {
    /// A block.
    type Block: CodedBlock;

    /// The next block; `None` after the last one.
    ///
    /// # Errors
    /// Of the format.
    fn next(&mut self) -> Result<Option<Self::Block>, FormatError>;
}

/// How many workers decode the blocks of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Room {
    threads: usize,
    /// For the blocks in progress: one for each worker, and the one that is read.
    budget_bytes: u64,
}

impl Room {
    /// As many of `threads` as fit into `memory_bytes`, if the largest block of the file takes `largest_block_bytes`, stored and
    /// decoded. `None` if not even one fits, or if the block is very long.
    pub(super) fn new(largest_block_bytes: u64, threads: usize, memory_bytes: u64) -> Option<Self> {
        if largest_block_bytes > BLOCK_MAX_BYTES {
            return None;
        }
        let per_thread_bytes = (largest_block_bytes + BLOCK_COST_BYTES).max(USUAL_BYTES_PER_THREAD);
        let more_bytes = per_thread_bytes - USUAL_BYTES_PER_THREAD;
        let fitting = memory_bytes.saturating_sub(more_bytes) / (WORKER_BYTES + more_bytes);
        let threads = threads.clamp(1, MAX_THREADS).min(usize::try_from(fitting).unwrap_or(MAX_THREADS));
        (threads > 0).then(|| Self { threads, budget_bytes: (threads as u64 + 1) * per_thread_bytes })
    }
}

struct Job<B> {
    block: B,
    stored: Vec<u8>,
    memory_bytes: u64,
    /// For the content.
    buffer: Vec<u8>,
}

/// Buffers to use again: the kernel has to clear the pages of each new one.
struct Spare {
    buffers: Vec<Vec<u8>>,
    /// How many are kept.
    max: usize,
}

impl Spare {
    /// A buffer for `len` bytes, perhaps with old content.
    fn take(&mut self, len: usize) -> Vec<u8> {
        // A much longer one would take memory that the budget does not count.
        self.buffers.pop().filter(|buffer| buffer.capacity() / 2 <= len).unwrap_or_default()
    }

    fn put(&mut self, buffer: Vec<u8>) {
        if self.buffers.len() < self.max {
            self.buffers.push(buffer);
        }
    }
}

/// A block in progress.
enum Pending {
    InWork,
    Zeros { len: u64 },
}

/// Returns the decoded blocks in order.
pub(super) struct BlockReader<'a, L: BlockList> {
    input: &'a mut (dyn ReadAt + Send),
    workers: Workers<Job<L::Block>, Outcome<L::Block>>,
    blocks: L,
    /// The next block for a worker; `None` after the last one.
    upcoming: Option<L::Block>,
    pending: VecDeque<Pending>,
    /// A block of zeros with its stored bytes.
    zeros: Option<(L::Block, Vec<u8>)>,
    memory_bytes: u64,
    budget_bytes: u64,
    in_flight_bytes: u64,
    /// For stored blocks, and for decoded ones.
    spare_stored: Spare,
    spare_decoded: Spare,
    ready: Vec<u8>,
    served: usize,
    /// How many zeros follow `ready`.
    ready_zeros: u64,
    failed: bool,
}

impl<'a, L: BlockList> BlockReader<'a, L> {
    /// `blocks` are those of `input`, and `room` is for the largest of them.
    ///
    /// # Errors
    /// If the system does not allow a thread.
    pub(super) fn new(
        input: &'a mut (dyn ReadAt + Send),
        mut blocks: L,
        room: Room,
        memory_bytes: u64,
    ) -> Result<Self, FormatError> {
        let upcoming = blocks.next()?;
        let spare = || Spare { buffers: Vec::new(), max: room.threads };
        Ok(Self {
            input,
            workers: Workers::start(room.threads, run_job).map_err(FormatError::Io)?,
            blocks,
            upcoming,
            pending: VecDeque::new(),
            zeros: None,
            memory_bytes,
            budget_bytes: room.budget_bytes,
            in_flight_bytes: 0,
            spare_stored: spare(),
            spare_decoded: spare(),
            ready: Vec::new(),
            served: 0,
            ready_zeros: 0,
            failed: false,
        })
    }

    /// Gives blocks to the workers while the budget allows it. A failed read loses nothing and may be retried.
    fn fill(&mut self) -> Result<(), FormatError> {
        while let Some(block) = self.upcoming {
            let cost_bytes = block.stored_len() + block.content_len() + BLOCK_COST_BYTES;
            if self.in_flight_bytes + cost_bytes > self.budget_bytes {
                break;
            }
            let spare = self.spare_stored.take(within(usize::MAX, block.stored_len()));
            let stored = read_stored(self.input, &block, spare)?;
            if self.is_known_zeros(&block, &stored) {
                self.spare_stored.put(stored);
                self.pending.push_back(Pending::Zeros { len: block.content_len() });
                self.in_flight_bytes += BLOCK_COST_BYTES;
            } else {
                let memory_bytes = self.memory_bytes.min(WORKER_MEMORY_BYTES);
                let buffer = self.spare_decoded.take(within(usize::MAX, block.content_len()));
                self.workers.submit(Job { block, stored, memory_bytes, buffer });
                self.pending.push_back(Pending::InWork);
                self.in_flight_bytes += cost_bytes;
            }
            self.upcoming = self.blocks.next()?;
        }
        Ok(())
    }

    fn is_known_zeros(&self, block: &L::Block, stored: &[u8]) -> bool {
        self.zeros.as_ref().is_some_and(|(known, bytes)| block.decodes_like(known) && bytes == stored)
    }

    /// Takes the next decoded block; false at the end.
    fn advance(&mut self) -> io::Result<bool> {
        self.in_flight_bytes -= self.ready.len() as u64;
        if !self.ready.is_empty() {
            self.spare_decoded.put(std::mem::take(&mut self.ready));
        }
        self.served = 0;
        self.fill()?;
        match self.pending.pop_front() {
            Some(Pending::Zeros { len }) => {
                self.ready_zeros = len;
                self.in_flight_bytes -= BLOCK_COST_BYTES;
            }
            Some(Pending::InWork) => self.take_outcome()?,
            None if self.upcoming.is_some() => {
                return Err(io::Error::other("a block is larger than the budget"));
            }
            None => return Ok(false),
        }
        // Again, so that the workers continue while the caller uses this block.
        self.fill()?;
        Ok(true)
    }

    fn take_outcome(&mut self) -> io::Result<()> {
        let outcome = self.workers.next().ok_or_else(|| io::Error::other("no decoder is at work"))?;
        let mut outcome = outcome.map_err(|panicked| {
            self.failed = true;
            worker_failed(panicked)
        })?;
        if let Some((block, stored)) = outcome.too_large.take() {
            outcome.decoded = block.decode(&stored, self.memory_bytes, Vec::new());
        }
        if let Some(stored) = outcome.stored.take() {
            self.spare_stored.put(stored);
        }
        self.ready = outcome.decoded.inspect_err(|_| self.failed = true)?;
        self.in_flight_bytes -= outcome.freed_bytes;
        if outcome.zeros.is_some() {
            self.zeros = outcome.zeros;
        }
        Ok(())
    }
}

impl<L: BlockList> Read for BlockReader<'_, L> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if self.failed {
                return Err(failed_before(L::Block::FORMAT));
            }
            if buffer.is_empty() || self.served < self.ready.len() {
                let len = buffer.len().min(self.ready.len() - self.served);
                buffer[..len].copy_from_slice(&self.ready[self.served..self.served + len]);
                self.served += len;
                return Ok(len);
            }
            if self.ready_zeros > 0 {
                let len = within(buffer.len(), self.ready_zeros);
                buffer[..len].fill(0);
                self.ready_zeros -= len as u64;
                return Ok(len);
            }
            if !self.advance()? {
                return Ok(0);
            }
        }
    }
}

/// A decoded block, and the part of its cost that is free again.
struct Outcome<B> {
    decoded: Result<Vec<u8>, FormatError>,
    freed_bytes: u64,
    /// The block and its stored bytes, if the memory limit of a worker was too small for it.
    too_large: Option<(B, Vec<u8>)>,
    /// The block and its stored bytes, if all of its content is zero.
    zeros: Option<(B, Vec<u8>)>,
    /// The buffer of the stored bytes, if they are not needed any more.
    stored: Option<Vec<u8>>,
}

fn run_job<B: CodedBlock>(job: Job<B>) -> Outcome<B> {
    let Job { block, stored, memory_bytes, buffer } = job;
    let freed_bytes = stored.len() as u64 + BLOCK_COST_BYTES;
    let decoded = block.decode(&stored, memory_bytes, buffer);
    let mut outcome = Outcome { decoded, freed_bytes, too_large: None, zeros: None, stored: None };
    match &outcome.decoded {
        Err(FormatError::MemoryLimit { .. }) => outcome.too_large = Some((block, stored)),
        Ok(content) if stored.len() <= ZEROS_MAX_BYTES && only_zeros(content) => {
            outcome.zeros = Some((block, stored));
        }
        Ok(_) | Err(_) => outcome.stored = Some(stored),
    }
    outcome
}

/// Reads and decodes one block of `input`, all of whose lengths are within a limit.
///
/// # Errors
/// Of the format; memory limit; those of the input.
pub(super) fn decode_one<B: CodedBlock>(
    input: &mut (dyn ReadAt + Send),
    block: B,
    memory_bytes: u64,
) -> Result<Vec<u8>, FormatError> {
    block.decode(&read_stored(input, &block, Vec::new())?, memory_bytes, Vec::new())
}

/// Reads a block into `stored`, whose content is replaced.
fn read_stored<B: CodedBlock>(
    input: &mut (dyn ReadAt + Send),
    block: &B,
    mut stored: Vec<u8>,
) -> Result<Vec<u8>, FormatError> {
    let len = within(usize::MAX, block.stored_len());
    stored.truncate(len);
    stored.reserve_exact(len - stored.len());
    stored.resize(len, 0);
    input.read_exact_at(block.offset_bytes(), &mut stored)?;
    Ok(stored)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::xz::encode::{XzEncoder, XzSettings};
    use crate::formats::xz::index::{Blocks, Index};
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

    fn reader<'a>(file: &'a mut &'static [u8], memory_bytes: u64) -> BlockReader<'a, Blocks<Index>> {
        let blocks = Index::read(file, MIB).unwrap().into_blocks();
        BlockReader::new(file, blocks, room(4), memory_bytes).unwrap()
    }

    fn room(threads: usize) -> Room {
        Room::new(200_000, threads, 256 * MIB).unwrap()
    }

    /// Of long blocks fewer are in progress at a time, so that they take no more memory than others.
    #[test]
    fn workers_fit_into_the_memory_with_the_blocks_of_the_file() {
        for (block_mib, threads, memory_mib, expected) in [
            (5, 4, 252, Some(4)),
            (5, 4, 20, Some(1)),
            (5, 4, 17, None),
            (11, 4, 252, Some(4)),
            (11, 4, 124, Some(4)),
            (11, 4, 60, Some(2)),
            (11, 4, 28, Some(1)),
            (11, 4, 20, None),
            (64, 16, 252, Some(2)),
            (65, 16, 10_000, None),
        ] {
            // The cost of a block beside its bytes.
            let room = Room::new(
                block_mib * MIB - BLOCK_COST_BYTES * u64::from(block_mib < 64),
                threads,
                memory_mib * MIB,
            );
            assert_eq!(room.map(|room| room.threads), expected, "{block_mib} {memory_mib}");
            if let Some(Room { threads, budget_bytes }) = room {
                assert!(budget_bytes >= 2 * block_mib * MIB);
                let all_bytes = budget_bytes + threads as u64 * WORKER_MEMORY_BYTES;
                assert!(all_bytes <= memory_mib * MIB + USUAL_BYTES_PER_THREAD, "{block_mib} {memory_mib}");
            }
        }
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

    /// Five blocks of zeros, of which one has a wrong check, and one of ones.
    #[test]
    fn blocks_of_zeros_are_decoded_once_and_others_always() {
        let settings = XzSettings { preset: 0, block_len_bytes: 100_000, ..XzSettings::default() };
        let encoded = |content: &[u8]| {
            let mut encoder = XzEncoder::new(Vec::new(), &settings, Compute::Inline).unwrap();
            encoder.write_all(content).unwrap();
            encoder.finish().unwrap()
        };
        let mut content = vec![0; 600_000];
        content[300_000..400_000].fill(1);
        let good = encoded(&content);
        let blocks = || Index::read(&mut &good[..], MIB).unwrap().into_blocks();
        let mut input = &good[..];
        let mut reader = BlockReader::new(&mut input, blocks(), room(1), 80 * MIB).unwrap();
        let mut decoded = vec![0xff; 100_000];
        reader.read_exact(&mut decoded).unwrap();
        let (block, stored) = reader.zeros.clone().unwrap();
        assert!(reader.is_known_zeros(&block, &stored));
        let mut other = block;
        other.uncompressed_len -= 1;
        assert!(!reader.is_known_zeros(&other, &stored), "the index states another length");
        reader.read_to_end(&mut decoded).unwrap();
        assert!(decoded == content);

        // A changed byte in a later block of zeros is found.
        let last = {
            let (mut blocks, mut last) = (blocks(), None);
            while let Some(block) = blocks.next_block().unwrap() {
                last = Some(block);
            }
            last.unwrap()
        };
        let mut bad = good.clone();
        bad[(last.offset_bytes + last.padded_len() - 1) as usize] ^= 1;
        let mut input = &bad[..];
        let mut reader = BlockReader::new(&mut input, blocks(), room(1), 80 * MIB).unwrap();
        let error = reader.read_to_end(&mut Vec::new()).unwrap_err();
        assert_eq!(FormatError::from_io(error).code(), "F-DAMAGED");
    }
}
