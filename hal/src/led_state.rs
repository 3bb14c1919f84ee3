//! The state machine of the LEDs, which every backend uses: the status, when it began, and when its lease ends. Pure:
//! the caller passes the time. [`crate::level`] computes when an LED is lit.

use crate::Status;
use std::time::Duration;

/// The status that is shown, and since when.
///
/// A running status has no lease before the first [`LedState::renew`]. A backend or an engine that needs a lease from
/// the start calls `renew` at the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LedState {
    /// The worst status that was requested.
    asked: Option<Status>,
    shown: Option<(Status, Duration)>,
    at_risk: bool,
    lease_end: Option<Duration>,
    lease_expired: bool,
}

impl LedState {
    /// The status that is shown and since when; `None` before the first.
    pub fn shown(&self) -> Option<(Status, Duration)> {
        self.shown
    }

    /// When the lease ends; `None` if there is none.
    pub fn lease_end(&self) -> Option<Duration> {
        self.lease_end.filter(|_| self.is_running())
    }

    /// Whether a lease ever ran out.
    pub fn lease_expired(&self) -> bool {
        self.lease_expired
    }

    /// Sets the time to `now`. A running status whose lease has ended becomes a worse one, at the end of the lease.
    pub fn advance(&mut self, now: Duration) {
        let Some(end) = self.lease_end().filter(|end| *end <= now) else { return };
        self.lease_expired = true;
        self.update(end);
    }

    /// See [`crate::Leds::show`]. A status replaces only a less severe one; the same status again does not restart its
    /// blinking.
    pub fn show(&mut self, status: Status, now: Duration) {
        self.advance(now);
        self.asked = worst(self.asked, Some(status));
        self.update(now);
    }

    /// See [`crate::Leds::renew`]. It has an effect only while running, or before a status is shown.
    pub fn renew(&mut self, lease: Duration, now: Duration) {
        self.advance(now);
        self.lease_end = now.checked_add(lease);
    }

    /// See [`crate::Leds::set_at_risk`].
    pub fn set_at_risk(&mut self, at_risk: bool, now: Duration) {
        self.advance(now);
        self.at_risk = at_risk;
        self.update(now);
    }

    fn is_running(&self) -> bool {
        self.shown.is_some_and(|(status, _)| status == Status::Running)
    }

    /// Shows the worst of the requested status and of what an expired lease means. With the board at risk, a failure is
    /// critical.
    fn update(&mut self, at: Duration) {
        let status =
            worst(self.asked, self.lease_expired.then_some(Status::Failure)).map(|status| match status {
                Status::Failure if self.at_risk => Status::Critical,
                status => status,
            });
        if status != self.shown.map(|(shown, _)| shown) {
            self.shown = status.map(|status| (status, at));
        }
    }
}

fn worst(one: Option<Status>, other: Option<Status>) -> Option<Status> {
    let severity = |status: &Status| match status {
        Status::Running => 0,
        Status::Success => 1,
        Status::Failure => 2,
        Status::Critical => 3,
    };
    one.into_iter().chain(other).max_by_key(severity)
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn running(lease_ms: u64) -> LedState {
        let mut state = LedState::default();
        state.show(Status::Running, ms(0));
        state.renew(ms(lease_ms), ms(0));
        state
    }

    #[test]
    fn a_lost_lease_shows_failure_from_the_moment_it_ended() {
        let mut state = LedState::default();
        state.show(Status::Running, ms(0));
        state.renew(ms(100), ms(50));
        state.advance(ms(149));
        assert_eq!(state.shown(), Some((Status::Running, ms(0))));
        assert_eq!(state.lease_end(), Some(ms(150)));
        state.advance(ms(500));
        assert_eq!(state.shown(), Some((Status::Failure, ms(150))));
        assert!(state.lease_expired());
        assert_eq!(state.lease_end(), None);
    }

    #[test]
    fn a_renewal_after_the_end_of_the_lease_is_too_late() {
        let mut state = running(100);
        state.renew(ms(10_000), ms(100));
        assert_eq!(state.shown(), Some((Status::Failure, ms(100))));
        assert!(state.lease_expired());
    }

    #[test]
    fn a_lease_before_the_first_status_starts_with_it() {
        let mut state = LedState::default();
        state.renew(ms(100), ms(0));
        state.advance(ms(500));
        assert_eq!((state.shown(), state.lease_expired()), (None, false));
    }

    #[test]
    fn the_same_status_again_does_not_restart_the_blinking() {
        let mut state = LedState::default();
        state.show(Status::Failure, ms(10));
        state.show(Status::Failure, ms(700));
        assert_eq!(state.shown(), Some((Status::Failure, ms(10))));
    }

    #[test]
    fn only_a_worse_status_replaces_a_terminal_one() {
        let shown_after = |statuses: &[Status]| {
            let mut state = LedState::default();
            statuses.iter().for_each(|status| state.show(*status, ms(0)));
            state.shown().unwrap().0
        };
        use Status::{Critical, Failure, Running, Success};
        assert_eq!(shown_after(&[Running, Success]), Success);
        assert_eq!(shown_after(&[Running, Success, Failure]), Failure);
        assert_eq!(shown_after(&[Running, Failure, Success, Running]), Failure);
        assert_eq!(shown_after(&[Critical, Failure, Success, Running]), Critical);
        assert_eq!(shown_after(&[Success, Running]), Success);
    }

    #[test]
    fn a_failure_is_critical_as_long_as_the_board_is_at_risk() {
        let mut state = running(100);
        state.set_at_risk(true, ms(10));
        state.show(Status::Failure, ms(20));
        assert_eq!(state.shown(), Some((Status::Critical, ms(20))));
        state.set_at_risk(false, ms(30));
        assert_eq!(state.shown(), Some((Status::Failure, ms(30))));
    }

    #[test]
    fn a_lost_lease_is_critical_as_long_as_the_board_is_at_risk() {
        let mut state = running(100);
        state.set_at_risk(true, ms(50));
        assert_eq!(state.shown(), Some((Status::Running, ms(0))));
        state.set_at_risk(false, ms(250));
        assert_eq!(state.shown(), Some((Status::Failure, ms(250))), "it was critical from 100 on");
        state.set_at_risk(true, ms(300));
        assert_eq!(state.shown(), Some((Status::Critical, ms(300))));
        state.show(Status::Critical, ms(400));
        state.set_at_risk(false, ms(500));
        assert_eq!(state.shown(), Some((Status::Critical, ms(300))), "the requested status");
    }
}
