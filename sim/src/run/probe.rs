//! A boot that is stopped once its course is clear.

use super::Change;
use crate::board::world::{RunOutcome, World};
use crate::model::hardware::trigger::Trigger;
use crate::model::time::op_name::OpName;
use crate::scenario::schema::{Fault, FaultSpec, Mode, Scenario};
use replicator_engine::boot::{self, Request};

/// A boot that has not opened a medium after so many calls is stopped.
const CALLS_MAX: u64 = 400;

/// The course of a boot.
pub struct Probed {
    /// The mode that the engine chose; `None` if it refused.
    pub chose: Option<Mode>,
    /// Whether it opened a medium for writing.
    pub opens_target: bool,
    /// How it ended.
    pub outcome: RunOutcome,
}

/// Boots `world` until the engine opens a medium of the scenario.
pub fn probe(scenario: &Scenario, world: World, request: &Request, change: Change<'_>) -> Probed {
    let cut = |on: &str, when| FaultSpec::new(on, Fault::PowerCut { after: false }, when);
    // Opening the drive itself, to expand it, chooses no mode.
    let media = scenario.media.keys();
    let mut stops: Vec<FaultSpec> = media
        .flat_map(|medium| {
            [OpName::OpenSource, OpName::OpenTarget].map(|op| cut(medium, Trigger::nth(op, 1)))
        })
        .collect();
    stops.push(cut("*", Trigger::at(CALLS_MAX)));
    let world = world.with_faults(stops);
    let end = world.run(|board| boot::run(&change(board), request));
    let is_of_a_medium = |on: &str| scenario.media.contains_key(on);
    let opens_target = world
        .trace()
        .events()
        .any(|event| event.op.name == OpName::OpenTarget && is_of_a_medium(&event.op.on));
    Probed { chose: end.value.as_ref().and_then(super::evidence::mode), opens_target, outcome: end.outcome }
}
