//! Reads maps of sparse files: GNU's old headers, and pax forms 0.0, 0.1 and 1.0.

use super::blocks::Blocks;
use super::header::{Header, gnu_extent};
use super::records::{decimal, number_of};
use super::{BLOCK_BYTES, BLOCK_LEN, FORMAT, FormatError, damaged, unsupported};
use std::io::Read;
use std::ops::Range;

/// Digits of the largest 64-bit number.
const DIGITS_MAX: usize = 20;

/// Collects the extents of a map and checks its rules.
pub(super) struct MapBuilder {
    ranges: Vec<Range<u64>>,
    ranges_max: usize,
    end: u64,
    stored_bytes: u64,
}

impl MapBuilder {
    pub(super) fn new(ranges_max: usize) -> Self {
        Self { ranges: Vec::new(), ranges_max, end: 0, stored_bytes: 0 }
    }

    fn push(&mut self, offset: u64, len_bytes: u64) -> Result<(), FormatError> {
        let end = offset.checked_add(len_bytes).ok_or_else(|| damaged("a sparse map beyond 64 bits"))?;
        if offset < self.end {
            return Err(damaged(format!("the sparse map is not in order at offset {offset}")));
        }
        let touches = self.ranges.last().is_some_and(|last| last.end == offset);
        if len_bytes > 0 && !touches && self.ranges.len() >= self.ranges_max {
            return Err(self.too_many());
        }
        match self.ranges.last_mut() {
            _ if len_bytes == 0 => {}
            Some(last) if touches => last.end = end,
            _ => self.ranges.push(offset..end),
        }
        self.end = end;
        self.stored_bytes += len_bytes;
        Ok(())
    }

    fn too_many(&self) -> FormatError {
        FormatError::MemoryLimit {
            format: FORMAT,
            limit_bytes: (self.ranges_max as u64).saturating_mul(size_of::<Range<u64>>() as u64),
            detail: format!("more than {} pieces of a sparse file", self.ranges_max),
        }
    }

    /// The map of a file of `len_bytes`, of which the archive stores `stored_bytes`.
    pub(super) fn finish(self, len_bytes: u64, stored_bytes: u64) -> Result<Vec<Range<u64>>, FormatError> {
        if self.end > len_bytes {
            return Err(damaged(format!("the sparse map reaches to {}, the file to {len_bytes}", self.end)));
        }
        if self.stored_bytes != stored_bytes {
            return Err(damaged(format!(
                "the sparse map has {} bytes of data, the archive stores {stored_bytes}",
                self.stored_bytes
            )));
        }
        Ok(self.ranges)
    }
}

/// The `GNU.sparse.*` records of one entry.
#[derive(Default)]
pub(super) struct SparseRecords {
    /// The file's real name, if the header has a made-up one.
    pub(super) name: Option<Vec<u8>>,
    len_bytes: Option<u64>,
    major: Option<u64>,
    minor: Option<u64>,
    count: Option<u64>,
    /// Offsets and lengths, alternating.
    numbers: Vec<u64>,
}

impl SparseRecords {
    /// Reads the record `GNU.sparse.<key>`.
    pub(super) fn record(&mut self, key: &[u8], value: &[u8]) -> Result<(), FormatError> {
        match key {
            b"name" => self.name = Some(value.to_vec()),
            b"size" | b"realsize" => self.len_bytes = Some(number_of("GNU.sparse.size", value)?),
            b"major" => self.major = Some(number_of("GNU.sparse.major", value)?),
            b"minor" => self.minor = Some(number_of("GNU.sparse.minor", value)?),
            b"numblocks" => self.count = Some(number_of("GNU.sparse.numblocks", value)?),
            b"offset" | b"numbytes" => {
                if (key == b"offset") != (self.numbers.len() % 2 == 0) {
                    return Err(damaged("a sparse map with an offset or length left out"));
                }
                self.numbers.push(number_of("GNU.sparse.offset or .numbytes", value)?);
            }
            b"map" => {
                self.numbers.clear();
                for number in value.split(|byte| *byte == b',').filter(|_| !value.is_empty()) {
                    self.numbers.push(number_of("GNU.sparse.map", number)?);
                }
            }
            _ => return Err(unsupported("an unknown form of sparse files")),
        }
        Ok(())
    }

    /// Whether there are any.
    pub(super) fn used(&self) -> bool {
        self.name.is_some()
            || self.len_bytes.is_some()
            || self.major.is_some()
            || self.minor.is_some()
            || self.count.is_some()
            || !self.numbers.is_empty()
    }

    /// Length and map of the file. In form 1.0 the map is read from the start of the stored data, and `stored_bytes`
    /// becomes the length of the rest.
    pub(super) fn map<R: Read>(
        &self,
        blocks: &mut Blocks<R>,
        stored_bytes: &mut u64,
        ranges_max: usize,
    ) -> Result<(u64, Vec<Range<u64>>), FormatError> {
        let len_bytes = self.len_bytes.ok_or_else(|| damaged("a sparse file without its length"))?;
        let map = match (self.major.unwrap_or(0), self.minor.unwrap_or(0)) {
            (0, 0 | 1) => self.map_in_records(ranges_max)?,
            (1, 0) if self.numbers.is_empty() => map_in_data(blocks, stored_bytes, ranges_max)?,
            (1, 0) => return Err(damaged("a sparse file with two maps")),
            (major, minor) => return Err(unsupported(format!("the form {major}.{minor} of sparse files"))),
        };
        Ok((len_bytes, map.finish(len_bytes, *stored_bytes)?))
    }

    fn map_in_records(&self, ranges_max: usize) -> Result<MapBuilder, FormatError> {
        let pairs = self.numbers.chunks_exact(2);
        let count = self.count.ok_or_else(|| damaged("a sparse map without its count"))?;
        if !pairs.remainder().is_empty() || pairs.len() as u64 != count {
            return Err(damaged(format!(
                "a sparse map of {count} pieces with {} numbers",
                self.numbers.len()
            )));
        }
        let mut map = MapBuilder::new(ranges_max);
        for pair in pairs {
            map.push(pair[0], pair[1])?;
        }
        Ok(map)
    }
}

/// Form 1.0: lines of decimal numbers before the data, padded to a block. The first one is the number of pieces.
fn map_in_data<R: Read>(
    blocks: &mut Blocks<R>,
    stored_bytes: &mut u64,
    ranges_max: usize,
) -> Result<MapBuilder, FormatError> {
    let mut lines = Lines { blocks, stored_bytes, block: [0; BLOCK_BYTES], at: BLOCK_BYTES };
    let mut map = MapBuilder::new(ranges_max);
    let count = lines.number()?;
    // Maps often end with an empty piece, which takes no memory.
    if count.saturating_sub(1) > ranges_max as u64 {
        return Err(map.too_many());
    }
    for _ in 0..count {
        let offset = lines.number()?;
        let len_bytes = lines.number()?;
        map.push(offset, len_bytes)?;
    }
    Ok(map)
}

struct Lines<'a, R> {
    blocks: &'a mut Blocks<R>,
    stored_bytes: &'a mut u64,
    block: [u8; BLOCK_BYTES],
    at: usize,
}

impl<R: Read> Lines<'_, R> {
    fn byte(&mut self) -> Result<u8, FormatError> {
        if self.at == BLOCK_BYTES {
            *self.stored_bytes = self
                .stored_bytes
                .checked_sub(BLOCK_LEN)
                .ok_or_else(|| damaged("a sparse map that is longer than the stored data"))?;
            self.block = self.blocks.expect_block("a sparse map")?;
            self.at = 0;
        }
        let byte = self.block[self.at];
        self.at += 1;
        Ok(byte)
    }

    fn number(&mut self) -> Result<u64, FormatError> {
        let mut digits = [0; DIGITS_MAX];
        for len in 0..=DIGITS_MAX {
            let byte = self.byte()?;
            if byte == b'\n' {
                return decimal(&digits[..len])
                    .ok_or_else(|| damaged("a sparse map that is not a list of numbers"));
            }
            match digits.get_mut(len) {
                Some(slot) => *slot = byte,
                None => break,
            }
        }
        Err(damaged("a sparse map with a number that does not end"))
    }
}

/// GNU's old form: four pieces in the header, more in blocks after it. Returns the file's length and the map.
pub(super) fn old_gnu_map<R: Read>(
    header: &Header,
    blocks: &mut Blocks<R>,
    stored_bytes: u64,
    ranges_max: usize,
) -> Result<(u64, Vec<Range<u64>>), FormatError> {
    let gnu = header.gnu().ok_or_else(|| unsupported("a sparse file of another kind than GNU's"))?;
    let mut map = MapBuilder::new(ranges_max);
    let mut extents = &gnu.sparse[..];
    let mut more = gnu.isextended[0] != 0;
    let mut extension = ::tar::GnuExtSparseHeader::new();
    loop {
        for extent in extents {
            match gnu_extent(extent)? {
                Some((offset, len_bytes)) => map.push(offset, len_bytes)?,
                // Readers disagree on whether a block follows here.
                None if more => return Err(damaged("a sparse map that continues after its end")),
                None => break,
            }
        }
        if !more {
            break;
        }
        *extension.as_mut_bytes() = blocks.expect_block("more of a sparse map")?;
        extents = extension.sparse();
        more = extension.isextended[0] != 0;
    }
    let len_bytes = super::number::fitting(&gnu.realsize, "realsize")?;
    Ok((len_bytes, map.finish(len_bytes, stored_bytes)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn build(
        pieces: &[(u64, u64)],
        len_bytes: u64,
        stored_bytes: u64,
    ) -> Result<Vec<Range<u64>>, FormatError> {
        let mut map = MapBuilder::new(4);
        for (offset, len) in pieces {
            map.push(*offset, *len)?;
        }
        map.finish(len_bytes, stored_bytes)
    }

    #[test]
    fn maps_are_sorted_not_adjacent_and_within_the_file() {
        assert_eq!(build(&[(0, 5), (5, 5), (20, 1), (30, 0)], 30, 11).unwrap(), [0..10, 20..21]);
        assert_eq!(build(&[], 1 << 40, 0).unwrap(), []);
        for (pieces, len_bytes, stored) in [
            (&[(5, 5), (0, 5)][..], 30, 10),
            (&[(0, 5), (4, 5)], 30, 10),
            (&[(0, 5), (20, 11)], 30, 16),
            (&[(31, 0)], 30, 0),
            (&[(0, 5)], 30, 6),
            (&[(0, 5)], 30, 4),
            (&[(u64::MAX, 2)], u64::MAX, 2),
            (&[(1, u64::MAX)], u64::MAX, u64::MAX),
            (&[(0, 1), (2, 1), (4, 1), (6, 1), (8, 1)], 30, 5),
        ] {
            assert!(build(pieces, len_bytes, stored).is_err(), "{pieces:?}");
        }
        assert_eq!(build(&[(0, u64::MAX)], u64::MAX, u64::MAX).unwrap().first(), Some(&(0..u64::MAX)));
    }

    #[test]
    fn a_map_in_the_data_must_end_within_it() {
        let parse = |text: &str, stored: u64| {
            let mut block = text.as_bytes().to_vec();
            block.resize(block.len().next_multiple_of(BLOCK_BYTES), 0);
            let mut left = stored;
            map_in_data(&mut Blocks::new(&block[..]), &mut left, 1_000).map(|map| (map.ranges, left))
        };
        assert_eq!(parse("2\n0\n5\n100\n7\n", 524).unwrap(), (vec![0..5, 100..107], 12));
        let many: String = (0..200_u64).map(|at| format!("{}\n1\n", at * 1_000_000)).collect();
        let (ranges, left) = parse(&format!("200\n{many}"), 512 * 5 + 200).unwrap();
        assert_eq!((ranges.len(), left < 512 * 5), (200, true));
        for (text, stored) in [
            ("2\n0\n5\n100\n7\n", 511),
            ("3\n0\n5\n100\n7\n", 524),
            ("1\n-1\n5\n", 600),
            ("\n", 600),
            ("184467440737095516150\n", 600),
            ("18446744073709551616\n", 600),
            ("1002\n", 600),
        ] {
            assert!(parse(text, stored).is_err(), "{text}");
        }
    }
}
