//! S10: a target that is not verified does not look bootable.
//!
//! Verified: after each write boot that failed or was cut, a medium with an image holds the whole image, or is
//! unchanged, or has no partition table, or still has its old one with unchanged partitions. Not verified: boot ROMs
//! that look for a loader behind sector 0 without a table.

use crate::judge::readers::drive_images::{files, images, mode};
use crate::judge::readers::written::holds_discarded;
use crate::judge::{CheckerId, Judge, always};
use crate::model::bytes::pages::{Pages, SECTOR_LEN};
use crate::model::bytes::partitions::read_partitions;
use crate::run::Evidence;
use crate::scenario::schema::{Bytes, Mode};

/// The entry in the registry.
pub const JUDGE: Judge = Judge {
    id: CheckerId::NotBootable,
    applies: always,
    // A faulty medium may keep an old partition table that was overwritten with zeros.
    misled_by: |fault| fault.is_of_drive() || fault.bytes() != Bytes::ReadWrong,
    check: |case| check(case.evidence),
};

/// The complaints.
pub fn check(evidence: &Evidence) -> Vec<String> {
    let mut wrong = Vec::new();
    for (number, boot) in evidence.boots.iter().enumerate() {
        let drive = files(&boot.before);
        if mode(evidence, &drive) == Mode::Capture {
            continue;
        }
        for image in images(evidence, &drive) {
            let (Some(before), Some(after), Some(spec)) = (
                boot.before.media.get(&image.medium),
                boot.after.media.get(&image.medium),
                evidence.scenario.media.get(&image.medium),
            ) else {
                continue;
            };
            let fine = before == after || !has_table(after) || old_partitions_whole(before, after);
            let discarded = boot.after.discarded_of(&image.medium);
            if fine || holds_discarded(after, &image, spec, discarded).is_ok() {
                continue;
            }
            wrong.push(format!(
                "boot {}: {} looks bootable, but does not hold {}",
                number + 1,
                image.medium,
                image.name
            ));
        }
    }
    wrong
}

/// Whether a kernel or boot loader would find a partition table.
pub(super) fn has_table(medium: &Pages) -> bool {
    let sector = medium.bytes(0, SECTOR_LEN);
    sector[510..] == [0x55, 0xaa] && (0..4).any(|entry| sector[446 + 16 * entry + 4] != 0)
}

fn old_partitions_whole(before: &Pages, after: &Pages) -> bool {
    let partitions = read_partitions("medium", after);
    partitions == read_partitions("medium", before)
        && partitions.iter().all(|partition| {
            let len = usize::try_from(partition.len_bytes).unwrap_or(0);
            before.bytes(partition.start_bytes, len) == after.bytes(partition.start_bytes, len)
        })
}
