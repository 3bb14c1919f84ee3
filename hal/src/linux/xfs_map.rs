//! The blocks that an XFS file system uses, by the free-space trees of its allocation groups.
//!
//! The result is `None` unless the last record of the log is that of an unmount, the counter of every group agrees with
//! its tree, and every feature is known. The spare blocks that each group keeps for its trees count as free.

use super::byte_range::ReadAt;
use crate::{Result, UsedMap};
use std::ops::Range;

/// `sb_features_incompat` up to parent pointers, without `NEEDSREPAIR`.
const KNOWN_INCOMPAT: u32 = 0xef;
/// More groups, or blocks of a tree, than a file system of 16 TiB has count as damage.
const AGS_MAX: u32 = 1 << 20;
const SECTOR: u64 = 512;

fn be16(bytes: &[u8], at: usize) -> u32 {
    u32::from(bytes[at]) << 8 | u32::from(bytes[at + 1])
}

fn be32(bytes: &[u8], at: usize) -> u32 {
    be16(bytes, at) << 16 | be16(bytes, at + 2)
}

fn be64(bytes: &[u8], at: usize) -> u64 {
    u64::from(be32(bytes, at)) << 32 | u64::from(be32(bytes, at + 4))
}

struct Xfs<'a> {
    region: &'a mut dyn ReadAt,
    block_len: u64,
    sector_len: u64,
    blocks: u64,
    ag_blocks: u64,
    is_v5: bool,
}

/// The bytes in use; `None` if that cannot be proven.
pub(super) fn used_map(region: &mut dyn ReadAt) -> Result<Option<UsedMap>> {
    let mut superblock = [0; 512];
    region.read_padded(0, &mut superblock)?;
    let number = |at| be32(&superblock, at);
    let version = be16(&superblock, 100) & 0xf;
    let is_v5 = version == 5;
    let (block_len, sector_len) = (u64::from(number(4)), u64::from(be16(&superblock, 102)));
    let (blocks, ag_blocks, ags) = (be64(&superblock, 8), u64::from(number(84)), number(88));
    let is_valid = &superblock[..4] == b"XFSB"
        && (512..=65536).contains(&block_len)
        && block_len.is_power_of_two()
        && (512..=block_len.max(512)).contains(&sector_len)
        && matches!(version, 4 | 5)
        && (1..=AGS_MAX).contains(&ags)
        && ag_blocks > 0
        && blocks <= region.len_bytes() / block_len
        && blocks > ag_blocks.saturating_mul(u64::from(ags) - 1)
        && blocks <= ag_blocks.saturating_mul(u64::from(ags))
        // Not completely made, with a real-time section, or with an unknown feature.
        && superblock[126] == 0
        && be64(&superblock, 16) == 0
        && (!is_v5 || number(216) & !KNOWN_INCOMPAT == 0);
    let (log_start, log_blocks, ag_log) =
        (be64(&superblock, 48), u64::from(number(96)), u32::from(superblock[124]));
    if !is_valid || log_start == 0 || ag_log > 31 {
        return Ok(None);
    }
    let log_at = ((log_start >> ag_log) * ag_blocks + (log_start & ((1 << ag_log) - 1))) * block_len;
    let log = log_at..log_at.saturating_add(log_blocks * block_len);
    let mut xfs = Xfs { region, block_len, sector_len, blocks, ag_blocks, is_v5 };
    if !xfs.is_clean(&log)? {
        return Ok(None);
    }
    let mut free: Vec<Range<u64>> = Vec::new();
    for ag in 0..ags {
        match xfs.free_of(u64::from(ag))? {
            Some(ranges) => free.extend(ranges),
            None => return Ok(None),
        }
    }
    free.sort_by_key(|range| range.start);
    let mut used = Vec::new();
    let mut at = 0;
    for range in free {
        if range.start < at || range.end > blocks {
            return Ok(None);
        }
        if range.start > at {
            used.push(at * block_len..range.start * block_len);
        }
        at = range.end;
    }
    if at < blocks {
        used.push(at * block_len..blocks * block_len);
    }
    Ok(Some(UsedMap { used }))
}

impl Xfs<'_> {
    /// Whether the newest record of the log is that of an unmount.
    fn is_clean(&mut self, log: &Range<u64>) -> Result<bool> {
        const RECORD_MAGIC: u32 = 0xfeed_babe;
        const UNMOUNT: u8 = 0x20;
        if log.end > self.region.len_bytes() {
            return Ok(false);
        }
        let mut newest: Option<(u64, bool)> = None;
        let mut buffer = vec![0; 1 << 20];
        let mut at = log.start;
        while at < log.end {
            let len = usize::try_from((log.end - at).min(buffer.len() as u64)).unwrap_or(0);
            self.region.read_padded(at, &mut buffer[..len])?;
            for (index, sector) in buffer[..len].chunks_exact(SECTOR as usize).enumerate() {
                let lsn = be64(sector, 16);
                if be32(sector, 0) != RECORD_MAGIC || newest.is_some_and(|(newest, _)| newest >= lsn) {
                    continue;
                }
                // Headers of records that are longer than 32 KiB take several sectors.
                let headers = u64::from(be32(sector, 320)).div_ceil(32 * 1024).clamp(1, 8);
                let is_alone = be32(sector, 40) == 1;
                let data_at = at + (index as u64 + headers) * SECTOR;
                let data_at = if data_at >= log.end { log.start + (data_at - log.end) } else { data_at };
                let mut operation = [0; 12];
                self.region.read_padded(data_at, &mut operation)?;
                newest = Some((lsn, is_alone && operation[9] & UNMOUNT != 0));
            }
            at += len as u64;
        }
        Ok(newest.is_some_and(|(_, is_unmount)| is_unmount))
    }

    fn read_block(&mut self, ag: u64, block: u32) -> Result<Option<Vec<u8>>> {
        let number = ag * self.ag_blocks + u64::from(block);
        if u64::from(block) >= self.ag_blocks || number >= self.blocks {
            return Ok(None);
        }
        let mut bytes = vec![0; usize::try_from(self.block_len).unwrap_or(0)];
        self.region.read_padded(number * self.block_len, &mut bytes)?;
        Ok(Some(bytes))
    }

    /// The free blocks of one group, as blocks of the file system.
    fn free_of(&mut self, ag: u64) -> Result<Option<Vec<Range<u64>>>> {
        let start = ag * self.ag_blocks;
        let mut header = vec![0; usize::try_from(self.sector_len).unwrap_or(0)];
        self.region.read_padded(start * self.block_len + self.sector_len, &mut header)?;
        let len = u64::from(be32(&header, 12));
        if &header[..4] != b"XAGF" || u64::from(be32(&header, 8)) != ag || len > self.ag_blocks {
            return Ok(None);
        }
        let Some(mut free) = self.leaves(ag, be32(&header, 16), be32(&header, 28))? else { return Ok(None) };
        let sum: u64 = free.iter().map(|range| range.end - range.start).sum();
        if sum != u64::from(be32(&header, 52)) {
            return Ok(None);
        }
        let Some(spare) = self.spare(ag, &header)? else { return Ok(None) };
        free.extend(spare);
        if free.iter().any(|range| range.end > len) {
            return Ok(None);
        }
        Ok(Some(free.into_iter().map(|range| range.start + start..range.end + start).collect()))
    }

    /// The records of the tree of free space by block number.
    fn leaves(&mut self, ag: u64, root: u32, levels: u32) -> Result<Option<Vec<Range<u64>>>> {
        const NONE: u32 = u32::MAX;
        let (magic, header_len) = if self.is_v5 { (b"AB3B", 56) } else { (b"ABTB", 16) };
        let records_max = (self.block_len as usize).saturating_sub(header_len) / 8;
        let pointers_at = header_len + (self.block_len as usize).saturating_sub(header_len) / 12 * 8;
        let mut next = root;
        if !(1..=16).contains(&levels) {
            return Ok(None);
        }
        for level in (0..levels).rev() {
            let Some(block) = self.read_block(ag, next)? else { return Ok(None) };
            if &block[..4] != magic || be16(&block, 4) != level || be16(&block, 6) == 0 && level > 0 {
                return Ok(None);
            }
            if level > 0 {
                next = be32(&block, pointers_at);
            }
        }
        let mut free: Vec<Range<u64>> = Vec::new();
        let mut blocks_left = self.ag_blocks;
        while next != NONE {
            let Some(block) = self.read_block(ag, next)? else { return Ok(None) };
            let records = be16(&block, 6) as usize;
            if &block[..4] != magic || be16(&block, 4) != 0 || records > records_max || blocks_left == 0 {
                return Ok(None);
            }
            blocks_left -= 1;
            for record in block[header_len..][..records * 8].chunks_exact(8) {
                let start = u64::from(be32(record, 0));
                let end = start + u64::from(be32(record, 4));
                if free.last().is_some_and(|last| last.end > start) {
                    return Ok(None);
                }
                free.push(start..end);
            }
            next = be32(&block, 12);
        }
        Ok(Some(free))
    }

    /// The spare blocks that the group keeps for its trees. `header` is the header of the group.
    fn spare(&mut self, ag: u64, header: &[u8]) -> Result<Option<Vec<Range<u64>>>> {
        let mut list = vec![0; usize::try_from(self.sector_len).unwrap_or(0)];
        let at = ag * self.ag_blocks * self.block_len + 3 * self.sector_len;
        self.region.read_padded(at, &mut list)?;
        let entries = if self.is_v5 { list.get(36..).unwrap_or_default() } else { &list[..] };
        if self.is_v5 && &list[..4] != b"XAFL" {
            return Ok(None);
        }
        let size = entries.len() / 4;
        let (first, count) = (be32(header, 40) as usize, be32(header, 48) as usize);
        if count > size || first >= size {
            return Ok(None);
        }
        let blocks = (0..count).map(|index| u64::from(be32(entries, (first + index) % size * 4)));
        Ok(Some(blocks.map(|block| block..block + 1).collect()))
    }
}

#[cfg(test)]
mod tests;
