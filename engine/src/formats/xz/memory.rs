//! How much memory a worker of a codec needs.

use super::encode::XzSettings;

const MIB: u64 = 1 << 20;

/// The first preset whose match finder is a binary tree.
const FIRST_TREE_PRESET: u32 = 4;
/// No dictionary and no block becomes shorter to save memory.
const LEAST_LEN_BYTES: u64 = MIB / 4;
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

    /// The same with a dictionary and blocks that are halved until one worker needs at most `limit_bytes`, or until they have
    /// their least lengths. A dictionary of half a block makes an image less than 1 % larger than a dictionary of a whole one,
    /// so it is halved first.
    #[must_use]
    pub fn within(mut self, limit_bytes: u64) -> Self {
        while self.worker_bytes() > limit_bytes {
            let dictionary = self.dictionary_len_bytes();
            if u64::from(dictionary) > (self.block_len_bytes / 2).max(LEAST_LEN_BYTES) {
                self.dictionary_len_bytes = Some(dictionary / 2);
            } else if self.block_len_bytes >= 2 * LEAST_LEN_BYTES {
                // Stated, because it would be the length of a block by default.
                self.dictionary_len_bytes = Some(dictionary);
                self.block_len_bytes /= 2;
            } else {
                break;
            }
        }
        self
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

    #[test]
    fn dictionary_and_blocks_become_shorter_until_a_worker_fits() {
        let fitted = |preset, dictionary_len_bytes, limit_mib: u64| {
            let settings = XzSettings { preset, dictionary_len_bytes, ..XzSettings::default() };
            let fitted = settings.within(limit_mib * MIB);
            (fitted.dictionary_len_bytes() / 1024, fitted.block_len_bytes / 1024)
        };
        assert_eq!(fitted(1, None, 32), (2048, 4096), "it fits");
        assert_eq!(fitted(1, None, 31), (2048, 2048));
        assert_eq!(fitted(1, None, 20), (1024, 2048));
        assert_eq!(fitted(1, Some(256 << 10), 20), (256, 4096), "a dictionary that is short already");
        assert_eq!(fitted(9, None, 20), (1024, 1024));
        assert_eq!(fitted(9, Some(64 << 20), 20), (1024, 1024));
        assert_eq!(fitted(9, None, 0), (256, 256), "the least lengths");
        for preset in 0..=9 {
            let settings = XzSettings { preset, ..XzSettings::default() };
            assert!(settings.within(20 * MIB).worker_bytes() <= 20 * MIB, "{preset}");
        }
    }
}
