//! S9: data that is written to a whole medium looks like a disk image.
//!
//! Verified: if the LEDs show success, each written disk image has a partition table with a partition, unless the
//! drive allows any content or has the record of a capture of such a medium. Not verified: images of one file system
//! without a table, because a simulated file system cannot be recognised by its bytes alone.

use crate::judge::readers::decode::decode;
use crate::judge::readers::disk_rule::{Shown, shown};
use crate::judge::readers::drive_images::{images, successful_writes};
use crate::judge::{CheckerId, Judge, always, by_the_drive};
use crate::model::hardware::found::FoundFiles;
use crate::run::Evidence;
use replicator_hal::RelativePath;

/// The entry in the registry.
pub const JUDGE: Judge = Judge {
    id: CheckerId::LooksLikeImage,
    applies: always,
    misled_by: by_the_drive,
    check: |case| check(case.evidence),
};

/// The complaints.
pub fn check(evidence: &Evidence) -> Vec<String> {
    let mut wrong = Vec::new();
    for (number, _, drive) in successful_writes(evidence) {
        if any_content(&drive) {
            continue;
        }
        for image in images(evidence, &drive).iter().filter(|image| !image.is_tarball()) {
            let Some(Ok(plain)) = image.bytes.as_ref().map(|bytes| decode(&image.name, bytes)) else {
                continue;
            };
            if shown(&plain) == Shown::Nothing && !is_captured(&drive, &image.medium, plain.len()) {
                wrong.push(format!(
                    "boot {}: {} is not a disk image, but was written",
                    number + 1,
                    image.name
                ));
            }
        }
    }
    wrong
}

fn text(drive: &FoundFiles, name: &str) -> Option<String> {
    let file = drive.get(&RelativePath::parse(name).ok()?)?;
    Some(String::from_utf8_lossy(&file.bytes).into_owned())
}

/// Whether the drive's settings allow any content.
pub(super) fn any_content(drive: &FoundFiles) -> bool {
    text(drive, "replicator.toml").is_some_and(|text| text.contains("any_content = true"))
}

/// Whether the image on the drive was captured from a medium of this length.
pub(super) fn is_captured(drive: &FoundFiles, medium: &str, len_bytes: usize) -> bool {
    let record = text(drive, &format!("{medium}image.source"));
    record.is_some_and(|text| text.lines().any(|line| line == format!("len_bytes = {len_bytes}")))
}
