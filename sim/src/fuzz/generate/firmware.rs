//! Draws a board, the state of its firmware, and the firmware files on the drive.
//!
//! Most of it is right, so that a scenario gets as far as writing. Errors are in files, before anything is written,
//! or in an updater; failures of a bootloader's area are faults.

use super::{KIB, MIB, Swarm, text_file};
use crate::model::hardware::firmware::UpdaterBehaviour;
use crate::scenario::boards;
use crate::scenario::schema::{
    FileSpec, FirmwareFileSpec, FirmwareKind, FirmwareSpec, ImxTypeLayout, MicrocontrollerSpec, SidecarSpec,
    Size,
};
use replicator_engine::profile::{
    BootloaderFile, BootloaderProfile, FirmwareFormat, Footer, MicrocontrollerProfile, Profile,
};

/// The first one is that of the board.
const IMX_TYPES: [&str; 2] = ["ts7970-q-2g-1000mhz-c", "ts7970-s-1g-1000mhz-c"];
const LAYOUTS: [ImxTypeLayout; 3] =
    [ImxTypeLayout::Assigned, ImxTypeLayout::ValueFirst, ImxTypeLayout::NameFirst];
const KINDS: [FirmwareKind; 4] =
    [FirmwareKind::Raw, FirmwareKind::Imx, FirmwareKind::Imx93, FirmwareKind::Kwb];
/// Right ones first.
const SIDECARS: [SidecarSpec; 8] = [
    SidecarSpec::None,
    SidecarSpec::None,
    SidecarSpec::File,
    SidecarSpec::Sha256,
    SidecarSpec::Crlf,
    SidecarSpec::WrongFile,
    SidecarSpec::Malformed,
    SidecarSpec::OtherName,
];
const RIGHT_SIDECARS: usize = 5;
const UPDATERS: [UpdaterBehaviour; 6] = [
    UpdaterBehaviour::DoesNothing,
    UpdaterBehaviour::Fails,
    UpdaterBehaviour::Hangs,
    UpdaterBehaviour::Killed,
    UpdaterBehaviour::Breaks,
    UpdaterBehaviour::Missing,
];
const BAD_SCRIPTS: [&str; 4] = ["flash\nexit 3", "flash\nsignal", "flash\nhang", "exit 1"];
/// Files that other boards accept.
const OF_OTHERS: [&str; 4] = ["u-boot.kwb", "u-boot.imx", "SPL", "micro-update.bin"];

/// The boards with a device tree that accept firmware; a board with a microcontroller is listed twice, because more
/// can fail there.
fn boards() -> Vec<&'static Profile> {
    let takes_firmware = |profile: &&Profile| profile.bootloader.is_some() && !profile.matches.is_empty();
    let weighted = |profile: &'static Profile| {
        std::iter::repeat_n(profile, 1 + usize::from(profile.microcontroller.is_some()))
    };
    boards::all().filter(takes_firmware).flat_map(weighted).collect()
}

/// A board with the firmware on the drive for it.
pub(super) struct Flashed {
    pub(super) spec: FirmwareSpec,
    pub(super) files: Vec<FileSpec>,
    /// The name and the length of the bootloader's area.
    pub(super) area: Option<(String, u64)>,
}

impl Swarm {
    /// A board, and the files on the drive for it; `None` if its profile cannot be read.
    pub(super) fn flashed(&mut self) -> Option<Flashed> {
        let profile = self.pick(&boards());
        let compatible = profile.matches.iter().map(String::as_str).collect::<Vec<_>>();
        let compatible = if self.one_in(8) { self.pick(&compatible) } else { compatible.first()? }.to_owned();
        let parts = 1 + self.random.below(7);
        let mut files = Vec::new();
        let mut spec = FirmwareSpec {
            board: profile.name.clone(),
            compatible: Some(compatible.clone()),
            command_line: String::new(),
            area_len: Size(self.pick(&[128 * KIB, 256 * KIB, 256 * KIB, 512 * KIB, 2 * MIB])),
            area_absent: self.odd && self.one_in(8),
            area_locked: self.odd && self.one_in(8),
            area_is_new: self.one_in(4),
            area_held_open: self.one_in(8),
            revision: None,
            microcontroller: None,
        };
        if let Some(revision) = &profile.revision {
            let known = if self.one_in(3) { &revision.clear } else { &revision.set };
            spec.revision = (!self.one_in(8)).then(|| known.clone());
        }
        if let Some(bootloader) = profile.bootloader.as_ref().filter(|_| parts & 1 != 0) {
            files.extend(self.bootloader(bootloader, &mut spec));
        }
        let micro = profile.microcontroller_of(&[compatible]);
        if let Some(micro) = micro.filter(|_| parts & 2 != 0) {
            files.push(self.microcontroller(micro, &mut spec));
        }
        if parts & 4 != 0 {
            files.extend(self.fpga(profile));
        }
        if self.odd && self.one_in(8) {
            let name = self.pick(&OF_OTHERS);
            if files.iter().all(|file| file.name != name) {
                files.push(self.file(name, FirmwareKind::Raw, 4 * KIB));
            }
        }
        let area = profile.bootloader.is_some().then(|| crate::scenario::firmware::area_name(&spec).ok()?);
        Some(Flashed { area: area.flatten().map(|name| (name, spec.area_len.0)), spec, files })
    }

    fn file(&mut self, name: &str, kind: FirmwareKind, len_bytes: u64) -> FileSpec {
        let sidecars = if self.damage { &SIDECARS[..] } else { &SIDECARS[..RIGHT_SIDECARS] };
        let mut file = text_file(name);
        file.text = None;
        file.sidecar = self.pick(sidecars);
        file.damage = (self.damage && self.one_in(4)).then(|| self.damage_of_firmware());
        file.firmware = Some(FirmwareFileSpec {
            kind,
            len: Size(len_bytes),
            imx_type: None,
            layout: ImxTypeLayout::default(),
            revision: 0,
            model: 0,
            script: String::new(),
            not_executable: false,
        });
        file
    }

    fn bootloader(&mut self, profile: &BootloaderProfile, spec: &mut FirmwareSpec) -> Vec<FileSpec> {
        let missing = if self.odd && self.one_in(4) { self.random.below(2) } else { u64::MAX };
        let typed = !profile.checks.is_empty();
        if typed && !self.one_in(8) {
            spec.command_line = format!("console=ttymxc0 imx_type={}", IMX_TYPES[0]);
        }
        let mut files = Vec::new();
        for (number, place) in profile.files.iter().enumerate() {
            let kind = self.kind(place);
            let len_bytes = self.len_in(place, spec.area_len.0);
            let mut file = self.file(&place.name, kind, len_bytes);
            if let Some(firmware) = file.firmware.as_mut().filter(|_| typed && !self.one_in(8)) {
                let wrong = self.damage && self.one_in(4);
                firmware.imx_type = Some(IMX_TYPES[usize::from(wrong)].to_owned());
                firmware.layout = self.pick(&LAYOUTS);
            }
            if number as u64 != missing {
                files.push(file);
            }
        }
        files
    }

    fn kind(&mut self, place: &BootloaderFile) -> FirmwareKind {
        if self.damage && self.one_in(8) {
            return self.pick(&KINDS);
        }
        match place.format {
            None => FirmwareKind::Raw,
            Some(FirmwareFormat::Imx) => FirmwareKind::Imx,
            Some(FirmwareFormat::Imx93) => FirmwareKind::Imx93,
            Some(FirmwareFormat::Kwb) => FirmwareKind::Kwb,
        }
    }

    /// A length that fits, up to the last byte, or one byte too much.
    fn len_in(&mut self, place: &BootloaderFile, area_len_bytes: u64) -> u64 {
        let region = place.region();
        let room = region.end.min(area_len_bytes).saturating_sub(region.start);
        match self.random.below(16) {
            0 if self.damage => room + 1,
            1 => room,
            2 => room.saturating_sub(1),
            _ => (2 * KIB + self.magnitude(15)).min(room),
        }
    }

    fn microcontroller(&mut self, profile: &MicrocontrollerProfile, spec: &mut FirmwareSpec) -> FileSpec {
        let revision = profile.revision_min + 1 + self.random.below(3) as u16;
        let has = (revision + 1).saturating_sub(self.random.below(4) as u16);
        let other_model = |swarm: &mut Self| u16::from(swarm.odd && swarm.one_in(8));
        let updater = if self.one_in(2) { UpdaterBehaviour::Works } else { self.pick(&UPDATERS) };
        spec.microcontroller = (!self.one_in(16)).then(|| MicrocontrollerSpec {
            revision: has,
            model: profile.model.map(|model| model + other_model(self)),
            updater,
        });
        let kind = match (profile.footer, self.damage && self.one_in(8)) {
            (Footer::V0, false) | (Footer::V1, true) => FirmwareKind::MicroV0,
            (Footer::V1, false) | (Footer::V0, true) => FirmwareKind::MicroV1,
        };
        // The length of the payload is a multiple of 128 bytes.
        let odd_len = u64::from(self.damage && self.one_in(8));
        let len_bytes = 128 * self.magnitude(5) + odd_len;
        let mut file = self.file(&profile.file, kind, len_bytes);
        if let Some(firmware) = &mut file.firmware {
            firmware.revision = revision;
            firmware.model = profile.model.unwrap_or(0) + other_model(self);
        }
        file
    }

    fn fpga(&mut self, profile: &Profile) -> Vec<FileSpec> {
        let mut files = Vec::new();
        for fpga in &profile.fpga {
            if self.one_in(3) {
                continue;
            }
            let script = if self.one_in(4) { self.pick(&BAD_SCRIPTS) } else { "flash\nexit 0" };
            let not_executable = self.odd && self.one_in(4);
            let mut file = self.file(&fpga.file, FirmwareKind::Program, 0);
            if let Some(firmware) = &mut file.firmware {
                firmware.script = script.to_owned();
                firmware.not_executable = not_executable;
            }
            files.push(file);
        }
        files
    }
}
