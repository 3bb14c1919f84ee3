//! Contract of [`Clock`].

use crate::Clock;
use std::time::Duration;

/// A clock to test.
pub trait ClockFixture {
    /// The clock.
    fn clock(&self) -> &dyn Clock;
}

/// Monotonic time never goes back.
pub fn time_never_goes_back(fixture: &dyn ClockFixture) {
    let mut last = fixture.clock().monotonic();
    for _ in 0..1000 {
        let now = fixture.clock().monotonic();
        assert!(now >= last, "{now:?} after {last:?}");
        last = now;
    }
}

/// A sleep may end late, but never early.
pub fn sleep_is_never_early(fixture: &dyn ClockFixture) {
    let clock = fixture.clock();
    for duration in
        [Duration::ZERO, Duration::from_nanos(1), Duration::from_millis(3), Duration::from_millis(50)]
    {
        let before = clock.monotonic();
        clock.sleep(duration);
        let slept = clock.monotonic() - before;
        assert!(slept >= duration, "{slept:?} of {duration:?}");
    }
}

/// The wall-clock time can be formatted, even if it is wrong.
pub fn the_wall_clock_is_well_formed(fixture: &dyn ClockFixture) {
    let (first, second) = (fixture.clock().wall(), fixture.clock().wall());
    for wall in [first, second] {
        assert!(wall.nanos < 1_000_000_000, "{wall:?}");
    }
}
