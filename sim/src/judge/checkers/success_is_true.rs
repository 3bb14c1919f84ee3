//! S6: success means that the bytes on the medium, below all caches, are those of the image.
//!
//! Verified: every medium with an image whenever the LEDs show success, and every medium that the scenario expects to
//! be written. Not verified: captures, which `captured` checks.

use crate::judge::readers::drive_images::{files, images, mode};
use crate::judge::readers::written::holds;
use crate::judge::{CheckerId, Judge, always};
use crate::run::Evidence;
use crate::scenario::schema::{MediumEnd, Mode};
use replicator_hal::Status;

/// The entry in the registry.
pub const JUDGE: Judge = Judge {
    id: CheckerId::SuccessIsTrue,
    applies: always,
    misled_by: |fault| fault.is_of_drive() || fault.is_hidden_by_a_cache(),
    check: |case| check(case.evidence),
};

/// The complaints.
pub fn check(evidence: &Evidence) -> Vec<String> {
    let mut wrong = Vec::new();
    for (number, boot) in evidence.boots.iter().enumerate() {
        let before = files(&boot.before);
        if mode(evidence, &before) == Mode::Capture {
            continue;
        }
        let is_last = number + 1 == evidence.boots.len();
        for image in images(evidence, &before) {
            let said = evidence.scenario.expect.media.get(&image.medium) == Some(&MediumEnd::Written);
            let claimed = boot.status() == Some(Status::Success) || (is_last && said);
            let (Some(medium), Some(spec)) =
                (boot.after.media.get(&image.medium), evidence.scenario.media.get(&image.medium))
            else {
                continue;
            };
            if !claimed {
                continue;
            }
            if let Err(what) = holds(medium, &image, spec) {
                wrong.push(format!("boot {} ended in success for {}, but {what}", number + 1, image.medium));
            }
        }
    }
    wrong
}
