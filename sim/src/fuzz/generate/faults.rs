//! Draws faults: kind, place and trigger.

use super::firmware::Flashed;
use super::{KIB, MIB, Swarm};
use crate::judge::checkers::firmware::AREAS;
use crate::model::bytes::size::{ByteRange, Size};
use crate::model::hardware::fault::FakeCard;
use crate::model::hardware::trigger::Trigger;
use crate::model::time::op_name::OpName;
use crate::scenario::schema::{Bytes, Fault, FaultKind, FaultSpec, MediumSpec};
use std::collections::BTreeMap;

/// Operations for the triggers of faults and cuts; not all are called in every scenario.
pub(super) const OPS: [OpName; 27] = [
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
    OpName::Discard,
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
/// Exit statuses of fsck: bits, and the statuses of killed tools.
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
        let (fault, mut when) = self.draw(kind, &on, len_bytes, media);
        if kind.physics().bytes == Bytes::Right && kind != FaultKind::ShortIo && self.one_in(2) {
            when.times = Some(self.magnitude(2));
        }
        FaultSpec { may_be_missed: true, ..FaultSpec::new(&on, fault, when) }
    }

    /// The board's bootloader area or its updaters, if such a fault can be on them, and the length.
    fn place_of_firmware(&mut self, kind: FaultKind, flashed: &Flashed) -> Option<(String, u64)> {
        match kind {
            FaultKind::Hang | FaultKind::IoError | FaultKind::Fails if self.one_in(4) => {
                Some((FIRMWARE.to_owned(), 0))
            }
            FaultKind::Hang
            | FaultKind::IoError
            | FaultKind::Fails
            | FaultKind::Interrupted
            | FaultKind::ShortIo
            | FaultKind::ReadOnlyFlip
            | FaultKind::Disappear
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
            | FaultKind::WrongFreeSpace
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

    /// A fault of this kind, and its trigger.
    fn draw(&mut self, kind: FaultKind, on: &str, len_bytes: u64, media: &Media) -> (Fault, Trigger) {
        let always = Trigger::always();
        match kind {
            FaultKind::OutOfSpace if self.one_in(2) => {
                (Fault::OutOfSpace { space: Size(self.magnitude(22)) }, always)
            }
            FaultKind::OutOfSpace => (Fault::OutOfSpace { space: Size(0) }, self.when(on)),
            FaultKind::WrongFreeSpace => (Fault::WrongFreeSpace { space: Size(self.magnitude(26)) }, always),
            FaultKind::FileSizeLimit => (Fault::FileSizeLimit { space: Size(self.magnitude(23)) }, always),
            FaultKind::FileTooLarge => (Fault::FileTooLarge, always.range(self.magnitude(21)..u64::MAX)),
            FaultKind::DropWrites => (Fault::DropWrites { range: Some(self.range(len_bytes)) }, always),
            FaultKind::BitFlip => (Fault::BitFlip { range: self.range(len_bytes) }, always),
            FaultKind::LatentError => (Fault::LatentError { range: self.range(len_bytes) }, always),
            FaultKind::FakeLimbo => (Fault::FakeLimbo(self.fake_card(len_bytes)), always),
            FaultKind::FakeWraparound => (Fault::FakeWraparound(self.fake_card(len_bytes)), always),
            FaultKind::FakeChain => (Fault::FakeChain(self.fake_card(len_bytes)), always),
            FaultKind::MisdirectedWrite => {
                let range = self.range(len_bytes);
                let to = Size(self.random.below(len_bytes) & !511);
                (Fault::MisdirectedWrite { range, to }, always)
            }
            FaultKind::TransientFlip => {
                let fault = Fault::TransientFlip { range: self.range(len_bytes) };
                let nth = Some(self.magnitude(3));
                let times = self.one_in(2).then_some(1);
                (fault, Trigger { nth, times, ..Trigger::op(OpName::Read) })
            }
            FaultKind::ShortIo => (Fault::ShortIo, always),
            FaultKind::LedFails => (Fault::LedFails, always),
            FaultKind::FsckFails => (Fault::FsckFails, self.nth_time()),
            FaultKind::UnmountBusy => (Fault::UnmountBusy, self.nth_time()),
            FaultKind::FsckExit => (Fault::FsckExit { exit: self.pick(&EXITS) }, self.nth_time()),
            FaultKind::Hang => {
                let when = self.when(on);
                (Fault::Hang { duration_ms: self.one_in(2).then(|| self.magnitude(24)) }, when)
            }
            FaultKind::Replug => self.replug(on, media),
            FaultKind::HubReset => {
                let when = self.when(on);
                let others: Vec<&str> = media.keys().map(String::as_str).chain([DRIVE]).collect();
                let others: Vec<&str> = others.into_iter().filter(|name| *name != on).collect();
                let with = (!others.is_empty() && self.one_in(2)).then(|| self.pick(&others).to_owned());
                (Fault::HubReset { with: with.into_iter().collect() }, when)
            }
            FaultKind::ClockJump => {
                let when = Trigger { by: Some(DRIVE.to_owned()), ..self.when(on) };
                let years = self.random.below(80) as i64 - 40;
                (Fault::ClockJump { seconds: years * 365 * 86_400 }, when)
            }
            FaultKind::ReadOnlyFlip => (Fault::ReadOnlyFlip, self.when(on)),
            FaultKind::IoError => (Fault::IoError, self.when(on)),
            FaultKind::Fails => (Fault::Fails, self.when(on)),
            FaultKind::Interrupted => (
                Fault::Interrupted,
                Trigger { nth: Some(self.magnitude(8)), ..always.times(self.magnitude(8)) },
            ),
            FaultKind::Disappear => (Fault::Disappear, self.when(on)),
            // Its weight is 0: cuts are drawn with their boots.
            FaultKind::PowerCut => (Fault::PowerCut { after: self.one_in(2) }, self.when(on)),
        }
    }

    fn replug(&mut self, on: &str, media: &Media) -> (Fault, Trigger) {
        let when = self.when(on);
        // No two devices have the same name.
        let device = match on {
            "sd" => "mmcblk7",
            "emmc" => "mmcblk8",
            DRIVE => "sdq",
            _ => "sdr",
        };
        let others: Vec<&String> = media.keys().filter(|name| *name != on).collect();
        let is_taken = on != DRIVE && !others.is_empty() && self.one_in(3);
        let taken_by = is_taken.then(|| self.pick(&others).clone());
        (Fault::Replug { device: device.to_owned(), taken_by }, when)
    }

    fn fake_card(&mut self, len_bytes: u64) -> FakeCard {
        let real = Size((1 + self.random.below(7)) * len_bytes / 8);
        FakeCard { real, cache: self.one_in(2).then(|| Size(64 * KIB * (1 + self.random.below(4)))) }
    }

    fn nth_time(&mut self) -> Trigger {
        Trigger { nth: Some(self.magnitude(2)), ..Trigger::always() }
    }

    fn when(&mut self, on: &str) -> Trigger {
        let ops: &[OpName] = match on {
            FIRMWARE => &UPDATER_OPS,
            on if AREAS.contains(&on) => &FIRMWARE_OPS,
            _ => &OPS,
        };
        let op = self.one_in(2).then(|| self.pick(ops));
        let nth = Some(self.magnitude(if op.is_some() { 5 } else { 8 }));
        Trigger { op, nth, ..Trigger::always() }
    }

    /// Random sectors of a medium.
    fn range(&mut self, len_bytes: u64) -> ByteRange {
        let start = self.random.below(len_bytes) & !511;
        let len = 512 * self.magnitude(9);
        ByteRange::at(start, len)
    }
}
