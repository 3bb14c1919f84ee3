//! Which fault, on what, when.

use super::firmware::Flashed;
use super::{KIB, MIB, Swarm};
use crate::judge::checkers::firmware::AREAS;
use crate::op_name::OpName;
use crate::scenario::schema::{Bytes, FaultKind, FaultSpec, MediumSpec, Size};
use std::collections::BTreeMap;

/// Operations that a fault or a cut may wait for; not all are called in every story.
pub(super) const OPS: [OpName; 26] = [
    OpName::Read,
    OpName::Write,
    OpName::Sync,
    OpName::SyncDir,
    OpName::Rename,
    OpName::Create,
    OpName::Open,
    OpName::Mount,
    OpName::BeginVerify,
    OpName::RemoveFile,
    OpName::Read,
    OpName::Write,
    OpName::Close,
    OpName::Unmount,
    OpName::List,
    OpName::Metadata,
    OpName::DropCache,
    OpName::SetLen,
    OpName::Space,
    OpName::Identify,
    OpName::Fsck,
    OpName::Format,
    OpName::Zero,
    OpName::OpenSource,
    OpName::OpenTarget,
    OpName::CreateDir,
];
/// Operations on bootloader areas and updaters.
const FIRMWARE_OPS: [OpName; 8] = [
    OpName::LookAtArea,
    OpName::OpenArea,
    OpName::BeginVerify,
    OpName::Read,
    OpName::Write,
    OpName::Sync,
    OpName::Close,
    OpName::AreaList,
];
const UPDATER_OPS: [OpName; 4] = [OpName::Updater, OpName::Register, OpName::AreaList, OpName::Open];
const FIRMWARE: &str = "firmware";
/// Exit statuses of fsck: bits, and what tools end with that were killed.
const EXITS: [i32; 9] = [0, 1, 2, 3, 4, 8, 16, 32, 128];
const DRIVE: &str = "drive";

type Media = BTreeMap<String, MediumSpec>;

impl Swarm {
    pub(super) fn fault(&mut self, media: &Media, flashed: Option<&Flashed>) -> FaultSpec {
        let kinds = self.faults.clone();
        let kind = self.pick(&kinds);
        let flashed =
            flashed.filter(|_| self.one_in(2)).and_then(|flashed| self.place_of_firmware(kind, flashed));
        let (on, len_bytes) = flashed.unwrap_or_else(|| {
            let on = self.place(kind, media);
            let len_bytes = media.get(&on).map_or(4 * MIB, |spec| spec.len.0);
            (on, len_bytes)
        });
        let mut fault = FaultSpec::any(&on, kind);
        self.details(&mut fault, len_bytes, media);
        if kind.bytes() == Bytes::Right && kind != FaultKind::ShortIo && self.one_in(2) {
            fault.times = Some(self.magnitude(2));
        }
        fault
    }

    /// The board's bootloader area or its updaters, if such a fault can be there, and how long that is.
    fn place_of_firmware(&mut self, kind: FaultKind, flashed: &Flashed) -> Option<(String, u64)> {
        match kind {
            FaultKind::Hang | FaultKind::IoError if self.one_in(4) => Some((FIRMWARE.to_owned(), 0)),
            FaultKind::Hang
            | FaultKind::IoError
            | FaultKind::ShortIo
            | FaultKind::ReadOnlyFlip
            | FaultKind::Vanish
            | FaultKind::LatentError
            | FaultKind::DropWrites
            | FaultKind::MisdirectedWrite
            | FaultKind::BitFlip
            | FaultKind::TransientFlip => flashed.area.clone(),
            _ => None,
        }
    }

    fn place(&mut self, kind: FaultKind, media: &Media) -> String {
        let names: Vec<&str> = media.keys().map(String::as_str).collect();
        let everywhere: Vec<&str> = names.iter().copied().chain([DRIVE]).collect();
        let place = match kind {
            FaultKind::OutOfSpace
            | FaultKind::SpaceLies
            | FaultKind::FileSizeLimit
            | FaultKind::FileTooLarge => DRIVE,
            FaultKind::LedFails => "leds",
            FaultKind::ClockJump => "clock",
            FaultKind::FsckFails | FaultKind::FsckExit | FaultKind::UnmountBusy => {
                self.pick(&[DRIVE, "image", "*"])
            }
            FaultKind::LatentError
            | FaultKind::DropWrites
            | FaultKind::FakeLimbo
            | FaultKind::FakeWraparound
            | FaultKind::FakeChain
            | FaultKind::MisdirectedWrite
            | FaultKind::BitFlip
            | FaultKind::TransientFlip
                if !self.one_in(4) =>
            {
                self.pick(&names)
            }
            _ => self.pick(&everywhere),
        };
        place.to_owned()
    }

    fn details(&mut self, fault: &mut FaultSpec, len_bytes: u64, media: &Media) {
        match fault.kind {
            FaultKind::OutOfSpace if self.one_in(2) => fault.space = Some(Size(self.magnitude(22))),
            FaultKind::OutOfSpace => self.when(fault),
            FaultKind::SpaceLies => fault.space = Some(Size(self.magnitude(26))),
            FaultKind::FileSizeLimit => fault.space = Some(Size(self.magnitude(23))),
            FaultKind::FileTooLarge => fault.range = Some(format!("{}..", self.magnitude(21))),
            FaultKind::DropWrites | FaultKind::BitFlip | FaultKind::LatentError => {
                fault.range = Some(self.range(len_bytes));
            }
            FaultKind::FakeLimbo | FaultKind::FakeWraparound | FaultKind::FakeChain => {
                fault.real = Some(Size((1 + self.random.below(7)) * len_bytes / 8));
                fault.cache = self.one_in(2).then(|| Size(64 * KIB * (1 + self.random.below(4))));
            }
            FaultKind::MisdirectedWrite => {
                fault.range = Some(self.range(len_bytes));
                fault.to = Some(Size(self.random.below(len_bytes) & !511));
            }
            FaultKind::TransientFlip => {
                fault.op = Some(OpName::Read);
                fault.range = Some(self.range(len_bytes));
                fault.nth = Some(self.magnitude(3));
                fault.times = self.one_in(2).then_some(1);
            }
            FaultKind::ShortIo | FaultKind::LedFails => {}
            FaultKind::FsckFails | FaultKind::UnmountBusy => fault.nth = Some(self.magnitude(2)),
            FaultKind::FsckExit => {
                fault.exit = Some(self.pick(&EXITS));
                fault.nth = Some(self.magnitude(2));
            }
            FaultKind::Hang => {
                self.when(fault);
                fault.duration_ms = self.one_in(2).then(|| self.magnitude(24));
            }
            FaultKind::Replug => {
                self.when(fault);
                // No two devices have one name.
                let device = match fault.on.as_str() {
                    "sd" => "mmcblk7",
                    "emmc" => "mmcblk8",
                    DRIVE => "sdq",
                    _ => "sdr",
                };
                fault.device = Some(device.to_owned());
                let others: Vec<&String> = media.keys().filter(|name| **name != fault.on).collect();
                if fault.on != DRIVE && !others.is_empty() && self.one_in(3) {
                    fault.taken_by = Some(self.pick(&others).clone());
                }
            }
            FaultKind::ClockJump => {
                self.when(fault);
                fault.by = Some(DRIVE.to_owned());
                let years = self.random.below(80) as i64 - 40;
                fault.seconds = Some(years * 365 * 86_400);
            }
            FaultKind::ReadOnlyFlip | FaultKind::IoError | FaultKind::Vanish => self.when(fault),
        }
    }

    fn when(&mut self, fault: &mut FaultSpec) {
        let ops: &[OpName] = match fault.on.as_str() {
            FIRMWARE => &UPDATER_OPS,
            on if AREAS.contains(&on) => &FIRMWARE_OPS,
            _ => &OPS,
        };
        fault.op = self.one_in(2).then(|| self.pick(ops));
        fault.nth = Some(self.magnitude(if fault.op.is_some() { 5 } else { 8 }));
    }

    /// Sectors somewhere on a medium.
    fn range(&mut self, len_bytes: u64) -> String {
        let start = self.random.below(len_bytes) & !511;
        let len = 512 * self.magnitude(9);
        format!("{start}..{}", start + len)
    }
}
