//! S18: no byte of a file that sanitising removed is in an image.
//!
//! Verified: the decoded bytes of every image that a capture made hold no marker of a secret, in files, free blocks and
//! slack; and the source did hold some, so that there was something to find. Not verified: what is left in free blocks of
//! the drive itself.

use super::decode::decode;
use super::drive_images::{files, new_images};
use crate::random::{FOLD_START, fold};
use crate::runner::Evidence;
use crate::scenario::content::MARKER;

/// What is wrong.
pub fn check(evidence: &Evidence) -> Vec<String> {
    let mut wrong = Vec::new();
    for (number, boot) in evidence.boots.iter().enumerate() {
        for image in new_images(evidence, &files(&boot.after)) {
            let first = |bytes: &[u8]| {
                let plain = decode(&image.name, bytes).ok()?;
                let at = plain.secret()?;
                Some((at, String::from_utf8_lossy(&plain[at..(at + 40).min(plain.len())]).into_owned()))
            };
            let key = fold(FOLD_START, image.name.as_bytes());
            let found = image.bytes.as_ref().and_then(|bytes| bytes.remembered("no-secret", key, first));
            if let Some((at, secret)) = found {
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
