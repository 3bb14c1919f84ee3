//! S17: the write protection of bootloader areas is on again, and is lifted only for writing.
//!
//! Verified: after every boot that came to its own end it is on; it was off only in boots that wrote to the area, and
//! never for a bootloader that was already installed, unless a hardware fault hid that. Not verified: boots that were
//! cut, because the kernel starts with the protection on.

use super::firmware;
use crate::judge::readers::drive_images::files;
use crate::judge::{CheckerId, Judge, always, by_the_drive};
use crate::model::time::op_name::OpName;
use crate::run::{Boot, Evidence};
use crate::scenario::schema::{Bytes, FaultSpec};

/// The entry in the registry.
pub const JUDGE: Judge = Judge {
    id: CheckerId::Protected,
    applies: always,
    misled_by: by_the_drive,
    check: |case| found(case.evidence, case.hardware_faults()),
};

/// The complaints.
pub fn check(evidence: &Evidence) -> Vec<String> {
    found(evidence, &evidence.scenario.faults)
}

/// The complaints for a board whose hardware has these faults.
fn found(evidence: &Evidence, faults: &[FaultSpec]) -> Vec<String> {
    let boots = evidence.boots.iter().enumerate().filter(|(_, boot)| boot.finished());
    let wrong = boots.flat_map(|(number, boot)| {
        let areas = boot.world.unprotected_areas().into_iter();
        let left = areas.map(|area| format!("left {area} without write protection"));
        let needless = lifted_without_need(evidence, faults, boot);
        left.chain(needless).map(move |what| format!("boot {} {what}", number + 1))
    });
    wrong.collect()
}

fn lifted_without_need(evidence: &Evidence, faults: &[FaultSpec], boot: &Boot) -> Option<String> {
    let trace = boot.world.trace();
    let lifted = trace.events().find(|event| event.op.name == OpName::OpenArea && event.error.is_none())?;
    let area = &lifted.op.object;
    if !trace.events().any(|event| event.op.name == OpName::Write && event.op.object == *area) {
        return Some(format!("lifted the write protection of {area}, but wrote nothing"));
    }
    let on_area = |on: &str| firmware::AREAS.contains(&on);
    if faults.iter().any(|fault| on_area(&fault.on) && fault.bytes() != Bytes::Right) {
        return None;
    }
    let there = firmware::holds_new(evidence.scenario.firmware.as_ref()?, &files(&boot.before), &boot.before);
    (there == Some(true))
        .then(|| format!("lifted the write protection of {area}, which already held the drive's bootloader"))
}
