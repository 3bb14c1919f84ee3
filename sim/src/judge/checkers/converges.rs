//! L2, L3: after any cuts, one undisturbed boot completes the capture or the write.
//!
//! Verified: in a scenario with power cuts and no other disturbance, the last boot, which is not cut, succeeds and
//! has the mode of the first one. Not verified: that the boot after it changes nothing; scenarios with other faults,
//! in which success is not required.

use crate::judge::readers::drive_images::{files, mode};
use crate::judge::{CheckerId, Judge, Origin, by_the_drive};
use crate::run::Evidence;
use replicator_hal::Status;

/// The entry in the registry.
pub const JUDGE: Judge = Judge {
    id: CheckerId::Converges,
    // A generated scenario may have other faults: `as_undisturbed` compares it with an undisturbed board.
    applies: |case| case.origin != Origin::Generated,
    misled_by: by_the_drive,
    check: |case| check(case.evidence),
};

/// The complaints.
pub fn check(evidence: &Evidence) -> Vec<String> {
    let scenario = &evidence.scenario;
    let (Some((last, earlier)), true) = (evidence.boots.split_last(), scenario.faults.is_empty()) else {
        return Vec::new();
    };
    let undisturbed = |spec: &crate::scenario::schema::BootSpec| {
        spec.remove.is_empty() && spec.more_space.is_none() && !spec.new_unit
    };
    let only_cuts = !earlier.is_empty()
        && earlier.iter().all(|boot| boot.spec.cut.is_some())
        && last.spec.cut.is_none()
        && evidence.boots.iter().all(|boot| undisturbed(&boot.spec));
    // A cut after all work was done leaves a drive with images of this very unit; that is not unfinished work.
    let same_work = mode(evidence, &files(&evidence.boots[0].before)) == mode(evidence, &files(&last.before));
    if only_cuts && same_work && last.status() != Some(Status::Success) {
        return vec![format!("the undisturbed boot after {} cuts does not succeed", earlier.len())];
    }
    Vec::new()
}
