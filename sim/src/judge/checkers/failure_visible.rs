//! S7: a failure is visible and stays visible, and "failed" means "safe to unplug".
//!
//! Verified: if the scenario has a failure, the LEDs end in failure; neither running nor success follows a terminal
//! status; no call to a device follows a terminal status. Not verified: failures that neither the scenario nor the
//! LEDs show.

use crate::judge::{CheckerId, Judge, always, by_nothing};
use crate::model::time::op_name::OpName;
use crate::run::{Boot, Evidence};
use crate::scenario::schema::{FaultKind, MediumEnd};
use replicator_hal::Status;

/// The entry in the registry.
pub const JUDGE: Judge = Judge {
    id: CheckerId::FailureVisible,
    applies: always,
    misled_by: by_nothing,
    check: |case| check(case.evidence),
};

/// The complaints.
pub fn check(evidence: &Evidence) -> Vec<String> {
    let mut wrong = Vec::new();
    let expect = &evidence.scenario.expect;
    let has_failure = expect.code.is_some() || expect.media.values().any(MediumEnd::is_failure);
    let leds_fail = evidence.faults.iter().any(|fault| fault.spec.kind() == FaultKind::LedFails);
    let shown = evidence.last().status();
    if has_failure && !leds_fail && !matches!(shown, Some(Status::Failure | Status::Critical)) {
        wrong.push("something failed, but the LEDs do not show it".to_owned());
    }
    for (number, boot) in evidence.boots.iter().enumerate() {
        let log = boot.world.leds();
        let mut statuses = log.shown().iter().map(|(_, status)| *status);
        let first = statuses.find(|status| *status != Status::Running);
        if first.is_some() && statuses.any(|status| matches!(status, Status::Running | Status::Success)) {
            wrong.push(format!("boot {}: a terminal status was replaced", number + 1));
        }
        if let Some(call) = call_after_end(boot) {
            wrong.push(format!("boot {}: a call followed the terminal status: {call}", number + 1));
        }
    }
    wrong
}

/// The first call to a device after the engine showed a terminal status.
fn call_after_end(boot: &Boot) -> Option<String> {
    let trace = boot.world.trace();
    let mut events = trace.events();
    events
        .find(|event| event.op.name == OpName::LedShow && event.op.object != Status::Running.to_string())?;
    events.find(|event| event.op.device.is_some()).map(ToString::to_string)
}
