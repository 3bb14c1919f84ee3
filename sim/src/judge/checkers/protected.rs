//! S17: the write protection of bootloader areas is on again, and was lifted for nothing but writing.
//!
//! Verified: after every boot that came to its own end, whatever happened in it, it is on; it was off only in boots in which
//! the area was written to, and never for a bootloader that was there already, unless hardware made it look otherwise. Not
//! verified: boots that were cut, after which the kernel starts with the protection on.

use super::drive_images::files;
use super::firmware;
use crate::op_name::OpName;
use crate::run::{Boot, Evidence};
use crate::scenario::schema::Bytes;

/// What is wrong.
pub fn check(evidence: &Evidence) -> Vec<String> {
    let boots = evidence.boots.iter().enumerate().filter(|(_, boot)| boot.finished());
    let wrong = boots.flat_map(|(number, boot)| {
        let areas = boot.world.unprotected_areas().into_iter();
        let left = areas.map(|area| format!("left {area} without write protection"));
        let needless = lifted_needlessly(evidence, boot);
        left.chain(needless).map(move |what| format!("boot {} {what}", number + 1))
    });
    wrong.collect()
}

fn lifted_needlessly(evidence: &Evidence, boot: &Boot) -> Option<String> {
    let trace = boot.world.trace();
    let lifted = trace.events().find(|event| event.op.name == OpName::OpenArea && event.error.is_none())?;
    let area = &lifted.op.object;
    if !trace.events().any(|event| event.op.name == OpName::Write && event.op.object == *area) {
        return Some(format!("lifted the write protection of {area}, and wrote nothing"));
    }
    let on_area = |on: &str| firmware::AREAS.contains(&on);
    let mut faults = evidence.scenario.faults.iter();
    if faults.any(|fault| on_area(&fault.on) && fault.kind.bytes() != Bytes::Right) {
        return None;
    }
    let there = firmware::holds_new(evidence.scenario.firmware.as_ref()?, &files(&boot.before), &boot.before);
    (there == Some(true))
        .then(|| format!("lifted the write protection of {area}, which held the drive's bootloader already"))
}
