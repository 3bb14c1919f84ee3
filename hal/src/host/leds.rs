//! LEDs that only record what they would show.

use crate::{Clock, LedState, Leds, Status};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// LEDs that record each status with its time.
pub struct RecordingLeds {
    clock: Arc<dyn Clock>,
    state: Mutex<(LedState, Vec<(Duration, Status)>)>,
}

impl RecordingLeds {
    /// LEDs with the time of `clock`.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, state: Mutex::default() }
    }

    /// The current status; `None` before the first.
    pub fn shown(&self) -> Option<Status> {
        self.act(|_, _| {}).0.shown().map(|(status, _)| status)
    }

    /// Every change of the status, with its time.
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

    fn set_at_risk(&self, at_risk: bool) {
        self.act(|state, now| state.set_at_risk(at_risk, now));
    }

    fn lease_expired(&self) -> bool {
        self.act(|_, _| {}).0.lease_expired()
    }
}
