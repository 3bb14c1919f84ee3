//! The LED thread: it switches the LEDs, sleeps until the next edge, and watches the progress lease.
//!
//! Callers only change a shared state, so a slow or broken LED never delays the work. [`LedLines`] switches the LEDs;
//! [`level`] computes when they are lit.

use super::led_lines::LedLines;
use crate::{Error, Led, LedState, Leds, Status, level};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Every pattern repeats within this time.
const PATTERN_MAX: Duration = Duration::from_millis(2000);
/// Sleep if there is nothing to do. A call wakes the thread at once.
const IDLE: Duration = Duration::from_secs(3600);

/// The LEDs, switched by a thread. Dropping ends the thread; the LEDs stay as they are at that moment.
pub struct LedThread {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    /// The start of the times in the state.
    start: Instant,
}

#[derive(Default)]
struct State {
    /// Nothing is shown at first: the LEDs stay as the kernel set them.
    leds: LedState,
    ended: bool,
}

/// How long the LEDs stay as they are.
fn next_event(leds: &LedState, now: Duration) -> Duration {
    let Some((status, since)) = leds.shown() else { return IDLE };
    let edge = next_edge(status, now.saturating_sub(since));
    leds.lease_end().map_or(edge, |end| edge.min(end.saturating_sub(now)))
}

/// Time from `since` to the next change of either LED.
fn next_edge(status: Status, since: Duration) -> Duration {
    let at = |time| [Led::Red, Led::Green].map(|led| level(status, led, time));
    let now = at(since);
    // All edges are on whole milliseconds.
    let first = Duration::from_millis(since.as_millis() as u64 + 1);
    let mut time = first;
    while time < first + PATTERN_MAX {
        if at(time) != now {
            return time - since;
        }
        time += Duration::from_millis(1);
    }
    IDLE
}

impl LedThread {
    /// Starts the thread. `note` is called with the first error of each LED.
    ///
    /// # Errors
    /// If no thread can be started.
    pub(super) fn start(
        lines: Box<dyn LedLines>,
        note: impl Fn(&Error) + Send + 'static,
    ) -> std::io::Result<Self> {
        let shared =
            Arc::new(Shared { state: Mutex::default(), changed: Condvar::new(), start: Instant::now() });
        let thread_shared = Arc::clone(&shared);
        thread::Builder::new()
            .name("leds".to_owned())
            .spawn(move || render(&thread_shared, lines, note))
            .map(|_detached| Self { shared })
    }

    /// The current status; `None` before the first.
    pub fn shown(&self) -> Option<Status> {
        self.shared.look(|leds, _| leds.shown().map(|(status, _)| status))
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Calls `look` with the state and the time. An expired lease is entered into the state first, and not only by the
    /// thread, because the thread may be blocked by an LED.
    fn look<T>(&self, look: impl FnOnce(&mut LedState, Duration) -> T) -> T {
        let mut state = self.lock();
        let now = self.start.elapsed();
        state.leds.advance(now);
        look(&mut state.leds, now)
    }

    /// As [`Shared::look`], and wakes the thread.
    fn change(&self, change: impl FnOnce(&mut LedState, Duration)) {
        self.look(change);
        self.changed.notify_all();
    }
}

fn render(shared: &Shared, mut lines: Box<dyn LedLines>, note: impl Fn(&Error)) {
    const LEDS: [Led; 2] = [Led::Red, Led::Green];
    let mut wanted = None;
    let mut lit = [None; 2];
    let mut reported = [false; 2];
    loop {
        let mut state = shared.lock();
        if state.ended {
            return;
        }
        let now = shared.start.elapsed();
        state.leds.advance(now);
        let shown = state.leds.shown();
        let levels =
            shown.map(|(status, since)| LEDS.map(|led| level(status, led, now.saturating_sub(since))));
        let Some(levels) = levels.filter(|levels| wanted != Some(*levels)) else {
            let sleep = next_event(&state.leds, now);
            drop(shared.changed.wait_timeout(state, sleep));
            continue;
        };
        // Not under the lock, because switching can be slow.
        drop(state);
        wanted = Some(levels);
        for (index, led) in LEDS.into_iter().enumerate() {
            if lit[index] == Some(levels[index]) {
                continue;
            }
            // An LED that fails is tried again at the next edge of either LED.
            let result = lines.set(led, levels[index]);
            lit[index] = result.is_ok().then_some(levels[index]);
            if let Err(error) = result {
                if !std::mem::replace(&mut reported[index], true) {
                    note(&error);
                }
            }
        }
    }
}

impl Leds for LedThread {
    fn show(&self, status: Status) {
        self.shared.change(|leds, now| leds.show(status, now));
    }

    fn renew(&self, lease: Duration) {
        self.shared.change(|leds, now| leds.renew(lease, now));
    }

    fn set_at_risk(&self, at_risk: bool) {
        self.shared.change(|leds, now| leds.set_at_risk(at_risk, now));
    }

    fn lease_expired(&self) -> bool {
        self.shared.look(|leds, _| leds.lease_expired())
    }
}

impl Drop for LedThread {
    fn drop(&mut self) {
        // Not joined: a blocked LED must not delay the end.
        self.shared.lock().ended = true;
        self.shared.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;
    use std::sync::mpsc;

    struct Recorder(mpsc::Sender<(Instant, Led, bool)>);

    impl LedLines for Recorder {
        fn set(&mut self, led: Led, on: bool) -> crate::Result<()> {
            self.0.send((Instant::now(), led, on)).unwrap();
            Ok(())
        }
    }

    fn recorded() -> (LedThread, mpsc::Receiver<(Instant, Led, bool)>) {
        let (sender, receiver) = mpsc::channel();
        let leds = LedThread::start(Box::new(Recorder(sender)), |error| panic!("{error}")).unwrap();
        (leds, receiver)
    }

    fn next(receiver: &mpsc::Receiver<(Instant, Led, bool)>) -> (Instant, Led, bool) {
        receiver.recv_timeout(Duration::from_secs(5)).unwrap()
    }

    #[test]
    fn edges_come_on_time() {
        // A busy test machine may be late for a while, but not always.
        let on_time = (0..4).any(|_| median_lateness_ms() <= 20);
        assert!(on_time, "never within 20 ms");
    }

    fn median_lateness_ms() -> u128 {
        let (leds, edges) = recorded();
        leds.show(Status::Critical);
        let (mut last, led, on) = next(&edges);
        assert_eq!((led, on), (Led::Red, true));
        assert_eq!(next(&edges).1, Led::Green);
        let mut late = Vec::new();
        for index in 0..10 {
            let (at, led, on) = next(&edges);
            assert_eq!((led, on), (Led::Red, index % 2 == 1));
            late.push((at - last).as_millis().abs_diff(120));
            last = at;
        }
        late.sort_unstable();
        late[late.len() / 2]
    }

    #[test]
    fn a_lease_that_runs_out_is_a_failure_for_good() {
        let (leds, edges) = recorded();
        leds.show(Status::Running);
        leds.renew(Duration::from_millis(150));
        let start = Instant::now();
        while next(&edges).1 != Led::Green {}
        let (at, led, on) = next(&edges);
        assert_eq!((led, on), (Led::Green, false));
        assert!(at - start >= Duration::from_millis(140), "{:?}", at - start);
        assert!(leds.lease_expired());
        leds.renew(Duration::from_secs(60));
        leds.show(Status::Success);
        assert!(leds.lease_expired());
        assert_eq!(leds.shown().unwrap(), Status::Failure);
    }

    #[test]
    fn progress_keeps_the_lease_and_the_end_needs_none() {
        let (leds, _edges) = recorded();
        leds.show(Status::Running);
        // Long, because a busy test machine may oversleep.
        let lease = Duration::from_millis(1500);
        for _ in 0..20 {
            leds.renew(lease);
            thread::sleep(Duration::from_millis(100));
        }
        assert!(!leds.lease_expired());
        leds.show(Status::Success);
        thread::sleep(lease + Duration::from_millis(100));
        assert!(!leds.lease_expired());
        assert_eq!(leds.shown().unwrap(), Status::Success);
    }

    #[test]
    fn an_led_whose_driver_is_loaded_late_is_lit() {
        struct Late(mpsc::Sender<Led>, u32);
        impl LedLines for Late {
            fn set(&mut self, led: Led, _on: bool) -> crate::Result<()> {
                self.1 += u32::from(led == Led::Red);
                if led == Led::Red && self.1 < 3 {
                    return Err(Error::new(ErrorKind::NotFound, "looking for", "an LED", "not yet"));
                }
                self.0
                    .send(led)
                    .map_err(|error| Error::new(ErrorKind::Other, "telling", "", error.to_string()))
            }
        }
        let (sender, lit) = mpsc::channel();
        let leds = LedThread::start(Box::new(Late(sender, 0)), |_| ()).unwrap();
        // Red is steady: it has no edges.
        leds.show(Status::Running);
        while lit.recv_timeout(Duration::from_secs(5)).unwrap() != Led::Red {}
    }

    #[test]
    fn a_broken_or_blocked_led_delays_nothing_and_is_reported_once() {
        struct Broken;
        impl LedLines for Broken {
            fn set(&mut self, led: Led, _on: bool) -> crate::Result<()> {
                if led == Led::Green {
                    thread::sleep(Duration::from_secs(30));
                }
                Err(Error::new(ErrorKind::Io, "switching", format!("{led:?}"), "expander does not answer"))
            }
        }
        let (sender, notes) = mpsc::channel();
        let leds =
            LedThread::start(Box::new(Broken), move |error| sender.send(error.clone()).unwrap()).unwrap();
        let start = Instant::now();
        leds.show(Status::Critical);
        assert!(notes.recv_timeout(Duration::from_secs(5)).unwrap().to_string().contains("Red"));
        leds.renew(Duration::from_millis(1));
        leds.show(Status::Failure);
        assert!(!leds.lease_expired());
        drop(leds);
        assert!(start.elapsed() < Duration::from_secs(6));
        assert!(notes.recv_timeout(Duration::from_millis(600)).is_err(), "reported once");
    }
}
