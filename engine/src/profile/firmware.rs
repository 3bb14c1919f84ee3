//! The firmware of a board: bootloader files and their places, microcontroller and FPGA updates, and the register with
//! the board's revision, on which some of them depend.

use super::Profile;
use serde::Deserialize;
use std::collections::BTreeSet;
use std::fmt;
use std::ops::Range;

/// Bootloader files are counted from the start of their area in blocks of this length.
const BLOCK_LEN_BYTES: u64 = 512;
/// Longest bootloader file: a longer one would not fit into the memory of a small board twice.
const FILE_LEN_LIMIT_BYTES: u64 = 16 << 20;
/// Names of firmware in plans and reports.
pub(super) const LABELS: [&str; 3] = ["bootloader", "microcontroller", "fpga"];

/// A bit of a register that distinguishes two revisions of the board.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RevisionProfile {
    /// Physical address of a 32-bit register.
    pub register: u64,
    /// Which bit of it, from 0.
    pub bit: u8,
    /// The revision's name if the bit is set.
    pub set: String,
    /// The revision's name if it is not.
    pub clear: String,
}

impl RevisionProfile {
    /// The revision for a value of the register.
    pub fn of(&self, value: u32) -> &str {
        if value >> self.bit & 1 == 1 { &self.set } else { &self.clear }
    }
}

/// The bootloader of a board.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BootloaderProfile {
    /// Where it is.
    pub area: AreaProfile,
    /// Its files; all of them are needed.
    #[serde(rename = "file")]
    pub files: Vec<BootloaderFile>,
    /// Checks before it is written.
    #[serde(default, rename = "check")]
    pub checks: Vec<BoardCheck>,
}

/// Where a bootloader is: a boot area of a medium, or a separate device.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AreaProfile {
    /// The medium with the boot area, such as `emmc`.
    #[serde(default)]
    pub medium: Option<String>,
    /// Which boot area, 0 or 1.
    #[serde(default)]
    pub boot_area: Option<u8>,
    /// The device, such as `mtdblock0`.
    #[serde(default)]
    pub device: Option<String>,
}

impl fmt::Display for AreaProfile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.medium, self.boot_area, &self.device) {
            (Some(medium), Some(number), _) => write!(f, "boot area {number} of {medium}"),
            (_, _, device) => f.write_str(device.as_deref().unwrap_or_default()),
        }
    }
}

/// One file of a bootloader.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BootloaderFile {
    /// Its name on the drive.
    pub name: String,
    /// Other names that builds give it. They are not accepted, and a drive with one is refused.
    #[serde(default)]
    pub other_names: Vec<String>,
    /// Where it starts in the area, in blocks of 512 bytes.
    pub block: u64,
    /// How long it may be: up to the next file or data in the area.
    pub len_max_bytes: u64,
    /// The format that it must have.
    #[serde(default)]
    pub format: Option<FirmwareFormat>,
}

impl BootloaderFile {
    /// The bytes of the area that are the file's.
    pub fn region(&self) -> Range<u64> {
        let start = self.block.saturating_mul(BLOCK_LEN_BYTES);
        start..start.saturating_add(self.len_max_bytes)
    }
}

/// The format of a bootloader file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, strum::Display)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum FirmwareFormat {
    /// An image for i.MX6 and 6UL: it begins with an image vector table.
    Imx,
    /// An i.MX93 container.
    Imx93,
    /// A Marvell kwbimage of version 1.
    Kwb,
}

/// A check of the bootloader against the board.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BoardCheck {
    /// Which check.
    pub kind: CheckKind,
    /// The file that is checked.
    pub file: String,
    /// `compatible` strings of the boards for which it is made; empty if it is for all of the profile.
    #[serde(default)]
    pub only: Vec<String>,
}

/// Kinds of checks against the board.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckKind {
    /// `imx_type` on the kernel's command line must be that in the bootloader's environment.
    ImxType,
}

/// The microcontroller of a board.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MicrocontrollerProfile {
    /// The update's name on the drive.
    pub file: String,
    /// The footer of the update.
    pub footer: Footer,
    /// The model that a footer of version 1 must name.
    #[serde(default)]
    pub model: Option<u16>,
    /// The lowest revision that accepts updates.
    #[serde(default)]
    pub revision_min: u16,
    /// Revisions of the board that accept updates; empty for all.
    #[serde(default)]
    pub board_revisions: Vec<String>,
    /// Whether the update resets the board at once. If not, it takes effect at the next reboot.
    #[serde(default)]
    pub reboots: bool,
    /// `compatible` strings of the boards that have it; empty if all of the profile have it.
    #[serde(default)]
    pub only: Vec<String>,
    /// The program that reads its revision and updates it.
    #[serde(default = "microcontroller_updater")]
    pub program: String,
    /// How long an update may take.
    #[serde(default = "updater_timeout_seconds")]
    pub timeout_seconds: u64,
}

fn microcontroller_updater() -> String {
    "tssupervisorupdate".to_owned()
}

fn updater_timeout_seconds() -> u64 {
    600
}

/// Footers of microcontroller updates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Footer {
    /// 19 bytes, without a model.
    V0,
    /// 22 bytes.
    V1,
}

/// An updater of the FPGA.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FpgaProfile {
    /// The program's name on the drive.
    pub file: String,
    /// The revision of the board for which it is made; all of them if missing.
    #[serde(default)]
    pub revision: Option<String>,
    /// How long it may take.
    #[serde(default = "updater_timeout_seconds")]
    pub timeout_seconds: u64,
}

impl Profile {
    /// Names of the firmware files for a board with these `compatible` strings.
    pub fn firmware_files(&self, compatible: &[String]) -> Vec<String> {
        let bootloader = self.bootloader.iter().flat_map(|bootloader| &bootloader.files);
        let microcontroller = self.microcontroller_of(compatible).map(|micro| micro.file.clone());
        let fpga = self.fpga.iter().map(|fpga| fpga.file.clone());
        bootloader.map(|file| file.name.clone()).chain(microcontroller).chain(fpga).collect()
    }

    /// Names of the firmware files of every board of the profile, other names included.
    fn all_firmware_names(&self) -> impl Iterator<Item = &String> {
        let bootloader = self.bootloader.iter().flat_map(|bootloader| &bootloader.files);
        let microcontroller = self.microcontroller.iter().map(|micro| &micro.file);
        bootloader
            .flat_map(|file| file.other_names.iter().chain([&file.name]))
            .chain(microcontroller)
            .chain(self.fpga.iter().map(|fpga| &fpga.file))
    }

    /// The microcontroller of a board with these `compatible` strings.
    pub fn microcontroller_of(&self, compatible: &[String]) -> Option<&MicrocontrollerProfile> {
        self.microcontroller.as_ref().filter(|micro| is_for(&micro.only, compatible))
    }
}

/// Names of the firmware files of the boards of all `profiles`, each once.
pub fn firmware_names<'a>(profiles: impl IntoIterator<Item = &'a Profile>) -> Vec<String> {
    let names: BTreeSet<&String> = profiles.into_iter().flat_map(Profile::all_firmware_names).collect();
    names.into_iter().cloned().collect()
}

/// Whether something that is for boards `only` is for a board with these `compatible` strings.
pub(crate) fn is_for(only: &[String], compatible: &[String]) -> bool {
    only.is_empty() || only.iter().any(|wanted| compatible.contains(wanted))
}

/// An inconsistency in the firmware of a profile.
pub(super) fn fault(profile: &Profile) -> Option<String> {
    name_fault(profile)
        .or_else(|| profile.bootloader.as_ref().and_then(|bootloader| bootloader_fault(profile, bootloader)))
        .or_else(|| revision_fault(profile))
        .or_else(|| only_fault(profile))
}

fn name_fault(profile: &Profile) -> Option<String> {
    let all = profile.bootloader.iter().flat_map(|bootloader| &bootloader.files).map(|file| &file.name);
    let all = all.chain(profile.microcontroller.iter().map(|micro| &micro.file));
    let mut seen = BTreeSet::new();
    for name in all.chain(profile.fpga.iter().map(|fpga| &fpga.file)) {
        if name.is_empty() || name.contains(['/', '\0']) || name.starts_with('.') || name.contains("image.") {
            return Some(format!("{name:?} cannot be the name of a firmware file"));
        }
        if !seen.insert(name.to_lowercase()) {
            return Some(format!("firmware file {name} exists twice"));
        }
    }
    None
}

fn bootloader_fault(profile: &Profile, bootloader: &BootloaderProfile) -> Option<String> {
    let area = &bootloader.area;
    match (&area.medium, area.boot_area, &area.device) {
        (Some(medium), Some(0 | 1), None) => {
            if !profile.media.iter().any(|known| known.name == *medium) {
                return Some(format!("the bootloader is on {medium}, which is not a medium of the profile"));
            }
        }
        (None, None, Some(_)) => {}
        _ => {
            return Some(
                "the bootloader's area is { medium = \"emmc\", boot_area = 0 } or { device = \"mtdblock0\" }"
                    .into(),
            );
        }
    }
    if bootloader.files.is_empty() {
        return Some("a bootloader has at least one file".into());
    }
    for (index, file) in bootloader.files.iter().enumerate() {
        let region = file.region();
        if file.len_max_bytes == 0 || region.end > FILE_LEN_LIMIT_BYTES {
            return Some(format!(
                "{} takes bytes {} to {} of the area; it must have at least one byte, and end before {FILE_LEN_LIMIT_BYTES}",
                file.name, region.start, region.end
            ));
        }
        let overlapping = bootloader.files[..index].iter().find(|other| {
            let other = other.region();
            region.start < other.end && other.start < region.end
        });
        if let Some(other) = overlapping {
            let taken = other.region();
            return Some(format!(
                "bootloader regions overlap: {} takes bytes {} to {}, {} takes {} to {}",
                other.name, taken.start, taken.end, file.name, region.start, region.end
            ));
        }
    }
    let unknown =
        bootloader.checks.iter().find(|check| !bootloader.files.iter().any(|file| file.name == check.file));
    unknown.map(|check| format!("a check is for {}, which is not a file of the bootloader", check.file))
}

fn revision_fault(profile: &Profile) -> Option<String> {
    let wanted = profile.microcontroller.iter().flat_map(|micro| &micro.board_revisions);
    let mut wanted = wanted.chain(profile.fpga.iter().filter_map(|fpga| fpga.revision.as_ref()));
    let Some(revision) = &profile.revision else {
        return wanted
            .next()
            .map(|name| format!("revision {name} cannot be found out: there is no [revision]"));
    };
    if revision.bit > 31 || revision.register % 4 != 0 || revision.set == revision.clear {
        return Some("[revision] needs a register at a multiple of 4, a bit below 32, and two names".into());
    }
    let unknown = wanted.find(|name| **name != revision.set && **name != revision.clear);
    unknown
        .map(|name| format!("there is no revision {name}; there are {} and {}", revision.set, revision.clear))
}

fn only_fault(profile: &Profile) -> Option<String> {
    let checks = profile.bootloader.iter().flat_map(|bootloader| &bootloader.checks);
    let wanted = checks.flat_map(|check| &check.only);
    let mut wanted = wanted.chain(profile.microcontroller.iter().flat_map(|micro| &micro.only));
    let stranger = wanted.find(|name| !profile.matches.contains(name));
    stranger.map(|name| format!("{name} is named for firmware, and is not a board of the profile"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOARD: &str = r#"
        name = "x"
        match = ["a,one", "a,two"]
        [[medium]]
        name = "emmc"
        kind = "emmc"
        device = "mmcblk0"
        [revision]
        register = 0x50004008
        bit = 12
        set = "C"
        clear = "A"
        [bootloader]
        area = { medium = "emmc", boot_area = 0 }
        [[bootloader.file]]
        name = "u-boot-dtb.bin"
        block = 138
        len_max_bytes = 977920
        [[bootloader.file]]
        name = "SPL"
        block = 2
        len_max_bytes = 69632
        format = "imx"
        [microcontroller]
        file = "micro-update.bin"
        footer = "v1"
        model = 0x7250
        board_revisions = ["C"]
        only = ["a,one"]
        [[fpga]]
        file = "fpga"
        revision = "C"
        [[fpga]]
        file = "fpga-reva"
        revision = "A"
    "#;

    fn error(from: &str, to: &str) -> String {
        assert!(BOARD.contains(from), "{from}");
        Profile::parse(&BOARD.replace(from, to), "x.toml").unwrap_err().to_string()
    }

    #[test]
    fn a_profile_has_the_firmware_files_of_its_boards() {
        let profile = Profile::parse(BOARD, "x.toml").unwrap();
        let files = ["u-boot-dtb.bin", "SPL", "micro-update.bin", "fpga", "fpga-reva"];
        assert_eq!(profile.firmware_files(&["a,one".into()]), files);
        assert_eq!(profile.firmware_files(&["a,two".into()]).len(), 4, "no microcontroller there");
        assert_eq!(profile.bootloader.unwrap().files[1].region(), 1024..70_656);
        let revision = profile.revision.unwrap();
        assert_eq!([revision.of(1 << 12), revision.of(!(1 << 12))], ["C", "A"]);
        assert_eq!(profile.microcontroller.unwrap().program, "tssupervisorupdate");
    }

    #[test]
    fn overlapping_regions_are_named_with_their_bytes() {
        let text = error("len_max_bytes = 69632", "len_max_bytes = 69633");
        let wanted = "u-boot-dtb.bin takes bytes 70656 to 1048576, SPL takes 1024 to 70657";
        assert!(text.contains("overlap") && text.contains(wanted), "{text}");
    }

    #[test]
    fn an_error_names_what_is_accepted() {
        for (from, to, wanted) in [
            ("boot_area = 0 }", "boot_area = 2 }", "boot_area = 0"),
            ("{ medium = \"emmc\", boot_area = 0 }", "{ medium = \"emmc\" }", "device = \"mtdblock0\""),
            (
                "{ medium = \"emmc\", boot_area = 0 }",
                "{ medium = \"sd\", boot_area = 0 }",
                "not a medium of the profile",
            ),
            ("revision = \"A\"", "revision = \"B\"", "there are C and A"),
            ("bit = 12", "bit = 32", "a bit below 32"),
            ("only = [\"a,one\"]", "only = [\"a,three\"]", "not a board of the profile"),
            ("\"fpga-reva\"", "\"FPGA\"", "exists twice"),
            ("\"fpga-reva\"", "\"boot/fpga\"", "cannot be the name"),
            ("footer = \"v1\"", "footer = \"v2\"", "`v0` or `v1`"),
            ("format = \"imx\"", "fromat = \"imx\"", "fromat"),
            ("len_max_bytes = 69632", "len_max_bytes = 0", "at least one byte"),
            ("block = 138", "block = 36028797018963968", "at least one byte"),
            ("name = \"emmc\"", "name = \"fpga\"", "cannot be called fpga"),
        ] {
            let text = error(from, to);
            assert!(text.contains(wanted), "{to}: {text}");
        }
    }

    #[test]
    fn firmware_for_a_revision_needs_its_register() {
        let text = "name = \"x\"\n[[fpga]]\nfile = \"fpga\"\nrevision = \"C\"\n";
        let error = Profile::parse(text, "x.toml").unwrap_err().to_string();
        assert!(error.contains("no [revision]"), "{error}");
    }
}
