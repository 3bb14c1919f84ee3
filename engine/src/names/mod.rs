//! Names in the drive's root: which file is an image for which medium, and which only looks like one.
//!
//! The mode of a boot hangs on these names, so every accepted name is generated from the media of the board, and a name
//! that a person would take for an image but that is not accepted is told apart from a file that has nothing to do with
//! images: the first must stop everything, the second nothing. What lives here is about names alone; content is sniffed
//! by the formats, and which file is written to which medium is the plan's.

mod lookalike;

use crate::formats::codec::Compression;
use std::fmt;

/// How an image holds a medium's content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Packing {
    /// The files of one file system, `.tar`.
    Tar,
    /// Every sector of the medium, `.dd`.
    Disk,
}

impl Packing {
    /// The extension with its dot.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Tar => ".tar",
            Self::Disk => ".dd",
        }
    }
}

/// The name of an image file; `Display` gives the file's name, such as `sdimage.tar.xz`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ImageName {
    /// The medium's name in the board's profile, such as `emmc`.
    pub medium: String,
    /// What the image holds.
    pub packing: Packing,
    /// How it is compressed.
    pub compression: Compression,
}

impl ImageName {
    /// The name without the compression's extension, such as `sdimage.tar`.
    ///
    /// With `.md5` or `.sha256` behind it, it names the sidecar of the decoded content.
    pub fn uncompressed(&self) -> String {
        format!("{}image{}", self.medium, self.packing.extension())
    }
}

impl fmt::Display for ImageName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}image{}{}", self.medium, self.packing.extension(), self.compression.extension())
    }
}

/// Compressions in the order of preference: what makes the smaller file first, as users of the drive expect.
const COMPRESSIONS: [Compression; 5] =
    [Compression::Xz, Compression::Bzip2, Compression::Gzip, Compression::Zstd, Compression::None];

/// Extensions of sidecars, each the name of its digest.
const SIDECAR_EXTENSIONS: [&str; 2] = [".md5", ".sha256"];

/// Firmware files of all boards. A drive that asks for what this board does not take must not be taken for one that asks
/// for less, or for a capture.
const FIRMWARE_OF_BOARDS: [&str; 9] = [
    "SPL",
    "u-boot-dtb.bin",
    "u-boot.bin",
    "u-boot.imx",
    "u-boot.kwb",
    "u-boot-spl.kwb",
    "micro-update.bin",
    "ts7250v3-update-fpga",
    "ts7250v3-update-fpga-reva",
];

/// The name of the settings file.
pub const SETTINGS: &str = "replicator.toml";

/// Every accepted image name of a medium, in order of preference.
pub fn accepted(medium: &str) -> Vec<ImageName> {
    [Packing::Tar, Packing::Disk]
        .into_iter()
        .flat_map(|packing| COMPRESSIONS.map(|compression| (packing, compression)))
        .map(|(packing, compression)| ImageName { medium: medium.to_owned(), packing, compression })
        .collect()
}

/// The image to write to `medium`: the first accepted name that is among `names`, compared exactly.
pub fn choose(medium: &str, names: &[Vec<u8>]) -> Option<ImageName> {
    accepted(medium).into_iter().find(|image| {
        let wanted = image.to_string();
        names.iter().any(|name| name.as_slice() == wanted.as_bytes())
    })
}

/// What a name in the drive's root means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NameVerdict {
    /// An image for a medium of this board.
    Image(ImageName),
    /// A bootloader, microcontroller or FPGA file that the board's profile names.
    Firmware,
    /// A digest of an image or firmware file; alone it changes no mode.
    Sidecar,
    /// `<medium>image.source`: from which medium an image was captured.
    Record,
    /// An option file, `IR_*`; whether the option is known is not said.
    Option,
    /// `replicator.toml`.
    Settings,
    /// A person would take it for one of the above, and it is not: to be refused.
    Misspelt {
        /// What would be accepted, in one line for the console.
        hint: String,
    },
    /// Nothing the replicator cares about.
    Unrelated,
}

/// Judges the name of a file or symlink in the drive's root.
///
/// `media` are the media of the board's profile, `firmware_files` the names its profile knows. Comparison is exact, in
/// bytes and case. Hidden files (a leading dot) are never judged to be anything: systems that the drive visits leave
/// `._sdimage.dd.xz` and the like behind.
pub fn judge(name: &[u8], media: &[String], firmware_files: &[String]) -> NameVerdict {
    if name.first().is_none_or(|byte| *byte == b'.') {
        return NameVerdict::Unrelated;
    }
    if let Some(verdict) = exact(name, media, firmware_files) {
        return verdict;
    }
    let text = String::from_utf8_lossy(name);
    let lower = text.to_lowercase();
    if lower.starts_with("ir_") {
        return NameVerdict::Option;
    }
    // Settings that are not read must not be thought to be in force.
    if lower == SETTINGS || lower.strip_suffix(".txt") == Some(SETTINGS) {
        return misspelt(format!("the accepted name is {SETTINGS}"));
    }
    let base =
        SIDECAR_EXTENSIONS.iter().find_map(|extension| lower.strip_suffix(extension)).unwrap_or(&lower);
    if let Some(file) = firmware_files.iter().find(|file| file.to_lowercase() == base) {
        return misspelt(format!("the accepted name is {file}"));
    }
    // Its sidecar alone asks for nothing.
    if FIRMWARE_OF_BOARDS.iter().any(|file| file.to_lowercase() == lower) {
        return misspelt(match firmware_files {
            [] => "this board takes no firmware files".to_owned(),
            files => format!("this board does not take it; its firmware files are {}", files.join(", ")),
        });
    }
    // On the drive of several boards the sidecars of another board's medium are harmless; its images are not.
    let digest_of = SIDECAR_EXTENSIONS.iter().find_map(|extension| text.strip_suffix(extension));
    if digest_of.is_some_and(|base| split_image(base).is_some()) {
        return NameVerdict::Sidecar;
    }
    match lookalike::hint(&text, media) {
        Some(hint) => NameVerdict::Misspelt { hint },
        None => NameVerdict::Unrelated,
    }
}

/// The verdict on a name that is right to the letter.
fn exact(name: &[u8], media: &[String], firmware_files: &[String]) -> Option<NameVerdict> {
    let text = std::str::from_utf8(name).ok()?;
    if text == SETTINGS {
        return Some(NameVerdict::Settings);
    }
    if firmware_files.iter().any(|file| file == text) {
        return Some(NameVerdict::Firmware);
    }
    let is_image = |text: &str| {
        let (medium, packing, compression) = split_image(text)?;
        media.iter().any(|known| known == medium).then(|| ImageName {
            medium: medium.to_owned(),
            packing,
            compression,
        })
    };
    if let Some(image) = is_image(text) {
        return Some(NameVerdict::Image(image));
    }
    if text.strip_suffix("image.source").is_some_and(is_medium_name) {
        return Some(NameVerdict::Record);
    }
    let base = SIDECAR_EXTENSIONS.iter().find_map(|extension| text.strip_suffix(extension))?;
    let known = is_image(base).is_some() || firmware_files.iter().any(|file| file == base);
    known.then_some(NameVerdict::Sidecar)
}

/// Splits `<medium>image<packing><compression>`, for any medium.
fn split_image(text: &str) -> Option<(&str, Packing, Compression)> {
    let (stem, extensions) = text.split_at(text.find('.')?);
    let medium = stem.strip_suffix("image").filter(|medium| is_medium_name(medium))?;
    [Packing::Tar, Packing::Disk]
        .into_iter()
        .flat_map(|packing| COMPRESSIONS.map(|compression| (packing, compression)))
        .find(|(packing, compression)| {
            extensions.strip_prefix(packing.extension()) == Some(compression.extension())
        })
        .map(|(packing, compression)| (medium, packing, compression))
}

/// Whether a profile could call a medium so: lower-case letters and digits.
fn is_medium_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
}

fn misspelt(hint: String) -> NameVerdict {
    NameVerdict::Misspelt { hint }
}

/// A set of firmware files of which only a part is on the drive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IncompleteFirmware {
    /// Those that are there.
    pub present: Vec<String>,
    /// Those that must be there too.
    pub missing: Vec<String>,
}

/// Finds firmware files without their partners, such as an `SPL` alone: half a bootloader must not be written.
///
/// Each of `sets` holds names that belong together.
pub fn incomplete_firmware(names: &[Vec<u8>], sets: &[Vec<String>]) -> Vec<IncompleteFirmware> {
    sets.iter()
        .map(|set| {
            let (present, missing) = set
                .iter()
                .cloned()
                .partition(|file| names.iter().any(|name| name.as_slice() == file.as_bytes()));
            IncompleteFirmware { present, missing }
        })
        .filter(|set| !set.present.is_empty() && !set.missing.is_empty())
        .collect()
}

#[cfg(test)]
mod tests;
