//! Progress leases of operations that run in parallel.
//!
//! The LEDs have one lease only. If every operation renewed it, a busy operation would hide one that hangs, and its short
//! lease would replace the long lease of one that waits for a tool. So each operation has its own lease here, and the
//! LEDs get the one that ends first.

use replicator_hal::Board;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// The leases of some operations, by number.
pub(crate) struct Leases<'a> {
    board: &'a Board,
    held: Mutex<Vec<Lease>>,
    operations: usize,
}

#[derive(Debug, Clone, Copy)]
struct Lease {
    /// When it runs out; `None` once the operation ended.
    end: Option<Duration>,
    expired: bool,
}

impl<'a> Leases<'a> {
    /// Leases for `operations` operations that all begin now.
    pub(crate) fn new(board: &'a Board, operations: usize, lease: Duration) -> Self {
        let end = Some(board.clock.monotonic().saturating_add(lease));
        let held = Mutex::new(vec![Lease { end, expired: false }; operations]);
        board.leds.renew(lease);
        Self { board, held, operations: operations.max(1) }
    }

    /// How many operations there are, at least one.
    pub(crate) fn operations(&self) -> usize {
        self.operations
    }

    /// Operation `number` made progress, and will again within `lease`.
    pub(crate) fn renew(&self, number: usize, lease: Duration) {
        self.set(number, Some(lease));
    }

    /// Operation `number` ended and has no lease any more.
    pub(crate) fn end(&self, number: usize) {
        self.set(number, None);
    }

    /// Whether the lease of operation `number` ever ran out.
    pub(crate) fn expired(&self, number: usize) -> bool {
        let now = self.board.clock.monotonic();
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.get(number).is_some_and(|own| own.expired || own.end.is_some_and(|end| end < now))
    }

    fn set(&self, number: usize, lease: Option<Duration>) {
        let now = self.board.clock.monotonic();
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = held.get_mut(number) {
            own.expired |= own.end.is_some_and(|end| end < now);
            own.end = lease.map(|lease| now.saturating_add(lease));
        }
        // Under the lock, so that the LEDs get the leases in the order in which they are stored here.
        if let Some(first) = held.iter().filter_map(|lease| lease.end).min() {
            self.board.leds.renew(first.saturating_sub(now));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operation::Operation;
    use crate::tuning::Tuning;
    use replicator_hal::{
        Compute, Leds, MockBlockDevices, MockClock, MockFileSystems, MockFirmware, MockRecords, MockSystem,
        MockTasks, Status,
    };
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    /// Records the last lease of the LEDs.
    #[derive(Default)]
    struct LeaseLog(Mutex<Duration>);

    impl Leds for LeaseLog {
        fn show(&self, _status: Status) {}

        fn renew(&self, lease: Duration) {
            *self.0.lock().unwrap() = lease;
        }

        fn set_at_risk(&self, _at_risk: bool) {}

        fn lease_expired(&self) -> bool {
            false
        }
    }

    /// A board whose clock shows `now` seconds.
    fn board(now: &Arc<AtomicU64>, leds: &Arc<LeaseLog>, compute: Compute) -> Board {
        let mut clock = MockClock::new();
        let now = Arc::clone(now);
        clock.expect_monotonic().returning(move || Duration::from_secs(now.load(Ordering::Relaxed)));
        let mut tasks = MockTasks::new();
        tasks.expect_compute().return_const(compute);
        Board {
            devices: Arc::new(MockBlockDevices::new()),
            file_systems: Arc::new(MockFileSystems::new()),
            leds: Arc::clone(leds) as Arc<dyn Leds>,
            clock: Arc::new(clock),
            tasks: Arc::new(tasks),
            system: Arc::new(MockSystem::new()),
            firmware: Arc::new(MockFirmware::new()),
            records: Arc::new(MockRecords::new()),
        }
    }

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn the_leds_get_the_lease_that_ends_first() {
        let (now, leds) = (Arc::new(AtomicU64::new(0)), Arc::new(LeaseLog::default()));
        let board = board(&now, &leds, Compute::Inline);
        let leases = Leases::new(&board, 2, SECOND * 10);
        let shown = || *leds.0.lock().unwrap();
        leases.renew(0, SECOND * 100);
        assert_eq!(shown(), SECOND * 10, "the other operation did not renew its lease yet");
        now.store(4, Ordering::Relaxed);
        leases.renew(1, SECOND * 10);
        assert_eq!(shown(), SECOND * 10);
        leases.end(1);
        assert_eq!(shown(), SECOND * 96, "only the long lease remains");
        now.store(101, Ordering::Relaxed);
        assert_eq!((leases.expired(0), leases.expired(1)), (true, false));
        leases.renew(0, SECOND * 100);
        assert!(leases.expired(0), "an expired lease stays expired");
    }

    #[test]
    fn workers_and_memory_are_shared_by_operations_side_by_side() {
        let (now, leds) = (Arc::new(AtomicU64::new(0)), Arc::new(LeaseLog::default()));
        for (compute, operations, worker_mib, expected) in [
            (Compute::Threads(4), 1, 18, Compute::Threads(4)),
            (Compute::Threads(4), 3, 18, Compute::Threads(1)),
            (Compute::Threads(1), 3, 18, Compute::Threads(1)),
            // 256 MiB, of which each operation keeps 4 for buffers.
            (Compute::Threads(16), 1, 18, Compute::Threads(14)),
            (Compute::Threads(16), 2, 18, Compute::Threads(6)),
            // Not even one worker fits, so the operation computes in its own task.
            (Compute::Threads(16), 2, 1000, Compute::Inline),
            (Compute::Inline, 3, 18, Compute::Inline),
        ] {
            let board = board(&now, &leds, compute);
            let leases = Leases::new(&board, operations, SECOND);
            let tuning = Tuning::default();
            let operation = Operation::new(&board, &tuning, "sd", "sd").beside_others(&leases, 0);
            assert_eq!(operation.compute(worker_mib << 20, 1).codec, expected);
        }
    }

    #[test]
    fn the_threads_of_the_settings_hold_for_codecs_digests_and_readers_together() {
        let (now, leds) = (Arc::new(AtomicU64::new(0)), Arc::new(LeaseLog::default()));
        let board = board(&now, &leds, Compute::Threads(8));
        let count = |compute| match compute {
            Compute::Inline => 0,
            Compute::Threads(threads) => threads,
        };
        for (threads, operations, digests, codec_workers, digest_workers, readers) in [
            (None, 1, 2, 8, 1, 4),
            (Some(1), 1, 2, 1, 0, 1),
            (Some(2), 1, 2, 2, 0, 2),
            (Some(2), 1, 1, 2, 0, 2),
            (Some(3), 1, 1, 2, 1, 3),
            (Some(4), 1, 2, 2, 1, 4),
            (Some(8), 1, 2, 6, 1, 4),
            (Some(8), 2, 1, 3, 1, 4),
            (Some(2), 3, 1, 0, 0, 1),
        ] {
            let leases = Leases::new(&board, operations, SECOND);
            let tuning = Tuning { threads, ..Tuning::default() };
            let operation = Operation::new(&board, &tuning, "sd", "sd").beside_others(&leases, 0);
            let computing = operation.compute(18 << 20, digests);
            let found = (count(computing.codec), count(computing.digests), operation.readers(4));
            assert_eq!(found, (codec_workers, digest_workers, readers), "{threads:?}, {operations}");
            let all = found.0 + digests * found.1;
            assert!(threads.is_none_or(|threads| all <= threads), "{threads:?}: {all} workers");
        }
    }
}
