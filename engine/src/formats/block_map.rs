//! Block maps: which blocks of a disk image are used, with a checksum of each range of them.
//!
//! The format is that of bmaptool, version 2.0 (<https://github.com/yoctoproject/bmaptool>): XML with the image's length, the
//! length of a block, and ranges of block numbers. Version 1.4 has the same content. In version 1.3 the checksums are
//! SHA-1, and have other names. Earlier versions have none, and are not used. The checksum of the map itself is that of its bytes
//! with zeros in place of this checksum.

use super::FormatError;
use super::digest::{Algorithm, Digest, Hasher};
use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};
use std::ops::Range;

/// The extension of a map, behind the name of its image.
pub(crate) const EXTENSION: &str = ".bmap";
/// Longest map that is read.
pub(crate) const LIMIT_BYTES: usize = 8 << 20;
/// How many ranges a map may have: 4 MiB of memory.
const RANGES_MAX: usize = 1 << 16;
/// The block length of maps that this program writes.
pub(crate) const BLOCK_LEN_BYTES: u64 = 4096;
/// Longest block that is accepted.
const BLOCK_LEN_MAX_BYTES: u64 = 1 << 30;
const FORMAT: &str = "bmap";

/// A range of the image that is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mapped {
    /// In bytes of the image.
    pub(crate) range: Range<u64>,
    /// Of the bytes in it.
    pub(crate) digest: Digest,
}

/// The content of a map.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BlockMap {
    /// Length of the uncompressed image.
    pub(crate) image_len_bytes: u64,
    /// The used ranges, in order. They do not overlap.
    pub(crate) mapped: Vec<Mapped>,
}

fn damaged(detail: impl Into<String>) -> FormatError {
    FormatError::Damaged { format: FORMAT, detail: detail.into() }
}

fn unsupported(what: String) -> FormatError {
    FormatError::Unsupported { format: FORMAT, what }
}

/// The values of a map as they are read.
#[derive(Default)]
struct Fields {
    version: Option<String>,
    image_len_bytes: Option<u64>,
    block_len_bytes: Option<u64>,
    blocks: Option<u64>,
    mapped_blocks: Option<u64>,
    checksum_type: Option<String>,
    checksum: Option<String>,
    /// Block numbers, the last one included, and the checksum.
    ranges: Vec<(u64, u64, Option<Digest>)>,
}

impl BlockMap {
    /// Parses a map; `None` if it is of a version without checksums, so that it may be of any image.
    ///
    /// # Errors
    /// `Damaged` if it is not valid or its own checksum differs; `Unsupported` for another version or checksum;
    /// `MemoryLimit`.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Option<Self>, FormatError> {
        if bytes.len() > LIMIT_BYTES {
            let detail = format!("it has {} bytes", bytes.len());
            return Err(FormatError::MemoryLimit { format: FORMAT, limit_bytes: LIMIT_BYTES as u64, detail });
        }
        let fields = Fields::read(bytes)?;
        let Some(algorithm) = fields.algorithm()? else { return Ok(None) };
        fields.check_own_checksum(bytes, algorithm)?;
        fields.map(algorithm).map(Some)
    }

    /// Whether the map leaves out all of `range`.
    pub(crate) fn leaves_out(&self, range: &Range<u64>) -> bool {
        let first = self.mapped.partition_point(|mapped| mapped.range.end <= range.start);
        self.mapped.get(first).is_none_or(|mapped| mapped.range.start >= range.end)
    }

    /// The map as the bytes of a file. The ranges begin and end at blocks of [`BLOCK_LEN_BYTES`], or at the end of the
    /// image.
    pub(crate) fn to_xml(&self) -> Vec<u8> {
        let blocks = |bytes: u64| bytes.div_ceil(BLOCK_LEN_BYTES);
        let mapped: u64 =
            self.mapped.iter().map(|mapped| blocks(mapped.range.end - mapped.range.start)).sum();
        let zeros = "0".repeat(2 * Algorithm::Sha256.len_bytes());
        let mut text = format!(
            "<?xml version=\"1.0\" ?>\n<bmap version=\"2.0\">\n    <ImageSize> {} </ImageSize>\n    \
             <BlockSize> {BLOCK_LEN_BYTES} </BlockSize>\n    <BlocksCount> {} </BlocksCount>\n    \
             <MappedBlocksCount> {mapped} </MappedBlocksCount>\n    <ChecksumType> sha256 </ChecksumType>\n    \
             <BmapFileChecksum> {zeros} </BmapFileChecksum>\n    <BlockMap>\n",
            self.image_len_bytes,
            blocks(self.image_len_bytes),
        );
        for Mapped { range, digest } in &self.mapped {
            let (first, last) = (range.start / BLOCK_LEN_BYTES, blocks(range.end).saturating_sub(1));
            let numbers = if first == last { first.to_string() } else { format!("{first}-{last}") };
            text.push_str(&format!("        <Range chksum=\"{digest}\"> {numbers} </Range>\n"));
        }
        text.push_str("    </BlockMap>\n</bmap>\n");
        let own = Digest::of(Algorithm::Sha256, text.as_bytes()).to_string();
        text.replacen(&zeros, &own, 1).into_bytes()
    }
}

impl Fields {
    fn read(bytes: &[u8]) -> Result<Self, FormatError> {
        let mut reader = Reader::from_reader(bytes);
        let invalid = |error: String, at: u64| damaged(format!("{error}, before byte {at}"));
        let mut fields = Self::default();
        let mut path: Vec<Vec<u8>> = Vec::new();
        let mut text = String::new();
        let mut chksum = None;
        loop {
            let event =
                reader.read_event().map_err(|error| invalid(error.to_string(), reader.buffer_position()))?;
            match event {
                Event::Start(element) => {
                    match path.len() {
                        0 => fields.version = Some(attribute(&element, "version")?.unwrap_or_default()),
                        1..=3 => chksum = attribute(&element, "chksum")?.or(attribute(&element, "sha1")?),
                        _ => return Err(damaged("its elements are nested too deep")),
                    }
                    path.push(element.local_name().as_ref().to_vec());
                    text.clear();
                }
                Event::Text(part) => {
                    let part = std::str::from_utf8(&part).map_err(|error| damaged(error.to_string()))?;
                    text.push_str(part);
                }
                Event::End(_) => {
                    let names: Vec<&[u8]> = path.iter().map(Vec::as_slice).collect();
                    fields.set(&names, text.trim(), chksum.take())?;
                    path.pop();
                    text.clear();
                }
                Event::Eof => break,
                _ => {}
            }
        }
        if path.is_empty() { Ok(fields) } else { Err(damaged("it ends too early")) }
    }

    fn set(&mut self, path: &[&[u8]], text: &str, chksum: Option<String>) -> Result<(), FormatError> {
        let number = || text.parse::<u64>().map_err(|_| damaged(format!("{text:?} is not a number")));
        match path {
            [b"bmap", b"ImageSize"] => self.image_len_bytes = Some(number()?),
            [b"bmap", b"BlockSize"] => self.block_len_bytes = Some(number()?),
            [b"bmap", b"BlocksCount"] => self.blocks = Some(number()?),
            [b"bmap", b"MappedBlocksCount"] => self.mapped_blocks = Some(number()?),
            [b"bmap", b"ChecksumType"] => self.checksum_type = Some(text.to_owned()),
            [b"bmap", b"BmapFileChecksum" | b"BmapFileSHA1"] => self.checksum = Some(text.to_owned()),
            [b"bmap", b"BlockMap", b"Range"] => {
                let block = |text: &str| {
                    text.trim().parse::<u64>().map_err(|_| damaged(format!("{text:?} is not a range")))
                };
                let (first, last) = text.split_once('-').unwrap_or((text, text));
                let digest = |algorithm| Digest::from_hex(algorithm, chksum.as_ref()?.as_bytes());
                let digest = digest(Algorithm::Sha256).or_else(|| digest(Algorithm::Sha1));
                if self.ranges.len() >= RANGES_MAX {
                    let detail = format!("it has more than {RANGES_MAX} ranges");
                    return Err(FormatError::MemoryLimit {
                        format: FORMAT,
                        limit_bytes: (RANGES_MAX * size_of::<Mapped>()) as u64,
                        detail,
                    });
                }
                self.ranges.push((block(first)?, block(last)?, digest));
            }
            _ => {}
        }
        Ok(())
    }

    /// The algorithm of its checksums; `None` for a version without checksums.
    fn algorithm(&self) -> Result<Option<Algorithm>, FormatError> {
        let version = self.version.as_deref().unwrap_or_default();
        let stated = match version.split_once('.') {
            Some(("1", "0" | "1" | "2")) => return Ok(None),
            Some(("1", "3")) => Some("sha1"),
            Some(("1", "4") | ("2", _)) => self.checksum_type.as_deref(),
            _ => return Err(unsupported(format!("version {version:?}"))),
        };
        match stated {
            Some("sha256") => Ok(Some(Algorithm::Sha256)),
            Some("sha1") => Ok(Some(Algorithm::Sha1)),
            other => Err(unsupported(format!("checksums of type {:?}", other.unwrap_or_default()))),
        }
    }

    fn check_own_checksum(&self, bytes: &[u8], algorithm: Algorithm) -> Result<(), FormatError> {
        let hex = self.checksum.as_deref().unwrap_or_default();
        let Some(expected) = Digest::from_hex(algorithm, hex.as_bytes()) else {
            return Err(damaged("its own checksum is missing"));
        };
        let place = bytes.windows(hex.len()).position(|window| window == hex.as_bytes());
        let Some(start) = place else { return Err(damaged("its own checksum is missing")) };
        let mut hasher = Hasher::new(algorithm);
        hasher.update(&bytes[..start]);
        hasher.update("0".repeat(hex.len()).as_bytes());
        hasher.update(&bytes[start + hex.len()..]);
        if hasher.finish() != expected {
            return Err(damaged("its content does not match its own checksum"));
        }
        Ok(())
    }

    fn map(self, algorithm: Algorithm) -> Result<BlockMap, FormatError> {
        let needed =
            |value: Option<u64>, what: &str| value.ok_or_else(|| damaged(format!("it has no {what}")));
        let image_len_bytes = needed(self.image_len_bytes, "ImageSize")?;
        let block_len_bytes = needed(self.block_len_bytes, "BlockSize")?;
        let blocks = needed(self.blocks, "BlocksCount")?;
        if !(1..=BLOCK_LEN_MAX_BYTES).contains(&block_len_bytes) {
            return Err(damaged(format!("its blocks have {block_len_bytes} bytes")));
        }
        if image_len_bytes.div_ceil(block_len_bytes) != blocks {
            return Err(damaged(format!("{image_len_bytes} bytes are not {blocks} blocks")));
        }
        let mut mapped: Vec<Mapped> = Vec::with_capacity(self.ranges.len());
        let (mut next, mut mapped_blocks) = (0, 0);
        for (first, last, digest) in self.ranges {
            if first < next || last < first || last >= blocks {
                return Err(damaged(format!("the range {first}-{last} is out of order or behind the image")));
            }
            let digest = digest.filter(|digest| digest.algorithm() == algorithm);
            let digest =
                digest.ok_or_else(|| damaged(format!("the range {first}-{last} has no {algorithm}")))?;
            // Both products are at most the image's length, rounded up to a block.
            let range =
                first * block_len_bytes..(last * block_len_bytes + block_len_bytes).min(image_len_bytes);
            mapped.push(Mapped { range, digest });
            mapped_blocks += last - first + 1;
            next = last + 1;
        }
        if self.mapped_blocks.is_some_and(|announced| announced != mapped_blocks) {
            return Err(damaged(format!(
                "it has {mapped_blocks} mapped blocks, and announces another number"
            )));
        }
        Ok(BlockMap { image_len_bytes, mapped })
    }
}

fn attribute(element: &BytesStart<'_>, name: &str) -> Result<Option<String>, FormatError> {
    let found = element.try_get_attribute(name).map_err(|error| damaged(error.to_string()))?;
    Ok(found.map(|found| String::from_utf8_lossy(&found.value).into_owned()))
}

/// Makes the map of an image while its bytes pass from front to back.
pub(crate) struct MapMaker {
    /// Whole blocks that are left out, in order.
    left_out: Vec<Range<u64>>,
    mapped: Vec<Mapped>,
    open: Option<(u64, Hasher)>,
    at_bytes: u64,
}

impl MapMaker {
    /// For an image of which `unused` is left out, as far as it is whole blocks. `unused` is in order.
    pub(crate) fn new(unused: &[Range<u64>]) -> Self {
        let mut left_out: Vec<Range<u64>> = Vec::new();
        for range in unused {
            let start = range.start.next_multiple_of(BLOCK_LEN_BYTES);
            let end = range.end - range.end % BLOCK_LEN_BYTES;
            if start < end
                && left_out.last().is_none_or(|last| last.end <= start)
                && left_out.len() < RANGES_MAX - 1
            {
                left_out.push(start..end);
            }
        }
        Self { left_out, mapped: Vec::new(), open: None, at_bytes: 0 }
    }

    /// The next bytes of the image.
    pub(crate) fn pass(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let next = self.left_out.partition_point(|range| range.end <= self.at_bytes);
            let next = self.left_out.get(next).cloned().unwrap_or(u64::MAX..u64::MAX);
            let is_out = next.start <= self.at_bytes;
            let end = if is_out { next.end } else { next.start };
            let (now, rest) = bytes.split_at(super::within(bytes.len(), end - self.at_bytes));
            match (&mut self.open, is_out) {
                (Some((_, hasher)), false) => hasher.update(now),
                (None, false) => {
                    let mut hasher = Hasher::new(Algorithm::Sha256);
                    hasher.update(now);
                    self.open = Some((self.at_bytes, hasher));
                }
                (_, true) => self.close(),
            }
            self.at_bytes += now.len() as u64;
            bytes = rest;
        }
    }

    fn close(&mut self) {
        if let Some((start, hasher)) = self.open.take() {
            self.mapped.push(Mapped { range: start..self.at_bytes, digest: hasher.finish() });
        }
    }

    /// The map of all bytes that passed.
    pub(crate) fn finish(mut self) -> BlockMap {
        self.close();
        BlockMap { image_len_bytes: self.at_bytes, mapped: self.mapped }
    }
}

#[cfg(test)]
mod tests;
