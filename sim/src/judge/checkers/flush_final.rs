//! S16: a failed flush is final.
//!
//! Verified: after a sync of a device, file or directory failed with an I/O error, the boot does not end in success,
//! and no later sync of the same file or directory is made. The second does not apply to devices: a medium after a
//! failed write is erased and flushed once more, and an old bootloader is put back. Not verified: the data on the
//! medium, which `success-is-true` and `captured` check.

use crate::judge::{CheckerId, Judge, always, by_the_drive};
use crate::model::time::op_name::OpName;
use crate::model::time::trace::Event;
use crate::run::{Boot, Evidence};
use replicator_hal::{ErrorKind, Status};

const SYNCS: [OpName; 5] =
    [OpName::Sync, OpName::SyncDir, OpName::SyncVolume, OpName::BeginVerify, OpName::DropCache];

/// The entry in the registry.
pub const JUDGE: Judge = Judge {
    id: CheckerId::FlushFinal,
    applies: always,
    misled_by: by_the_drive,
    check: |case| check(case.evidence),
};

/// The complaints.
pub fn check(evidence: &Evidence) -> Vec<String> {
    let mut wrong = Vec::new();
    for (number, boot) in evidence.boots.iter().enumerate() {
        let trace = boot.world.trace();
        let syncs: Vec<_> = trace.events().filter(|event| SYNCS.contains(&event.op.name)).collect();
        let Some(first) = syncs.iter().position(|event| event.error == Some(ErrorKind::Io)) else { continue };
        let failed = &syncs[first].op;
        if boot.status() == Some(Status::Success) {
            wrong.push(format!(
                "boot {}: {} of {} failed, but success is shown",
                number + 1,
                failed.name,
                failed.object
            ));
        }
        let is_device = failed.name == OpName::BeginVerify
            || evidence.scenario.media.contains_key(&*failed.on)
            || matches!(&*failed.on, "flash" | "emmc-boot0");
        let again = syncs[first + 1..].iter().find(|event| {
            event.op.name == failed.name && event.op.on == failed.on && event.op.object == failed.object
        });
        // The files of a failed capture are removed from the session, and the removal is made durable; before that,
        // they are overwritten.
        let cleans_up = again.is_some_and(|event| match failed.name {
            OpName::SyncDir => removed_between(boot, event.number),
            OpName::Sync => is_removed_next(boot, event),
            _ => false,
        });
        if let Some(event) = again.filter(|_| !is_device && !cleans_up) {
            wrong.push(format!(
                "boot {}: {} of {} was tried again: {event}",
                number + 1,
                failed.name,
                failed.object
            ));
        }
    }
    wrong
}

/// Whether the next change after this sync of a file removes the file.
fn is_removed_next(boot: &Boot, sync: &Event) -> bool {
    let trace = boot.world.trace();
    let next = trace.events().find(|event| event.number > sync.number && event.op.mutates);
    next.is_some_and(|event| {
        event.op.name == OpName::RemoveFile && event.op.on == sync.op.on && event.op.object == sync.op.object
    })
}

/// Whether the change before this call removed something.
fn removed_between(boot: &Boot, number: u64) -> bool {
    let trace = boot.world.trace();
    let before: Vec<_> = trace.events().filter(|event| event.number < number && event.op.mutates).collect();
    before.last().is_some_and(|event| matches!(event.op.name, OpName::RemoveFile | OpName::RemoveDir))
}
