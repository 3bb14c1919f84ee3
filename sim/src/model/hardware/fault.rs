//! Faults of the hardware and its surroundings: one variant per fault, with its fields, and one row of physics for
//! each.
//!
//! What a fault does when it acts is in `apply`, when it acts in [`crate::model::hardware::faults`]. A scenario
//! writes a fault as `[[fault]]`, with the variant's name in kebab case as its `kind` and the variant's fields as
//! further keys.

use crate::model::bytes::size::{ByteRange, Size};
use crate::model::time::op::Op;
use crate::model::time::op_name::{OpName, Target};
use replicator_hal::ErrorKind;
use serde::{Deserialize, Serialize};
use std::fmt;
use strum::{EnumDiscriminants, EnumIter, EnumString, IntoEnumIterator, IntoStaticStr};

/// A fault.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, EnumDiscriminants)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
#[strum_discriminants(
    name(FaultKind),
    doc = "The kind of a [`Fault`].",
    derive(PartialOrd, Ord, Hash, EnumIter, EnumString, IntoStaticStr, Serialize, Deserialize),
    serde(rename_all = "kebab-case"),
    strum(serialize_all = "kebab-case"),
    allow(missing_docs)
)]
pub enum Fault {
    /// The file systems there take at most `space` bytes more than they hold at the trigger.
    OutOfSpace {
        /// How much more they take.
        #[serde(default)]
        space: Size,
    },
    /// The file systems there report `space` as their free space, whatever is free.
    WrongFreeSpace {
        /// The reported free space.
        space: Size,
    },
    /// Files cannot be longer than `space`, and the file system reports that limit.
    FileSizeLimit {
        /// Length of the longest file.
        space: Size,
    },
    /// Writes fail because the file would be too long.
    FileTooLarge,
    /// The device, or the file system on it, becomes read-only.
    ReadOnlyFlip,
    /// Calls fail with an I/O error. A read that reaches into the trigger's range from before it is short and ends
    /// there.
    IoError,
    /// Calls fail with an error that has no kind of its own.
    Fails,
    /// Calls are interrupted.
    Interrupted,
    /// The range cannot be read until it is written.
    LatentError {
        /// Which bytes.
        range: ByteRange,
    },
    /// Writes are acknowledged and dropped.
    DropWrites {
        /// Which bytes; all by default.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        range: Option<ByteRange>,
    },
    /// The flash ends at `real`, and writes behind it are dropped.
    FakeLimbo(FakeCard),
    /// The flash ends at `real`, and writes behind it land at the start again.
    FakeWraparound(FakeCard),
    /// The flash ends at `real`; addresses wrap at twice that, and half of them are dropped.
    FakeChain(FakeCard),
    /// Writes into the range land at `to`.
    MisdirectedWrite {
        /// Which bytes.
        range: ByteRange,
        /// Where the first of them lands.
        to: Size,
    },
    /// One bit in the middle of the range changes on the medium when it is first read.
    BitFlip {
        /// Around which byte.
        range: ByteRange,
    },
    /// One bit in the middle of the range is flipped in transfer; the medium holds the right one.
    TransientFlip {
        /// Around which byte.
        range: ByteRange,
    },
    /// Reads and writes are short, and sometimes interrupted.
    ShortIo,
    /// Calls do not return for `duration_ms`, or never.
    Hang {
        /// How long; for ever by default.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        duration_ms: Option<u64>,
    },
    /// The device disappears.
    Disappear,
    /// The device disappears and re-enumerates as `device`; `taken_by` may take its old name.
    Replug {
        /// Its new name.
        device: String,
        /// The medium that takes its old name.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        taken_by: Option<String>,
    },
    /// The USB hub resets: the device and those of `with` disappear, and each re-enumerates under the name of the next.
    HubReset {
        /// Media, or the drive, on the same hub; without any, the device gets its old name again.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        with: Vec<String>,
    },
    /// fsck ends with damage left.
    FsckFails,
    /// fsck exits with `exit`.
    FsckExit {
        /// The exit status.
        exit: i32,
    },
    /// Unmounting fails as busy.
    UnmountBusy,
    /// LEDs cannot be set.
    LedFails,
    /// The wall clock jumps.
    ClockJump {
        /// By how much.
        seconds: i64,
    },
    /// The power fails. A scenario writes it as `cut` of a `[[boot]]`.
    PowerCut {
        /// Whether the call has its effect first.
        after: bool,
    },
}

/// A card that has less flash than it reports.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FakeCard {
    /// The size of its flash.
    pub real: Size,
    /// Size of its write-back cache, which holds what was written last; none by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache: Option<Size>,
}

/// What is fixed for a kind of fault.
#[derive(Debug, Clone)]
pub struct Physics {
    /// Its number in the catalogue, 1 for F1.
    pub number: u8,
    /// Whether it changes a state or single calls.
    pub acts: Acts,
    /// What it can be on.
    pub on: &'static [Target],
    /// The calls at which it acts if the scenario names no operation.
    pub calls: Calls,
    /// The operations that a scenario may name.
    pub may_name: Calls,
    /// What the key `range` of a scenario means for it.
    pub range: RangeMeans,
    /// What it does to bytes.
    pub bytes: Bytes,
    /// When it counts as reached.
    pub reached: Reached,
    /// Of every six generated scenarios with faults, how many may draw it; 0 if `[[fault]]` cannot express it.
    pub weight: u64,
}

/// How a fault acts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Acts {
    /// It changes a state once: at its trigger, or from the start if it has none.
    State,
    /// It changes a state once, always at a call.
    StateAtCall,
    /// It changes calls, as often as its trigger matches.
    Calls,
}

/// Which calls a fault acts at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Calls {
    /// Any.
    Any,
    /// Those that change something.
    Changes,
    /// These.
    Of(&'static [OpName]),
}

/// What the key `range` means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RangeMeans {
    /// The fault acts only at calls that touch these bytes.
    Condition,
    /// It is a field of the fault, if it has such a field.
    Field,
}

/// What hardware does to bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bytes {
    /// They are stored and returned unchanged, or the call fails.
    Right,
    /// The write is reported as done, but the bytes are not stored, or elsewhere.
    WrittenWrong,
    /// They change where they are stored.
    ChangeAlone,
    /// They change while they are read.
    ReadWrong,
}

/// When a fault counts as reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reached {
    /// When it acts.
    WhenItActs,
    /// When a call touches what it changed on the medium.
    InTheMedium,
    /// When a later call there fails with this error, or one of these operations reports it.
    ByCalls(ErrorKind, &'static [OpName]),
}

impl Physics {
    fn new(number: u8, acts: Acts, on: &'static [Target], bytes: Bytes) -> Self {
        let (calls, may_name) = (Calls::Any, Calls::Any);
        let (range, reached) = (RangeMeans::Condition, Reached::WhenItActs);
        Self { number, acts, on, calls, may_name, range, bytes, reached, weight: 1 }
    }

    fn state(number: u8, on: &'static [Target], bytes: Bytes) -> Self {
        Self::new(number, Acts::State, on, bytes)
    }

    fn calls(number: u8, on: &'static [Target], bytes: Bytes) -> Self {
        Self::new(number, Acts::Calls, on, bytes)
    }

    /// At these calls only.
    fn at(self, calls: Calls) -> Self {
        Self { calls, may_name: calls, ..self }
    }

    fn may_name(self, may_name: Calls) -> Self {
        Self { may_name, ..self }
    }

    fn reached(self, reached: Reached) -> Self {
        Self { reached, ..self }
    }

    fn range_is_a_field(self) -> Self {
        Self { range: RangeMeans::Field, ..self }
    }
}

impl FaultKind {
    /// All kinds.
    pub fn all() -> impl Iterator<Item = Self> {
        Self::iter()
    }

    /// Its word in scenarios.
    pub fn word(self) -> &'static str {
        self.into()
    }

    /// Its row.
    pub fn physics(self) -> Physics {
        use Bytes::{ChangeAlone, ReadWrong, Right, WrittenWrong};
        use OpName::{
            AreaList, DeviceList, Fsck, LedShow, LookAtArea, Mount, OpenTarget, Read, Remount,
            RereadPartitions, Space, Unmount, Write,
        };
        use Target::{Any, Area, Clock, Devices, Drive, Firmware, Image, Leds, Medium, System};
        const ALL: &[Target] = &[Medium, Drive, Image, Area, Leds, System, Clock, Firmware, Devices, Any];
        const CAN_FAIL: &[Target] = &[Medium, Drive, Image, Area, Leds, System, Firmware, Devices, Any];
        const BYTES: &[Target] = &[Medium, Drive, Image, Area];
        const BYTES_ANYWHERE: &[Target] = &[Medium, Drive, Image, Area, Any];
        const FILES: &[Target] = &[Medium, Drive, Image];
        const FILES_ANYWHERE: &[Target] = &[Medium, Drive, Image, Any];
        const FLASH: &[Target] = &[Medium, Drive, Area];
        const PLUGGED: &[Target] = &[Medium, Drive];
        const TRANSFERS: Calls = Calls::Of(&[Read, Write]);
        const BUSY: Calls = Calls::Of(&[Unmount, OpenTarget, Mount, RereadPartitions, Remount]);
        let written_wrong = |number, on| {
            let row = Physics::state(number, on, WrittenWrong).at(Calls::Changes);
            row.range_is_a_field().reached(Reached::InTheMedium)
        };
        match self {
            Self::OutOfSpace => {
                Physics::state(13, FILES, Right).reached(Reached::ByCalls(ErrorKind::NoSpace, &[Space]))
            }
            Self::WrongFreeSpace => {
                Physics::state(13, FILES, Right).at(Calls::Of(&[Space])).range_is_a_field()
            }
            Self::FileSizeLimit => Physics::state(14, FILES, Right).range_is_a_field(),
            Self::FileTooLarge => Physics::calls(14, FILES, Right).at(Calls::Of(&[Write])),
            // Lists of devices report it, too.
            Self::ReadOnlyFlip => Physics::state(15, BYTES, Right)
                .reached(Reached::ByCalls(ErrorKind::ReadOnly, &[DeviceList, AreaList, LookAtArea])),
            Self::IoError => Physics::calls(7, CAN_FAIL, Right),
            Self::Fails => Physics::calls(7, CAN_FAIL, Right),
            Self::Interrupted => Physics::calls(12, BYTES_ANYWHERE, Right).at(TRANSFERS),
            // The read fails, so no wrong byte is returned.
            Self::LatentError => {
                Physics::state(8, FLASH, Right).range_is_a_field().reached(Reached::InTheMedium)
            }
            Self::DropWrites => written_wrong(5, FLASH),
            Self::FakeLimbo | Self::FakeWraparound | Self::FakeChain => written_wrong(6, PLUGGED),
            Self::MisdirectedWrite => written_wrong(10, FLASH),
            Self::BitFlip => Physics::new(9, Acts::StateAtCall, FLASH, ChangeAlone)
                .at(Calls::Of(&[Read]))
                .may_name(Calls::Of(&[]))
                .range_is_a_field(),
            Self::TransientFlip => {
                Physics::calls(9, BYTES, ReadWrong).at(Calls::Of(&[Read])).range_is_a_field()
            }
            Self::ShortIo => Physics::calls(12, BYTES_ANYWHERE, Right).at(TRANSFERS),
            Self::Hang => Physics::calls(17, CAN_FAIL, Right),
            Self::Disappear => Physics::state(16, FLASH, Right)
                .reached(Reached::ByCalls(ErrorKind::DeviceGone, &[DeviceList, AreaList])),
            // The device that has the name now stores what it is given.
            Self::Replug | Self::HubReset => Physics::state(16, PLUGGED, Right),
            Self::FsckFails | Self::FsckExit => {
                Physics::calls(23, FILES_ANYWHERE, Right).at(Calls::Of(&[Fsck]))
            }
            Self::UnmountBusy => {
                Physics::calls(22, FILES_ANYWHERE, Right).at(Calls::Of(&[Unmount])).may_name(BUSY)
            }
            Self::LedFails => Physics::calls(24, &[Leds], Right).at(Calls::Of(&[LedShow])).range_is_a_field(),
            Self::ClockJump => Physics::state(25, &[Clock], Right),
            Self::PowerCut => Physics { weight: 0, ..Physics::calls(1, ALL, Right) },
        }
    }
}

impl Calls {
    /// Whether a scenario may name this operation.
    pub fn include(self, op: OpName) -> bool {
        match self {
            Self::Any => true,
            Self::Changes => op.changes(),
            Self::Of(ops) => ops.contains(&op),
        }
    }

    /// Whether this call is one of them.
    fn has(self, op: &Op) -> bool {
        match self {
            Self::Any => true,
            Self::Changes => op.mutates,
            Self::Of(ops) => ops.contains(&op.name),
        }
    }
}

impl Fault {
    /// Its kind.
    pub fn kind(&self) -> FaultKind {
        self.into()
    }

    /// The bytes of the device that it needs, with a description: a scenario in which they are behind its end is
    /// invalid.
    pub fn places(&self) -> Vec<(&'static str, u64)> {
        const START: &str = "the start of range";
        const MIDDLE: &str = "the middle of range, where the bit flips,";
        match self {
            Self::LatentError { range } => vec![(START, range.bytes().start)],
            Self::DropWrites { range } => range.iter().map(|range| (START, range.bytes().start)).collect(),
            Self::FakeLimbo(card) | Self::FakeWraparound(card) | Self::FakeChain(card) => {
                vec![("real", card.real.0)]
            }
            Self::MisdirectedWrite { range, to } => vec![(START, range.bytes().start), ("to", to.0)],
            Self::BitFlip { range } | Self::TransientFlip { range } => {
                vec![(START, range.bytes().start), (MIDDLE, range.middle())]
            }
            Self::OutOfSpace { .. }
            | Self::WrongFreeSpace { .. }
            | Self::FileSizeLimit { .. }
            | Self::FileTooLarge
            | Self::ReadOnlyFlip
            | Self::IoError
            | Self::Fails
            | Self::Interrupted
            | Self::ShortIo
            | Self::Hang { .. }
            | Self::Disappear
            | Self::Replug { .. }
            | Self::HubReset { .. }
            | Self::FsckFails
            | Self::FsckExit { .. }
            | Self::UnmountBusy
            | Self::LedFails
            | Self::ClockJump { .. }
            | Self::PowerCut { .. } => Vec::new(),
        }
    }

    /// Whether it acts at this call, if its trigger matches. `is_named`: the trigger names the operation.
    pub(crate) fn acts_at(&self, op: &Op, is_named: bool) -> bool {
        let Physics { calls, may_name, .. } = self.kind().physics();
        let calls = if is_named { may_name } else { calls };
        calls.has(op) && self.flipped_byte().is_none_or(|at| op.bytes().contains(&at))
    }

    /// The byte in which a bit flips.
    fn flipped_byte(&self) -> Option<u64> {
        match self {
            Self::BitFlip { range } | Self::TransientFlip { range } => Some(range.middle()),
            _ => None,
        }
    }

    /// The other media, or the drive, that it names.
    pub fn others(&self) -> Vec<&str> {
        match self {
            Self::Replug { taken_by, .. } => taken_by.iter().map(String::as_str).collect(),
            Self::HubReset { with } => with.iter().map(String::as_str).collect(),
            _ => Vec::new(),
        }
    }

    /// Size of the card's write-back cache, if it has less flash than it reports.
    pub fn write_back_cache(&self) -> Option<Size> {
        match self {
            Self::FakeLimbo(card) | Self::FakeWraparound(card) | Self::FakeChain(card) => card.cache,
            _ => None,
        }
    }
}

impl fmt::Display for FaultKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_has_the_same_word_in_serde_and_in_messages() {
        for kind in FaultKind::all() {
            let word = toml::Value::try_from(kind).unwrap();
            assert_eq!(word.as_str(), Some(kind.word()));
        }
    }

    #[test]
    fn a_scenario_may_name_the_operations_at_which_a_kind_acts() {
        for kind in FaultKind::all().filter(|kind| *kind != FaultKind::BitFlip) {
            let row = kind.physics();
            let wrong = OpName::all().find(|op| row.calls.include(*op) && !row.may_name.include(*op));
            assert_eq!(wrong, None, "{kind}");
            let somewhere = OpName::all()
                .any(|op| row.may_name.include(op) && row.on.iter().any(|target| op.is_on(*target)));
            assert!(somewhere, "{kind} can act at no call");
        }
    }
}
