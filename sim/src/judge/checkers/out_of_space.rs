//! S12: running out of space leaves nothing behind.
//!
//! Verified: after a boot that met a full drive and came to its own end, the session holds no work file that takes
//! space; and named files have their old content, if the boot met a full drive or failed. A boot with enough room may
//! replace the sidecars of a capture whose power was cut before its image got its name. A boot that is cut cannot
//! clean up; a boot that failed before it reached the session leaves it to the next one, and so does one that cannot
//! remove anything from the drive. `valid-names` checks that nothing unfinished has a valid name. Not verified: full
//! media, which `not-bootable` checks.

use crate::judge::readers::drive_images::files;
use crate::judge::{CheckerId, Judge, always, by_the_drive};
use crate::model::time::op_name::OpName;
use crate::run::{Boot, Evidence};
use crate::scenario::schema::FaultKind;
use replicator_hal::{ErrorKind, FileKind, Status};

/// The session's own record may stay.
const SMALL_LEN_BYTES: u64 = 4096;

/// The entry in the registry.
pub const JUDGE: Judge = Judge {
    id: CheckerId::OutOfSpace,
    applies: always,
    misled_by: by_the_drive,
    check: |case| check(case.evidence),
};

/// The complaints.
pub fn check(evidence: &Evidence) -> Vec<String> {
    let full =
        evidence.faults.iter().any(|fault| fault.spec.kind() == FaultKind::OutOfSpace && fault.reached);
    if !full {
        return Vec::new();
    }
    let mut wrong = Vec::new();
    for (number, boot) in evidence.boots.iter().enumerate() {
        let met = boot.world.trace().events().any(|event| event.error == Some(ErrorKind::NoSpace));
        let (before, after) = (files(&boot.before), files(&boot.after));
        for (path, file) in &*after {
            let in_session = path.as_bytes().starts_with(b".capture/");
            let is_left_alone = !met && before.get(path).is_some_and(|old| old.bytes == file.bytes);
            if boot.finished()
                && !could_not_clean_up(boot)
                && in_session
                && !is_left_alone
                && file.inode.kind == FileKind::File
                && file.inode.len_bytes > SMALL_LEN_BYTES
            {
                wrong.push(format!("boot {} left {path} with {} bytes", number + 1, file.inode.len_bytes));
            }
        }
        let failed = boot.finished() && boot.status() != Some(Status::Success);
        if !met && !failed {
            continue;
        }
        for (path, file) in before.iter().filter(|(path, _)| !path.as_bytes().starts_with(b".capture")) {
            if after.get(path).is_none_or(|now| now.bytes != file.bytes) {
                wrong.push(format!("boot {} changed {path} on a full drive", number + 1));
            }
        }
    }
    wrong
}

/// Whether the last attempt to remove something from the session failed for another reason than a full drive.
fn could_not_clean_up(boot: &Boot) -> bool {
    let trace = boot.world.trace();
    let removals = trace.events().filter(|event| {
        matches!(event.op.name, OpName::List | OpName::RemoveFile | OpName::RemoveDir)
            && &*event.op.on == "drive"
            && event.op.object.starts_with(".capture")
    });
    let last = removals.last().and_then(|event| event.error);
    last.is_some_and(|error| !matches!(error, ErrorKind::NoSpace | ErrorKind::NotFound))
}
