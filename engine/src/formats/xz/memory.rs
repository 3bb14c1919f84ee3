//! How much memory a worker of a codec needs.

use super::encode::XzSettings;

const MIB: u64 = 1 << 20;

/// The first preset whose match finder is a binary tree.
const FIRST_TREE_PRESET: u32 = 4;
/// No dictionary and no block becomes shorter to save memory.
const LEAST_LEN_BYTES: u64 = MIB / 4;
/// Neither becomes shorter than this to let more workers fit. Root file systems of Debian are 7 % larger in such blocks than
/// in a single one.
const USUAL_DICTIONARY_BYTES: u64 = 2 * MIB;
const USUAL_BLOCK_BYTES: u64 = 4 * MIB;
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

    /// The same with a dictionary and blocks that are halved until all `workers` need at most `limit_bytes` together, or until
    /// they have their usual lengths. A stated dictionary is kept. If then even one worker needs more, they are halved further
    /// until it does not, or until they have their least lengths.
    #[must_use]
    pub fn for_workers(mut self, workers: usize, limit_bytes: u64) -> Self {
        let share_bytes = limit_bytes / workers.max(1) as u64;
        if self.dictionary_len_bytes.is_none() {
            self = self.within(share_bytes, USUAL_DICTIONARY_BYTES, USUAL_BLOCK_BYTES);
        }
        self.within(limit_bytes, LEAST_LEN_BYTES, LEAST_LEN_BYTES)
    }

    /// Halves dictionary and blocks until one worker needs at most `limit_bytes`, but not below the least lengths. A dictionary
    /// of half or a quarter of a block costs less of the size than blocks of half the length, so it is halved first.
    fn within(mut self, limit_bytes: u64, least_dictionary_bytes: u64, least_block_bytes: u64) -> Self {
        while self.worker_bytes() > limit_bytes {
            let dictionary = self.dictionary_len_bytes();
            let can_be_halved = |len: u64, least: u64| len / 2 >= least;
            if u64::from(dictionary) > self.block_len_bytes / 4
                && can_be_halved(dictionary.into(), least_dictionary_bytes)
            {
                self.dictionary_len_bytes = Some(dictionary / 2);
            } else if can_be_halved(self.block_len_bytes, least_block_bytes) {
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
        let of = |preset, dictionary_len_bytes| {
            XzSettings { preset, dictionary_len_bytes, ..XzSettings::default() }.worker_bytes() / MIB
        };
        // Fast presets have 2 MiB by default, the others the length of a block, which is 8 MiB.
        assert_eq!((of(1, None), of(2, None), of(3, None), of(9, None)), (48, 48, 93, 125));
        assert_eq!((of(1, Some(2 << 20)), of(1, Some(4 << 20)), of(9, Some(64 << 20))), (48, 63, 769));
    }

    #[test]
    fn dictionary_and_blocks_become_shorter_until_the_workers_fit() {
        let fitted = |preset, dictionary_len_bytes, workers, limit_mib: u64| {
            let settings = XzSettings { preset, dictionary_len_bytes, ..XzSettings::default() };
            let fitted = settings.for_workers(workers, limit_mib * MIB);
            (fitted.dictionary_len_bytes() / 1024, fitted.block_len_bytes / 1024)
        };
        assert_eq!(fitted(3, None, 1, 93), (8192, 8192), "it fits");
        assert_eq!(fitted(3, None, 2, 252), (8192, 8192), "two fit");
        assert_eq!(fitted(3, None, 4, 252), (4096, 8192));
        assert_eq!(fitted(3, None, 4, 200), (2048, 8192));
        assert_eq!(fitted(1, None, 4, 200), (2048, 8192));
        assert_eq!(fitted(1, None, 4, 128), (2048, 4096));
        assert_eq!(fitted(1, None, 16, 128), (2048, 4096), "fewer workers instead of a larger file");
        assert_eq!(fitted(1, None, 16, 31), (1024, 4096), "not even one fits");
        assert_eq!(fitted(1, None, 1, 20), (1024, 2048));
        assert_eq!(fitted(1, Some(256 << 10), 1, 35), (256, 8192), "a dictionary that is short already");
        assert_eq!(fitted(9, Some(8 << 20), 4, 252), (8192, 8192), "a stated dictionary");
        assert_eq!(fitted(9, None, 1, 0), (256, 256), "the least lengths");
        for preset in 0..=9 {
            let settings = XzSettings { preset, ..XzSettings::default() };
            for workers in [1, 4] {
                assert!(settings.for_workers(workers, 20 * MIB).worker_bytes() <= 20 * MIB, "{preset}");
            }
        }
    }
}
