//! What the LEDs show, as a state machine, and LEDs that only keep a record.

use crate::{Clock, Leds, Status};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Which status is shown since when, and until when it is good without progress. Pure: time comes from the caller.
///
/// A running status has no lease before the first [`LedState::renew`]; a backend or an engine that wants one from the
/// start renews at the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LedState {
    shown: Option<(Status, Duration)>,
    lease_end: Option<Duration>,
    lease_expired: bool,
}

impl LedState {
    /// The status that is shown and since when; `None` before the first.
    pub fn shown(&self) -> Option<(Status, Duration)> {
        self.shown
    }

    /// Whether a lease ever ran out.
    pub fn lease_expired(&self) -> bool {
        self.lease_expired
    }

    /// Lets time pass up to `now`: a running status whose lease has run out becomes failure at the end of the lease.
    pub fn advance(&mut self, now: Duration) {
        let Some(end) = self.lease_end.filter(|end| *end <= now) else { return };
        self.lease_end = None;
        self.lease_expired = true;
        self.change(Status::Failure, end);
    }

    /// See [`Leds::show`]. Terminal statuses end the lease.
    pub fn show(&mut self, status: Status, now: Duration) {
        self.advance(now);
        self.change(status, now);
    }

    /// See [`Leds::renew`]. It takes effect only while running, or before anything is shown.
    pub fn renew(&mut self, lease: Duration, now: Duration) {
        self.advance(now);
        if self.shown.is_none_or(|(status, _)| status == Status::Running) {
            self.lease_end = Some(now.saturating_add(lease));
        }
    }

    fn change(&mut self, status: Status, at: Duration) {
        if self.shown.is_none_or(|(shown, _)| severity(status) > severity(shown)) {
            self.shown = Some((status, at));
        }
        if self.shown.is_some_and(|(shown, _)| shown != Status::Running) {
            self.lease_end = None;
        }
    }
}

/// A status replaces only what is less severe, so that showing one again does not start its blinking anew.
fn severity(status: Status) -> u8 {
    match status {
        Status::Running => 0,
        Status::Success => 1,
        Status::Failure => 2,
        Status::Critical => 3,
    }
}

/// LEDs that keep what they were told, with the time.
pub struct RecordingLeds {
    clock: Arc<dyn Clock>,
    state: Mutex<(LedState, Vec<(Duration, Status)>)>,
}

impl RecordingLeds {
    /// LEDs that tell the time by `clock`.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, state: Mutex::default() }
    }

    /// The status shown now; `None` before the first.
    pub fn shown(&self) -> Option<Status> {
        self.act(|_, _| {}).0.shown().map(|(status, _)| status)
    }

    /// Every change of what is shown: when and to what.
    pub fn history(&self) -> Vec<(Duration, Status)> {
        self.act(|_, _| {}).1
    }

    fn act(&self, act: impl FnOnce(&mut LedState, Duration)) -> (LedState, Vec<(Duration, Status)>) {
        let mut guard = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.clock.monotonic();
        let (state, history) = &mut *guard;
        state.advance(now);
        note(state, history);
        act(state, now);
        note(state, history);
        guard.clone()
    }
}

fn note(state: &LedState, history: &mut Vec<(Duration, Status)>) {
    if let Some((status, since)) = state.shown() {
        if history.last() != Some(&(since, status)) {
            history.push((since, status));
        }
    }
}

impl Leds for RecordingLeds {
    fn show(&self, status: Status) {
        self.act(|state, now| state.show(status, now));
    }

    fn renew(&self, lease: Duration) {
        self.act(|state, now| state.renew(lease, now));
    }

    fn lease_expired(&self) -> bool {
        self.act(|_, _| {}).0.lease_expired()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn a_lost_lease_shows_failure_from_the_moment_it_ended() {
        let mut state = LedState::default();
        state.show(Status::Running, ms(0));
        state.renew(ms(100), ms(50));
        state.advance(ms(149));
        assert_eq!(state.shown(), Some((Status::Running, ms(0))));
        state.advance(ms(500));
        assert_eq!(state.shown(), Some((Status::Failure, ms(150))));
        assert!(state.lease_expired());
    }

    #[test]
    fn a_renewal_after_the_end_is_too_late_even_if_nobody_looked() {
        let mut state = LedState::default();
        state.show(Status::Running, ms(0));
        state.renew(ms(100), ms(0));
        state.renew(ms(10_000), ms(100));
        assert_eq!(state.shown(), Some((Status::Failure, ms(100))));
        assert!(state.lease_expired());
    }

    #[test]
    fn the_same_status_again_does_not_restart_the_blinking() {
        let mut state = LedState::default();
        state.show(Status::Failure, ms(10));
        state.show(Status::Failure, ms(700));
        assert_eq!(state.shown(), Some((Status::Failure, ms(10))));
    }
}
