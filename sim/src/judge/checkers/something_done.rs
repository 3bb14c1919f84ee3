//! S8: no success by omission.
//!
//! Verified: if the LEDs show success, a capture left a new image, or a write had an image for a present medium. Not
//! verified: whether it is the right one.

use super::firmware::{has_update, holds_new, reported_as_unverified};
use crate::judge::readers::drive_images::{files, has_session, images, mode};
use crate::judge::{CheckerId, Judge, always, by_the_drive};
use crate::run::Evidence;
use crate::scenario::schema::Mode;
use replicator_hal::Status;

/// The entry in the registry.
pub const JUDGE: Judge = Judge {
    id: CheckerId::SomethingDone,
    applies: always,
    misled_by: by_the_drive,
    check: |case| check(case.evidence),
};

/// The complaints.
pub fn check(evidence: &Evidence) -> Vec<String> {
    let mut wrong = Vec::new();
    for (number, boot) in evidence.boots.iter().enumerate() {
        if boot.status() != Some(Status::Success) {
            continue;
        }
        let (before, after) = (files(&boot.before), files(&boot.after));
        let done = match mode(evidence, &before) {
            Mode::Capture => {
                let was_there = if has_session(&before) { 0 } else { images(evidence, &before).len() };
                images(evidence, &after).len() > was_there
            }
            Mode::Write => {
                let present =
                    |medium: &str| boot.before.media.get(medium).is_some_and(|pages| pages.len_bytes() > 0);
                let images = images(evidence, &before);
                let firmware = evidence.scenario.firmware.as_ref().is_some_and(|spec| {
                    holds_new(spec, &before, &boot.after) == Some(true)
                        || has_update(spec, &before, boot) == Some(true)
                        || reported_as_unverified(spec, boot)
                        || !boot.world.firmware().fpga.is_empty()
                });
                (firmware || images.iter().any(|image| present(&image.medium)))
                    && images.iter().all(|image| image.bytes.is_some())
            }
        };
        if !done {
            wrong.push(format!("boot {} shows success, but nothing was done", number + 1));
        }
    }
    wrong
}
