//! Shares of the work: shards, and time.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// A share of the work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shard {
    index: u64,
    count: u64,
}

impl Shard {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let hint = || format!("{text:?} is not a shard; write it like 1/4");
        let (index, count) = text.split_once('/').ok_or_else(hint)?;
        let (index, count) = (index.parse().map_err(|_| hint())?, count.parse().map_err(|_| hint())?);
        if index == 0 || index > count { Err(hint()) } else { Ok(Self { index, count }) }
    }

    /// Whether the item with this number, from 0, belongs to it.
    pub(super) fn has(self, number: u64) -> bool {
        number % self.count == self.index - 1
    }
}

/// `60s`, `5m`, `1h`, `90`.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let units = [("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000)];
    let unit = units.iter().find_map(|(name, millis)| Some((text.strip_suffix(name)?, *millis)));
    let (number, millis) = unit.unwrap_or((text, 1000));
    let number: u64 =
        number.trim().parse().map_err(|_| format!("{text:?} is not a duration; write it like 60s"))?;
    Ok(Duration::from_millis(number.saturating_mul(millis)))
}

/// Divides the remaining time among the remaining scenarios.
pub(super) struct Clock {
    pub(super) end: Option<Instant>,
    left: AtomicUsize,
    workers: usize,
}

impl Clock {
    pub(super) fn new(budget: Option<Duration>, items: usize) -> Self {
        let workers = std::thread::available_parallelism().map_or(1, usize::from);
        Self { end: budget.map(|budget| Instant::now() + budget), left: AtomicUsize::new(items), workers }
    }

    pub(super) fn is_over(&self) -> bool {
        self.end.is_some_and(|end| Instant::now() >= end)
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        let left = self.left.fetch_sub(1, Ordering::Relaxed).max(1);
        let now = Instant::now();
        let rest = self.end?.saturating_duration_since(now);
        let share = rest.as_secs_f64() * self.workers as f64 / left as f64;
        Some(now + Duration::from_secs_f64(share.min(rest.as_secs_f64())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_shards_parse_as_people_write_them() {
        assert_eq!(duration("60s"), Ok(Duration::from_secs(60)));
        assert_eq!(duration("5m"), Ok(Duration::from_secs(300)));
        assert_eq!(duration("90"), Ok(Duration::from_secs(90)));
        assert!(duration("soon").unwrap_err().contains("60s"));
        let shard = Shard::parse("2/4").unwrap();
        assert_eq!((0..8).filter(|number| shard.has(*number)).collect::<Vec<_>>(), [1, 5]);
        assert!(Shard::parse("5/4").unwrap_err().contains("1/4"));
    }
}
