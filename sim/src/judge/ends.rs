//! How the runs of a scenario ended: by themselves, or by a power cut of the scenario.
//!
//! Verified: no panic of the engine, and no other end of the simulation than a cut or a hang of the scenario. Not
//! verified: the LEDs at that end, which `terminates` checks.

use super::{Case, CheckerId, Judge, Origin, always, by_nothing};
use crate::board::world::RunOutcome;
use crate::model::time::scheduler::End;
use crate::scenario::schema::{Fault, FaultKind};

/// The entry in the registry.
pub(super) const PANIC: Judge =
    Judge { id: CheckerId::Panic, applies: always, misled_by: by_nothing, check: panics };
/// The entry in the registry.
pub(super) const ENDS: Judge =
    Judge { id: CheckerId::EndsByItself, applies: always, misled_by: by_nothing, check: ends };

fn panics(case: &Case<'_>) -> Vec<String> {
    let boots = case.evidence.boots.iter().enumerate();
    let outcomes = boots.map(|(number, boot)| (format!("boot {}", number + 1), &boot.outcome));
    let next = case.next_boot.map(|probed| ("the next boot".to_owned(), &probed.outcome));
    let panics = outcomes.chain(next).filter_map(|(which, outcome)| match outcome {
        RunOutcome::Panicked(text) => Some(format!("{which}: {text}")),
        RunOutcome::Finished | RunOutcome::Ended(_) => None,
    });
    panics.collect()
}

fn ends(case: &Case<'_>) -> Vec<String> {
    let boots = case.evidence.boots.iter().enumerate();
    let wrong = boots.filter_map(|(number, boot)| match &boot.outcome {
        RunOutcome::Finished | RunOutcome::Panicked(_) => None,
        RunOutcome::Ended(end) if may_end(case, end) => None,
        RunOutcome::Ended(end) => Some(format!("boot {}: the run did not end by itself: {end}", number + 1)),
    });
    wrong.collect()
}

/// Whether a cut or a hanging device may have ended the run.
fn may_end(case: &Case<'_>, end: &End) -> bool {
    let mut hangs = case.evidence.faults.iter().filter(|fault| fault.spec.kind() == FaultKind::Hang);
    match (end, case.origin) {
        (End::PowerCut { .. }, _) => true,
        (End::Hung, Origin::Written | Origin::Explored) => {
            hangs.any(|hang| hang.spec.fault == Fault::Hang { duration_ms: None })
        }
        // A device that hangs in every call, even for a limited time, exceeds the time limit of a world.
        (End::Hung | End::TimeBound, Origin::Generated) => hangs.next().is_some(),
        (End::TimeBound | End::OpBound | End::Stuck(_), _) => false,
    }
}
