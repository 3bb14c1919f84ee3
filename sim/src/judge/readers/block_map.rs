//! Block maps beside disk images, read separately from the engine.

use crate::model::bytes::digest::hex;
use crate::model::hardware::found::FoundFiles;
use replicator_hal::RelativePath;
use sha2::{Digest as _, Sha256};
use std::ops::Range;

/// The first map that bmaptool would find for the file `path`.
pub(super) fn beside<'a>(files: &'a FoundFiles, path: &str) -> Option<&'a [u8]> {
    let mut name = path;
    loop {
        let map = RelativePath::parse(format!("{name}.bmap")).ok()?;
        if let Some(found) = super::drive_images::follow(files, &map) {
            return Some(&found.bytes);
        }
        let dot = name.rfind('.').filter(|dot| !name[*dot..].contains('/'))?;
        name = &name[..dot];
    }
}

fn value<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(&format!("<{name}>"))?;
    Some(rest.split_once("</")?.0.trim())
}

/// The ranges of a map in bytes of the image, each with its checksum.
fn mapped(text: &str) -> Option<Vec<(Range<u64>, &str)>> {
    let len: u64 = value(text, "ImageSize")?.parse().ok()?;
    let block: u64 = value(text, "BlockSize")?.parse().ok()?;
    let parts = text.split("<Range chksum=\"").skip(1);
    let ranges = parts.map(|part| {
        let (sum, rest) = part.split_once("\">")?;
        let numbers = rest.split_once("</Range>")?.0.trim();
        let (first, last) = numbers.split_once('-').unwrap_or((numbers, numbers));
        let (first, last): (u64, u64) = (first.parse().ok()?, last.parse().ok()?);
        Some((first * block..((last + 1) * block).min(len), sum))
    });
    ranges.collect()
}

/// What a map leaves out of an image of `len_bytes`; nothing if it is not a map of such an image.
pub(super) fn left_out(map: &[u8], len_bytes: u64) -> Vec<Range<u64>> {
    let text = String::from_utf8_lossy(map);
    let is_of_it = value(&text, "ImageSize").is_some_and(|len| len.parse() == Ok(len_bytes));
    let Some(mapped) = mapped(&text).filter(|_| is_of_it) else { return Vec::new() };
    let (mut out, mut at) = (Vec::new(), 0);
    for (range, _) in mapped {
        if range.start > at {
            out.push(at..range.start);
        }
        at = range.end;
    }
    if at < len_bytes {
        out.push(at..len_bytes);
    }
    out
}

/// Whether the checksum of every range of a map is that of `plain`.
///
/// # Errors
/// What is wrong.
pub(in crate::judge) fn check_ranges(text: &str, plain: &[u8]) -> Result<(), String> {
    for (range, sum) in mapped(text).ok_or("its ranges cannot be read")? {
        let bytes = plain.get(range.start as usize..range.end as usize);
        let bytes = bytes.ok_or("a range is behind the end of the image")?;
        if hex(Sha256::digest(bytes).as_slice()) != sum {
            return Err(format!("the checksum of {range:?} is wrong"));
        }
    }
    Ok(())
}

/// Whether a map is right for `plain`: its length, its own checksum, that of every range; and that it leaves out zeros only.
///
/// # Errors
/// What is wrong.
pub(in crate::judge) fn is_right(map: &[u8], plain: &[u8]) -> Result<(), String> {
    let text = std::str::from_utf8(map).map_err(|error| error.to_string())?;
    let len_bytes = plain.len() as u64;
    if value(text, "ImageSize").and_then(|len| len.parse().ok()) != Some(len_bytes) {
        return Err("it is for an image of another length".into());
    }
    let own = value(text, "BmapFileChecksum").filter(|own| own.len() == 64).ok_or("it has no checksum")?;
    let blank = text.replacen(own, &"0".repeat(64), 1);
    if hex(Sha256::digest(blank.as_bytes()).as_slice()) != own {
        return Err("its own checksum is wrong".into());
    }
    check_ranges(text, plain)?;
    let slice = |range: &Range<u64>| plain.get(range.start as usize..range.end as usize);
    let out = left_out(map, len_bytes);
    match out.iter().find(|range| slice(range).is_none_or(|bytes| bytes.iter().any(|byte| *byte != 0))) {
        Some(range) => Err(format!("it leaves out {range:?}, which holds data")),
        None => Ok(()),
    }
}
