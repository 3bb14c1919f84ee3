//! A boot whose crash states are judged, and how such a state is printed: on a screen, and as a command that
//! reproduces it.

use super::crash::Cut;
use super::{finding, policy_name};
use crate::board::world::{RunOutcome, World};
use crate::judge::Undisturbed;
use crate::model::hardware::machine::Recorded;
use crate::model::hardware::simfs::Survival;
use crate::model::time::scheduler::End;
use crate::run::{Boot, Snapshot};
use crate::scenario::schema::BootSpec;
use replicator_engine::boot::Request;

/// A recorded boot, and all that is needed to judge its crash states.
pub(super) struct Place<'a> {
    /// Index of the scenario's boot.
    pub(super) number: usize,
    pub(super) before: &'a Snapshot,
    pub(super) boot: &'a Boot,
    pub(super) request: &'a Request,
    pub(super) undisturbed: &'a Undisturbed,
    /// Cuts that led to this boot.
    pub(super) path: Vec<Cut>,
}

/// The boot that was cut, as evidence for checkers.
pub(super) fn cut_boot(place: &Place<'_>, recorded: &Recorded, next: &World, after: Snapshot) -> Boot {
    Boot {
        spec: BootSpec::default(),
        before: place.before.clone(),
        after,
        // This boot has no end that could be inspected: a board that was never switched on represents it.
        world: next.reboot(Survival::None),
        report: None,
        outcome: RunOutcome::Ended(End::PowerCut { at_op: recorded.number }),
        virtual_time: place.boot.virtual_time,
        ops: recorded.number,
        trace_hash: 0,
    }
}

/// The lines that describe a crash state.
pub(super) fn screen(
    place: &Place<'_>,
    recorded: &Recorded,
    policy: Survival,
    after: &Snapshot,
    chose: Option<&str>,
) -> Vec<String> {
    let op = recorded.op.to_string();
    let mut lines: Vec<String> = place
        .path
        .iter()
        .map(|(number, policy)| {
            format!("  after a cut before operation {number}, policy {}", policy_name(*policy))
        })
        .collect();
    let words: Vec<&str> = op.split_whitespace().collect();
    lines.push(format!(
        "  cut before operation {} ({}), policy {}",
        recorded.number,
        words.join(" "),
        policy_name(policy)
    ));
    lines.extend(finding::drive("drive after the cut", after));
    lines.extend(chose.map(|chose| format!("  next boot chose: {chose}")));
    lines.extend(finding::operations(place.boot, recorded.number, Some(&recorded.op)));
    lines
}

/// The command that reproduces a crash state.
pub(super) fn command(argument: &str, place: &Place<'_>, recorded: &Recorded, policy: Survival) -> String {
    let cuts = place.path.iter().copied().chain([(recorded.number, policy)]);
    let (numbers, policies): (Vec<String>, Vec<String>) =
        cuts.map(|(number, policy)| (number.to_string(), policy_name(policy))).unzip();
    let boot = if place.number == 0 { String::new() } else { format!(" --boot {}", place.number + 1) };
    format!(
        "replicator-sim run {argument}{boot} --cut {} --survive {}",
        numbers.join(","),
        policies.join(",")
    )
}
