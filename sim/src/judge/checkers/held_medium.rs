//! S6, S14: a medium that something else holds for writing is neither captured nor written: its content is not final,
//! and the other holder uses it.
//!
//! Verified: no boot leaves an image of such a medium under a valid name, none changes its bytes, and none that had
//! to do either ends in success. Not verified: what holds it, and whether the message names it.

use crate::judge::readers::drive_images::{files, images, mode, new_images};
use crate::judge::{CheckerId, Judge, always, by_the_drive};
use crate::run::Evidence;
use crate::scenario::schema::Mode;
use replicator_hal::Status;

/// The entry in the registry.
pub const JUDGE: Judge = Judge {
    id: CheckerId::HeldMedium,
    applies: always,
    misled_by: by_the_drive,
    check: |case| check(case.evidence),
};

/// The complaints.
pub fn check(evidence: &Evidence) -> Vec<String> {
    let held = evidence.scenario.media.iter().filter(|(_, spec)| spec.held_elsewhere && !spec.absent);
    let mut wrong = Vec::new();
    for (name, _) in held {
        for (number, boot) in evidence.boots.iter().enumerate() {
            let mut complain = |what: &str| {
                wrong.push(format!("boot {}: {name}, which something else holds, {what}", number + 1));
            };
            if boot.before.media.get(name) != boot.after.media.get(name) {
                complain("was changed");
            }
            if new_images(evidence, &files(&boot.after)).iter().any(|image| image.medium == *name) {
                complain("was captured");
            }
            let before = files(&boot.before);
            let is_written = mode(evidence, &before) == Mode::Write
                && images(evidence, &before).iter().any(|image| image.medium == *name);
            if is_written && boot.status() == Some(Status::Success) {
                complain("was to be written, and the LEDs show success");
            }
        }
    }
    wrong
}
