//! Reads single ranges of the content of a file with blocks, by decoding only the blocks with them.

use std::io;

use super::block_reader::{CodedBlock, decode_one};
use super::{FormatError, ReadAt};

/// Limit of the sum of stored and decoded bytes of a block.
const BLOCK_MAX_BYTES: u64 = 64 * 1024 * 1024;

/// Where the blocks of a file are.
pub(super) trait BlockIndex {
    /// A block.
    type Block: CodedBlock;

    /// Length of the content.
    fn content_len(&self) -> u64;

    /// The block with the content at `offset_bytes`; `None` behind the end.
    ///
    /// # Errors
    /// Of the format.
    fn block_at(&self, offset_bytes: u64) -> Result<Option<Self::Block>, FormatError>;
}

/// The decoded content of a file, at offsets. It keeps the block that was read last.
pub(super) struct SeekReader<'a, M: BlockIndex> {
    input: &'a mut (dyn ReadAt + Send),
    map: M,
    memory_bytes: u64,
    kept: Option<(M::Block, Vec<u8>)>,
}

/// Whether a file's blocks are small enough to decode single ones, if the largest takes this, stored and decoded.
pub(super) fn fits(largest_block_bytes: u64) -> bool {
    largest_block_bytes <= BLOCK_MAX_BYTES
}

impl<'a, M: BlockIndex> SeekReader<'a, M> {
    /// `map` is that of `input`, and its largest block [`fits`]. A block's dictionary may take `memory_bytes`.
    pub(super) fn new(input: &'a mut (dyn ReadAt + Send), map: M, memory_bytes: u64) -> Self {
        Self { input, map, memory_bytes, kept: None }
    }
}

impl<M: BlockIndex> ReadAt for SeekReader<'_, M> {
    fn len_bytes(&self) -> u64 {
        self.map.content_len()
    }

    fn read_at(&mut self, offset_bytes: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(block) = self.map.block_at(offset_bytes)? else { return Ok(0) };
        if self.kept.as_ref().is_none_or(|(kept, _)| *kept != block) {
            self.kept = None;
            let decoded = decode_one(self.input, block, self.memory_bytes)?;
            self.kept = Some((block, decoded));
        }
        let Some((_, mut decoded)) = self.kept.as_ref().map(|(block, decoded)| (block, decoded.as_slice()))
        else {
            return Ok(0);
        };
        decoded.read_at(offset_bytes - block.content_offset_bytes(), buffer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::xz::encode::{XzEncoder, XzSettings};
    use crate::formats::xz::index::Index;
    use replicator_hal::Compute;
    use std::io::Write;

    const LEN: usize = 300_000;

    fn plain() -> Vec<u8> {
        let mut state = 1_u64;
        let next = |_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 56) as u8
        };
        (0..LEN).map(next).collect()
    }

    /// Blocks of 100 000 bytes, in two streams.
    fn packed() -> Vec<u8> {
        let plain = plain();
        let mut file = Vec::new();
        for half in [&plain[..150_000], &plain[150_000..]] {
            let settings = XzSettings { preset: 0, dictionary_len_bytes: None, block_len_bytes: 100_000 };
            let mut encoder = XzEncoder::new(Vec::new(), &settings, Compute::Inline).unwrap();
            encoder.write_all(half).unwrap();
            file.extend(encoder.finish().unwrap());
        }
        file
    }

    fn read(file: &[u8], at: u64, len: usize) -> Result<Vec<u8>, FormatError> {
        let mut input = file;
        let index = Index::read(&mut input, 1 << 20)?;
        assert!(fits(index.largest_block_bytes));
        let mut reader = SeekReader::new(&mut input, index, 80 << 20);
        assert_eq!(reader.len_bytes(), LEN as u64);
        let mut bytes = vec![0; len];
        reader.read_exact_at(at, &mut bytes)?;
        Ok(bytes)
    }

    #[test]
    fn every_range_is_the_same_as_in_the_whole_content() {
        let (plain, file) = (plain(), packed());
        let borders = [0, 1, 99_999, 100_000, 149_999, 150_000, 249_999, 250_000, 299_000];
        for at in borders {
            for len in [1, 2, 1000] {
                assert!(read(&file, at, len).unwrap() == plain[at as usize..at as usize + len], "{at} {len}");
            }
        }
        assert!(read(&file, 0, LEN).unwrap() == plain);
        assert_eq!(read(&file, LEN as u64 - 1, 2).unwrap_err().code(), "F-IO");
        assert_eq!(read(&file, u64::MAX, 1).unwrap_err().code(), "F-IO");
    }

    #[test]
    fn damage_is_found_only_in_its_block() {
        let mut file = packed();
        // In the first block, well before the second.
        file[50_000] ^= 1;
        assert_eq!(read(&file, 0, 1).unwrap_err().code(), "F-DAMAGED");
        assert!(read(&file, 100_000, 10).is_ok());
    }
}
