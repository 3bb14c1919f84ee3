//! S1: no byte of a medium changes in a boot that does not write.
//!
//! Verified: all bytes below all caches, including dirty journals, in finished and in cut boots. Not verified:
//! discards and flushes that change no bytes.

use crate::judge::readers::drive_images::{files, mode};
use crate::judge::{CheckerId, Judge, always};
use crate::run::Evidence;
use crate::scenario::schema::{Bytes, Mode};

/// The entry in the registry.
pub const JUDGE: Judge = Judge {
    id: CheckerId::SourceUnchanged,
    applies: always,
    misled_by: |fault| fault.bytes() == Bytes::ChangeAlone,
    check: |case| check(case.evidence),
};

/// The complaints.
pub fn check(evidence: &Evidence) -> Vec<String> {
    let mut wrong = Vec::new();
    for (number, boot) in evidence.boots.iter().enumerate() {
        if mode(evidence, &files(&boot.before)) == Mode::Write {
            continue;
        }
        for name in evidence.scenario.media.keys() {
            if boot.before.media.get(name) != boot.after.media.get(name) {
                wrong.push(format!("boot {} had nothing to write, but {name} changed", number + 1));
            }
        }
    }
    wrong
}
