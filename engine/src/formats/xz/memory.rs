//! How much memory a worker of a codec needs.

use super::encode::XzSettings;

const MIB: u64 = 1 << 20;

/// The dictionaries of the presets 0 to 9, in bytes (`xz`(1)).
const PRESET_DICTIONARY_BYTES: [u64; 10] =
    [MIB / 4, MIB, 2 * MIB, 4 * MIB, 4 * MIB, 8 * MIB, 8 * MIB, 16 * MIB, 32 * MIB, 64 * MIB];
/// The first preset whose match finder is a binary tree.
const FIRST_TREE_PRESET: u32 = 4;
/// The parts of an encoder that do not depend on its dictionary.
const STATE_BYTES: u64 = MIB;

impl XzSettings {
    /// The memory that one worker of the encoder needs: dictionary and match finder (7.5 times the dictionary for hash
    /// chains, 11.5 times for binary trees, by liblzma's `lzma12.h`), a block that is encoded, and one that waits.
    pub fn worker_bytes(&self) -> u64 {
        let preset = PRESET_DICTIONARY_BYTES.len().min(self.preset as usize + 1) - 1;
        let dictionary = self.dictionary_len_bytes.map_or(PRESET_DICTIONARY_BYTES[preset], u64::from);
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
        assert_eq!(of(2, None), 32);
        assert_eq!(of(1, Some(4 << 20)), 47);
        assert_eq!(of(9, None), 753);
        assert_eq!(of(100, None), 753);
    }
}
