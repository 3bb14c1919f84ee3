//! S1: no byte of a medium changes in a boot that does not write.
//!
//! Verified: all bytes below all caches, dirty journals included, in finished and in cut boots. Not verified: discards and
//! flushes that leave the bytes as they are.

use super::drive_images::{Mode, files, mode};
use crate::run::Evidence;

/// What is wrong.
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
