//! What must come of the firmware of a story, from the manual alone.

use super::Verdict;
use crate::firmware::UpdaterBehaviour;
use crate::scenario::boards;
use crate::scenario::schema::{FileSpec, FirmwareKind, FirmwareSpec, Scenario, SidecarSpec};
use replicator_engine::profile::Profile;

/// What must become of the firmware; `None` if nothing is asked for.
pub(super) fn verdict(scenario: &Scenario) -> Option<Verdict> {
    let spec = scenario.firmware.as_ref()?;
    let board = boards::profile(&spec.board).ok()?;
    let compatible = spec.compatible.clone().or_else(|| board.matches.first().cloned());
    let names = board.firmware_files(&compatible.into_iter().collect::<Vec<_>>());
    let (files, strange): (Vec<&FileSpec>, Vec<&FileSpec>) =
        scenario.drive.files.iter().partition(|file| names.contains(&file.name));
    if strange.iter().any(|file| file.firmware.is_some()) {
        // A name that the board does not take stops everything.
        return Some(Verdict::MustFail);
    }
    if files.is_empty() {
        return None;
    }
    if files.iter().any(|file| file.firmware.is_none()) || !scenario.faults.is_empty() {
        return Some(Verdict::May);
    }
    let bootloader = bootloader(spec, &board, &files);
    Some(files.iter().fold(bootloader, |verdict, file| verdict.and(of_file(spec, file))))
}

fn must(fine: bool) -> Verdict {
    if fine { Verdict::MustSucceed } else { Verdict::MustFail }
}

fn bootloader(spec: &FirmwareSpec, board: &Profile, files: &[&FileSpec]) -> Verdict {
    let Some(bootloader) = &board.bootloader else { return Verdict::MustSucceed };
    let there = |name: &str| files.iter().find(|file| file.name == name);
    if !bootloader.files.iter().any(|file| there(&file.name).is_some()) {
        return Verdict::MustSucceed;
    }
    let fine = bootloader.files.iter().all(|place| {
        let Some(firmware) = there(&place.name).and_then(|file| file.firmware.as_ref()) else { return false };
        let room = spec.area_len.0.saturating_sub(place.region().start).min(place.len_max_bytes);
        firmware.len.0 <= room
    });
    must(fine && !spec.area_absent && !spec.area_locked)
}

fn of_file(spec: &FirmwareSpec, file: &FileSpec) -> Verdict {
    let Some(firmware) = &file.firmware else { return Verdict::May };
    let sidecar = match file.sidecar {
        SidecarSpec::WrongFile | SidecarSpec::Wrong | SidecarSpec::Malformed | SidecarSpec::OtherName => {
            Verdict::MustFail
        }
        SidecarSpec::None => Verdict::MustSucceed,
        _ => must(file.damage.is_none()),
    };
    let kind = match firmware.kind {
        FirmwareKind::MicroV0 | FirmwareKind::MicroV1 => match &spec.microcontroller {
            // At its revision already, which is all that can be told without knowing the boots.
            Some(micro) if micro.revision == firmware.revision => Verdict::MustSucceed,
            Some(micro) if micro.updater == UpdaterBehaviour::Missing => Verdict::MustFail,
            _ => Verdict::May,
        },
        FirmwareKind::Program => Verdict::May,
        FirmwareKind::Imx if firmware.imx_type.is_some() => {
            let told = firmware.imx_type.as_ref().map(|value| format!("imx_type={value}"));
            let same = told.is_some_and(|told| spec.command_line.split(' ').any(|word| word == told));
            if same { Verdict::MustSucceed } else { Verdict::May }
        }
        _ => Verdict::May,
    };
    sidecar.and(kind).and(if file.damage.is_some() { Verdict::May } else { Verdict::MustSucceed })
}
