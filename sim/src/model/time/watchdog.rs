//! Detects a task that blocks outside of the HAL, or computes without an end, however busy the machine is.
//!
//! Wall-clock time alone cannot show that: on a busy machine a task that computes needs ten times as long. So the watchdog
//! reads the processor time of the task's thread. A thread that used none between two checks is blocked.

use nix::unistd::Pid;
use std::time::{Duration, Instant};

/// A task that used so many times the limit of processor time without a call computes without an end.
const COMPUTING_MAX: u32 = 12;
/// A thread that used less than this part of the limit is blocked; single wake-ups use some processor time, too.
const PROGRESS: u32 = 100;

/// The last check of the running task.
#[derive(Debug, Default)]
pub(super) struct Watchdog(Option<Sample>);

#[derive(Debug)]
struct Sample {
    switches: u64,
    at: Instant,
    first: Option<Duration>,
    last: Option<Duration>,
}

impl Watchdog {
    /// Whether `thread` is stuck. `switches` counts task switches: as long as it is the same, the thread made no call.
    /// A check less than `limit` after the last one has no effect.
    pub(super) fn is_stuck(&mut self, switches: u64, thread: Option<Pid>, limit: Duration) -> bool {
        let (at, used) = (Instant::now(), thread.and_then(processor_time));
        let Some(sample) = self.0.as_mut().filter(|sample| sample.switches == switches) else {
            self.0 = Some(Sample { switches, at, first: used, last: used });
            return false;
        };
        if at.duration_since(sample.at) < limit {
            return false;
        }
        let since = |before: Option<Duration>| Some(used?.saturating_sub(before?));
        let computes = since(sample.last).is_some_and(|used| used >= limit / PROGRESS);
        let too_long = since(sample.first).is_some_and(|used| used >= limit * COMPUTING_MAX);
        (sample.at, sample.last) = (at, used);
        !computes || too_long
    }
}

/// The processor time of a thread of this process; `None` if the kernel does not report it.
fn processor_time(thread: Pid) -> Option<Duration> {
    let text = std::fs::read_to_string(format!("/proc/self/task/{thread}/schedstat")).ok()?;
    Some(Duration::from_nanos(text.split(' ').next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::unistd::gettid;
    use std::thread;

    const LIMIT: Duration = Duration::from_millis(50);

    /// Checks `count` times, with `work` before each check.
    fn checks(count: u32, work: impl Fn(u32)) -> Vec<bool> {
        let mut watchdog = Watchdog::default();
        let check = |number| {
            work(number);
            watchdog.is_stuck(1, Some(gettid()), LIMIT)
        };
        (0..count).map(check).collect()
    }

    fn compute_for(time: Duration) {
        let start = processor_time(gettid()).unwrap();
        while processor_time(gettid()).unwrap() - start < time {}
    }

    #[test]
    fn a_thread_that_sleeps_is_stuck_at_the_second_check() {
        assert_eq!(checks(2, |_| thread::sleep(2 * LIMIT)), [false, true]);
    }

    #[test]
    fn a_thread_that_computes_is_stuck_only_after_much_processor_time() {
        assert_eq!(checks(3, |_| compute_for(LIMIT)), [false; 3]);
        let ends = checks(3, |number| compute_for(if number == 2 { COMPUTING_MAX * LIMIT } else { LIMIT }));
        assert_eq!(ends, [false, false, true]);
    }

    #[test]
    fn a_check_that_is_too_early_or_after_a_switch_reports_nothing() {
        let mut watchdog = Watchdog::default();
        let hour = Duration::from_secs(3600);
        assert!((0..3).all(|_| !watchdog.is_stuck(1, Some(gettid()), hour)));
        thread::sleep(2 * LIMIT);
        assert!(!watchdog.is_stuck(2, Some(gettid()), LIMIT));
    }
}
