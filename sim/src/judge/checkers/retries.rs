//! L4: transient faults are absorbed up to a budget; beyond it they are failures.
//!
//! Verified: no call fails more often in a row than the budget allows, on the same object at the same place. Not
//! verified here: that transient faults within the budget are absorbed; the oracle checks that.

use crate::judge::{CheckerId, Judge, always, by_the_drive};
use crate::model::time::op_name::OpName;
use crate::run::Evidence;
use replicator_hal::ErrorKind;

/// Repeated while the engine waits for the drive. Time limits that, and another checker verifies it.
const POLLED: [OpName; 2] = [OpName::Sleep, OpName::DeviceList];
/// Repeated whenever the list of devices is polled, until the drive is found and mounted.
const POLLED_BEFORE_MOUNT: [OpName; 2] = [OpName::Identify, OpName::Mount];
/// More than any budget, so that two consecutive steps may each retry.
const IN_A_ROW_MAX: usize = 10;

/// The entry in the registry.
pub const JUDGE: Judge = Judge {
    id: CheckerId::Retries,
    applies: always,
    misled_by: by_the_drive,
    check: |case| check(case.evidence),
};

/// The complaints.
pub fn check(evidence: &Evidence) -> Vec<String> {
    let mut wrong = Vec::new();
    for (number, boot) in evidence.boots.iter().enumerate() {
        let trace = boot.world.trace();
        let mut row: (usize, Option<(OpName, String, u64)>) = (0, None);
        let mut longest: (usize, Option<(OpName, String, u64)>) = (0, None);
        let mut mounted = false;
        for event in trace.events().filter(|event| !POLLED.contains(&event.op.name)) {
            mounted |= event.op.name == OpName::Mount && event.error.is_none();
            if !mounted && POLLED_BEFORE_MOUNT.contains(&event.op.name) {
                continue;
            }
            let call = (event.op.name, event.op.object.clone(), event.op.offset_bytes);
            let failed = matches!(event.error, Some(ErrorKind::Io | ErrorKind::Busy | ErrorKind::TimedOut));
            row = match (failed, row.1.as_ref() == Some(&call)) {
                (true, true) => (row.0 + 1, row.1),
                (true, false) => (1, Some(call)),
                (false, _) => (0, None),
            };
            if row.0 > longest.0 {
                longest = row.clone();
            }
        }
        if let (times @ IN_A_ROW_MAX.., Some((name, object, at))) = longest {
            wrong.push(format!("boot {}: {name} of {object} at {at} was tried {times} times", number + 1));
        }
    }
    wrong
}
