//! S2: the drive is byte for byte the same after a boot that writes media.
//!
//! Verified: all bytes of the drive; if it was not unmounted cleanly and may therefore be repaired first, all files.
//! Not verified: boots in which the drive could still be expanded, because that happens before everything else.

use crate::judge::readers::drive_images::{files, mode};
use crate::judge::{CheckerId, Judge, always, by_the_drive};
use crate::model::bytes::pages::Pages;
use crate::model::bytes::partitions::read_partitions;
use crate::model::hardware::content::PagesBacking;
use crate::model::hardware::simfs::SimFs;
use crate::run::Evidence;
use crate::scenario::schema::Mode;

/// The entry in the registry.
pub const JUDGE: Judge = Judge {
    id: CheckerId::DriveUnchanged,
    applies: always,
    misled_by: by_the_drive,
    check: |case| check(case.evidence),
};

/// The complaints.
pub fn check(evidence: &Evidence) -> Vec<String> {
    let mut wrong = Vec::new();
    for (number, boot) in evidence.boots.iter().enumerate() {
        let Some(drive) = boot.before.media.get("drive") else { continue };
        let end = read_partitions("drive", drive).iter().map(|part| part.start_bytes + part.len_bytes).max();
        let can_grow = end.is_some_and(|end| end + (1 << 20) <= drive.len_bytes());
        let writes = mode(evidence, &files(&boot.before)) == Mode::Write;
        if !writes || can_grow || Some(drive) == boot.after.media.get("drive") {
            continue;
        }
        if !(is_dirty(drive) && files(&boot.before) == files(&boot.after)) {
            wrong.push(format!("boot {} changed the drive, but had only to write media", number + 1));
        }
    }
    wrong
}

/// Whether the drive's file system is marked as not cleanly unmounted.
fn is_dirty(drive: &Pages) -> bool {
    let partitions = read_partitions("drive", drive);
    let Some(first) = partitions.first() else { return false };
    let mut pages = drive.clone();
    let mut backing = PagesBacking { pages: &mut pages, start_bytes: first.start_bytes };
    SimFs::load(&mut backing, first.len_bytes).is_ok_and(|fs| fs.superblock().dirty)
}
