//! S8: no success without the checks that the drive requests.
//!
//! Verified: if a write shows success, the sidecars and the record of a written image are files, links followed. Not
//! verified: their content; `success-is-true` and the oracle check that.

use crate::judge::readers::drive_images::{files, follow, images, mode, uncompressed};
use crate::judge::{CheckerId, Judge, always, by_the_drive};
use crate::run::Evidence;
use crate::scenario::schema::Mode;
use replicator_hal::{FileKind, RelativePath, Status};

/// The entry in the registry.
pub const JUDGE: Judge = Judge {
    id: CheckerId::Sidecars,
    applies: always,
    misled_by: by_the_drive,
    check: |case| check(case.evidence),
};

/// The complaints.
pub fn check(evidence: &Evidence) -> Vec<String> {
    let mut wrong = Vec::new();
    for (number, boot) in evidence.boots.iter().enumerate() {
        let before = files(&boot.before);
        if boot.status() != Some(Status::Success) || mode(evidence, &before) != Mode::Write {
            continue;
        }
        for image in images(evidence, &before) {
            let digests = [image.name.as_str(), uncompressed(&image.name)];
            let digests = digests.iter().flat_map(|name| [format!("{name}.md5"), format!("{name}.sha256")]);
            for name in digests.chain([format!("{}image.source", image.medium)]) {
                let Ok(path) = RelativePath::parse(&name) else { continue };
                if !before.contains_key(&path) {
                    continue;
                }
                let file = follow(&before, &path);
                if !file.is_some_and(|file| file.inode.kind == FileKind::File) {
                    wrong.push(format!("boot {} shows success, but {name} is not a file", number + 1));
                }
            }
        }
    }
    wrong
}
