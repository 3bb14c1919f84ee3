//! The progress leases of operations that run in parallel.
//!
//! The LEDs know one lease only. If every operation renewed it for itself, a busy one would hide that another hangs, and
//! its short lease would cut off the long one of another that waits for a tool. So each has a lease of its own here, and
//! the LEDs get the one that ends first.

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

    /// Operation `number` ended: nobody waits for it any more.
    pub(crate) fn end(&self, number: usize) {
        self.set(number, None);
    }

    /// Whether operation `number` ever let its lease run out.
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
        // Under the lock, so that the LEDs get the leases in the order in which they are noted here.
        if let Some(first) = held.iter().filter_map(|lease| lease.end).min() {
            self.board.leds.renew(first.saturating_sub(now));
        }
    }
}
