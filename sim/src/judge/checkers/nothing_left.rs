//! S17: nothing is left behind.
//!
//! Verified: after a boot that came to its own end nothing is mounted or open, and every volume was unmounted and not
//! only dropped, unless unmounting failed; after a successful capture no session is left. Not verified: boots in
//! which a device disappeared, hung or could not be unmounted.

use crate::judge::readers::drive_images::{files, has_session};
use crate::judge::{CheckerId, Judge, always, by_the_drive};
use crate::model::time::op_name::OpName;
use crate::run::Evidence;
use crate::scenario::schema::FaultKind;
use replicator_hal::Status;

/// The entry in the registry.
pub const JUDGE: Judge = Judge {
    id: CheckerId::NothingLeft,
    applies: always,
    misled_by: by_the_drive,
    check: |case| check(case.evidence),
};

/// The complaints.
pub fn check(evidence: &Evidence) -> Vec<String> {
    let allowed = [FaultKind::Disappear, FaultKind::Hang, FaultKind::UnmountBusy];
    let may_be_left =
        evidence.faults.iter().any(|fault| fault.reached && allowed.contains(&fault.spec.kind()));
    let mut wrong = Vec::new();
    for (number, boot) in evidence.boots.iter().enumerate() {
        if boot.status() == Some(Status::Success) && has_session(&files(&boot.after)) {
            wrong.push(format!("boot {} succeeded, but a session is left on the drive", number + 1));
        }
        if !boot.finished() || may_be_left {
            continue;
        }
        let mounts = boot.world.mounts_left();
        if !mounts.is_empty() {
            wrong.push(format!("boot {} left mounted: {}", number + 1, mounts.join(", ")));
        }
        let (handles, dropped) = (boot.world.handles_left(), boot.world.volumes_dropped());
        let trace = boot.world.trace();
        let refused =
            trace.events().filter(|event| event.op.name == OpName::Unmount && event.error.is_some()).count();
        if handles > 0 || dropped > refused as u64 {
            wrong.push(format!(
                "boot {} left {handles} open, and dropped {dropped} instead of closing it",
                number + 1
            ));
        }
    }
    wrong
}
