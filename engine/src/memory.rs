//! How much memory a run may use.
//!
//! A board with little memory and many cores would otherwise be out of memory: each worker of a codec has its own
//! dictionary and its own blocks. The budget is a part of the memory of the board, or what the drive's settings say. It
//! limits the workers, the lists of a tarball's entries, and the dictionaries of images. How much a worker needs is in
//! `formats`.

/// The smallest budget: one worker of a codec with short blocks, and the buffers.
const FLOOR_BYTES: u64 = 24 * MIB;
/// Which part of the memory the budget is.
const PART: u64 = 4;
/// The assumed memory of a board that does not show it.
const ASSUMED_BYTES: u64 = 1024 * MIB;
/// For the buffers of an operation, and the map of its image.
const FIXED_BYTES: u64 = 4 * MIB;
const MIB: u64 = 1 << 20;

/// The memory of the board, and the part of it that a run may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    /// All memory that programs on the board may use.
    pub available_bytes: u64,
    /// What a run may use of it for workers and buffers.
    pub budget_bytes: u64,
}

impl Memory {
    /// A quarter of the `available_bytes`, at least 24 MiB; or the `budget_mib` of the settings, which may not be less.
    pub fn new(available_bytes: Option<u64>, budget_mib: Option<u64>) -> Self {
        let available_bytes = available_bytes.unwrap_or(ASSUMED_BYTES);
        let wanted = budget_mib.map_or(available_bytes / PART, |mib| mib.saturating_mul(MIB));
        Self { available_bytes, budget_bytes: wanted.max(FLOOR_BYTES) }
    }

    /// What one of `operations` may use for its workers.
    pub(crate) fn room_for_workers_bytes(self, operations: usize) -> u64 {
        (self.budget_bytes / operations.max(1) as u64).saturating_sub(FIXED_BYTES)
    }

    /// How many workers that need `worker_bytes` each fit into the part of one of `operations`; 0 if not even one does.
    pub(crate) fn workers(self, operations: usize, worker_bytes: u64) -> usize {
        let workers = self.room_for_workers_bytes(operations) / worker_bytes.max(1);
        usize::try_from(workers).unwrap_or(usize::MAX)
    }

    /// The limit for a dictionary or window of a foreign image, of which one exists at a time: `usual_bytes`, but at most
    /// half of the memory, because without it the image cannot be written at all.
    pub(crate) fn dictionary_bytes(self, usual_bytes: u64) -> u64 {
        self.limit(usual_bytes, 2)
    }

    /// The limit for the index of an archive that is made while it is packed: a 16th of the budget.
    pub(crate) fn archive_index_bytes(self) -> usize {
        usize::try_from(self.budget_bytes / 16).unwrap_or(usize::MAX)
    }

    /// The limit for a list of a tarball's entries that is kept only if it fits into the budget beside a decoder:
    /// `usual_bytes`, but at most a quarter of the budget.
    pub(crate) fn list_within_budget_bytes(self, usual_bytes: u64) -> u64 {
        usual_bytes.min(self.budget_bytes / PART)
    }

    /// The limit for the list of a tarball's entries without which the tarball cannot be written: `usual_bytes`, but at most the
    /// quarter of the memory or the budget.
    pub(crate) fn list_bytes(self, usual_bytes: u64) -> u64 {
        self.limit(usual_bytes, PART)
    }

    /// `usual_bytes`, but at most the `part`th part of the memory or the budget, whichever is more.
    fn limit(self, usual_bytes: u64, part: u64) -> u64 {
        usual_bytes.min((self.available_bytes / part).max(self.budget_bytes))
    }
}

impl Default for Memory {
    fn default() -> Self {
        Self::new(None, None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_budget_is_a_quarter_of_the_memory_and_not_too_small() {
        for (available_mib, wanted_mib, budget_mib) in
            [(1024, None, 256), (64, None, 24), (128, None, 32), (64, Some(40), 40), (4096, Some(1), 24)]
        {
            let memory = Memory::new(Some(available_mib * MIB), wanted_mib);
            assert_eq!(memory.budget_bytes, budget_mib * MIB, "{available_mib} {wanted_mib:?}");
        }
        assert_eq!(Memory::default().budget_bytes, 256 * MIB);
    }

    #[test]
    fn workers_fit_into_the_part_of_an_operation() {
        let memory = Memory::new(Some(512 * MIB), None);
        assert_eq!(memory.workers(1, 31 * MIB), 4);
        assert_eq!(memory.workers(2, 31 * MIB), 1);
        assert_eq!(memory.workers(16, 31 * MIB), 0);
        assert_eq!(memory.workers(0, 0), 124 << 20);
    }

    #[test]
    fn one_large_dictionary_may_take_half_of_the_memory() {
        for (available_mib, limit_mib) in [(64, 32), (128, 64), (256, 80), (16, 24)] {
            let memory = Memory::new(Some(available_mib * MIB), None);
            assert_eq!(memory.dictionary_bytes(80 * MIB), limit_mib * MIB, "{available_mib}");
        }
    }
}
