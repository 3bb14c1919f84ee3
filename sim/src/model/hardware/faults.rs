//! Faults as data: where, what, when. Each tells after the run whether it was reached.
//!
//! A fault acts on HAL calls that its trigger matches. Some change the state of a device or volume from then on (dropped
//! writes, read-only, a smaller capacity, a flipped bit, a device that vanishes); without any condition those hold from
//! the start. The others make the matching call fail, shorter, hang, or be the last before the power goes. Not here:
//! damaged content, which is the builder's to make.

use crate::defects::FakeKind;
use crate::op::{Moment, Op, Timing};
use crate::op_name::OpName;
use replicator_hal::{Error, ErrorKind, FaultId};
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// One fault of a scenario.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Fault {
    /// Name of a medium or device, `drive`, `image` (a file system in a file), `leds`, `system`, `clock`, or `*`.
    pub on: String,
    /// What happens.
    pub kind: FaultKind,
    /// When it happens.
    #[serde(default)]
    pub when: Trigger,
}

/// What a fault does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[non_exhaustive]
pub enum FaultKind {
    /// The device is not there: not listed, not to be opened (F16).
    Absent,
    /// The slot is there and empty: size 0.
    EmptySlot,
    /// From the trigger on, the device answers nothing any more (F16).
    Vanishes,
    /// From the trigger on, the device or the volume on it refuses writes (F15).
    ReadOnly,
    /// From the trigger on, the volumes there hold no more than so many bytes of data (F13).
    OutOfSpace {
        /// How many bytes can be used in all.
        capacity_bytes: u64,
    },
    /// At the trigger, the volumes there have no more than so many bytes left (F13).
    SpaceLeft {
        /// How many.
        left_bytes: u64,
    },
    /// From the trigger on, volumes that are asked for free space tell this (F13).
    SpaceLies {
        /// What they tell.
        free_bytes: u64,
    },
    /// Volumes mounted from the trigger on hold no longer file, and say so (F14).
    FileLimit {
        /// Longest file.
        len_max_bytes: u64,
    },
    /// From the trigger on, the device has less flash than it says (F6).
    FakeCapacity {
        /// How much there is.
        real_bytes: u64,
        /// What happens behind it.
        behind: FakeKind,
        /// How much of what was written last it answers from its own memory.
        cache_bytes: u64,
    },
    /// From the trigger on, this range of the device cannot be read until it is written (F8).
    LatentError {
        /// First byte.
        start_bytes: u64,
        /// End.
        end_bytes: u64,
    },
    /// From the trigger on, writes into this range of the device land elsewhere on it (F10).
    Misdirected {
        /// First byte.
        start_bytes: u64,
        /// End.
        end_bytes: u64,
        /// Where they land.
        to_bytes: u64,
    },
    /// At the trigger, the device is gone and comes back under another name (F16).
    Replugged {
        /// Its name from then on.
        device: String,
        /// The medium that takes its old name.
        #[serde(default)]
        taken_by: Option<String>,
    },
    /// At the trigger, the wall clock is set (F25). `on` is then `clock`.
    ClockJump {
        /// By how many seconds.
        seconds: i64,
    },
    /// From the trigger on, writes in this range of the device are taken and forgotten (F5).
    DropWrites {
        /// First byte.
        #[serde(default)]
        start_bytes: u64,
        /// End; without it, that of the device.
        #[serde(default)]
        end_bytes: Option<u64>,
    },
    /// At the trigger, one stored byte of the device changes (F9).
    FlipBits {
        /// Which byte.
        at_bytes: u64,
        /// Which bits of it.
        mask: u8,
    },
    /// One byte of the object changes while it is read, and is right where it is stored (F9).
    FlipInTransit {
        /// Which byte.
        at_bytes: u64,
        /// Which bits of it.
        mask: u8,
    },
    /// The call fails because the file would be too long (F14).
    FileTooLarge,
    /// The call fails with an I/O error (F7, F11). A call that only reaches into the trigger's range ends short of it.
    IoError,
    /// The call fails as busy (F22).
    Busy,
    /// The call is interrupted (F12).
    Interrupted,
    /// The call moves no more than so many bytes (F12).
    Short {
        /// How many; at least 1.
        len_max_bytes: u64,
    },
    /// The call does not return for a while, or never (F17).
    Hang {
        /// How long; without it, for ever.
        #[serde(default)]
        millis: Option<u64>,
    },
    /// The check of a file system ends like this (F23).
    Fsck {
        /// The end.
        outcome: FsckScript,
    },
    /// The call fails, whatever it is; LEDs that cannot be set included (F24).
    Fails,
    /// The power fails (F1).
    PowerCut {
        /// On which side of the call.
        timing: Timing,
    },
}

/// How a scripted check ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FsckScript {
    /// Nothing was wrong.
    Clean,
    /// Something was, and is repaired.
    Repaired,
    /// Damage is left.
    Corrupt,
    /// The check itself failed.
    ToolFailed,
    /// It took too long.
    TimedOut,
}

/// When a fault acts. All conditions that are given must hold; without any, it always acts.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Trigger {
    /// Whose call it is, if not the fault's own: the other devices of a board, `devices` for their list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// The operation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub op: Option<OpName>,
    /// Pattern of the file's path or the device's name; `*` stands for any text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// The call touches these bytes of its object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub range: Option<Range<u64>>,
    /// It acts from the n-th matching call on, counted from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub occurrence: Option<u64>,
    /// It acts so many times; without it, for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub times: Option<u64>,
    /// Number of the call in the run, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_op: Option<u64>,
}

impl Trigger {
    /// Always.
    pub fn always() -> Self {
        Self::default()
    }

    /// At the `occurrence`-th call of `op`, once.
    pub fn nth(op: OpName, occurrence: u64) -> Self {
        Self { op: Some(op), occurrence: Some(occurrence), times: Some(1), ..Self::default() }
    }

    /// At the call with this number, once.
    pub fn at_op(number: u64) -> Self {
        Self { at_op: Some(number), times: Some(1), ..Self::default() }
    }

    /// At every call of `op` that touches these bytes.
    pub fn range(op: OpName, range: Range<u64>) -> Self {
        Self { op: Some(op), range: Some(range), ..Self::default() }
    }

    /// The same, for files or devices that match the pattern.
    #[must_use]
    pub fn file(mut self, pattern: &str) -> Self {
        self.file = Some(pattern.to_owned());
        self
    }

    /// The same, acting so many times.
    #[must_use]
    pub fn times(mut self, times: u64) -> Self {
        self.times = Some(times);
        self
    }

    fn is_always(&self) -> bool {
        *self == Self::default()
    }

    fn matches(&self, op: &Op, number: u64) -> bool {
        let touches = |range: &Range<u64>| {
            op.offset_bytes < range.end && op.offset_bytes.saturating_add(op.len_bytes) > range.start
        };
        self.op.is_none_or(|name| name == op.name)
            && self.at_op.is_none_or(|at| at == number)
            && self.range.as_ref().is_none_or(touches)
            && self.file.as_ref().is_none_or(|pattern| glob(pattern.as_bytes(), op.object.as_bytes()))
    }
}

/// Whether a text matches a pattern in which `*` stands for any text.
fn glob(pattern: &[u8], text: &[u8]) -> bool {
    let (mut at, mut star) = ((0, 0), None);
    while at.1 < text.len() {
        match pattern.get(at.0) {
            Some(b'*') => {
                star = Some((at.0 + 1, at.1));
                at.0 += 1;
            }
            Some(byte) if *byte == text[at.1] => at = (at.0 + 1, at.1 + 1),
            _ => match star {
                Some((after, taken)) => {
                    star = Some((after, taken + 1));
                    at = (after, taken + 1);
                }
                None => return false,
            },
        }
    }
    pattern[at.0..].iter().all(|byte| *byte == b'*')
}

impl FaultKind {
    /// Whether it changes the state of things instead of one call.
    fn is_state(&self) -> bool {
        matches!(
            self,
            Self::Absent
                | Self::EmptySlot
                | Self::Vanishes
                | Self::ReadOnly
                | Self::OutOfSpace { .. }
                | Self::SpaceLeft { .. }
                | Self::SpaceLies { .. }
                | Self::FileLimit { .. }
                | Self::FakeCapacity { .. }
                | Self::LatentError { .. }
                | Self::Misdirected { .. }
                | Self::Replugged { .. }
                | Self::ClockJump { .. }
                | Self::DropWrites { .. }
                | Self::FlipBits { .. }
        )
    }

    /// Whether its trigger is not what it does: it counts as reached when a call meets what it changed.
    fn shows_later(&self) -> bool {
        matches!(
            self,
            Self::OutOfSpace { .. }
                | Self::SpaceLeft { .. }
                | Self::ReadOnly
                | Self::DropWrites { .. }
                | Self::FakeCapacity { .. }
                | Self::Misdirected { .. }
                | Self::LatentError { .. }
        )
    }

    /// Which calls it means when the trigger does not say.
    fn acts_on(&self, op: &Op) -> bool {
        match self {
            Self::Short { .. } => op.len_bytes > 0 && matches!(op.name, OpName::Read | OpName::Write),
            Self::Interrupted => matches!(op.name, OpName::Read | OpName::Write),
            Self::Busy => {
                matches!(
                    op.name,
                    OpName::Unmount
                        | OpName::OpenTarget
                        | OpName::Mount
                        | OpName::RereadPartitions
                        | OpName::Remount
                )
            }
            Self::Fsck { .. } => op.name == OpName::Fsck,
            Self::FileTooLarge => op.name == OpName::Write,
            // What is wrong with writes is met by changes, and what is told by who asks.
            Self::DropWrites { .. } | Self::FakeCapacity { .. } | Self::Misdirected { .. } => op.mutates,
            Self::SpaceLies { .. } => op.name == OpName::Space,
            Self::FlipInTransit { at_bytes, .. } => {
                let end = op.offset_bytes.saturating_add(op.len_bytes);
                op.name == OpName::Read && (op.offset_bytes..end).contains(at_bytes)
            }
            _ => true,
        }
    }

    /// The kind of the error that it gives, for those that give one.
    pub(crate) fn error_kind(&self) -> Option<ErrorKind> {
        Some(match self {
            Self::IoError => ErrorKind::Io,
            Self::FileTooLarge => ErrorKind::FileTooLarge,
            Self::Busy => ErrorKind::Busy,
            Self::Interrupted => ErrorKind::Interrupted,
            Self::Fails => ErrorKind::Other,
            Self::Fsck { outcome: FsckScript::Corrupt } => ErrorKind::Corrupt,
            Self::Fsck { outcome: FsckScript::ToolFailed } => ErrorKind::ToolFailed,
            Self::Fsck { outcome: FsckScript::TimedOut } => ErrorKind::TimedOut,
            _ => return None,
        })
    }
}

#[derive(Debug, Clone)]
struct Armed {
    fault: Fault,
    seen: u64,
    acted: u64,
    reached: bool,
}

/// The faults of a run, with what became of them.
#[derive(Debug, Clone, Default)]
pub struct Faults {
    armed: Vec<Armed>,
}

impl Faults {
    /// Faults that nobody has met yet.
    pub fn new(faults: Vec<Fault>) -> Self {
        let arm = |fault| Armed { fault, seen: 0, acted: 0, reached: false };
        Self { armed: faults.into_iter().map(arm).collect() }
    }

    /// The faults that hold from the start; they count as reached once a call meets them.
    pub(crate) fn at_start(&mut self) -> Vec<(FaultId, Fault)> {
        let mut due = Vec::new();
        for (index, armed) in self.armed.iter_mut().enumerate() {
            if armed.fault.kind.is_state() && armed.fault.when.is_always() {
                armed.acted += 1;
                due.push((FaultId(index as u32), armed.fault.clone()));
            }
        }
        due
    }

    /// The faults that act on this call.
    pub(crate) fn due(&mut self, op: &Op, moment: Moment) -> Vec<(FaultId, Fault)> {
        let mut due = Vec::new();
        for (index, armed) in self.armed.iter_mut().enumerate() {
            let Fault { on, kind, when } = &armed.fault;
            let place = when.by.as_ref().unwrap_or(on);
            let here = place == "*"
                || **place == *op.on
                || op.device.as_deref().is_some_and(|device| device == place);
            if !here || !kind.acts_on(op) || !when.matches(op, moment.number) {
                continue;
            }
            if kind.is_state() && when.is_always() {
                armed.reached |= !kind.shows_later();
                continue;
            }
            armed.seen += 1;
            // A change of state happens once.
            let times = if kind.is_state() { 1 } else { when.times.unwrap_or(u64::MAX) };
            if armed.seen >= when.occurrence.unwrap_or(1) && armed.acted < times {
                armed.acted += 1;
                armed.reached |= !armed.fault.kind.shows_later();
                due.push((FaultId(index as u32), armed.fault.clone()));
            }
        }
        due
    }

    /// Notes what became of a call: lack of space and refused writes are met by the calls that fail of them, or that ask.
    pub(crate) fn note(&mut self, op: &Op, error: Option<&Error>) {
        self.reach(error.and_then(Error::injected).into_iter());
        let error = error.map(Error::kind);
        for armed in self.armed.iter_mut().filter(|armed| armed.acted > 0 && !armed.reached) {
            let Fault { on, kind, .. } = &armed.fault;
            let met = match kind {
                FaultKind::OutOfSpace { .. } | FaultKind::SpaceLeft { .. } => {
                    error == Some(ErrorKind::NoSpace) || error.is_none() && op.name == OpName::Space
                }
                // Lists of devices say it, too.
                FaultKind::ReadOnly => {
                    error == Some(ErrorKind::ReadOnly)
                        || matches!(op.name, OpName::DeviceList | OpName::AreaList | OpName::LookAtArea)
                }
                _ => false,
            };
            // A working image is a file on the drive.
            let here = matches!(op.name, OpName::DeviceList | OpName::AreaList)
                || **on == *op.on
                || op.device.as_deref() == Some(on.as_str())
                || (on == "drive" && &*op.on == "image");
            armed.reached |= met && here;
        }
    }

    /// Notes that media met these faults.
    pub(crate) fn reach(&mut self, met: impl Iterator<Item = FaultId>) {
        for id in met {
            if let Some(armed) = self.armed.get_mut(id.0 as usize) {
                armed.reached = true;
            }
        }
    }

    /// Notes that a fault which holds from the start made a difference.
    pub(crate) fn reach_absent(&mut self) {
        for armed in &mut self.armed {
            if matches!(armed.fault.kind, FaultKind::Absent | FaultKind::EmptySlot) && armed.acted > 0 {
                armed.reached = true;
            }
        }
    }

    /// For each fault of the scenario, whether it acted.
    pub fn reached(&self) -> Vec<bool> {
        self.armed.iter().map(|armed| armed.reached).collect()
    }

    /// The faults as they were given.
    pub fn list(&self) -> impl Iterator<Item = &Fault> {
        self.armed.iter().map(|armed| &armed.fault)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_in_a_shell() {
        for (pattern, text, yes) in [
            ("*.dd.xz", ".capture/sdimage.dd.xz", true),
            ("*.dd.xz", "sdimage.dd.xz.md5", false),
            ("a*b*c", "a1b2b3c", true),
            ("a*b*c", "a1b2b3", false),
            ("", "", true),
            ("*", "", true),
        ] {
            assert_eq!(glob(pattern.as_bytes(), text.as_bytes()), yes, "{pattern} {text}");
        }
    }

    #[test]
    fn a_trigger_counts_matching_calls_only() {
        let fault = Fault { on: "sd".into(), kind: FaultKind::IoError, when: Trigger::nth(OpName::Read, 2) };
        let mut faults = Faults::new(vec![fault]);
        let op = |name, on: &str| Op::new(name, on);
        let moment = Moment { now: std::time::Duration::ZERO, number: 1, limit_bytes: None, flip: None };
        let mut due = |name, on| faults.due(&op(name, on), moment).len();
        assert_eq!([due(OpName::Read, "sd"), due(OpName::Write, "sd"), due(OpName::Read, "emmc")], [0, 0, 0]);
        assert_eq!([due(OpName::Read, "sd"), due(OpName::Read, "sd")], [1, 0]);
        assert_eq!(faults.reached(), [true]);
    }

    #[test]
    fn a_fault_reads_from_toml() {
        let text = r#"
            on = "drive"
            kind = { power-cut = { timing = "before" } }
            when = { op = "rename", file = "*.dd.xz", occurrence = 1, times = 1 }
        "#;
        let fault: Fault = toml::from_str(text).unwrap();
        assert_eq!(fault.kind, FaultKind::PowerCut { timing: Timing::Before });
        assert_eq!(fault.when, Trigger::nth(OpName::Rename, 1).file("*.dd.xz"));
        assert!(toml::from_str::<Fault>("on = 'sd'\nkind = 'io-error'\nwhere = 'x'").is_err());
    }
}
