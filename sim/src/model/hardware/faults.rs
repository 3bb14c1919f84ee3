//! The faults of a boot: which act at which call, and which were reached.
//!
//! What a fault is and what is fixed for its kind is in [`crate::model::hardware::fault`], what it does in `apply`.
//! Damaged content is not here; `content` makes it.

use crate::model::hardware::fault::{Acts, Bytes, Fault, FaultKind, Reached};
use crate::model::hardware::trigger::Trigger;
use crate::model::time::cause::{Caused, FaultId};
use crate::model::time::op::{Moment, Op};
use crate::model::time::op_name::OpName;
use replicator_hal::Error;
use serde::Serialize;

/// One fault of a scenario or a world: kind, place, time.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct FaultSpec {
    /// Name of a medium, device or bootloader area, `drive`, `image` (a file system in a file), `leds`, `system`, `clock`,
    /// `firmware`, `devices`, or `*`.
    pub on: String,
    /// The fault.
    #[serde(flatten)]
    pub fault: Fault,
    /// When it acts.
    #[serde(flatten)]
    pub when: Trigger,
    /// Whether it need not be reached.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub may_be_missed: bool,
}

impl FaultSpec {
    /// A fault that has to be reached.
    pub fn new(on: &str, fault: Fault, when: Trigger) -> Self {
        Self { on: on.to_owned(), fault, when, may_be_missed: false }
    }

    /// Its kind.
    pub fn kind(&self) -> FaultKind {
        self.fault.kind()
    }

    /// What it does to bytes.
    pub fn bytes(&self) -> Bytes {
        self.kind().physics().bytes
    }
}

/// A fault that acts now.
#[derive(Debug, Clone)]
pub(crate) struct Acting {
    /// Its number among the faults of the boot.
    pub(crate) id: FaultId,
    pub(crate) spec: FaultSpec,
    /// How many calls have matched its trigger, including this one; 0 at the start of a boot.
    pub(crate) nth: u64,
}

#[derive(Debug, Clone)]
struct Armed {
    spec: FaultSpec,
    seen: u64,
    acted: u64,
    reached: bool,
}

impl Armed {
    /// Whether it acts from the start, without a call.
    fn holds_from_the_start(&self) -> bool {
        self.spec.kind().physics().acts == Acts::State && self.spec.when.is_always()
    }

    fn shows_when_it_acts(&self) -> bool {
        self.spec.kind().physics().reached == Reached::WhenItActs
    }

    /// Whether it is on the target of the call.
    fn is_on(&self, op: &Op) -> bool {
        let place = self.spec.when.by.as_ref().unwrap_or(&self.spec.on);
        place == "*" || **place == *op.on || op.device.as_deref().is_some_and(|device| device == place)
    }

    fn acting(&mut self, index: usize) -> Acting {
        self.acted += 1;
        Acting { id: FaultId(index as u32), spec: self.spec.clone(), nth: self.seen }
    }
}

/// The faults of a boot, and which of them were reached.
#[derive(Debug, Clone, Default)]
pub struct Faults {
    armed: Vec<Armed>,
}

impl Faults {
    /// Faults that are not reached yet.
    pub fn new(faults: Vec<FaultSpec>) -> Self {
        let arm = |spec| Armed { spec, seen: 0, acted: 0, reached: false };
        Self { armed: faults.into_iter().map(arm).collect() }
    }

    /// The faults that hold from the start; they count as reached once a call meets them.
    pub(crate) fn at_start(&mut self) -> Vec<Acting> {
        let armed = self.armed.iter_mut().enumerate();
        let held = armed.filter(|(_, armed)| armed.holds_from_the_start());
        held.map(|(index, armed)| armed.acting(index)).collect()
    }

    /// The faults that act on this call.
    pub(crate) fn due(&mut self, op: &Op, moment: Moment) -> Vec<Acting> {
        let mut due = Vec::new();
        for (index, armed) in self.armed.iter_mut().enumerate() {
            let FaultSpec { fault, when, .. } = &armed.spec;
            if !armed.is_on(op) || !fault.acts_at(op, when.op.is_some()) || !when.matches(op, moment.number) {
                continue;
            }
            if armed.holds_from_the_start() {
                armed.reached |= armed.shows_when_it_acts();
                continue;
            }
            armed.seen += 1;
            let times = match fault.kind().physics().acts {
                Acts::State | Acts::StateAtCall => 1,
                Acts::Calls => when.times.unwrap_or(u64::MAX),
            };
            if armed.seen >= when.nth.unwrap_or(1) && armed.acted < times {
                armed.reached |= armed.shows_when_it_acts();
                due.push(armed.acting(index));
            }
        }
        due
    }

    /// Notes the result of a call: a fault that changed a state is reached when a call fails of it, or reports it.
    pub(crate) fn note(&mut self, op: &Op, error: Option<&Error>) {
        self.reach(error.and_then(Error::injected).into_iter());
        let error = error.map(Error::kind);
        for armed in self.armed.iter_mut().filter(|armed| armed.acted > 0 && !armed.reached) {
            let Reached::ByCalls(kind, reports) = armed.spec.kind().physics().reached else { continue };
            let met = error == Some(kind) || error.is_none() && reports.contains(&op.name);
            let on = &armed.spec.on;
            // A working image is a file on the drive.
            let here = matches!(op.name, OpName::DeviceList | OpName::AreaList)
                || **on == *op.on
                || op.device.as_deref() == Some(on.as_str())
                || (on == "drive" && &*op.on == "image");
            armed.reached |= met && here;
        }
    }

    /// Notes that calls reached these faults on media.
    pub(crate) fn reach(&mut self, met: impl Iterator<Item = FaultId>) {
        for id in met {
            if let Some(armed) = self.armed.get_mut(id.0 as usize) {
                armed.reached = true;
            }
        }
    }

    /// Which faults affected the run, in their order.
    pub fn reached(&self) -> Vec<bool> {
        self.armed.iter().map(|armed| armed.reached).collect()
    }

    /// The faults as they were given.
    pub fn list(&self) -> impl Iterator<Item = &FaultSpec> {
        self.armed.iter().map(|armed| &armed.spec)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trigger_counts_matching_calls_only() {
        let fault = FaultSpec::new("sd", Fault::IoError, Trigger::nth(OpName::Read, 2));
        let mut faults = Faults::new(vec![fault]);
        let moment = Moment { now: std::time::Duration::ZERO, number: 1, limit_bytes: None, flip: None };
        let mut due = |name, on: &str| faults.due(&Op::new(name, on), moment).len();
        assert_eq!([due(OpName::Read, "sd"), due(OpName::Write, "sd"), due(OpName::Read, "emmc")], [0, 0, 0]);
        assert_eq!([due(OpName::Read, "sd"), due(OpName::Read, "sd")], [1, 0]);
        assert_eq!(faults.reached(), [true]);
    }
}
