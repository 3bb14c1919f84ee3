//! Time: a monotonic clock to wait by, a wall clock for stamps. No decision is ever made on the wall clock, because a
//! board without a battery believes it is 1970.

use std::sync::Arc;
use std::time::Duration;

/// A point in wall-clock time, as files carry it.
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
    /// Time since some fixed point; never goes back.
    fn monotonic(&self) -> Duration;

    /// What the board believes the time is.
    fn wall(&self) -> Timestamp;

    /// Waits; never less than `duration`.
    fn sleep(&self, duration: Duration);
}
layer ClockLayer: Send + Sync;
pointers (& Box Arc);
}
