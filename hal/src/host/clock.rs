//! The host's clock.

use crate::{Clock, Timestamp};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The clock of the machine. Its monotonic time starts when the value is created.
#[derive(Debug, Clone, Copy)]
pub struct HostClock {
    start: Instant,
}

impl HostClock {
    /// A clock that starts now.
    pub fn new() -> Self {
        Self { start: Instant::now() }
    }
}

impl Default for HostClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for HostClock {
    fn monotonic(&self) -> Duration {
        self.start.elapsed()
    }

    fn wall(&self) -> Timestamp {
        timestamp(SystemTime::now())
    }

    fn sleep(&self, duration: Duration) {
        std::thread::sleep(duration);
    }
}

fn timestamp(time: SystemTime) -> Timestamp {
    let seconds = |duration: Duration| i64::try_from(duration.as_secs()).unwrap_or(i64::MAX);
    match time.duration_since(UNIX_EPOCH) {
        Ok(since) => Timestamp { seconds: seconds(since), nanos: since.subsec_nanos() },
        // Before 1970 the nanoseconds still count upwards from the second.
        Err(error) => match (seconds(error.duration()), error.duration().subsec_nanos()) {
            (before, 0) => Timestamp { seconds: -before, nanos: 0 },
            (before, nanos) => Timestamp { seconds: -before - 1, nanos: 1_000_000_000 - nanos },
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_before_1970_count_upwards_within_the_second() {
        let before = UNIX_EPOCH - Duration::from_millis(250);
        assert_eq!(timestamp(before), Timestamp { seconds: -1, nanos: 750_000_000 });
        assert_eq!(timestamp(UNIX_EPOCH - Duration::from_secs(2)), Timestamp { seconds: -2, nanos: 0 });
        assert_eq!(timestamp(UNIX_EPOCH + Duration::from_nanos(7)), Timestamp { seconds: 0, nanos: 7 });
    }
}
