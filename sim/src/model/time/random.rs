//! Random numbers of one run: a root seed, and one child generator per component by name.
//!
//! A child depends only on the root seed and its own name, so that a new random choice in one component does not
//! change the choices of others. The generator is SplitMix64: small, fast, and good enough for latencies and survival
//! subsets. It is not for keys.

use crate::model::bytes::digest::{FOLD_START, fold};

/// A deterministic generator.
#[derive(Debug, Clone)]
pub struct Random {
    state: u64,
}

impl Random {
    /// The generator of the component `name` in a run with this root seed.
    pub fn child(root_seed: u64, name: &str) -> Self {
        let mut random = Self { state: fold(FOLD_START, name.as_bytes()) ^ root_seed };
        // One extra round, so that similar seeds do not start with similar numbers.
        random.state = random.next();
        random
    }

    /// The next 64 bits.
    #[allow(clippy::should_implement_trait, reason = "an endless generator is not an iterator")]
    pub fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `limit`; 0 if `limit` is 0.
    pub fn below(&mut self, limit: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(limit)) >> 64) as u64
    }

    /// True in one half of all cases.
    pub fn coin(&mut self) -> bool {
        self.next() >> 63 == 1
    }

    /// Replaces bytes by garbage in one half of all cases.
    pub fn tear(&mut self, bytes: &mut [u8]) {
        if self.coin() {
            bytes.iter_mut().for_each(|byte| *byte = self.next() as u8);
        }
    }

    /// Puts items in a random order.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for end in (1..items.len()).rev() {
            let other = self.below(end as u64 + 1) as usize;
            items.swap(end, other);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_depends_on_seed_and_name_alone() {
        let first = |seed, name| Random::child(seed, name).next();
        assert_eq!(first(1, "schedule"), first(1, "schedule"));
        assert_ne!(first(1, "schedule"), first(2, "schedule"));
        assert_ne!(first(1, "schedule"), first(1, "disk:sd"));
    }

    #[test]
    fn below_stays_below_and_shuffle_keeps_all() {
        let mut random = Random::child(3, "test");
        assert!((0..1000).all(|_| random.below(7) < 7));
        assert_eq!(random.below(0), 0);
        let mut items: Vec<u32> = (0..50).collect();
        random.shuffle(&mut items);
        assert_ne!(items, (0..50).collect::<Vec<u32>>());
        items.sort_unstable();
        assert_eq!(items, (0..50).collect::<Vec<u32>>());
    }
}
