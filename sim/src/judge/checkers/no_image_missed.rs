//! S8: a board is not captured if the drive has an image to be written.
//!
//! Verified: a boot that shows success and began with neither an accepted image nor an unfinished capture had no file
//! in the root with the last extensions of an image, compressed or not, finished or not. Not verified: names that are
//! misspelt in other ways, and whether a misspelt image beside an accepted one was for another medium.

use crate::judge::readers::drive_images::{files, has_session, images};
use crate::judge::{CheckerId, Judge, always, by_the_drive};
use crate::run::Evidence;
use replicator_hal::{FileKind, RelativePath, Status};

const IMAGES: [&str; 8] = ["img", "wic", "dd", "tar", "tgz", "txz", "tbz2", "tzst"];
const AROUND_IMAGES: [&str; 12] =
    ["xz", "gz", "bz2", "zst", "zip", "lz4", "lzma", "part", "crdownload", "bak", "old", "txt"];

/// The entry in the registry.
pub const JUDGE: Judge = Judge {
    id: CheckerId::NoImageMissed,
    applies: always,
    misled_by: by_the_drive,
    check: |case| check(case.evidence),
};

/// The complaints.
pub fn check(evidence: &Evidence) -> Vec<String> {
    let mut wrong = Vec::new();
    for (number, boot) in evidence.boots.iter().enumerate() {
        let before = files(&boot.before);
        let is_capture = images(evidence, &before).is_empty() && !has_session(&before);
        if boot.status() != Some(Status::Success) || !is_capture {
            continue;
        }
        let mut missed = before.iter().filter(|(path, file)| {
            let is_in_root = path.parent().is_some_and(|parent| parent.is_root());
            is_in_root && file.inode.kind != FileKind::Directory && names_an_image(path)
        });
        if let Some((path, _)) = missed.next() {
            wrong.push(format!("boot {} shows success, but {path} was not written", number + 1));
        }
    }
    wrong
}

fn names_an_image(path: &RelativePath) -> bool {
    let name = String::from_utf8_lossy(path.file_name().unwrap_or_default()).to_lowercase();
    let is_of_a_kernel =
        ["initr", "kernel", "ramdisk", "image.", "."].iter().any(|start| name.starts_with(start));
    let mut extensions: Vec<&str> = name.trim_end_matches('~').split('.').skip(1).collect();
    while extensions.last().is_some_and(|last| AROUND_IMAGES.contains(last)) {
        extensions.pop();
    }
    !is_of_a_kernel && extensions.last().is_some_and(|last| IMAGES.contains(last))
}
