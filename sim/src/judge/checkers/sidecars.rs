//! S8: no success without a check that the drive asks for.
//!
//! Verified: where a write shows success, what lies under the name of a sidecar or of the record of an image that was
//! written is a file, links followed. Not verified: its content, which is `success-is-true`'s matter and the oracle's.

use crate::judge::readers::drive_images::{files, follow, images, mode};
use crate::judge::{CheckerId, Judge, always, by_the_drive};
use crate::run::Evidence;
use crate::scenario::schema::Mode;
use replicator_hal::{FileKind, RelativePath, Status};

/// As the registry has it.
pub const JUDGE: Judge = Judge {
    id: CheckerId::Sidecars,
    applies: always,
    misled_by: by_the_drive,
    check: |case| check(case.evidence),
};

/// What is wrong.
pub fn check(evidence: &Evidence) -> Vec<String> {
    let mut wrong = Vec::new();
    for (number, boot) in evidence.boots.iter().enumerate() {
        let before = files(&boot.before);
        if boot.status() != Some(Status::Success) || mode(evidence, &before) != Mode::Write {
            continue;
        }
        for image in images(evidence, &before) {
            let uncompressed = ["xz", "bz2", "gz", "zst"]
                .iter()
                .find_map(|ending| image.name.strip_suffix(&format!(".{ending}")))
                .unwrap_or(&image.name);
            let digests = [image.name.as_str(), uncompressed];
            let digests = digests.iter().flat_map(|name| [format!("{name}.md5"), format!("{name}.sha256")]);
            for name in digests.chain([format!("{}image.source", image.medium)]) {
                let Ok(path) = RelativePath::parse(&name) else { continue };
                if !before.contains_key(&path) {
                    continue;
                }
                let file = follow(&before, &path);
                if !file.is_some_and(|file| file.inode.kind == FileKind::File) {
                    wrong.push(format!("boot {} shows success, but {name} is no file", number + 1));
                }
            }
        }
    }
    wrong
}
