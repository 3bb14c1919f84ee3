//! Proposes the command that gives a file an accepted name.

use super::lookalike::Parts;
use super::{Compression, Extension, ImageName};
use crate::shell;

/// Extensions for both packing and compression.
const SHORT: [(&str, Extension, Compression); 6] = [
    ("tgz", Extension::Tar, Compression::Gzip),
    ("txz", Extension::Tar, Compression::Xz),
    ("tbz", Extension::Tar, Compression::Bzip2),
    ("tbz2", Extension::Tar, Compression::Bzip2),
    ("tzst", Extension::Tar, Compression::Zstd),
    ("tzstd", Extension::Tar, Compression::Zstd),
];

/// Extensions of images of whole media, and the accepted ones.
const DISKS: [(&str, Extension); 11] = [
    ("dd", Extension::Dd),
    ("raw", Extension::Dd),
    ("disk", Extension::Dd),
    ("img", Extension::Img),
    ("image", Extension::Img),
    ("iso", Extension::Img),
    ("sdcard", Extension::Img),
    ("sdimg", Extension::Img),
    ("rpisdimg", Extension::Img),
    ("hddimg", Extension::Img),
    ("wic", Extension::Wic),
];

/// The content, by the extensions only.
pub(super) enum Content {
    /// An image that can be written once it has an accepted name.
    Accepted(Extension, Compression),
    /// An image inside of something that has to be unpacked first.
    Unpack(String),
}

impl Content {
    /// The content by the extensions; `None` if they are not those of an image.
    pub(super) fn of(parts: &Parts) -> Option<Self> {
        let mut extensions = parts.content_extensions();
        let mut last = extensions.pop()?;
        let mut compression = Compression::None;
        if let Some(found) = compression_of(last) {
            match found {
                Some(found) => compression = found,
                None => {
                    let inner = extensions.pop()?;
                    return is_image(inner).then(|| Self::Unpack(last.to_owned()));
                }
            }
            last = extensions.pop()?;
        }
        if let Some((_, extension, inner)) = SHORT.iter().find(|(short, ..)| *short == last) {
            return Some(Self::Accepted(
                *extension,
                if compression == Compression::None { *inner } else { compression },
            ));
        }
        if last == "tar" {
            return Some(Self::Accepted(Extension::Tar, compression));
        }
        DISKS
            .iter()
            .find(|(disk, _)| *disk == last)
            .map(|(_, extension)| Self::Accepted(*extension, compression))
    }
}

fn is_image(extension: &str) -> bool {
    extension == "tar"
        || SHORT.iter().any(|(short, ..)| *short == extension)
        || DISKS.iter().any(|(disk, _)| *disk == extension)
}

/// The compression that an extension names; `Some(None)` for one that is not supported.
fn compression_of(extension: &str) -> Option<Option<Compression>> {
    Some(match extension {
        "xz" => Some(Compression::Xz),
        "bz2" | "bzip2" => Some(Compression::Bzip2),
        "gz" | "gzip" => Some(Compression::Gzip),
        "zst" | "zstd" => Some(Compression::Zstd),
        "zip" | "7z" | "rar" | "lz4" | "lzo" | "lzop" | "lzma" | "lz" | "lrz" | "br" | "z" => None,
        _ => return None,
    })
}

/// The command that renames `text` for the first of `media`, and the names for the others. For a file that has to be
/// unpacked first, the name of its content. `None` if its extensions are not those of an image.
pub(super) fn advice(text: &str, parts: &Parts, media: &[&str]) -> Option<String> {
    let (first, others) = media.split_first()?;
    let name = |medium: &str, extension, compression| {
        ImageName { medium: medium.to_owned(), extension, compression }.to_string()
    };
    match Content::of(parts)? {
        Content::Accepted(extension, compression) => {
            let command = format!("mv {} {}", shell::file_name(text), name(first, extension, compression));
            let others: Vec<String> =
                others.iter().map(|medium| name(medium, extension, compression)).collect();
            Some(if others.is_empty() {
                format!("rename it with: {command}")
            } else {
                format!("rename it with: {command} (or to {})", others.join(", "))
            })
        }
        Content::Unpack(container) => Some(format!(
            ".{container} is not read: unpack it, and name its content {} or {}",
            name(first, Extension::Img, Compression::None),
            name(first, Extension::Tar, Compression::None),
        )),
    }
}
