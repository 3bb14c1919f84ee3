//! S11: nothing is truncated without a word.
//!
//! Verified: a disk image that a capture made shows as many bytes as its medium has; where the LEDs show success, an image
//! that was written has all its streams decoded, fits on its medium, and its last bytes are there. Not verified: tarballs
//! of a capture, whose files `captured` compares one by one.

use super::decode::decode;
use super::drive_images::{Mode, files, images, mode, new_images};
use crate::random::{FOLD_START, fold};
use crate::runner::Evidence;
use replicator_hal::Status;

/// What is wrong.
pub fn check(evidence: &Evidence) -> Vec<String> {
    let mut wrong = captures(evidence);
    for (number, boot) in evidence.boots.iter().enumerate() {
        let drive = files(&boot.before);
        if boot.status() != Some(Status::Success) || mode(evidence, &drive) == Mode::Capture {
            continue;
        }
        for image in images(evidence, &drive).iter().filter(|image| !image.is_tarball()) {
            let (Some(medium), Some(bytes)) = (boot.after.media.get(&image.medium), &image.bytes) else {
                continue;
            };
            let Ok(plain) = decode(&image.name, bytes) else { continue };
            let tail = plain.len().saturating_sub(512);
            if plain.len() as u64 > medium.len_bytes() {
                wrong.push(format!("boot {}: {} is longer than {}", number + 1, image.name, image.medium));
            } else if medium.bytes(tail as u64, plain.len() - tail) != plain[tail..] {
                wrong.push(format!(
                    "boot {}: the end of {} is not on {}",
                    number + 1,
                    image.name,
                    image.medium
                ));
            }
        }
    }
    wrong
}

fn captures(evidence: &Evidence) -> Vec<String> {
    let found = files(&evidence.last().after);
    let images = new_images(evidence, &found);
    let short = images.iter().filter(|image| !image.is_tarball()).filter_map(|image| {
        let source = evidence.boots[0].before.media.get(&image.medium)?.len_bytes();
        let len = |bytes: &[u8]| decode(&image.name, bytes).ok().map(|plain| plain.len() as u64);
        let key = fold(FOLD_START, image.name.as_bytes());
        let shown = image.bytes.as_ref()?.remembered("not-truncated", key, len)?;
        (shown != source).then(|| format!("{} shows {shown} bytes of {source}", image.name))
    });
    short.collect()
}
