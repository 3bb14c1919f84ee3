//! The faults of a story as they stand in its file: what the hardware does, to what, when.
//!
//! Which numbers of the catalogue they stand for is in [`crate::catalogue`].

use super::schema::Size;
use crate::op_name::OpName;
use serde::{Deserialize, Serialize};

/// One fault: what the hardware does, to what, when.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FaultSpec {
    /// A medium's name, `drive`, `image`, `leds`, `system` or `clock`.
    pub on: String,
    /// What happens.
    pub kind: FaultKind,
    /// Byte range of the medium that suffers it, such as `"1 MiB.."` or `"0..512"`; everything if left out.
    pub range: Option<String>,
    /// Whose operation triggers it, if not that of what it is on.
    pub by: Option<String>,
    /// Operation that triggers it, such as `write`, `read`, `sync`, `rename`, `create`; any if left out.
    pub op: Option<OpName>,
    /// Glob of the file that the operation is on (drive).
    pub file: Option<String>,
    /// Which occurrence of the operation, from 1; every one if left out.
    pub nth: Option<u64>,
    /// How many times it happens; for ever if left out.
    pub times: Option<u64>,
    /// Free space left (`out-of-space`), free space told (`space-lies`), longest file (`file-size-limit`).
    pub space: Option<Size>,
    /// Where misdirected writes land.
    pub to: Option<Size>,
    /// How much flash a fake card really has.
    pub real: Option<Size>,
    /// How much a fake card answers from its own memory.
    pub cache: Option<Size>,
    /// How long a hang lasts; for ever if left out.
    pub duration_ms: Option<u64>,
    /// How far the clock jumps.
    pub seconds: Option<i64>,
    /// What fsck exits with.
    pub exit: Option<i32>,
    /// The device's name after it was plugged in again.
    pub device: Option<String>,
    /// The medium that takes the device's old name.
    pub taken_by: Option<String>,
    /// Whether this fault need not be reached.
    #[serde(default)]
    pub may_be_missed: bool,
}

impl FaultSpec {
    /// A fault of `kind` on `on`, by every call, which need not be reached.
    pub fn any(on: &str, kind: FaultKind) -> Self {
        Self {
            on: on.to_owned(),
            kind,
            range: None,
            by: None,
            op: None,
            file: None,
            nth: None,
            times: None,
            space: None,
            to: None,
            real: None,
            cache: None,
            duration_ms: None,
            seconds: None,
            exit: None,
            device: None,
            taken_by: None,
            may_be_missed: true,
        }
    }
}

/// What the hardware does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FaultKind {
    /// No space is left after `space` more bytes.
    OutOfSpace,
    /// Asked for free space, the file system tells `space`, whatever there is.
    SpaceLies,
    /// Files cannot be longer than `space`, and the file system says so.
    FileSizeLimit,
    /// Writes into the range of a file fail because the file would be too long.
    FileTooLarge,
    /// The file system becomes read-only.
    ReadOnlyFlip,
    /// Operations fail with an I/O error.
    IoError,
    /// The range cannot be read until it is written.
    LatentError,
    /// Writes are acknowledged and dropped.
    DropWrites,
    /// The flash ends at `real`, and writes behind it vanish.
    FakeLimbo,
    /// The flash ends at `real`, and writes behind it land at the start again.
    FakeWraparound,
    /// The flash ends at `real`; addresses wrap at twice that, and half of them vanish.
    FakeChain,
    /// Writes into the range land at `to`.
    MisdirectedWrite,
    /// One bit of what is written is flipped.
    BitFlip,
    /// One bit in the middle of the range is flipped on its way from the medium, and right on it.
    TransientFlip,
    /// Reads and writes are short, and interrupted now and then.
    ShortIo,
    /// The operation does not return for `duration_ms`, or never.
    Hang,
    /// The device is gone from then on.
    Vanish,
    /// The device is gone, and there again as `device`; `taken_by` may take its name.
    Replug,
    /// fsck ends with damage left.
    FsckFails,
    /// fsck exits with `exit`.
    FsckExit,
    /// Unmounting says busy.
    UnmountBusy,
    /// LED writes fail.
    LedFails,
    /// The wall clock jumps by `seconds`.
    ClockJump,
}

impl FaultKind {
    /// All of them.
    pub const ALL: [Self; 23] = [
        Self::OutOfSpace,
        Self::SpaceLies,
        Self::FileSizeLimit,
        Self::FileTooLarge,
        Self::ReadOnlyFlip,
        Self::IoError,
        Self::LatentError,
        Self::DropWrites,
        Self::FakeLimbo,
        Self::FakeWraparound,
        Self::FakeChain,
        Self::MisdirectedWrite,
        Self::BitFlip,
        Self::TransientFlip,
        Self::ShortIo,
        Self::Hang,
        Self::Vanish,
        Self::Replug,
        Self::FsckFails,
        Self::FsckExit,
        Self::UnmountBusy,
        Self::LedFails,
        Self::ClockJump,
    ];

    /// What the hardware does to bytes. Every kind has to decide: on it depends which judges can be believed.
    pub fn bytes(self) -> Bytes {
        match self {
            // Calls that fail, end early or late, or tell something else than bytes. A sector with a latent error says so.
            Self::OutOfSpace
            | Self::SpaceLies
            | Self::FileSizeLimit
            | Self::FileTooLarge
            | Self::ReadOnlyFlip
            | Self::IoError
            | Self::LatentError
            | Self::ShortIo
            | Self::Hang
            | Self::Vanish
            | Self::FsckFails
            | Self::FsckExit
            | Self::UnmountBusy
            | Self::LedFails
            | Self::ClockJump => Bytes::Right,
            // Whatever has the name now, it stores what it is given.
            Self::Replug => Bytes::Right,
            Self::DropWrites
            | Self::FakeLimbo
            | Self::FakeWraparound
            | Self::FakeChain
            | Self::MisdirectedWrite => Bytes::WrittenWrong,
            Self::BitFlip => Bytes::ChangeAlone,
            Self::TransientFlip => Bytes::ReadWrong,
        }
    }
}

/// What hardware does to bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bytes {
    /// It stores what it is given, and gives back what it stores, or says that it cannot.
    Right,
    /// It says that it has stored them, and has not, or elsewhere.
    WrittenWrong,
    /// They become others where they are stored.
    ChangeAlone,
    /// They become others on their way from it.
    ReadWrong,
}
