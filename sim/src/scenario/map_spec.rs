//! Block maps beside disk images, as bmaptool makes them: written from its documentation, separately from the engine.

use crate::model::bytes::digest::hex;
use serde::{Deserialize, Serialize};
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
    /// Of version 1.3, with sha1.
    OldVersion,
}

impl MapSpec {
    /// Whether an image with this map is written.
    pub fn is_right(self) -> bool {
        matches!(self, Self::Right | Self::LeavesOutData)
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
    let (version, kind) = if spec == MapSpec::OldVersion { ("1.3", "sha1") } else { ("2.0", "sha256") };
    let zeros = "0".repeat(64);
    let mut text = format!(
        "<?xml version=\"1.0\" ?>\n<!-- This file contains the block map for an image file. -->\n\n<bmap version=\"{version}\">\n\
         <!-- Image size in bytes -->\n<ImageSize> {} </ImageSize>\n<BlockSize> {BLOCK_LEN} </BlockSize>\n\
         <BlocksCount> {} </BlocksCount>\n<MappedBlocksCount> {mapped}   </MappedBlocksCount>\n\
         <ChecksumType> {kind} </ChecksumType>\n<BmapFileChecksum> {zeros} </BmapFileChecksum>\n<BlockMap>\n",
        plain.len() + more * BLOCK_LEN,
        blocks + more,
    );
    for (first, last) in ranges {
        let bytes = &plain[first * BLOCK_LEN..((last + 1) * BLOCK_LEN).min(plain.len())];
        let sum = hex(Sha256::digest(bytes).as_slice());
        let numbers = if first == last { format!("{first}") } else { format!("{first}-{last}") };
        let _ = writeln!(text, "<Range chksum=\"{sum}\"> {numbers} </Range>");
    }
    text.push_str("</BlockMap>\n</bmap>\n");
    let own = hex(Sha256::digest(text.as_bytes()).as_slice());
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
