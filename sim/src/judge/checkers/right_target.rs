//! S5, S14: only media that have an image on the drive change.
//!
//! Verified: all bytes of media without an image. Not verified: that two media with images are not exchanged, which is
//! `success-is-true`'s matter.

use super::drive_images::{Mode, files, image, mode};
use crate::run::Evidence;

/// What is wrong.
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
