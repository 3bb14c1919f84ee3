//! Finds data outside of the only partition of a medium, which a tarball does not hold: above all, a bootloader before
//! the partition.
//!
//! The bytes are examined while the medium is copied, so nothing is read twice. Partition tables are ignored, and so are
//! the remains of an older GPT. Boot code in the MBR is only reported, because tools write one that no board runs.

use crate::formats::partition::{Scheme, Table};
use std::ops::Range;

/// The boot code at the start of sector 0.
const BOOT_CODE: Range<u64> = 0..440;
/// The start of an ext file system, which it leaves to a boot loader.
const BOOT_BLOCK_LEN_BYTES: u64 = 1024;
/// Revision and length of the header, which remain of a GPT whose signature was wiped.
const GPT_REVISION_AND_LEN: [u8; 8] = [0, 0, 1, 0, 92, 0, 0, 0];
/// Where those are in its header.
const GPT_REVISION_OFFSET: usize = 8;
/// Sectors of the usual GPT behind sector 0: a header and 16 KiB of entries.
const GPT_LEN_BYTES: u64 = 16 * 1024;

/// Examines the bytes of a medium from front to back while they are copied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Gap {
    sector_len_bytes: u64,
    before: Range<u64>,
    boot_block: Range<u64>,
    behind: Range<u64>,
    has_boot_code: bool,
    found_before: Option<u64>,
    has_boot_block: bool,
    found_behind: Option<u64>,
    /// Where the second copy of a GPT would be on this medium, if its table is an MBR.
    end: Range<u64>,
    found_at_end: Option<u64>,
    is_old_gpt_at_end: bool,
}

/// What was found outside of the partition: offsets of the first byte that is not zero.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Outside {
    /// Between the table and the partition.
    pub(super) before: Option<u64>,
    /// In the sectors of the partition that its file system does not use.
    pub(super) boot_block: Option<u64>,
    /// The boot code of the MBR.
    pub(super) boot_code: bool,
    /// Between the partition and the end, or the second copy of a GPT.
    pub(super) behind: Option<u64>,
}

impl Gap {
    /// The ranges to examine on a medium with this table; none unless there is exactly one partition.
    pub(super) fn of(table: &Table, sector_len_bytes: u32, medium_len_bytes: u64) -> Self {
        let mut gap = Self::nothing(sector_len_bytes);
        if let [partition] = table.partitions.as_slice() {
            let bytes = partition.range();
            gap.before = table.front_len_bytes..bytes.start;
            gap.boot_block = bytes.start..bytes.end.min(bytes.start + BOOT_BLOCK_LEN_BYTES);
            let old_gpt = match table.scheme {
                Scheme::Mbr => GPT_LEN_BYTES + gap.sector_len_bytes,
                Scheme::Gpt => 0,
            };
            let len_bytes = medium_len_bytes.saturating_sub(table.back_len_bytes);
            gap.end = bytes.end.max(len_bytes.saturating_sub(old_gpt))..len_bytes;
            gap.behind = bytes.end..gap.end.start;
        }
        gap
    }

    /// Examines nothing.
    pub(super) fn nothing(sector_len_bytes: u32) -> Self {
        Self {
            sector_len_bytes: u64::from(sector_len_bytes),
            before: 0..0,
            boot_block: 0..0,
            behind: 0..0,
            has_boot_code: false,
            found_before: None,
            has_boot_block: false,
            found_behind: None,
            end: 0..0,
            found_at_end: None,
            is_old_gpt_at_end: false,
        }
    }

    /// The next bytes of the medium, which start at `at`.
    pub(super) fn examine(&mut self, at: u64, bytes: &[u8]) {
        if at == 0 && !self.before.is_empty() {
            self.has_boot_code = first_in(0, bytes, &BOOT_CODE).is_some();
            self.ignore_old_gpt(bytes);
        }
        self.found_before = self.found_before.or_else(|| first_in(at, bytes, &self.before));
        self.has_boot_block |= first_in(at, bytes, &self.boot_block).is_some();
        self.found_behind = self.found_behind.or_else(|| first_in(at, bytes, &self.behind));
        self.found_at_end = self.found_at_end.or_else(|| first_in(at, bytes, &self.end));
        if at + bytes.len() as u64 == self.end.end {
            let sector = usize::try_from(self.sector_len_bytes).unwrap_or(usize::MAX);
            let last =
                bytes.len().checked_sub(sector).and_then(|start| bytes.get(start..)).unwrap_or_default();
            self.is_old_gpt_at_end = last.starts_with(b"EFI PART");
        }
    }

    /// On a medium with an MBR, a GPT header (with or without its signature) and its entries are remains.
    fn ignore_old_gpt(&mut self, bytes: &[u8]) {
        let sector = usize::try_from(self.sector_len_bytes).unwrap_or(usize::MAX);
        let header =
            bytes.get(sector..).and_then(|bytes| bytes.get(GPT_REVISION_OFFSET..)).unwrap_or_default();
        if self.before.start == self.sector_len_bytes && header.starts_with(&GPT_REVISION_AND_LEN) {
            self.before.start = (2 * self.sector_len_bytes + GPT_LEN_BYTES).min(self.before.end);
        }
    }

    /// What was found.
    pub(super) fn outside(&self) -> Outside {
        Outside {
            before: self.found_before,
            boot_block: self.has_boot_block.then_some(self.boot_block.start),
            boot_code: self.has_boot_code,
            behind: self.found_behind.or(self.found_at_end.filter(|_| !self.is_old_gpt_at_end)),
        }
    }
}

/// The offset of the first byte in `range` that is not zero. `bytes` start at `at`.
fn first_in(at: u64, bytes: &[u8], range: &Range<u64>) -> Option<u64> {
    let end = at + bytes.len() as u64;
    let (from, to) = (range.start.max(at), range.end.min(end));
    if from >= to {
        return None;
    }
    // Both lie within the slice.
    let part = &bytes[(from - at) as usize..(to - at) as usize];
    part.iter().position(|byte| *byte != 0).map(|index| from + index as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::partition::{Identity, read, single_partition};
    use proptest::prelude::*;

    const LEN_BYTES: usize = 6 << 20;
    const START: u64 = 4 << 20;

    fn medium(scheme: Scheme) -> Vec<u8> {
        let mut bytes = vec![0; LEN_BYTES];
        let layout = single_partition(&Identity::fresh(scheme, [7; 32]), LEN_BYTES as u64, 512).unwrap();
        for patch in layout.patches {
            bytes[patch.offset_bytes as usize..][..patch.bytes.len()].copy_from_slice(&patch.bytes);
        }
        bytes
    }

    fn outside(bytes: &[u8], chunk: usize) -> Outside {
        let table = read(&mut &*bytes, 512).unwrap().unwrap();
        let mut gap = Gap::of(&table, 512, bytes.len() as u64);
        for (index, chunk_bytes) in bytes.chunks(chunk).enumerate() {
            gap.examine((index * chunk) as u64, chunk_bytes);
        }
        gap.outside()
    }

    #[test]
    fn a_table_alone_is_not_reported() {
        for scheme in [Scheme::Mbr, Scheme::Gpt] {
            assert_eq!(outside(&medium(scheme), 1 << 16), Outside::default(), "{scheme:?}");
        }
    }

    #[test]
    fn a_bootloader_is_found_at_every_offset() {
        let at = |scheme, offset: usize| {
            let mut bytes = medium(scheme);
            bytes[offset] = 1;
            outside(&bytes, 1 << 16)
        };
        let before = |offset: u64| Outside { before: Some(offset), ..Outside::default() };
        // i.MX, Allwinner, Rockchip, i.MX8; the first byte that no table has, and the last before the partition.
        for offset in [512, 1024, 8192, 32 << 10, 33 << 10, START - 1] {
            assert_eq!(at(Scheme::Mbr, offset as usize), before(offset));
        }
        for offset in [34 * 512, 32 << 10, START - 1] {
            assert_eq!(at(Scheme::Gpt, offset as usize), before(offset));
        }
        assert_eq!(at(Scheme::Mbr, 0), Outside { boot_code: true, ..Outside::default() });
        assert_eq!(at(Scheme::Mbr, START as usize + 3).boot_block, Some(START));
        assert_eq!(at(Scheme::Mbr, START as usize + 1024), Outside::default());
    }

    #[test]
    fn data_behind_the_partition_is_found_and_a_gpt_is_ignored() {
        let mut bytes = medium(Scheme::Mbr);
        // Shorter by 1 MiB than the medium.
        let sectors = (LEN_BYTES as u32 - (5 << 20)) / 512;
        bytes[446 + 12..446 + 16].copy_from_slice(&sectors.to_le_bytes());
        assert_eq!(outside(&bytes, 4096), Outside::default());
        *bytes.last_mut().unwrap() = 1;
        assert_eq!(outside(&bytes, 4096).behind, Some(LEN_BYTES as u64 - 1));
        let gpt = medium(Scheme::Gpt);
        let table = gpt[LEN_BYTES - 33 * 512..].to_vec();
        bytes[LEN_BYTES - table.len()..].copy_from_slice(&table);
        bytes[LEN_BYTES - table.len()] = 1;
        assert_eq!(outside(&bytes, 4096).behind, None);
    }

    #[test]
    fn remains_of_a_gpt_are_ignored_and_a_bootloader_among_them_is_found() {
        let gpt = medium(Scheme::Gpt);
        let mut bytes = medium(Scheme::Mbr);
        bytes[512..34 * 512].copy_from_slice(&gpt[512..34 * 512]);
        assert_eq!(outside(&bytes, 1 << 16), Outside::default());
        // As wipefs and sfdisk leave it.
        bytes[512..520].fill(0);
        assert_eq!(outside(&bytes, 1 << 16), Outside::default());
        bytes[34 * 512] = 1;
        assert_eq!(outside(&bytes, 1 << 16).before, Some(34 * 512));
    }

    #[test]
    fn a_medium_with_several_partitions_is_not_examined() {
        let mut table = read(&mut &*medium(Scheme::Mbr), 512).unwrap().unwrap();
        table.partitions.push(table.partitions[0].clone());
        let mut gap = Gap::of(&table, 512, LEN_BYTES as u64);
        gap.examine(0, &[1; 4096]);
        assert_eq!(gap.outside(), Outside::default());
    }

    proptest! {
        #[test]
        fn the_result_does_not_depend_on_the_length_of_chunks(offset in 0..LEN_BYTES, chunk in 1024_usize..70_000) {
            let mut bytes = medium(Scheme::Mbr);
            if bytes[offset] == 0 && offset > 512 {
                bytes[offset] = 1;
            }
            prop_assert_eq!(outside(&bytes, chunk), outside(&bytes, LEN_BYTES));
        }
    }
}
