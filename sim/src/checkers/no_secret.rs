//! S18: no byte of a file that sanitising removed is in an image.
//!
//! Verified: the decoded bytes of every image that a capture made hold no marker of a secret, in files, free blocks and
//! slack; and the source did hold some, so that there was something to find. Not verified: what is left in free blocks of
//! the drive itself.

use super::decode::decode;
use super::drive_images::{files, new_images};
use crate::runner::Evidence;
use crate::scenario::content::MARKER;

/// What is wrong.
pub fn check(evidence: &Evidence) -> Vec<String> {
    let mut wrong = Vec::new();
    for (number, boot) in evidence.boots.iter().enumerate() {
        for image in new_images(evidence, &files(&boot.after)) {
            let Some(Ok(plain)) = image.bytes.as_ref().map(|bytes| decode(&image.name, bytes)) else {
                continue;
            };
            if let Some(at) = plain.secret() {
                let secret = String::from_utf8_lossy(&plain[at..(at + 40).min(plain.len())]).into_owned();
                wrong.push(format!("after boot {}: {} has {secret:?} at byte {at}", number + 1, image.name));
            }
        }
    }
    wrong
}

/// Where the first marker is.
pub(super) fn find(bytes: &[u8]) -> Option<usize> {
    bytes
        .iter()
        .enumerate()
        .filter(|(_, byte)| **byte == MARKER[0])
        .map(|(at, _)| at)
        .find(|at| bytes[*at..].starts_with(MARKER))
}
