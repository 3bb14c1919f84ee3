//! Time: a monotonic clock for waiting, and a wall clock for timestamps. No decision depends on the wall clock, because
//! it starts in 1970 on a board without a battery.

use std::sync::Arc;
use std::time::Duration;

/// A point in wall-clock time, as in the metadata of files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp {
    /// Seconds since 1970-01-01 00:00:00 UTC; may be negative.
    pub seconds: i64,
    /// Nanoseconds after that second, below 1,000,000,000.
    pub nanos: u32,
}

crate::forward::part! {
/// The board's clock.
#[cfg_attr(feature = "mock", mockall::automock)]
pub trait Clock: Send + Sync {
    /// Time since a fixed point; never decreases.
    fn monotonic(&self) -> Duration;

    /// The time of the board's clock, which may be wrong.
    fn wall(&self) -> Timestamp;

    /// Waits for at least `duration`.
    fn sleep(&self, duration: Duration);
}
layer ClockLayer: Send + Sync;
pointers (& Box Arc);
}
