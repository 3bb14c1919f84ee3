//! Detects a task that blocks outside of the HAL, or computes without an end, however busy the machine is.
//!
//! Wall-clock time alone cannot show that: on a busy machine a task that computes needs ten times as long. So the watchdog
//! reads the processor time of the world's thread. A thread that used none between two checks, and waits neither for a core
//! nor for the kernel, is blocked. The checks are made by one more thread of the process, because all tasks of a world share
//! theirs.

use nix::unistd::Pid;
use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, Once, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// A task that used so many times the limit of processor time without a call computes without an end.
const COMPUTING_MAX: u32 = 12;
/// A thread that used less than this part of the limit is blocked; single wake-ups use some processor time, too.
const PROGRESS: u32 = 100;

/// The thread wakes up at least this often.
const IDLE: Duration = Duration::from_secs(3600);

type Check = Arc<dyn Fn() + Send + Sync>;

/// What is checked, by number.
struct Watches {
    next: u64,
    watched: BTreeMap<u64, Watched>,
    /// When the thread wakes up.
    wakes: Option<Instant>,
}

struct Watched {
    every: Duration,
    due: Instant,
    check: Check,
}

static WATCHES: Mutex<Watches> = Mutex::new(Watches { next: 0, watched: BTreeMap::new(), wakes: None });
static EARLIER: Condvar = Condvar::new();
static STARTED: Once = Once::new();

/// Ends the checks when it is dropped.
pub(super) struct Watch(u64);

impl Drop for Watch {
    fn drop(&mut self) {
        watches().watched.remove(&self.0);
    }
}

/// Calls `check` every so often, from another thread.
pub(super) fn watch(every: Duration, check: impl Fn() + Send + Sync + 'static) -> Watch {
    STARTED.call_once(|| {
        if let Err(error) = thread::Builder::new().name("watchdog".into()).spawn(run) {
            eprintln!("no thread for the watchdog, tasks that are stuck are not detected: {error}");
        }
    });
    let due = Instant::now() + every;
    let mut watches = watches();
    let number = watches.next;
    watches.next += 1;
    watches.watched.insert(number, Watched { every, due, check: Arc::new(check) });
    if watches.wakes.is_some_and(|wakes| due < wakes) {
        EARLIER.notify_one();
    }
    Watch(number)
}

fn watches() -> MutexGuard<'static, Watches> {
    WATCHES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The thread.
fn run() {
    let mut watches = watches();
    loop {
        let now = Instant::now();
        let mut checks: Vec<Check> = Vec::new();
        for watched in watches.watched.values_mut().filter(|watched| watched.due <= now) {
            watched.due = now + watched.every;
            checks.push(Arc::clone(&watched.check));
        }
        drop(watches);
        for check in checks {
            check();
        }
        watches = self::watches();
        let wakes = watches.watched.values().map(|watched| watched.due).min().unwrap_or(now + IDLE);
        watches.wakes = Some(wakes);
        let wait = wakes.saturating_duration_since(Instant::now());
        watches = EARLIER.wait_timeout(watches, wait).unwrap_or_else(PoisonError::into_inner).0;
    }
}

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
        too_long || !computes && !thread.is_some_and(wants_to_run)
    }
}

/// The processor time of a thread of this process; `None` if the kernel does not report it.
fn processor_time(thread: Pid) -> Option<Duration> {
    let text = std::fs::read_to_string(format!("/proc/self/task/{thread}/schedstat")).ok()?;
    Some(Duration::from_nanos(text.split(' ').next()?.parse().ok()?))
}

/// Whether a thread of this process runs, would run if a core were free, or waits for the kernel, such as for a page that is
/// read from a disk.
fn wants_to_run(thread: Pid) -> bool {
    let text = std::fs::read_to_string(format!("/proc/self/task/{thread}/stat")).unwrap_or_default();
    // The state follows the name, which may hold anything but is the last text in parentheses.
    text.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with(['R', 'D']))
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
        let (sender, receiver) = std::sync::mpsc::channel();
        let sleeper = thread::spawn(move || {
            sender.send(gettid()).unwrap();
            thread::park();
        });
        let (mut watchdog, tid) = (Watchdog::default(), receiver.recv().unwrap());
        let ends = [(); 2].map(|()| {
            thread::sleep(2 * LIMIT);
            watchdog.is_stuck(1, Some(tid), LIMIT)
        });
        sleeper.thread().unpark();
        sleeper.join().unwrap();
        assert_eq!(ends, [false, true]);
    }

    #[test]
    fn a_thread_that_waits_for_a_core_is_not_stuck() {
        // This thread used no processor time, and runs.
        assert_eq!(checks(3, |_| thread::sleep(2 * LIMIT)), [false; 3]);
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
