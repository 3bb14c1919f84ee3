//! The table of zstd's seekable format: the lengths of all frames, in a skippable frame at the end of the file.
//!
//! Format: <https://github.com/facebook/zstd/blob/dev/contrib/seekable_format/zstd_seekable_compression_format.md>. A table
//! is only a hint: whoever reads one compares its lengths with the headers of the frames.

use crate::formats::{FormatError, ReadAt};

/// `ZSTD_MAGIC_SKIPPABLE_START` + 14.
const SKIPPABLE_MAGIC: u32 = 0x184d_2a5e;
const SEEKABLE_MAGIC: u32 = 0x8f92_eab1;
const HEADER_BYTES: u64 = 8;
const FOOTER_BYTES: u64 = 9;
const ENTRY_BYTES: u64 = 8;
/// Bits of the descriptor: entries have a checksum, too; and reserved bits, which are 0.
const HAS_CHECKSUMS: u8 = 0x80;
const RESERVED: u8 = 0x7c;

/// The lengths of the frames of a file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct SeekTable {
    /// Stored and decoded length of each frame.
    pub(super) entries: Vec<(u32, u32)>,
    /// A length did not fit, so there is no table.
    is_impossible: bool,
}

impl SeekTable {
    /// Adds the next frame.
    pub(super) fn add(&mut self, stored_len: u64, content_len: u64) {
        match (u32::try_from(stored_len), u32::try_from(content_len)) {
            (Ok(stored), Ok(content)) => self.entries.push((stored, content)),
            _ => self.is_impossible = true,
        }
    }

    /// Whether no frame was added.
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty() && !self.is_impossible
    }

    /// The skippable frame; no bytes if the format cannot hold the lengths.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let entries_len = self.entries.len() as u64 * ENTRY_BYTES;
        let (Ok(count), Ok(frame_len)) =
            (u32::try_from(self.entries.len()), u32::try_from(entries_len + FOOTER_BYTES))
        else {
            return Vec::new();
        };
        if self.is_impossible {
            return Vec::new();
        }
        let mut bytes = Vec::new();
        for number in [SKIPPABLE_MAGIC, frame_len] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        for (stored, content) in &self.entries {
            bytes.extend_from_slice(&stored.to_le_bytes());
            bytes.extend_from_slice(&content.to_le_bytes());
        }
        bytes.extend_from_slice(&count.to_le_bytes());
        bytes.push(0);
        bytes.extend_from_slice(&SEEKABLE_MAGIC.to_le_bytes());
        bytes
    }

    /// The table at the end of `input`, and where it starts; `None` if there is none, if it has an error, or if it takes
    /// more than `limit_bytes`.
    ///
    /// # Errors
    /// Those of the input.
    pub(super) fn read(input: &mut dyn ReadAt, limit_bytes: u64) -> Result<Option<(Self, u64)>, FormatError> {
        let len = input.len_bytes();
        if len < HEADER_BYTES + FOOTER_BYTES {
            return Ok(None);
        }
        let mut footer = [0; FOOTER_BYTES as usize];
        input.read_exact_at(len - FOOTER_BYTES, &mut footer)?;
        let (count, descriptor) = (u64::from(number(&footer[..4])), footer[4]);
        if number(&footer[5..]) != SEEKABLE_MAGIC || descriptor & RESERVED != 0 {
            return Ok(None);
        }
        let entry_len = if descriptor & HAS_CHECKSUMS == 0 { ENTRY_BYTES } else { ENTRY_BYTES + 4 };
        let entries_len = count * entry_len;
        let Some(start) = len.checked_sub(HEADER_BYTES + entries_len + FOOTER_BYTES) else { return Ok(None) };
        if entries_len > limit_bytes {
            return Ok(None);
        }
        let mut bytes = vec![0; (HEADER_BYTES + entries_len) as usize];
        input.read_exact_at(start, &mut bytes)?;
        let (header, entries) = bytes.split_at(HEADER_BYTES as usize);
        if number(&header[..4]) != SKIPPABLE_MAGIC
            || u64::from(number(&header[4..])) != entries_len + FOOTER_BYTES
        {
            return Ok(None);
        }
        let entries = entries.chunks_exact(entry_len as usize);
        let entries = entries.map(|entry| (number(&entry[..4]), number(&entry[4..8]))).collect();
        Ok(Some((Self { entries, is_impossible: false }, start)))
    }
}

/// A little-endian number of up to four bytes.
fn number(bytes: &[u8]) -> u32 {
    bytes.iter().rev().fold(0, |number, &byte| number << 8 | u32::from(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_that_of_the_specification_and_is_read_back() {
        let mut table = SeekTable::default();
        table.add(0x0102, 0x0304_0506);
        let bytes = table.to_bytes();
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(
            hex,
            ["5e2a4d18", "11000000", "02010000", "06050403", "01000000", "00", "b1ea928f"].concat()
        );
        let file = [b"frames", &bytes[..]].concat();
        assert_eq!(SeekTable::read(&mut &file[..], 8).unwrap(), Some((table, 6)));
        assert_eq!(SeekTable::read(&mut &file[..], 7).unwrap(), None, "beyond the limit");
    }

    #[test]
    fn a_table_with_checksums_is_read() {
        let words = [SKIPPABLE_MAGIC, 21, 7, 9, 0xdead_beef, 1];
        let mut file: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        file.push(HAS_CHECKSUMS);
        file.extend(SEEKABLE_MAGIC.to_le_bytes());
        let (table, start) = SeekTable::read(&mut &file[..], 100).unwrap().unwrap();
        assert_eq!((table.entries, start), (vec![(7, 9)], 0));
    }

    #[test]
    fn a_changed_byte_of_the_structure_makes_it_no_table() {
        let mut table = SeekTable::default();
        table.add(1, 2);
        let good = table.to_bytes();
        for at in (0..8).chain(16..good.len()) {
            let mut bad = good.clone();
            bad[at] ^= 0x04;
            assert_eq!(SeekTable::read(&mut &bad[..], 100).unwrap(), None, "{at}");
        }
        for len in 0..good.len() {
            assert_eq!(SeekTable::read(&mut &good[..len], 100).unwrap(), None, "{len}");
        }
        table.add(u64::from(u32::MAX) + 1, 0);
        assert!(table.to_bytes().is_empty(), "a length that does not fit");
    }
}
