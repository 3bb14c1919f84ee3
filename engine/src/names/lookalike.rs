//! Names that a person would take for an image's although they are not accepted.
//!
//! Browsers, Windows, other imagers and fingers each misname in their own way: `sdimage.dd (1).xz`, `sdimage.dd.xz.txt`,
//! `emmcimage.img.xz`, `emcimage.dd.xz`, `EMMCIMAGE.TAR.XZ`. What counts as close is decided here; names that are right
//! are none of this module's business.

use super::{accepted, split_image};

/// Media that some board has; a name with one of them is an image's name even on a board without it.
const MEDIA_OF_BOARDS: [&str; 9] = ["sd", "sd0", "sd1", "sd2", "emmc", "mmc", "sata", "nvme", "usb"];

/// Extensions that say "the content of a disk or of a file system".
const IMAGE_EXTENSIONS: [&str; 18] = [
    "dd", "tar", "img", "image", "raw", "iso", "wic", "disk", "bin", "tgz", "tbz", "tbz2", "txz", "tzst",
    "ext2", "ext3", "ext4", "squashfs",
];

/// Extensions that say "compressed", with or without support here.
const COMPRESSION_EXTENSIONS: [&str; 13] =
    ["xz", "bz2", "bzip2", "gz", "gzip", "zst", "zstd", "lz4", "lzo", "lzma", "z", "zip", "7z"];

/// Last extensions of files that accompany an image.
const COMPANION_EXTENSIONS: [&str; 9] = ["bmap", "asc", "sig", "sha1", "sha512", "log", "json", "info", "md"];

/// Stems of kernels: they end in "image" too.
const KERNELS: [&str; 7] = ["image", "zimage", "uimage", "bzimage", "fitimage", "xipimage", "vmlinux"];

/// Longer names are no one's typing error.
const NAME_LIMIT_CHARS: usize = 128;

/// What to tell the user about `text`, if it looks like an image's name.
pub(super) fn hint(text: &str, media: &[String]) -> Option<String> {
    if text.len() > 4 * NAME_LIMIT_CHARS || text.chars().count() > NAME_LIMIT_CHARS {
        return None;
    }
    let lower = text.trim().to_lowercase();
    if media.iter().any(|medium| accepted(medium).iter().any(|image| image.to_string() == lower)) {
        return Some(format!("the accepted name is {lower}; case and spaces count"));
    }
    let name = Parts::of(&lower);
    if name.is_companion() {
        return None;
    }
    // The board's own media first: `sd` and `sd1` are near each other.
    if let Some(medium) = media.iter().map(String::as_str).find(|medium| name.names_exactly(medium)) {
        return Some(hint_for(medium));
    }
    if let Some((medium, _, _)) = split_image(&lower) {
        if !KERNELS.contains(&name.stem.as_str()) && !media.iter().any(|known| name.is_near(known)) {
            return Some(absent(medium, media));
        }
    }
    if let Some(medium) = MEDIA_OF_BOARDS.into_iter().find(|medium| name.names_exactly(medium)) {
        return Some(absent(medium, media));
    }
    if KERNELS.contains(&name.stem.as_str()) && !name.is_nameless_image() {
        return None;
    }
    if name.is_nameless_image() {
        return Some(format!("the medium is missing from the name; {}", names_of(media)));
    }
    if let Some(medium) = media.iter().map(String::as_str).find(|medium| name.is_near(medium)) {
        return Some(hint_for(medium));
    }
    MEDIA_OF_BOARDS.into_iter().find(|medium| name.is_near(medium)).map(|medium| absent(medium, media))
}

/// A name in lower case without what hands and programs add: spaces, dashes, "(1)", "copy".
struct Parts {
    /// Up to the first dot, letters and digits only.
    stem: String,
    /// After it, letters and digits only.
    extensions: Vec<String>,
}

impl Parts {
    fn of(lower: &str) -> Self {
        let without_copies = strip_parentheses(lower).replace("copy of ", "").replace("- copy", "");
        let mut parts = without_copies
            .split('.')
            .map(|part| part.chars().filter(|character| character.is_alphanumeric()).collect::<String>());
        let stem = parts.next().unwrap_or_default();
        Self { stem, extensions: parts.collect() }
    }

    /// Whether it belongs to an image without being one: a block map, a signature, a log.
    fn is_companion(&self) -> bool {
        self.extensions.last().is_some_and(|last| COMPANION_EXTENSIONS.contains(&last.as_str()))
    }

    fn holds_image(&self) -> bool {
        self.extensions.iter().any(|extension| IMAGE_EXTENSIONS.contains(&extension.as_str()))
    }

    fn is_compressed(&self) -> bool {
        self.extensions.iter().any(|extension| COMPRESSION_EXTENSIONS.contains(&extension.as_str()))
    }

    /// `image.dd.xz`: an image for nobody. `Image.gz` is a kernel.
    fn is_nameless_image(&self) -> bool {
        let for_disks = ["dd", "tar", "img", "wic", "tgz", "txz"];
        self.stem == "image" && self.extensions.iter().any(|part| for_disks.contains(&part.as_str()))
    }

    /// `<medium>image` to the letter, whatever follows, unless it is a text about the image.
    fn names_exactly(&self, medium: &str) -> bool {
        let Some(rest) = self.stem.strip_prefix(medium) else { return false };
        let bare = self.extensions.is_empty();
        // A version or date behind it: `sdimage-v2.dd.xz`.
        rest.strip_prefix("image")
            .is_some_and(|version| self.holds_image() || self.is_compressed() || (bare && version.is_empty()))
    }

    /// Off by a slip or two: `emcimage`, `emmcimg`, `emmc`, `sdcardimage`, with the extension of an image.
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

fn hint_for(medium: &str) -> String {
    let names: Vec<String> = accepted(medium).iter().map(ToString::to_string).collect();
    format!("accepted names for {medium}: {}", names.join(", "))
}

fn absent(medium: &str, media: &[String]) -> String {
    format!("this board has no medium \"{medium}\"; {}", names_of(media))
}

fn names_of(media: &[String]) -> String {
    let Some(first) = media.first() else { return "it has no media at all".to_owned() };
    let names: Vec<String> = accepted(first).iter().map(ToString::to_string).collect();
    format!("its media are {}; accepted names are like {}", media.join(", "), names.join(", "))
}
