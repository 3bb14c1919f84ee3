//! Every operation of the HAL: its word in traces and scenarios, what it is called on, whether it may change something,
//! and what it costs. Faults, traces and scenarios use [`OpName`], so that a scenario can name every operation of the
//! backends, and no other.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use strum::{EnumIter, EnumString, IntoEnumIterator, IntoStaticStr};

/// An operation. Its word is the name in kebab case, such as `sync-dir`; each is a call of one HAL trait.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    EnumIter,
    EnumString,
    IntoStaticStr,
)]
#[serde(try_from = "String", into = "&'static str")]
#[strum(serialize_all = "kebab-case")]
#[allow(missing_docs)] // The names are those of the HAL's calls, which are documented there.
pub enum OpName {
    AreaList,
    BeginVerify,
    Close,
    CommandLine,
    Compatible,
    Create,
    CreateDir,
    DeviceList,
    Discard,
    DropCache,
    Extents,
    FileLen,
    Flags,
    Format,
    Fsck,
    Grow,
    HardLink,
    Hook,
    Identify,
    LedShow,
    List,
    LookAtArea,
    MakeNode,
    Metadata,
    Mount,
    NextData,
    Open,
    OpenArea,
    OpenShared,
    OpenSource,
    OpenTarget,
    OpenWrite,
    Punch,
    Read,
    ReadLink,
    Register,
    Remount,
    RemoveDir,
    RemoveFile,
    Rename,
    RereadPartitions,
    Resolve,
    SetFlags,
    SetLen,
    SetMode,
    SetModified,
    SetOwner,
    SetXattr,
    Sleep,
    Space,
    Symlink,
    Sync,
    SyncDir,
    SyncVolume,
    Unmount,
    Updater,
    UsedMap,
    Write,
    Xattrs,
    Zero,
}

/// The target of an operation, a fault or a cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// A medium of the board.
    Medium,
    /// The drive.
    Drive,
    /// The file system in a working image.
    Image,
    /// A bootloader area.
    Area,
    /// The LEDs.
    Leds,
    /// Hooks, the device tree, the command line.
    System,
    /// The clock.
    Clock,
    /// Registers, updaters, the list of areas.
    Firmware,
    /// The list of devices.
    Devices,
    /// Any of these.
    Any,
}

/// The cost class of an operation; the time depends on the speed of its device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cost {
    /// One call without data.
    Call,
    /// A call, and its bytes at reading speed.
    Read,
    /// A call, and its bytes at writing speed.
    Write,
    /// A flush.
    Flush,
    /// Several flushes: a whole file system is opened, checked, made or closed.
    FileSystem,
}

/// The fixed properties of an operation.
struct Row {
    on: &'static [Target],
    changes: bool,
    cost: Cost,
}

impl Target {
    /// The parts of a board that have a fixed name in scenarios and traces; media and bootloader areas have names of their
    /// own.
    pub const PARTS: [(&'static str, Self); 8] = [
        ("drive", Self::Drive),
        ("image", Self::Image),
        ("leds", Self::Leds),
        ("system", Self::System),
        ("clock", Self::Clock),
        ("firmware", Self::Firmware),
        ("devices", Self::Devices),
        ("*", Self::Any),
    ];

    /// The part with this name.
    pub fn part(name: &str) -> Option<Self> {
        Self::PARTS.iter().find(|(part, _)| *part == name).map(|(_, target)| *target)
    }
}

impl OpName {
    /// The word in traces and scenarios.
    pub fn word(self) -> &'static str {
        self.into()
    }

    /// All operations.
    pub fn all() -> impl Iterator<Item = Self> {
        Self::iter()
    }

    /// Whether it can be called on `target`.
    pub fn is_on(self, target: Target) -> bool {
        target == Target::Any || self.row().on.contains(&target)
    }

    /// Whether it may change something that outlives a power cut.
    pub fn changes(self) -> bool {
        self.row().changes
    }

    /// Its cost class.
    pub fn cost(self) -> Cost {
        self.row().cost
    }

    fn row(self) -> Row {
        use Target::{Area, Clock, Devices, Drive, Firmware, Image, Leds, Medium, System};
        const VOLUME: &[Target] = &[Medium, Drive, Image];
        const BYTES: &[Target] = &[Medium, Drive, Image, Area];
        const DEVICE: &[Target] = &[Medium, Drive, Area];
        let reads = |on| Row { on, changes: false, cost: Cost::Call };
        let changes = |on| Row { on, changes: true, cost: Cost::Call };
        let costs = |cost, row| Row { cost, ..row };
        match self {
            Self::Compatible | Self::CommandLine => reads(&[System]),
            Self::Hook => changes(&[System]),
            Self::LedShow => reads(&[Leds]),
            Self::Sleep => reads(&[Clock]),
            Self::DeviceList => reads(&[Devices]),
            Self::AreaList | Self::Register => reads(&[Firmware]),
            Self::Updater => changes(&[Firmware]),
            Self::LookAtArea => reads(&[Area]),
            Self::OpenArea => changes(&[Area]),
            Self::OpenSource => reads(DEVICE),
            Self::OpenShared | Self::OpenTarget | Self::RereadPartitions => changes(DEVICE),
            Self::Zero => costs(Cost::Write, changes(DEVICE)),
            Self::Discard => costs(Cost::Flush, changes(&[Medium])),
            Self::BeginVerify => costs(Cost::Flush, changes(DEVICE)),
            Self::Read => costs(Cost::Read, reads(BYTES)),
            Self::Write => costs(Cost::Write, changes(BYTES)),
            Self::Sync => costs(Cost::Flush, changes(BYTES)),
            Self::Close => changes(BYTES),
            Self::Identify | Self::UsedMap => reads(VOLUME),
            Self::Fsck | Self::Format | Self::Grow | Self::Mount | Self::Unmount | Self::Remount => {
                costs(Cost::FileSystem, changes(VOLUME))
            }
            Self::DropCache | Self::SyncDir | Self::SyncVolume => costs(Cost::Flush, changes(VOLUME)),
            Self::Open => reads(&[Medium, Drive, Image, Firmware]),
            Self::Extents
            | Self::FileLen
            | Self::Flags
            | Self::List
            | Self::Metadata
            | Self::NextData
            | Self::ReadLink
            | Self::Resolve
            | Self::Space
            | Self::Xattrs => reads(VOLUME),
            Self::Create
            | Self::CreateDir
            | Self::HardLink
            | Self::MakeNode
            | Self::OpenWrite
            | Self::Punch
            | Self::RemoveDir
            | Self::RemoveFile
            | Self::Rename
            | Self::SetFlags
            | Self::SetLen
            | Self::SetMode
            | Self::SetModified
            | Self::SetOwner
            | Self::SetXattr
            | Self::Symlink => changes(VOLUME),
        }
    }
}

impl fmt::Display for OpName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

impl TryFrom<String> for OpName {
    type Error = String;

    /// The operation with this word; underscores count as hyphens.
    fn try_from(word: String) -> Result<Self, String> {
        let word = word.replace('_', "-");
        Self::from_str(&word).map_err(|_| {
            let known: Vec<&str> = Self::iter().map(Self::word).collect();
            format!("no operation {word:?}; known are {}", known.join(", "))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_has_a_word_by_which_a_scenario_finds_it() {
        for op in OpName::all() {
            assert_eq!(OpName::try_from(op.word().to_owned()), Ok(op));
            assert_eq!(OpName::try_from(op.word().replace('-', "_")), Ok(op));
        }
        let unknown = OpName::try_from("raed".to_owned()).unwrap_err();
        assert!(
            unknown.starts_with("no operation \"raed\"; known are ") && unknown.contains("read, "),
            "{unknown}"
        );
    }
}
