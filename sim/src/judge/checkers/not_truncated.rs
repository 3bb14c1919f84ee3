//! S11: nothing is truncated silently.
//!
//! Verified: a disk image that a capture made has as many bytes as its medium; if the LEDs show success, all streams
//! of a written image are decoded, it is as long as its partition table requires, it fits on its medium, and the
//! medium has its last bytes. Not verified: tarballs of a capture, whose files `captured` compares one by one.

use super::looks_like_image::{any_content, is_captured};
use crate::judge::readers::decode::{decode, without_metadata};
use crate::judge::readers::disk_rule::{self, Shown};
use crate::judge::readers::drive_images::{files, images, new_images, successful_writes};
use crate::judge::{CheckerId, Judge, always};
use crate::model::bytes::file_bytes::FileBytes;
use crate::model::bytes::pages::Pages;
use crate::run::Evidence;

/// The decoded length of the image with this name.
#[derive(PartialEq, Eq, Hash)]
struct ShownLen(String);

/// The entry in the registry.
pub const JUDGE: Judge = Judge {
    id: CheckerId::NotTruncated,
    applies: always,
    misled_by: |fault| fault.is_of_drive() || fault.is_hidden_by_a_cache(),
    check: |case| check(case.evidence),
};

/// The complaints.
pub fn check(evidence: &Evidence) -> Vec<String> {
    let mut wrong = captures(evidence);
    for (number, boot, drive) in successful_writes(evidence) {
        for image in images(evidence, &drive).iter().filter(|image| !image.is_tarball()) {
            let (Some(medium), Some(bytes)) = (boot.after.media.get(&image.medium), &image.bytes) else {
                continue;
            };
            let Ok(plain) = decode(&image.name, bytes) else { continue };
            let cut = disk_rule::missing(&plain)
                .filter(|_| !any_content(&drive) && !is_captured(&drive, &image.medium, plain.len()));
            let what = cut.or_else(|| end_differs(medium, &plain).map(str::to_owned));
            wrong.extend(what.map(|what| format!("boot {}: {}: {what}", number + 1, image.name)));
        }
    }
    wrong
}

/// Whether the end of an image is missing on its medium. Of a GPT, only the ends of partitions keep their places.
fn end_differs(medium: &Pages, plain: &[u8]) -> Option<&'static str> {
    let end = match disk_rule::shown(plain) {
        Shown::Gpt { end_bytes, .. } => end_bytes,
        // Zeros at the end are left out only on a smaller medium.
        _ if plain.len() as u64 <= medium.len_bytes() => plain.len() as u64,
        _ => without_metadata(plain).iter().rposition(|byte| *byte != 0).map_or(0, |last| last as u64 + 1),
    };
    let (end, tail) = (usize::try_from(end).ok()?.min(plain.len()), end.saturating_sub(512));
    if end as u64 > medium.len_bytes() {
        return Some("it is longer than its medium");
    }
    let tail_at = usize::try_from(tail).ok()?.min(end);
    (medium.bytes(tail, end - tail_at) != plain[tail_at..end]).then_some("its end is not on its medium")
}

fn captures(evidence: &Evidence) -> Vec<String> {
    let found = files(&evidence.last().after);
    let images = new_images(evidence, &found);
    let short = images.iter().filter(|image| !image.is_tarball()).filter_map(|image| {
        let source = evidence.boots[0].before.media.get(&image.medium)?.len_bytes();
        let len = |bytes: &FileBytes| decode(&image.name, bytes).ok().map(|plain| plain.len() as u64);
        let shown = image.bytes.as_ref()?.cached(ShownLen(image.name.clone()), len)?;
        (shown != source).then(|| format!("{} has {shown} bytes of {source}", image.name))
    });
    short.collect()
}
