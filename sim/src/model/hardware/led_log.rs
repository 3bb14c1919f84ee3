//! The two LEDs as a log: which status was shown since when, and what the operator saw.
//!
//! The status and its wave form come from the same pure functions as on a real board.

use replicator_hal::{Led, LedState, Status, level};
use std::ops::Range;
use std::time::Duration;

/// What the LEDs showed.
#[derive(Debug, Clone, Default)]
pub struct LedLog {
    /// Status and the time from which it was shown.
    shown: Vec<(Duration, Status)>,
    state: LedState,
    longest_lease: Duration,
    /// LED writes that failed.
    failed_writes: u64,
}

impl LedLog {
    /// Lets a lease expire if its time has come.
    pub(crate) fn advance(&mut self, now: Duration) {
        self.act(|state| state.advance(now));
    }

    pub(crate) fn show(&mut self, now: Duration, status: Status) {
        self.advance(now);
        self.act(|state| state.show(status, now));
    }

    pub(crate) fn renew(&mut self, now: Duration, lease: Duration) {
        self.act(|state| state.renew(lease, now));
        self.longest_lease = self.longest_lease.max(lease);
    }

    pub(crate) fn set_at_risk(&mut self, now: Duration, at_risk: bool) {
        self.advance(now);
        self.act(|state| state.set_at_risk(at_risk, now));
    }

    fn act(&mut self, act: impl FnOnce(&mut LedState)) {
        act(&mut self.state);
        if let Some((status, since)) = self.state.shown().filter(|shown| Some(shown.0) != self.final_status())
        {
            self.shown.push((since, status));
        }
    }

    pub(crate) fn note_failed_write(&mut self) {
        self.failed_writes += 1;
    }

    /// LEDs that show `status` from the start, and nothing else.
    pub fn of(status: Status) -> Self {
        Self { shown: vec![(Duration::ZERO, status)], ..Self::default() }
    }

    /// Every status with the time from which it was shown.
    pub fn shown(&self) -> &[(Duration, Status)] {
        &self.shown
    }

    /// Whether a lease ever ran out.
    pub fn lease_expired(&self) -> bool {
        self.state.lease_expired()
    }

    /// The longest lease that was ever set without progress.
    pub fn longest_lease(&self) -> Duration {
        self.longest_lease
    }

    /// How many LED writes failed by a fault.
    pub fn failed_writes(&self) -> u64 {
        self.failed_writes
    }

    /// The status at `time`, and since when it was shown; `None` before the first status.
    pub fn status_at(&self, time: Duration) -> Option<(Status, Duration)> {
        let (since, status) = self.shown.iter().rev().find(|(since, _)| *since <= time)?;
        Some((*status, *since))
    }

    /// The status that was shown last.
    pub fn final_status(&self) -> Option<Status> {
        self.shown.last().map(|(_, status)| *status)
    }

    /// Red and green as two lines, one character per `step`: `█` lit, `·` dark.
    pub fn wave_form(&self, span: Range<Duration>, step: Duration) -> [String; 2] {
        [Led::Red, Led::Green].map(|led| {
            let mut line = String::new();
            let mut time = span.start;
            while time < span.end && !step.is_zero() {
                let lit =
                    self.status_at(time).is_some_and(|(status, since)| level(status, led, time - since));
                line.push(if lit { '█' } else { '·' });
                time += step;
            }
            line
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn the_wave_form_is_that_of_the_statuses() {
        let mut log = LedLog::default();
        log.show(Duration::ZERO, Status::Running);
        log.show(SECOND, Status::Success);
        let [red, green] = log.wave_form(Duration::ZERO..SECOND * 3, Duration::from_millis(125));
        assert_eq!(red, "████████················");
        assert_eq!(green, "██······████████········");
    }

    #[test]
    fn a_lease_that_runs_out_stays_a_failure() {
        let mut log = LedLog::default();
        log.show(Duration::ZERO, Status::Running);
        log.renew(Duration::ZERO, SECOND * 5);
        log.renew(SECOND * 4, SECOND * 5);
        log.show(SECOND * 20, Status::Success);
        assert!(log.lease_expired());
        assert_eq!(log.shown(), [(Duration::ZERO, Status::Running), (SECOND * 9, Status::Failure)]);
    }

    #[test]
    fn only_a_worse_status_replaces_a_terminal_one() {
        let mut log = LedLog::default();
        for status in [Status::Failure, Status::Running, Status::Success, Status::Critical, Status::Failure] {
            log.show(SECOND, status);
        }
        assert_eq!(log.final_status(), Some(Status::Critical));
    }
}
