//! S13: a good older image survives every capture.
//!
//! Verified: every image that was on the drive at the beginning of the scenario exists at the end, byte for byte,
//! with its sidecars, unless the scenario itself removes it. Not verified: whether it was good.

use crate::judge::readers::drive_images::{files, image, images, uncompressed};
use crate::judge::{CheckerId, Judge, always, by_the_drive};
use crate::model::hardware::found::FoundFiles;
use crate::run::Evidence;
use replicator_hal::RelativePath;

/// The entry in the registry.
pub const JUDGE: Judge = Judge {
    id: CheckerId::OldImage,
    applies: always,
    misled_by: by_the_drive,
    check: |case| check(case.evidence),
};

/// The complaints.
pub fn check(evidence: &Evidence) -> Vec<String> {
    let last = &evidence.last().after;
    if last.drive_files().is_err() {
        return Vec::new();
    }
    let (before, after) = (files(&evidence.boots[0].before), files(last));
    let mut wrong = Vec::new();
    for old in images(evidence, &before) {
        if evidence.boots.iter().any(|boot| boot.spec.remove.contains(&old.name)) {
            continue;
        }
        let now = image(&old.medium, &after);
        if now.is_none_or(|now| now.bytes != old.bytes) {
            wrong.push(format!("{} was on the drive before, but has changed", old.name));
        }
        let uncompressed = uncompressed(&old.name);
        for sidecar in [format!("{uncompressed}.md5"), format!("{}.md5", old.name)] {
            if content(&before, &sidecar).is_some_and(|text| content(&after, &sidecar) != Some(text)) {
                wrong.push(format!("{sidecar} belongs to an old image, but has changed"));
            }
        }
    }
    wrong
}

fn content<'a>(files: &'a FoundFiles, name: &str) -> Option<&'a [u8]> {
    let path = RelativePath::parse(name).ok()?;
    files.get(&path).map(|file| &*file.bytes)
}
