//! S8: after a success the clone holds a root file system, and not a directory with one in it.
//!
//! Verified: the tree of every tarball that was written according to the LEDs, unless the scenario's settings allow
//! any content: it has `/etc`, and `/usr` or `/bin`, with links followed inside of it. Not verified: that it contains
//! a kernel and an init; disk images.

use crate::judge::readers::decode::decode;
use crate::judge::readers::drive_images::{Image, images, successful_writes};
use crate::judge::readers::{any_content, extracted, links};
use crate::judge::{CheckerId, Judge, always, by_the_drive};
use crate::run::Evidence;
use replicator_hal::FileKind;

/// The entry in the registry.
pub const JUDGE: Judge = Judge {
    id: CheckerId::CloneIsRootfs,
    applies: always,
    misled_by: by_the_drive,
    check: |case| check(case.evidence),
};

/// The complaints.
pub fn check(evidence: &Evidence) -> Vec<String> {
    let mut wrong = Vec::new();
    if any_content::is_allowed(&evidence.scenario.drive.files) {
        return wrong;
    }
    for (number, _, before) in successful_writes(evidence) {
        for image in images(evidence, &before).into_iter().filter(Image::is_tarball) {
            let plain = image.bytes.as_ref().and_then(|bytes| decode(&image.name, bytes).ok());
            let Some(tree) = plain.and_then(|plain| extracted::read(&plain).ok()) else { continue };
            let has = |name: &[u8]| {
                let end = links::follow(&tree, name, None);
                end.and_then(|path| tree.get(&path)).is_some_and(|node| node.kind == FileKind::Directory)
            };
            if !(has(b"etc") && (has(b"usr") || has(b"bin"))) {
                let boot = number + 1;
                wrong.push(format!(
                    "boot {boot} ended in success for {}, but it has no root file system",
                    image.medium
                ));
            }
        }
    }
    wrong
}
