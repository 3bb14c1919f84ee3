//! S5, S6, S7, S10: a bootloader is the old one or the new one, in its place; success means the new one; exactly the
//! critical states are shown as critical.
//!
//! Verified, in every boot that came to its own end: the area holds the old bootloader or the whole new one, or the
//! LEDs show critical (also in boots that hang); bytes outside of the files' places are unchanged (also in cut
//! boots); success means the new bootloader and the update's revision, unless the board accepts none; no medium
//! changed if the bootloader of the drive is not installed; critical is shown only for an area or updaters with
//! faults, a microcontroller that does not answer, or an FPGA whose updater was run. A board that started with a
//! microcontroller that does not answer can boot all the same, so failure may be shown then.
//!
//! Not verified: that a bootloader boots; the board after a power cut while a bootloader is written, which nothing
//! can repair; the status on LEDs that cannot be set.

use crate::board::world::RunOutcome;
use crate::judge::readers::drive_images::{files, firmware_files, has_session};
use crate::judge::{CheckerId, Judge, always, by_the_drive};
use crate::model::bytes::pages::Pages;
use crate::model::hardware::found::FoundFiles;
use crate::model::time::op_name::OpName;
use crate::model::time::scheduler::End;
use crate::model::time::trace::Event;
use crate::run::{Boot, Evidence, Snapshot};
use crate::scenario::boards;
use crate::scenario::schema::{Bytes, FaultKind, FaultSpec, FirmwareSpec, UpdaterBehaviour};
use replicator_engine::profile::{BootloaderFile, Footer};
use replicator_hal::{RelativePath, Status};

const BLOCK_LEN_BYTES: usize = 512;
/// Names of bootloader areas in scenarios.
pub const AREAS: [&str; 2] = ["emmc-boot0", "flash"];
const UPDATE: &str = "micro-update.bin";

fn content<'a>(files: &'a FoundFiles, name: &str) -> Option<&'a [u8]> {
    files.get(&RelativePath::parse(name).ok()?).map(|file| file.bytes.as_slice())
}

/// The bootloader files of the scenario's board: name, first byte, maximum length, content.
fn bootloader<'a>(spec: &FirmwareSpec, files: &'a FoundFiles) -> Vec<(usize, usize, &'a [u8])> {
    let profile = boards::profile(&spec.board).ok().and_then(|profile| profile.bootloader.as_ref());
    let place = |file: &'static BootloaderFile| {
        let (start, room) = (file.block as usize * BLOCK_LEN_BYTES, file.len_max_bytes as usize);
        Some((start, room, content(files, &file.name)?))
    };
    profile.into_iter().flat_map(|bootloader| &bootloader.files).filter_map(place).collect()
}

fn area(snapshot: &Snapshot) -> Option<&Pages> {
    AREAS.iter().find_map(|name| snapshot.media.get(*name))
}

/// Whether the area holds every bootloader file of the drive; `None` if there is no such file.
pub fn holds_new(spec: &FirmwareSpec, drive: &FoundFiles, snapshot: &Snapshot) -> Option<bool> {
    let wanted = bootloader(spec, drive);
    let holds = |pages: &Pages| {
        wanted.iter().all(|(start, _, bytes)| {
            (start + bytes.len()) as u64 <= pages.len_bytes()
                && pages.bytes(*start as u64, bytes.len()) == *bytes
        })
    };
    (!wanted.is_empty()).then(|| area(snapshot).is_some_and(holds))
}

/// The revision of an update on the drive: the byte or two before flags and magic.
fn update_revision(spec: &FirmwareSpec, drive: &FoundFiles) -> Option<u16> {
    let bytes = content(drive, UPDATE)?;
    let profile = boards::profile(&spec.board).ok()?.microcontroller.as_ref()?;
    let has_model = profile.footer == Footer::V1;
    let at = bytes.len().checked_sub(if has_model { 16 } else { 15 })?;
    let low = u16::from(bytes[at]);
    Some(if has_model { low | u16::from(bytes[at + 1]) << 8 } else { low })
}

/// Whether the microcontroller has the update of the drive; `None` if there is none, or the board accepts none.
pub fn has_update(spec: &FirmwareSpec, drive: &FoundFiles, boot: &Boot) -> Option<bool> {
    let wanted = update_revision(spec, drive)?;
    let micro = boot.world.firmware().microcontroller?;
    let takes = match spec.board.as_str() {
        "tsimx6" => micro.revision >= 7 || wanted == micro.revision,
        "ts7250v3" => spec.revision.as_deref() == Some("C"),
        _ => true,
    };
    takes.then_some(micro.revision >= wanted)
}

/// Whether the console reports that an update which takes effect at the next reboot is not verified.
pub fn reported_as_unverified(spec: &FirmwareSpec, boot: &Boot) -> bool {
    let reports =
        |line: &String| line.contains("takes effect at the next reboot") && line.contains("not verified");
    spec.board != "tsimx6" && boot.world.records().console.iter().any(reports)
}

/// The entry in the registry.
pub const JUDGE: Judge = Judge {
    id: CheckerId::Firmware,
    applies: always,
    misled_by: by_the_drive,
    check: |case| found(case.evidence, case.hardware_faults()),
};

/// The complaints.
pub fn check(evidence: &Evidence) -> Vec<String> {
    found(evidence, &evidence.scenario.faults)
}

/// The complaints for a board whose hardware has these faults.
fn found(evidence: &Evidence, faults: &[FaultSpec]) -> Vec<String> {
    let Some(spec) = &evidence.scenario.firmware else { return Vec::new() };
    let mut wrong = Vec::new();
    for (number, boot) in evidence.boots.iter().enumerate() {
        let drive = files(&boot.before);
        let asked = !has_session(&drive) && !firmware_files(evidence, &drive).is_empty();
        let case = Case { evidence, faults, spec, drive: &drive, boot, asked };
        let mut complain = |what: &str| wrong.push(format!("boot {}: {what}", number + 1));
        if !case.misled() {
            case.places(&mut complain);
        }
        if !matches!(boot.outcome, RunOutcome::Ended(End::PowerCut { .. })) {
            case.half_written(&mut complain);
        }
        if boot.finished() {
            case.ends(&mut complain);
        }
    }
    wrong
}

/// One boot, the files on the drive at its beginning, and whether they include firmware.
struct Case<'a> {
    evidence: &'a Evidence,
    faults: &'a [FaultSpec],
    spec: &'a FirmwareSpec,
    drive: &'a FoundFiles,
    boot: &'a Boot,
    asked: bool,
}

impl Case<'_> {
    /// Whether bytes outside of the places may have changed without the engine: the area has a fault that changes
    /// bytes or stores them elsewhere, and the LEDs do not show success.
    fn misled(&self) -> bool {
        let mut on_area = self.faults.iter().filter(|fault| AREAS.contains(&fault.on.as_str()));
        let unsaid = !self.boot.finished() || self.shows(Status::Critical);
        on_area.any(|fault| match fault.bytes() {
            Bytes::ChangeAlone => true,
            Bytes::WrittenWrong => unsaid,
            Bytes::Right | Bytes::ReadWrong => false,
        })
    }

    /// Whether the boot wrote to an area.
    fn wrote(&self) -> bool {
        let trace = self.boot.world.trace();
        trace.events().any(|event| {
            matches!(event.op.name, OpName::Write | OpName::Zero) && AREAS.contains(&&*event.op.on)
        })
    }

    fn shows(&self, status: Status) -> bool {
        self.boot.status() == Some(status)
    }

    /// Whether the LEDs could show critical, but do not.
    fn critical_is_not_shown(&self) -> bool {
        let mut faults = self.evidence.faults.iter();
        !self.shows(Status::Critical)
            && !faults.any(|fault| fault.reached && fault.spec.kind() == FaultKind::LedFails)
    }

    /// Whether the area holds the bootloader of the drive; `None` if there is none.
    fn has_new(&self) -> Option<bool> {
        self.asked.then(|| holds_new(self.spec, self.drive, &self.boot.after)).flatten()
    }

    /// Only the files' own places change.
    fn places(&self, complain: &mut dyn FnMut(&str)) {
        let (Some(before), Some(after)) = (area(&self.boot.before), area(&self.boot.after)) else { return };
        if before == after {
            return;
        }
        let (before, mut after) = (before.to_vec(), after.to_vec());
        if self.asked {
            for (start, room, _) in bootloader(self.spec, self.drive) {
                let place = start..(start + room).min(before.len());
                after[place.clone()].copy_from_slice(&before[place]);
            }
        }
        if let Some(at) = before.iter().zip(&after).position(|(before, after)| before != after) {
            complain(&format!("byte {at} of the bootloader's area changed, but no file has that place"));
        }
    }

    /// A partly written bootloader is critical.
    fn half_written(&self, complain: &mut dyn FnMut(&str)) {
        // Bytes that a fault changed are not partly written.
        let old = area(&self.boot.before) == area(&self.boot.after) || !self.wrote();
        if self.critical_is_not_shown() && !old && self.has_new() != Some(true) {
            complain("the bootloader is neither old nor new, but the LEDs do not show critical");
        }
    }

    fn ends(&self, complain: &mut dyn FnMut(&str)) {
        let Self { evidence, spec, drive, boot, asked, .. } = *self;
        let success = self.shows(Status::Success);
        let new = self.has_new();
        if success && new == Some(false) {
            complain("success is shown, but the bootloader of the drive is not installed");
        }
        if success
            && asked
            && has_update(spec, drive, boot) == Some(false)
            && !reported_as_unverified(spec, boot)
        {
            complain("success is shown, but the microcontroller does not have the update");
        }
        let same = |name: &String| boot.before.media.get(name) == boot.after.media.get(name);
        if new == Some(false) && !evidence.scenario.media.keys().all(same) {
            complain("a medium was written, although the bootloader is not installed");
        }
        let on_firmware = |on: &str| AREAS.contains(&on) || matches!(on, "firmware" | "*");
        let faulty = self.faults.iter().any(|fault| on_firmware(&fault.on));
        let does_not_answer = boot.world.firmware().microcontroller.is_some_and(|micro| !micro.answers);
        let fpga = drive.keys().any(|path| path.to_string().contains("fpga"));
        if self.shows(Status::Critical) && !faulty && !does_not_answer && !fpga {
            complain("critical is shown, but nothing can have made the board unbootable");
        }
        let breaks =
            spec.microcontroller.as_ref().is_some_and(|micro| micro.updater == UpdaterBehaviour::Breaks);
        let updated = |event: &Event| event.op.name == OpName::Updater && event.op.object.contains(UPDATE);
        if does_not_answer
            && breaks
            && boot.world.trace().events().any(updated)
            && self.critical_is_not_shown()
        {
            complain("the microcontroller does not answer, but the LEDs do not show critical");
        }
    }
}
