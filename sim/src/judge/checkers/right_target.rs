//! S5, S14: only media with an image on the drive change.
//!
//! Verified: all bytes of media without an image. Not verified: that two media with images are not exchanged;
//! `success-is-true` checks that.

use crate::judge::readers::drive_images::{files, image, mode};
use crate::judge::{CheckerId, Judge, always, by_nothing};
use crate::run::Evidence;
use crate::scenario::schema::Mode;

/// The entry in the registry.
pub const JUDGE: Judge = Judge {
    id: CheckerId::RightTarget,
    applies: always,
    misled_by: by_nothing,
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
        for name in evidence.scenario.media.keys().filter(|name| image(name, &before).is_none()) {
            if boot.before.media.get(name) != boot.after.media.get(name) {
                wrong.push(format!("boot {}: there is no image for {name}, but it changed", number + 1));
            }
        }
    }
    wrong
}
