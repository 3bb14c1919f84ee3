//! The forecast for the firmware of a scenario, from the manual alone.

use super::{Verdict, image_file};
use crate::model::hardware::firmware::UpdaterBehaviour;
use crate::scenario::boards;
use crate::scenario::media::media_names;
use crate::scenario::schema::{
    DriveFileSystem, FileSpec, FirmwareFileSpec, FirmwareKind, FirmwareSpec, Scenario, SidecarSpec,
};
use replicator_engine::profile::{BootloaderFile, FirmwareFormat, Footer, Profile};

/// The length of a microcontroller update's payload is a multiple of this, up to the maximum.
const PAYLOAD_STEP: u64 = 128;
const PAYLOAD_MAX: u64 = 128 << 10;

/// The verdict on the firmware; `None` if there is nothing to do.
pub(super) fn verdict(scenario: &Scenario) -> Option<Verdict> {
    let spec = scenario.firmware.as_ref()?;
    let board = boards::profile(&spec.board).ok()?;
    let compatible = spec.compatible.clone().or_else(|| board.matches.first().cloned());
    let compatible: Vec<String> = compatible.into_iter().collect();
    let names = board.firmware_files(&compatible);
    let (files, strange): (Vec<&FileSpec>, Vec<&FileSpec>) =
        scenario.drive.files.iter().partition(|file| names.contains(&file.name));
    let has_image = media_names(scenario).iter().any(|name| image_file(scenario, name).is_some());
    if strange.iter().any(|file| file.firmware.is_some()) && files.is_empty() && !has_image {
        // A file that the board does not accept stops everything, unless it accepts another one.
        return Some(Verdict::MustFail);
    }
    if files.is_empty() {
        return None;
    }
    if files.iter().any(|file| file.firmware.is_none()) || !scenario.faults.is_empty() {
        return Some(Verdict::May);
    }
    let case = FirmwareCase { scenario, spec, board, compatible: &compatible, files: &files };
    let steps: Vec<Verdict> =
        [case.microcontroller(), case.bootloader(), case.fpga()].into_iter().flatten().collect();
    // A step that a rule left out is not a success by itself, and not a failure beside other work.
    Some(steps.iter().fold(must(has_image || !steps.is_empty()), |verdict, step| verdict.and(*step)))
}

fn must(fine: bool) -> Verdict {
    if fine { Verdict::MustSucceed } else { Verdict::MustFail }
}

/// A board and the firmware files that it accepts.
struct FirmwareCase<'a> {
    scenario: &'a Scenario,
    spec: &'a FirmwareSpec,
    board: &'a Profile,
    compatible: &'a [String],
    files: &'a [&'a FileSpec],
}

/// A step without a file, or left out by a rule, has no verdict.
impl<'a> FirmwareCase<'a> {
    fn file(&self, name: &str) -> Option<(&'a FileSpec, &'a FirmwareFileSpec)> {
        let file = self.files.iter().find(|file| file.name == name)?;
        Some((file, file.firmware.as_ref()?))
    }

    fn bootloader(&self) -> Option<Verdict> {
        let bootloader = self.board.bootloader.as_ref()?;
        if !bootloader.files.iter().any(|place| self.file(&place.name).is_some()) {
            return None;
        }
        let holder = bootloader.area.medium.as_ref();
        let medium = holder.map(|name| self.scenario.media.get(name).is_some_and(|medium| !medium.absent));
        let area = must(!self.spec.area_absent && !self.spec.area_locked && medium != Some(false));
        Some(bootloader.files.iter().fold(area, |verdict, place| verdict.and(self.of_place(place))))
    }

    fn of_place(&self, place: &BootloaderFile) -> Verdict {
        let Some((file, firmware)) = self.file(&place.name) else { return Verdict::MustFail };
        let room = self.spec.area_len.0.saturating_sub(place.region().start).min(place.len_max_bytes);
        let kind = match place.format {
            None => true,
            Some(FirmwareFormat::Imx) => firmware.kind == FirmwareKind::Imx,
            Some(FirmwareFormat::Imx93) => firmware.kind == FirmwareKind::Imx93,
            Some(FirmwareFormat::Kwb) => firmware.kind == FirmwareKind::Kwb,
        };
        must(firmware.len.0 <= room && kind && self.fits_the_variant(&place.name, firmware))
            .and(of_file(file))
    }

    /// An unknown type never equals another one.
    fn fits_the_variant(&self, name: &str, firmware: &FirmwareFileSpec) -> bool {
        let checks = self.board.bootloader.iter().flat_map(|bootloader| &bootloader.checks);
        let here =
            |only: &[String]| only.is_empty() || only.iter().any(|name| self.compatible.contains(name));
        let mut checks = checks.filter(|check| check.file == name && here(&check.only));
        let word_of_type = firmware.imx_type.as_ref().map(|value| format!("imx_type={value}"));
        checks.all(|_| self.spec.command_line.split(' ').any(|word| word_of_type.as_deref() == Some(word)))
    }

    fn microcontroller(&self) -> Option<Verdict> {
        let profile = self.board.microcontroller_of(self.compatible)?;
        let (file, firmware) = self.file(&profile.file)?;
        if !profile.board_revisions.is_empty() {
            let Some(revision) = &self.spec.revision else { return Some(Verdict::MustFail) };
            if !profile.board_revisions.contains(revision) {
                return None;
            }
        }
        let footer = match firmware.kind {
            FirmwareKind::MicroV0 => profile.footer == Footer::V0,
            FirmwareKind::MicroV1 => profile.footer == Footer::V1,
            _ => false,
        };
        let footer =
            footer && (1..=PAYLOAD_MAX).contains(&firmware.len.0) && firmware.len.0 % PAYLOAD_STEP == 0;
        let found = self.spec.microcontroller.as_ref();
        let found = found.filter(|micro| footer && micro.updater != UpdaterBehaviour::Missing);
        let sound = of_file(file);
        let Some(found) = found.filter(|_| sound == Verdict::MustSucceed) else {
            return Some(if sound == Verdict::May { Verdict::May } else { Verdict::MustFail });
        };
        let other = |model: u16| profile.model.is_some_and(|wanted| wanted != model);
        if profile.model.is_some() && other(firmware.model) || found.model.is_some_and(other) {
            return Some(Verdict::MustFail);
        }
        if found.revision == firmware.revision {
            return Some(Verdict::MustSucceed);
        }
        if found.revision < profile.revision_min || found.revision > firmware.revision {
            return None;
        }
        // An earlier boot may have done it.
        if self.scenario.boots.len() > 1 {
            return Some(Verdict::May);
        }
        // An update that waits for a reboot cannot be verified, and its updater's output is reported.
        let takes_effect_later = !profile.reboots && found.updater == UpdaterBehaviour::DoesNothing;
        Some(must(found.updater == UpdaterBehaviour::Works || takes_effect_later))
    }

    fn fpga(&self) -> Option<Verdict> {
        let there: Vec<_> =
            self.board.fpga.iter().filter_map(|fpga| Some((fpga, self.file(&fpga.file)?))).collect();
        let by_revision = there.iter().any(|(fpga, _)| fpga.revision.is_some());
        if by_revision && self.spec.revision.is_none() {
            return Some(Verdict::MustFail);
        }
        let fits = |revision: &Option<String>| revision.is_none() || *revision == self.spec.revision;
        let (_, (file, firmware)) = there.into_iter().find(|(fpga, _)| fits(&fpga.revision))?;
        let modes = self.scenario.drive.file_system == DriveFileSystem::Ext4;
        let mut lines = firmware.script.lines();
        let ends_well = lines.all(|line| line == "flash" || line == "exit 0" || line.starts_with("print "));
        Some(must(ends_well && !(modes && firmware.not_executable)).and(of_file(file)))
    }
}

/// Whether a file matches its sidecar. The effect of damage that no check covers is not known.
fn of_file(file: &FileSpec) -> Verdict {
    match (file.sidecar, file.damage) {
        (SidecarSpec::WrongFile | SidecarSpec::Wrong | SidecarSpec::Malformed, _) => Verdict::MustFail,
        (_, None) => Verdict::MustSucceed,
        (SidecarSpec::None, Some(_)) => Verdict::May,
        (_, Some(_)) => Verdict::MustFail,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict_of(file: &str, board: &str) -> Option<Verdict> {
        let text = format!(
            "about = \"x.\"\n[[drive.file]]\n{file}\n[media.emmc]\n[firmware]\n{board}\n[expect]\nstatus = \"success\"\n"
        );
        verdict(&Scenario::parse(&text, "x").unwrap())
    }

    #[test]
    fn a_bootloader_must_be_of_its_kind_and_fit_its_place_and_the_board() {
        let kwb = |more: &str| format!("name = \"u-boot.kwb\"\nfirmware = {{ kind = {more} }}");
        for (firmware, board, wanted) in [
            ("\"kwb\"", "", Verdict::MustSucceed),
            ("\"imx\"", "", Verdict::MustFail),
            ("\"kwb\", len = \"2 MiB\"", "", Verdict::MustSucceed),
            ("\"kwb\", len = \"2097153\"", "", Verdict::MustFail),
            ("\"kwb\"", "area_locked = true", Verdict::MustFail),
        ] {
            let board = format!("board = \"ts7800v2\"\n{board}");
            assert_eq!(verdict_of(&kwb(firmware), &board), Some(wanted), "{firmware} {board}");
        }
        let imx = "name = \"u-boot.imx\"\nfirmware = { kind = \"imx\", imx_type = \"ts7970-a\" }";
        for (line, wanted) in [
            ("imx_type=ts7970-a", Verdict::MustSucceed),
            ("imx_type=ts7970-b", Verdict::MustFail),
            ("quiet", Verdict::MustFail),
        ] {
            let board = format!("board = \"tsimx6\"\ncommand_line = \"{line}\"");
            assert_eq!(verdict_of(imx, &board), Some(wanted), "{line}");
        }
        assert_eq!(verdict_of(imx, "board = \"ts7180\""), Some(Verdict::MustFail), "not of this board");
        let spl = "name = \"SPL\"\nfirmware = { kind = \"imx\" }";
        assert_eq!(verdict_of(spl, "board = \"ts7180\""), Some(Verdict::MustFail), "without its partner");
    }

    #[test]
    fn an_update_that_waits_for_a_reboot_is_a_success_and_one_that_is_left_out_has_no_verdict() {
        let update = "name = \"micro-update.bin\"\n\
                      firmware = { kind = \"micro-v1\", revision = 5, model = 0x7250 }";
        let board = |revision: &str, has: u16| {
            format!(
                "board = \"ts7250v3\"\nrevision = \"{revision}\"\n\
                 microcontroller = {{ revision = {has}, model = 0x7250 }}"
            )
        };
        for (revision, has, wanted) in [
            ("C", 5, Verdict::MustSucceed),
            ("C", 4, Verdict::MustSucceed),
            ("C", 6, Verdict::MustFail),
            ("A", 4, Verdict::MustFail),
        ] {
            assert_eq!(verdict_of(update, &board(revision, has)), Some(wanted), "{revision} {has}");
        }
        let beside = format!("{update}\n[[drive.file]]\nname = \"emmcimage.dd.xz\"\nimage = \"single\"");
        assert_eq!(verdict_of(&beside, &board("A", 4)), Some(Verdict::MustSucceed));
        let resets = "name = \"micro-update.bin\"\nfirmware = { kind = \"micro-v0\", revision = 8 }";
        let old = "board = \"tsimx6\"\nmicrocontroller = { revision = 7 }";
        assert_eq!(verdict_of(resets, old), Some(Verdict::MustSucceed));
    }

    #[test]
    fn an_fpga_updater_must_fit_the_board_and_end_well() {
        let updater = |script: &str| {
            format!(
                "name = \"ts7250v3-update-fpga\"\nfirmware = {{ kind = \"program\", script = \"{script}\" }}"
            )
        };
        for (script, revision, wanted) in [
            ("flash\\nexit 0", "revision = \"C\"", Verdict::MustSucceed),
            ("flash\\nexit 3", "revision = \"C\"", Verdict::MustFail),
            ("flash\\nexit 0", "revision = \"A\"", Verdict::MustFail),
            ("flash\\nexit 0", "", Verdict::MustFail),
        ] {
            let board = format!("board = \"ts7250v3\"\n{revision}");
            assert_eq!(verdict_of(&updater(script), &board), Some(wanted), "{script} {revision}");
        }
    }
}
