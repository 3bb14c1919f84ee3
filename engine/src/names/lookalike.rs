//! Recognises names that a user would mistake for those of images.
//!
//! Browsers, Windows, other imaging tools and typing errors each change names in their own way: `sdimage.dd (1).xz`,
//! `sdimage.dd.xz.txt`, `emmcimage.img.xz`, `emcimage.dd.xz`, `EMMCIMAGE.TAR.XZ`. This module decides which names are
//! similar to an accepted one; accepted names are handled elsewhere.

use super::leftover::{Leftover, without_copy_words};
use super::rename::{self, Content};
use super::{Extension, Lookalike, LookalikeKind, accepted, split_image};

/// Common names of media. A name with one of them is that of an image, even on a board without that medium.
const MEDIA_OF_BOARDS: [&str; 9] = ["sd", "sd0", "sd1", "sd2", "emmc", "mmc", "sata", "nvme", "usb"];

/// Extensions of images of disks or file systems.
const IMAGE_EXTENSIONS: [&str; 27] = [
    "dd", "tar", "img", "image", "raw", "iso", "wic", "disk", "bin", "tgz", "tbz", "tbz2", "txz", "tzst",
    "ext2", "ext3", "ext4", "squashfs", "sdcard", "sdimg", "hddimg", "qcow2", "vmdk", "vdi", "vhd", "vhdx",
    "simg",
];

/// Those of them that do not make a name that of an image, if the rest of the name does not.
const VAGUE_EXTENSIONS: [&str; 2] = ["bin", "image"];

/// Extensions of compressed files, supported or not.
const COMPRESSION_EXTENSIONS: [&str; 14] =
    ["xz", "bz2", "bzip2", "gz", "gzip", "zst", "zstd", "lz4", "lzo", "lzma", "z", "zip", "7z", "rar"];

/// Last extensions of files that accompany an image.
const ACCOMPANYING_EXTENSIONS: [&str; 7] = ["bmap", "index", "log", "json", "info", "md", "manifest"];

/// Stems of kernels, which end in "image" too.
const KERNELS: [&str; 7] = ["image", "zimage", "uimage", "bzimage", "fitimage", "xipimage", "vmlinux"];

/// Stems of initial RAM disks, which usually have the extension `.img`.
const EARLY_FILE_SYSTEMS: [&str; 4] = ["initrd", "initramfs", "ramdisk", "uinitrd"];

/// A longer name is not a typing error.
const NAME_LIMIT_CHARS: usize = 128;

/// The likely kind of `text`, if it looks like the name of an image.
pub(super) fn find(text: &str, media: &[String]) -> Option<Lookalike> {
    let lower = text.trim().to_lowercase();
    let is_right = |medium: &&String| accepted(medium).iter().any(|image| image.to_string() == lower);
    if let Some(medium) = media.iter().find(is_right) {
        let hint = format!("the accepted name is {lower}, in lower case and without spaces");
        return Some(Lookalike::new(LookalikeKind::MisspeltImage(medium.clone()), hint));
    }
    let name = Parts::of(&lower);
    if name.accompanies_an_image() {
        return None;
    }
    let kind = classify(&lower, &name, media)?;
    let hint = match &kind {
        LookalikeKind::MisspeltImage(medium) => {
            rename::advice(text, &name, &[medium]).unwrap_or_else(|| names_for(medium))
        }
        LookalikeKind::OtherBoard => name.foreign_medium(&lower, media).map_or_else(
            || names_of(media),
            |medium| format!("this board has no medium \"{medium}\"; {}", names_of(media)),
        ),
        _ => {
            let all: Vec<&str> = media.iter().map(String::as_str).collect();
            let advice = rename::advice(text, &name, &all).unwrap_or_else(|| names_of(media));
            format!("the medium is missing from the name; {advice}")
        }
    };
    Some(match Leftover::of(&lower) {
        Some(leftover) => Lookalike::new(LookalikeKind::Leftover, format!("{}; {hint}", leftover.text())),
        None => Lookalike::new(kind, hint),
    })
}

/// The kind of a name, apart from being a leftover; `None` if it is not that of an image.
fn classify(lower: &str, name: &Parts, media: &[String]) -> Option<LookalikeKind> {
    let own = |medium: &String| LookalikeKind::MisspeltImage(medium.clone());
    // The board's own media first, because `sd` and `sd1` are similar.
    if let Some(medium) = media.iter().find(|medium| name.names_exactly(medium)) {
        return Some(own(medium));
    }
    let is_short = lower.len() <= 4 * NAME_LIMIT_CHARS && lower.chars().count() <= NAME_LIMIT_CHARS;
    let near = media.iter().find(|medium| is_short && name.is_near(medium));
    // `sd1` is a medium of another board, although it is similar to `sd`; `emc` is not a medium.
    if name.known_medium(media).is_some() || (near.is_none() && name.foreign_medium(lower, media).is_some()) {
        return Some(LookalikeKind::OtherBoard);
    }
    if name.is_of_a_kernel() {
        return None;
    }
    if let Some(medium) = near {
        return Some(own(medium));
    }
    if is_short && MEDIA_OF_BOARDS.into_iter().any(|medium| name.is_near(medium)) {
        return Some(LookalikeKind::OtherBoard);
    }
    name.is_image_by_extension().then_some(LookalikeKind::Unassigned)
}

/// A name in lower case without the additions of users and programs: spaces, dashes, "(1)", "copy".
pub(super) struct Parts {
    /// Up to the first dot, letters and digits only.
    stem: String,
    /// After it, letters and digits only.
    extensions: Vec<String>,
}

impl Parts {
    fn of(lower: &str) -> Self {
        let without_copies = without_copy_words(&strip_parentheses(lower));
        let mut parts = without_copies
            .split('.')
            .map(|part| part.chars().filter(|character| character.is_alphanumeric()).collect::<String>());
        let stem = parts.next().unwrap_or_default();
        Self { stem, extensions: parts.collect() }
    }

    /// Whether it is a file that accompanies an image, such as a block map or a log.
    fn accompanies_an_image(&self) -> bool {
        self.extensions.last().is_some_and(|last| ACCOMPANYING_EXTENSIONS.contains(&last.as_str()))
    }

    fn holds_image(&self) -> bool {
        self.extensions.iter().any(|extension| IMAGE_EXTENSIONS.contains(&extension.as_str()))
    }

    fn is_compressed(&self) -> bool {
        self.extensions.iter().any(|extension| COMPRESSION_EXTENSIONS.contains(&extension.as_str()))
    }

    /// The extensions without those of leftovers, of text files and of the pieces of a split file.
    pub(super) fn content_extensions(&self) -> Vec<&str> {
        let mut extensions: Vec<&str> = self.extensions.iter().map(String::as_str).collect();
        let is_of_no_format = |extension: &&str| {
            Leftover::adds(extension)
                || ["", "txt"].contains(extension)
                || extension.bytes().all(|byte| byte.is_ascii_digit())
        };
        while extensions.last().is_some_and(is_of_no_format) {
            extensions.pop();
        }
        extensions
    }

    /// Whether it is a kernel or an initial RAM disk: `Image.gz`, `initrd.img`, `kernel8.img`; but not `image.dd.xz`.
    fn is_of_a_kernel(&self) -> bool {
        let is_disk_or_tree = ["dd", "tar", "img", "wic", "tgz", "txz"];
        if KERNELS.contains(&self.stem.as_str()) {
            return !self.extensions.iter().any(|part| is_disk_or_tree.contains(&part.as_str()));
        }
        let starts = |stems: &[&str]| stems.iter().any(|stem| self.stem.starts_with(stem));
        let is_img = self.content_extensions().first() == Some(&"img");
        starts(&EARLY_FILE_SYSTEMS) || (starts(&["kernel"]) && is_img)
    }

    /// Whether the extensions are those of an image, whatever the stem is.
    fn is_image_by_extension(&self) -> bool {
        let last = self.content_extensions().pop();
        let is_image =
            last.is_some_and(|last| IMAGE_EXTENSIONS.contains(&last) && !VAGUE_EXTENSIONS.contains(&last));
        is_image
            || Content::of(self).is_some_and(|_| !last.is_some_and(|last| VAGUE_EXTENSIONS.contains(&last)))
    }

    /// The medium in the name, if it is a common one that this board does not have.
    fn known_medium(&self, media: &[String]) -> Option<&'static str> {
        let is_other = |medium: &&str| !media.iter().any(|known| known == medium);
        MEDIA_OF_BOARDS.into_iter().filter(is_other).find(|medium| self.names_exactly(medium))
    }

    /// The medium in the name, if this board does not have it.
    fn foreign_medium<'a>(&self, lower: &'a str, media: &[String]) -> Option<&'a str> {
        self.known_medium(media).or_else(|| {
            let (medium, ..) = split_image(lower)?;
            (!KERNELS.contains(&self.stem.as_str())).then_some(medium)
        })
    }

    /// Whether the stem begins with exactly `<medium>image`, unless the file is a text about the image.
    fn names_exactly(&self, medium: &str) -> bool {
        let Some(rest) = self.stem.strip_prefix(medium) else { return false };
        let bare = self.extensions.is_empty();
        // A version or date behind it: `sdimage-v2.dd.xz`.
        rest.strip_prefix("image")
            .is_some_and(|version| self.holds_image() || self.is_compressed() || (bare && version.is_empty()))
    }

    /// Whether it differs by one or two typing errors: `emcimage`, `emmcimg`, `emmc`, `sdcardimage`, with the extension
    /// of an image.
    fn is_near(&self, medium: &str) -> bool {
        if KERNELS.contains(&self.stem.as_str()) || !self.holds_image() {
            return false;
        }
        if let Some(rest) = self.stem.strip_prefix(medium) {
            if ["", "img", "disk", "dd", "card", "cardimage", "cardimg"].contains(&rest)
                || within(rest, "image", 2)
            {
                return true;
            }
        }
        // In a name as short as `sd` two slips leave nothing.
        let slips = if medium.len() > 2 { 2 } else { 1 };
        self.stem.strip_suffix("image").is_some_and(|typed| !typed.is_empty() && within(typed, medium, 1))
            || within(&self.stem, &format!("{medium}image"), slips)
    }
}

/// Drops every "(...)", as in `sdimage (1).dd.xz`.
fn strip_parentheses(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('(') {
        kept.push_str(before);
        match after.split_once(')') {
            Some((_, behind)) => rest = behind,
            None => return kept,
        }
    }
    kept + rest
}

/// Whether at most `limit` insertions, deletions, replacements or swaps of neighbours turn one text into the other.
fn within(one: &str, other: &str, limit: usize) -> bool {
    let one: Vec<char> = one.chars().collect();
    let other: Vec<char> = other.chars().collect();
    if one.len().abs_diff(other.len()) > limit {
        return false;
    }
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=other.len()).collect();
    for (row, left) in one.iter().enumerate() {
        let mut current = vec![row + 1];
        for (column, right) in other.iter().enumerate() {
            let replaced = last[column] + usize::from(left != right);
            let mut cost = replaced.min(last[column + 1] + 1).min(current[column] + 1);
            let swapped = row > 0 && column > 0 && *left == other[column - 1] && one[row - 1] == *right;
            if swapped {
                cost = cost.min(before_last[column - 1] + 1);
            }
            current.push(cost);
        }
        before_last = std::mem::replace(&mut last, current);
    }
    last.last().is_some_and(|distance| *distance <= limit)
}

/// The accepted names of a medium, in short.
fn names_for(medium: &str) -> String {
    let names = Extension::ALL.map(|extension| format!("{medium}image{}", extension.as_str()));
    format!("accepted names for {medium}: {}, each alone or with .xz, .bz2, .gz or .zst", names.join(", "))
}

fn names_of(media: &[String]) -> String {
    let Some(first) = media.first() else { return "it has no media at all".to_owned() };
    format!("its media are {}; {}", media.join(", "), names_for(first))
}
