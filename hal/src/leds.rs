//! The two LEDs. The engine sets a status; every backend renders it by the same pure function.
//!
//! Rendering is below the HAL and not in the engine, so that the LEDs blink whatever the engine waits for, and so that
//! a hung operation is detected. Progress renews a lease; a running status without a lease becomes failure, or critical
//! while the board may not boot.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// What the LEDs show to the operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Status {
    /// Work is in progress; do not remove anything.
    Running,
    /// Everything was done and verified.
    Success,
    /// Something failed; it is safe to remove power.
    Failure,
    /// Do not remove power: the board may not boot.
    Critical,
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Running => "running",
            Self::Success => "success",
            Self::Failure => "failure",
            Self::Critical => "critical",
        })
    }
}

/// One of the two LEDs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Led {
    /// The red one.
    Red,
    /// The green one.
    Green,
}

/// Whether `led` is lit, `since` after `status` was first shown.
///
/// | status | red | green |
/// |---|---|---|
/// | running | on | 0.25 s on at the start of each second |
/// | success | off | 1 s on, 1 s off |
/// | failure | 1 s on, 1 s off | off |
/// | critical | 0.12 s on, 0.12 s off | off |
pub fn level(status: Status, led: Led, since: Duration) -> bool {
    let millis = since.as_millis();
    let blinks = |on: u128, off: u128| millis % (on + off) < on;
    match (status, led) {
        (Status::Running, Led::Red) => true,
        (Status::Running, Led::Green) => blinks(250, 750),
        (Status::Success, Led::Red) | (Status::Failure | Status::Critical, Led::Green) => false,
        (Status::Success, Led::Green) | (Status::Failure, Led::Red) => blinks(1000, 1000),
        (Status::Critical, Led::Red) => blinks(120, 120),
    }
}

crate::forward::part! {
/// The board's LEDs. No call fails: the backend logs an error of an LED, and the work goes on.
#[cfg_attr(feature = "mock", mockall::automock)]
pub trait Leds: Send + Sync {
    /// Shows `status` from now on. A terminal status is never replaced by a less severe one.
    fn show(&self, status: Status);

    /// Reports progress: the running status is valid for another `lease`. When the lease ends, the LEDs show failure,
    /// or critical while the board is at risk, and [`Leds::lease_expired`] stays true, even if the operation completes
    /// later.
    fn renew(&self, lease: Duration);

    /// Sets whether the board may not boot if power is removed now, for example while its bootloader is written. It
    /// changes only what a failure or an expired lease shows: critical while it is set, else failure.
    fn set_at_risk(&self, at_risk: bool);

    /// Whether a lease ever ended without progress.
    fn lease_expired(&self) -> bool;
}
layer LedsLayer: Send + Sync;
pointers (& Box Arc);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edges_are_as_in_the_table() {
        let at = |status, led, ms| level(status, led, Duration::from_millis(ms));
        for (status, led, on) in [
            (Status::Running, Led::Red, vec![0, 500, 99_999]),
            (Status::Running, Led::Green, vec![0, 249, 1000, 1249]),
            (Status::Success, Led::Green, vec![0, 999, 2000]),
            (Status::Failure, Led::Red, vec![0, 999, 2000]),
            (Status::Critical, Led::Red, vec![0, 119, 240]),
        ] {
            for ms in on {
                assert!(at(status, led, ms), "{status} {led:?} at {ms}");
            }
        }
        for (status, led, off) in [
            (Status::Running, Led::Green, vec![250, 999, 1250]),
            (Status::Success, Led::Green, vec![1000, 1999]),
            (Status::Success, Led::Red, vec![0, 500, 1500]),
            (Status::Failure, Led::Red, vec![1000, 1999]),
            (Status::Failure, Led::Green, vec![0, 999, 1000]),
            (Status::Critical, Led::Red, vec![120, 239]),
            (Status::Critical, Led::Green, vec![0, 130]),
        ] {
            for ms in off {
                assert!(!at(status, led, ms), "{status} {led:?} at {ms}");
            }
        }
    }
}
