//! Block maps beside disk images, as bmaptool makes them: written from its documentation, separately from the engine.

use crate::model::bytes::digest::hex;
use serde::{Deserialize, Serialize};
use sha1::Sha1;
use sha2::{Digest as _, Sha256};
use std::fmt::Write as _;

const BLOCK_LEN: usize = 4096;

/// The block map of a disk image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MapSpec {
    /// It leaves out the blocks of zeros.
    Right,
    /// It leaves out the second half of the image, which holds data, too.
    LeavesOutData,
    /// Of another image with the same length and the same blocks.
    OfAnotherImage,
    /// Of an image with one block more.
    OfAnotherLength,
    /// A checksum of a range was changed after the map was made.
    Damaged,
    /// Of version 1.3, with checksums of SHA-1.
    Sha1,
    /// Of version 1.2, which has no checksums.
    WithoutChecksums,
    /// Of a version that does not exist.
    UnknownVersion,
}

impl MapSpec {
    /// Whether an image with this map is written.
    pub fn is_right(self) -> bool {
        matches!(self, Self::Right | Self::LeavesOutData | Self::Sha1 | Self::WithoutChecksums)
    }
}

/// The text of the map of `plain`.
pub(super) fn text(plain: &[u8], spec: MapSpec) -> String {
    let mut other;
    let mut plain = plain;
    if spec == MapSpec::OfAnotherImage {
        other = plain.to_vec();
        other.chunks_mut(BLOCK_LEN).filter(|block| is_used(block)).for_each(|block| block[0] ^= 0xff);
        plain = &other;
    }
    let blocks = plain.len().div_ceil(BLOCK_LEN);
    let is_mapped = |block: usize| {
        let is_out = spec == MapSpec::LeavesOutData && block >= blocks / 2;
        !is_out && plain.chunks(BLOCK_LEN).nth(block).is_some_and(is_used)
    };
    let mut ranges: Vec<(usize, usize)> = Vec::new();
    for block in (0..blocks).filter(|block| is_mapped(*block)) {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == block => *last = block,
            _ => ranges.push((block, block)),
        }
    }
    let mapped: usize = ranges.iter().map(|(first, last)| last - first + 1).sum();
    let more = if spec == MapSpec::OfAnotherLength { 1 } else { 0 };
    let version = match spec {
        MapSpec::Sha1 => "1.3",
        MapSpec::WithoutChecksums => "1.2",
        MapSpec::UnknownVersion => "3.0",
        _ => "2.0",
    };
    let sum = |bytes: &[u8]| match spec {
        MapSpec::Sha1 => hex(Sha1::digest(bytes).as_slice()),
        _ => hex(Sha256::digest(bytes).as_slice()),
    };
    let zeros = "0".repeat(sum(b"").len());
    let (of_map, of_range) = match spec {
        MapSpec::Sha1 => (format!("<BmapFileSHA1> {zeros} </BmapFileSHA1>\n"), "sha1"),
        MapSpec::WithoutChecksums => (String::new(), ""),
        _ => {
            let own = format!("<BmapFileChecksum> {zeros} </BmapFileChecksum>\n");
            (format!("<ChecksumType> sha256 </ChecksumType>\n{own}"), "chksum")
        }
    };
    let mut text = format!(
        "<?xml version=\"1.0\" ?>\n<!-- This file contains the block map for an image file. -->\n\n<bmap version=\"{version}\">\n\
         <!-- Image size in bytes -->\n<ImageSize> {} </ImageSize>\n<BlockSize> {BLOCK_LEN} </BlockSize>\n\
         <BlocksCount> {} </BlocksCount>\n<MappedBlocksCount> {mapped}   </MappedBlocksCount>\n\
         {of_map}<BlockMap>\n",
        plain.len() + more * BLOCK_LEN,
        blocks + more,
    );
    for (first, last) in ranges {
        let bytes = &plain[first * BLOCK_LEN..((last + 1) * BLOCK_LEN).min(plain.len())];
        let sum = match of_range {
            "" => String::new(),
            name => format!(" {name}=\"{}\"", sum(bytes)),
        };
        let numbers = if first == last { format!("{first}") } else { format!("{first}-{last}") };
        let _ = writeln!(text, "<Range{sum}> {numbers} </Range>");
    }
    text.push_str("</BlockMap>\n</bmap>\n");
    let own = sum(text.as_bytes());
    let text = text.replacen(&zeros, &own, 1);
    let first = text.split_once("chksum=\"").and_then(|(_, rest)| rest.get(..64)).map(str::to_owned);
    match first.filter(|_| spec == MapSpec::Damaged) {
        Some(sum) => text.replacen(&sum, &sum.chars().rev().collect::<String>(), 1),
        None => text,
    }
}

fn is_used(block: &[u8]) -> bool {
    block.iter().any(|byte| *byte != 0)
}
