//! Contract of [`Leds`]: what is shown, and the lease of the running status.

use crate::{Leds, Status};
use std::time::Duration;

/// A lease that does not end during a case in real time.
const LEASE: Duration = Duration::from_millis(200);

/// LEDs to test.
pub trait LedsFixture {
    /// The LEDs.
    fn leds(&self) -> &dyn Leds;

    /// The current status; `None` before the first.
    fn shown(&self) -> Option<Status>;

    /// Lets this much time pass for the LEDs, by sleeping or with a virtual clock.
    fn fast_forward(&self, duration: Duration);
}

/// The requested status is shown.
pub fn a_status_is_shown(fixture: &dyn LedsFixture) {
    fixture.leds().show(Status::Running);
    assert_eq!(fixture.shown(), Some(Status::Running));
    fixture.leds().show(Status::Success);
    assert_eq!(fixture.shown(), Some(Status::Success));
    assert!(!fixture.leds().lease_expired());
}

/// A terminal status is never replaced by a less severe one.
pub fn a_terminal_status_only_gets_worse(fixture: &dyn LedsFixture) {
    use Status::{Critical, Failure, Running, Success};
    let leds = fixture.leds();
    leds.show(Running);
    for (asked, shown) in [
        (Success, Success),
        (Running, Success),
        (Failure, Failure),
        (Success, Failure),
        (Running, Failure),
        (Critical, Critical),
        (Failure, Critical),
        (Success, Critical),
    ] {
        leds.show(asked);
        assert_eq!(fixture.shown(), Some(shown), "after {asked}");
    }
}

/// Work in progress is shown as running while leases are renewed.
pub fn renewed_leases_keep_it_running(fixture: &dyn LedsFixture) {
    let leds = fixture.leds();
    leds.show(Status::Running);
    for _ in 0..4 {
        leds.renew(LEASE * 10);
        fixture.fast_forward(LEASE / 2);
        assert_eq!(fixture.shown(), Some(Status::Running));
    }
    assert!(!leds.lease_expired());
}

/// A hung operation becomes a failure, and stays one even if the operation completes later.
pub fn a_lease_that_runs_out_is_a_failure_for_good(fixture: &dyn LedsFixture) {
    let leds = fixture.leds();
    leds.show(Status::Running);
    leds.renew(LEASE);
    fixture.fast_forward(LEASE * 2);
    assert_eq!(fixture.shown(), Some(Status::Failure));
    assert!(leds.lease_expired());
    leds.show(Status::Running);
    leds.show(Status::Success);
    assert_eq!(fixture.shown(), Some(Status::Failure));
    assert!(leds.lease_expired());
}

/// A renewal after the end of the lease changes nothing.
pub fn a_renewal_after_the_lease_has_no_effect(fixture: &dyn LedsFixture) {
    let leds = fixture.leds();
    leds.show(Status::Running);
    leds.renew(LEASE);
    fixture.fast_forward(LEASE * 2);
    leds.renew(LEASE * 100);
    assert_eq!(fixture.shown(), Some(Status::Failure));
    assert!(leds.lease_expired());
}

/// Critical replaces a failure by an expired lease.
pub fn critical_outranks_a_lost_lease(fixture: &dyn LedsFixture) {
    let leds = fixture.leds();
    leds.show(Status::Running);
    leds.renew(LEASE);
    fixture.fast_forward(LEASE * 2);
    leds.show(Status::Critical);
    assert_eq!(fixture.shown(), Some(Status::Critical));
    assert!(leds.lease_expired());
}

/// An operation that hangs while the board may not boot is critical, also if it began to hang before.
pub fn a_lease_that_runs_out_at_risk_is_critical(fixture: &dyn LedsFixture) {
    let leds = fixture.leds();
    leds.show(Status::Running);
    leds.set_at_risk(true);
    assert_eq!(fixture.shown(), Some(Status::Running));
    leds.renew(LEASE);
    fixture.fast_forward(LEASE * 2);
    assert_eq!(fixture.shown(), Some(Status::Critical));
    assert!(leds.lease_expired());
    leds.show(Status::Success);
    assert_eq!(fixture.shown(), Some(Status::Critical));
}

/// A failure while the board may not boot is critical, also if another part of the program reports it.
pub fn a_failure_at_risk_is_critical(fixture: &dyn LedsFixture) {
    let leds = fixture.leds();
    leds.show(Status::Running);
    leds.set_at_risk(true);
    leds.show(Status::Failure);
    assert_eq!(fixture.shown(), Some(Status::Critical));
}

/// When the board boots again in all cases, a hung operation is a failure: it is safe to unplug.
pub fn a_risk_that_is_over_leaves_a_failure(fixture: &dyn LedsFixture) {
    let leds = fixture.leds();
    leds.show(Status::Running);
    leds.renew(LEASE);
    fixture.fast_forward(LEASE * 2);
    assert_eq!(fixture.shown(), Some(Status::Failure));
    leds.set_at_risk(true);
    assert_eq!(fixture.shown(), Some(Status::Critical));
    leds.set_at_risk(false);
    assert_eq!(fixture.shown(), Some(Status::Failure));
    leds.show(Status::Critical);
    leds.set_at_risk(false);
    assert_eq!(fixture.shown(), Some(Status::Critical), "the requested status stays");
}

/// A risk alone is not shown.
pub fn a_risk_is_not_shown(fixture: &dyn LedsFixture) {
    let leds = fixture.leds();
    leds.set_at_risk(true);
    assert_eq!(fixture.shown(), None);
    leds.show(Status::Running);
    leds.show(Status::Success);
    assert_eq!(fixture.shown(), Some(Status::Success));
}

/// A terminal status is shown for ever, long after the last lease.
pub fn a_terminal_status_needs_no_lease(fixture: &dyn LedsFixture) {
    let leds = fixture.leds();
    leds.show(Status::Running);
    leds.renew(LEASE * 5);
    leds.show(Status::Success);
    fixture.fast_forward(LEASE * 7);
    assert_eq!(fixture.shown(), Some(Status::Success));
    assert!(!leds.lease_expired());
}
