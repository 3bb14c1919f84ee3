//! L5: progress is visible, and so is its absence.
//!
//! Verified: while the LEDs show running, no lease is longer than the longest one for a tool, so that a hang is shown
//! after a bounded time; and the console names each medium that was worked on. Not verified: that the remaining time
//! is right.

use crate::judge::{CheckerId, Judge, always, by_the_drive};
use crate::run::Evidence;
use std::time::Duration;

/// The longest allowed lease: that of a tool, which reports no progress.
const LEASE_MAX: Duration = Duration::from_secs(3600);

/// The entry in the registry.
pub const JUDGE: Judge = Judge {
    id: CheckerId::Progress,
    applies: always,
    misled_by: by_the_drive,
    check: |case| check(case.evidence),
};

/// The complaints.
pub fn check(evidence: &Evidence) -> Vec<String> {
    let mut wrong = Vec::new();
    for (number, boot) in evidence.boots.iter().enumerate() {
        let longest = boot.world.leds().longest_lease();
        if longest > LEASE_MAX {
            let what = format!("boot {}: a lease of {} s is too long", number + 1, longest.as_secs());
            wrong.push(what);
        }
        if !boot.finished() {
            continue;
        }
        let console = boot.world.records().console;
        for name in evidence.scenario.media.keys() {
            let changed = boot.before.media.get(name) != boot.after.media.get(name);
            let reported = console.iter().any(|line| line.starts_with(&format!("{name}:")));
            if changed && !reported {
                wrong.push(format!("boot {}: {name} changed, but no console line names it", number + 1));
            }
        }
    }
    wrong
}
