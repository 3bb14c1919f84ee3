//! L1: every boot ends in a terminal LED status within bounded time.
//!
//! Verified: a boot whose power was not cut shows success, failure or critical within a bound of virtual time, even
//! with hung devices and failed starts; the bound grows with calls that hang for some time. Not verified: boots whose
//! LEDs cannot be set.

use crate::board::world::RunOutcome;
use crate::judge::{CheckerId, Judge, always, by_nothing};
use crate::model::time::scheduler::End;
use crate::run::Evidence;
use crate::scenario::schema::{Fault, FaultKind};
use replicator_hal::Status;
use std::time::Duration;

/// Longer than the longest lease, and longer than media of this size can take.
const BOUND: Duration = Duration::from_secs(3600);

/// The entry in the registry.
pub const JUDGE: Judge = Judge {
    id: CheckerId::Terminates,
    applies: always,
    misled_by: by_nothing,
    check: |case| check(case.evidence),
};

/// The complaints.
pub fn check(evidence: &Evidence) -> Vec<String> {
    if evidence.faults.iter().any(|fault| fault.spec.kind() == FaultKind::LedFails) {
        return Vec::new();
    }
    let mut wrong = Vec::new();
    let hangs = evidence.faults.iter().filter_map(|fault| match fault.spec.fault {
        Fault::Hang { duration_ms } => duration_ms,
        _ => None,
    });
    let per_call_ms: u64 = hangs.sum();
    for (number, boot) in evidence.boots.iter().enumerate() {
        let bound = BOUND + Duration::from_millis(per_call_ms.saturating_mul(boot.ops));
        if matches!(boot.outcome, RunOutcome::Ended(End::PowerCut { .. })) {
            continue;
        }
        let log = boot.world.leds();
        match log.shown().last() {
            Some((_, Status::Running)) | None => {
                wrong.push(format!("boot {} shows no terminal status", number + 1))
            }
            Some((since, status)) if *since > bound => {
                wrong.push(format!("boot {} shows {status} only after {} s", number + 1, since.as_secs()));
            }
            Some(_) => {}
        }
    }
    wrong
}
