//! S18: no byte of a file that sanitising removed is in an image.
//!
//! Verified: the decoded bytes of every image that a capture made hold no secret, in files, free blocks and slack, but those
//! that the story puts where no rule reaches; where nothing is to be sanitised, those in files may be there. And the source did hold some, so that there was something to find. Not verified: what is left in free blocks of
//! the drive itself.

use super::decode::decode;
use super::drive_images::{files, image_key, new_images};
use super::settings;
use crate::runner::Evidence;
use crate::scenario::content::secrets_that_stay;

/// So much of a secret is named.
const NAMED_LEN: usize = 40;

/// What is wrong.
pub fn check(evidence: &Evidence) -> Vec<String> {
    let mut wrong = Vec::new();
    if !settings::sanitises(&evidence.scenario) {
        return wrong;
    }
    for (number, boot) in evidence.boots.iter().enumerate() {
        for image in new_images(evidence, &files(&boot.after)) {
            let first = |bytes: &[u8]| {
                let plain = decode(&image.name, bytes).ok()?;
                let stay = secrets_that_stay(&evidence.scenario, &image.medium);
                plain.secrets().iter().find(|(_, line)| !stay.contains(line)).cloned()
            };
            let key = image_key(evidence, &image);
            let found = image.bytes.as_ref().and_then(|bytes| bytes.remembered("no-secret", key, first));
            if let Some((at, secret)) = found {
                let secret: String = secret.chars().take(NAMED_LEN).collect();
                wrong.push(format!("after boot {}: {} has {secret:?} at byte {at}", number + 1, image.name));
            }
        }
    }
    wrong
}
