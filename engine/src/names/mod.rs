//! Classifies names in the drive's root: which file is an image for which medium, and which only looks like one.
//!
//! These names decide the mode of a boot. So every accepted name is generated from the media of the board, and a name
//! that a user would mistake for an accepted one is distinguished from unrelated files. This module classifies one name
//! at a time; `names::root` checks all names in the drive's root together. `formats` examine the content of files, and
//! the plan decides which file is written to which medium.

mod checksum_file;
mod leftover;
mod lookalike;
mod rename;
pub(crate) mod root;

use crate::formats::block_map::EXTENSION as MAP_EXTENSION;
use crate::formats::codec::Compression;
use std::fmt;

/// How an image holds a medium's content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Packing {
    /// The files of one file system.
    Tar,
    /// Every sector of the medium.
    Disk,
}

/// The extension of an image's name, without that of its compression.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Extension {
    /// `.tar`
    Tar,
    /// `.dd`
    Dd,
    /// `.img`
    Img,
    /// `.wic`
    Wic,
}

impl Extension {
    /// In the order of preference. Captures have `.tar` or `.dd`; downloads have the others.
    pub const ALL: [Self; 4] = [Self::Tar, Self::Dd, Self::Img, Self::Wic];

    /// With its dot.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tar => ".tar",
            Self::Dd => ".dd",
            Self::Img => ".img",
            Self::Wic => ".wic",
        }
    }

    /// What an image with this extension holds.
    pub fn packing(self) -> Packing {
        match self {
            Self::Tar => Packing::Tar,
            Self::Dd | Self::Img | Self::Wic => Packing::Disk,
        }
    }
}

/// The name of an image file; `Display` gives the file's name, such as `sdimage.tar.xz`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ImageName {
    /// The medium's name in the board's profile, such as `emmc`.
    pub medium: String,
    /// The extension, which shows what the image holds.
    pub extension: Extension,
    /// How it is compressed.
    pub compression: Compression,
}

impl ImageName {
    /// What the image holds.
    pub fn packing(&self) -> Packing {
        self.extension.packing()
    }

    /// The name without the compression's extension, such as `sdimage.tar`.
    ///
    /// With `.md5` or `.sha256` behind it, it names the sidecar of the decoded content.
    pub fn uncompressed(&self) -> String {
        format!("{}image{}", self.medium, self.extension.as_str())
    }
}

impl fmt::Display for ImageName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}image{}{}", self.medium, self.extension.as_str(), self.compression.extension())
    }
}

/// Compressions in the order of preference: the one with the smaller files first, as users expect.
const COMPRESSIONS: [Compression; 5] =
    [Compression::Xz, Compression::Bzip2, Compression::Gzip, Compression::Zstd, Compression::None];

/// Extensions of sidecars.
const SIDECAR_EXTENSIONS: [&str; 2] = [".md5", ".sha256"];

/// The name of the settings file.
pub(crate) const SETTINGS: &str = "replicator.toml";

/// The endings of accepted names, in order of preference.
fn endings() -> impl Iterator<Item = (Extension, Compression)> {
    let extensions = Extension::ALL.into_iter();
    extensions.flat_map(|extension| COMPRESSIONS.map(|compression| (extension, compression)))
}

/// The names under which bmaptool looks for the block map of the file `image`: its name, then without one extension after
/// the other, each with `.bmap` behind it.
pub(crate) fn block_maps(image: &str) -> impl Iterator<Item = String> {
    let names = std::iter::successors(Some(image), |name| Some(name.rsplit_once('.')?.0));
    names.map(|name| format!("{name}{MAP_EXTENSION}"))
}

/// The name of the index of the archive in `image`.
pub(crate) fn archive_index(image: &ImageName) -> String {
    format!("{}.index", image.uncompressed())
}

/// Every accepted image name of a medium, in order of preference.
pub fn accepted(medium: &str) -> Vec<ImageName> {
    endings()
        .map(|(extension, compression)| ImageName { medium: medium.to_owned(), extension, compression })
        .collect()
}

/// The image to write to `medium`: the first accepted name that is among `names`, compared exactly.
pub(crate) fn choose(medium: &str, names: &[Vec<u8>]) -> Option<ImageName> {
    accepted(medium).into_iter().find(|image| {
        let wanted = image.to_string();
        names.iter().any(|name| name.as_slice() == wanted.as_bytes())
    })
}

/// The meaning of a name in the drive's root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NameKind {
    /// An image for a medium of this board.
    Image(ImageName),
    /// A bootloader, microcontroller or FPGA file that the board's profile names.
    Firmware,
    /// A digest of an image or firmware file; alone it does not change the mode.
    Sidecar,
    /// `<medium>image.source`: from which medium an image was captured.
    Record,
    /// An option file, `IR_*`, known or unknown.
    Option,
    /// `replicator.toml`.
    Settings,
    /// A user would mistake it for one of the above.
    Lookalike(Lookalike),
    /// A file with digests or a signature that is not read.
    UnreadChecksum {
        /// The file that is read instead, in one line for the console.
        hint: String,
    },
    /// Any other file.
    Unrelated,
}

/// A name that a user would mistake for an accepted one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Lookalike {
    /// What it most likely is.
    pub kind: LookalikeKind,
    /// What it is and which name is accepted, in one line for the console.
    pub hint: String,
}

/// The likely kind of such a name. It decides when the name is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum LookalikeKind {
    /// A misspelt name for this board: ignoring it would report success without doing what the user wants.
    Misspelt,
    /// A misspelt image of this medium: ignored if the medium has an image with an accepted name.
    MisspeltImage(String),
    /// A backup or an unfinished download: ignored beside an accepted image.
    Leftover,
    /// An image or firmware for another board: ignored beside an image or firmware for this board.
    OtherBoard,
    /// An image by its extension, for no medium: ignored beside an accepted image.
    Unassigned,
}

impl Lookalike {
    fn new(kind: LookalikeKind, hint: impl Into<String>) -> Self {
        Self { kind, hint: hint.into() }
    }
}

/// Names of firmware files.
#[derive(Debug, Clone, Copy, Default)]
pub struct FirmwareNames<'a> {
    /// Of this board, by its profile.
    pub own: &'a [String],
    /// Of all boards whose profiles are known.
    pub all: &'a [String],
}

/// Classifies the name of a file or symlink in the drive's root.
///
/// `media` are the media of the board's profile, those that are present first, because hints propose the first.
/// Comparison is exact, in bytes and case. Hidden files (a leading dot) are always `Unrelated`: operating systems leave
/// files such as `._sdimage.dd.xz` on a drive.
pub(crate) fn classify(name: &[u8], media: &[String], firmware: FirmwareNames<'_>) -> NameKind {
    let firmware_files = firmware.own;
    if name.first().is_none_or(|byte| *byte == b'.') {
        return NameKind::Unrelated;
    }
    if let Some(kind) = exact(name, media, firmware_files) {
        return kind;
    }
    let text = String::from_utf8_lossy(name);
    let lower = text.to_lowercase();
    if lower.starts_with("ir_") {
        return NameKind::Option;
    }
    // A misspelt settings file would have no effect.
    if lower == SETTINGS || lower.strip_suffix(".txt") == Some(SETTINGS) {
        return misspelt(format!("the accepted name is {SETTINGS}"));
    }
    // Neither would a misspelt record protect its unit.
    if let Some(stem) = lower.strip_suffix(".txt").unwrap_or(&lower).strip_suffix("image.source") {
        if is_medium_name(stem) {
            return misspelt(format!("the accepted name is {stem}image.source"));
        }
    }
    let digest_of = SIDECAR_EXTENSIONS.iter().find_map(|extension| lower.strip_suffix(extension));
    let base = digest_of.unwrap_or(&lower);
    if let Some(file) = firmware_files.iter().find(|file| file.to_lowercase() == base) {
        return misspelt(format!("the accepted name is {file}"));
    }
    // A drive with firmware for another board must not be treated as one without firmware, or as one for a capture. A
    // sidecar of such a file alone requests nothing.
    if firmware.all.iter().any(|file| file.to_lowercase() == lower) {
        let hint = match firmware_files {
            [] => "this board has no firmware files".to_owned(),
            files => format!("this board does not use it; its firmware files are {}", files.join(", ")),
        };
        return NameKind::Lookalike(Lookalike::new(LookalikeKind::OtherBoard, hint));
    }
    // On a drive for several boards, sidecars for the medium of another board are harmless.
    let sidecar_of = SIDECAR_EXTENSIONS.iter().find_map(|extension| text.strip_suffix(extension));
    if sidecar_of.is_some_and(|base| split_image(base).is_some()) {
        return NameKind::Sidecar;
    }
    if digest_of.is_some_and(|base| split_image(base).is_some_and(|(medium, ..)| is_among(medium, media))) {
        return misspelt(format!("the accepted name is {lower}"));
    }
    if let Some(hint) = checksum_file::hint(&lower) {
        return NameKind::UnreadChecksum { hint };
    }
    match lookalike::find(&text, media) {
        Some(lookalike) => NameKind::Lookalike(lookalike),
        None => NameKind::Unrelated,
    }
}

fn is_among(medium: &str, media: &[String]) -> bool {
    media.iter().any(|known| known == medium)
}

/// The kind of a name that is exactly right.
fn exact(name: &[u8], media: &[String], firmware_files: &[String]) -> Option<NameKind> {
    let text = std::str::from_utf8(name).ok()?;
    if text == SETTINGS {
        return Some(NameKind::Settings);
    }
    if firmware_files.iter().any(|file| file == text) {
        return Some(NameKind::Firmware);
    }
    let is_image = |text: &str| {
        let (medium, extension, compression) = split_image(text)?;
        is_among(medium, media).then(|| ImageName { medium: medium.to_owned(), extension, compression })
    };
    if let Some(image) = is_image(text) {
        return Some(NameKind::Image(image));
    }
    if text.strip_suffix("image.source").is_some_and(is_medium_name) {
        return Some(NameKind::Record);
    }
    let base = SIDECAR_EXTENSIONS.iter().find_map(|extension| text.strip_suffix(extension))?;
    let known = is_image(base).is_some() || firmware_files.iter().any(|file| file == base);
    known.then_some(NameKind::Sidecar)
}

/// Splits `<medium>image<extension><compression>`, for any medium.
fn split_image(text: &str) -> Option<(&str, Extension, Compression)> {
    let (stem, ending) = text.split_at(text.find('.')?);
    let medium = stem.strip_suffix("image").filter(|medium| is_medium_name(medium))?;
    endings()
        .find(|(extension, compression)| {
            ending.strip_prefix(extension.as_str()) == Some(compression.extension())
        })
        .map(|(extension, compression)| (medium, extension, compression))
}

/// Whether this can be the name of a medium: lower-case letters and digits.
fn is_medium_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
}

fn misspelt(hint: String) -> NameKind {
    NameKind::Lookalike(Lookalike::new(LookalikeKind::Misspelt, hint))
}

/// A set of firmware files that is only partly on the drive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct IncompleteFirmware {
    /// The files that are there.
    pub present: Vec<String>,
    /// The files that are missing.
    pub missing: Vec<String>,
}

/// Finds incomplete sets of firmware files, such as an `SPL` alone: half a bootloader must not be written.
///
/// Each of `sets` holds names that belong together.
pub(crate) fn incomplete_firmware(names: &[Vec<u8>], sets: &[Vec<String>]) -> Vec<IncompleteFirmware> {
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
