//! How much memory a worker of a codec needs.

use super::encode::XzSettings;

const MIB: u64 = 1 << 20;

/// The first preset whose match finder is a binary tree.
const FIRST_TREE_PRESET: u32 = 4;
/// The parts of an encoder that do not depend on its dictionary.
const STATE_BYTES: u64 = MIB;

impl XzSettings {
    /// The memory that one worker of the encoder needs: dictionary and match finder (7.5 times the dictionary for hash
    /// chains, 11.5 times for binary trees, by liblzma's `lzma12.h`), a block that is encoded, and one that waits.
    pub fn worker_bytes(&self) -> u64 {
        let dictionary = u64::from(self.dictionary_len_bytes());
        let halves = if self.preset < FIRST_TREE_PRESET { 15 } else { 23 };
        let blocks = self.block_len_bytes.saturating_mul(4);
        (dictionary.saturating_mul(halves) / 2).saturating_add(blocks).saturating_add(STATE_BYTES)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_memory_of_a_worker_follows_its_dictionary() {
        let settings = |preset, dictionary_len_bytes| XzSettings {
            preset,
            dictionary_len_bytes,
            block_len_bytes: XzSettings::default().block_len_bytes,
        };
        let of = |preset, dictionary| settings(preset, dictionary).worker_bytes() / MIB;
        // Fast presets have 2 MiB by default, the others the length of a block, which is 4 MiB.
        assert_eq!((of(1, None), of(2, None), of(3, None)), (32, 32, 47));
        assert_eq!((of(1, Some(2 << 20)), of(1, Some(4 << 20))), (32, 47));
        assert_eq!((of(9, None), of(9, Some(64 << 20))), (63, 753));
    }
}
