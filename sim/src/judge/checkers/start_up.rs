//! L6: start-up failures are terminal, too.
//!
//! Verified: a boot that came to its own end without opening any medium shows a terminal status, and reports the
//! result on the console. Not verified: whether the text is useful.

use crate::judge::{CheckerId, Judge, always, by_nothing};
use crate::model::time::op_name::OpName;
use crate::run::Evidence;
use crate::scenario::schema::FaultKind;
use replicator_hal::Status;

/// The entry in the registry.
pub const JUDGE: Judge = Judge {
    id: CheckerId::StartUp,
    applies: always,
    misled_by: by_nothing,
    check: |case| check(case.evidence),
};

/// The complaints.
pub fn check(evidence: &Evidence) -> Vec<String> {
    let leds_fail = evidence.faults.iter().any(|fault| fault.spec.kind() == FaultKind::LedFails);
    let mut wrong = Vec::new();
    for (number, boot) in evidence.boots.iter().enumerate().filter(|(_, boot)| boot.finished()) {
        let trace = boot.world.trace();
        if trace.events().any(|event| matches!(event.op.name, OpName::OpenSource | OpName::OpenTarget)) {
            continue;
        }
        if !leds_fail && matches!(boot.status(), None | Some(Status::Running)) {
            wrong.push(format!(
                "boot {} ended before it opened a medium, but shows no terminal status",
                number + 1
            ));
        }
        if !boot.world.records().console.iter().any(|line| line.starts_with("result: ")) {
            wrong.push(format!("boot {} ended before it opened a medium, but reports no result", number + 1));
        }
    }
    wrong
}
