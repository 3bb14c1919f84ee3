//! Used blocks of a clean ext file system with content that nobody reads: free inodes, the body of the journal, blocks
//! that a file has reserved and never written.
//!
//! All of these can have old content: of removed files, of swapped memory, of an earlier file system. They may be
//! replaced by zeros, and e2fsck still finds the file system clean. As with the bitmaps, the result is `None` if
//! anything is inconsistent.

use super::byte_range::{ReadAt, le32};
use super::ext_bitmap::used_blocks;
use super::ext_inode::{Extent, Inode};
use super::ext_layout::{Group, Layout};
use super::ranges::{subtract, union};
use crate::{Result, UsedMap};
use std::ops::Range;

/// At least this much of an inode table is read at once.
const TABLE_PIECE_BYTES: u64 = 64 * 1024;
const JOURNAL_MAGIC: u32 = 0xc03b_3998;

/// The bytes of the region that must be kept; `None` if that cannot be proven.
pub(super) fn used_map(region: &mut dyn ReadAt) -> Result<Option<UsedMap>> {
    let Some(layout) = Layout::read(region)? else { return Ok(None) };
    let Some(map) = used_blocks(&layout, region)? else { return Ok(None) };
    let Some(Inodes { free, unwritten }) = Inodes::read(&layout, region)? else { return Ok(None) };
    let Some(journal) = journal_body(&layout, region)? else { return Ok(None) };
    let spare = union(vec![free, unwritten, journal]);
    Ok(Some(UsedMap { used: subtract(map.used, &spare) }))
}

/// The result for the inode tables, as ranges of bytes.
struct Inodes {
    free: Vec<Range<u64>>,
    unwritten: Vec<Range<u64>>,
}

impl Inodes {
    fn read(layout: &Layout, region: &mut dyn ReadAt) -> Result<Option<Self>> {
        let mut found = Self { free: Vec::new(), unwritten: Vec::new() };
        let mut bitmap = vec![0; layout.block_len_bytes as usize];
        for (number, group) in layout.groups.iter().enumerate() {
            if group.inodes_uninitialised {
                bitmap.fill(0);
            } else {
                region.read_padded(group.inode_bitmap_block * layout.block_len_bytes, &mut bitmap)?;
                if !layout.inode_bitmap_checksum_fits(group, &bitmap) {
                    return Ok(None);
                }
            }
            if found.add_free(layout, group, &bitmap) != group.free_inodes {
                return Ok(None);
            }
            if !group.inodes_uninitialised {
                found.add_unwritten(layout, region, number as u64, group, &bitmap)?;
            }
        }
        let own = layout.own_blocks();
        found.unwritten.sort_by_key(|range| range.start);
        let shared = found.unwritten.windows(2).any(|pair| pair[0].end > pair[1].start);
        let own_bytes =
            own.iter().map(|own| own.start * layout.block_len_bytes..own.end * layout.block_len_bytes);
        let own_bytes: Vec<_> = own_bytes.collect();
        // Blocks with two owners are damage that a check has to repair. Then no unwritten block counts as unused.
        if shared || subtract(found.unwritten.clone(), &own_bytes) != found.unwritten {
            found.unwritten.clear();
        }
        Ok(Some(found))
    }

    /// Adds the free inodes of a group. Returns their number.
    fn add_free(&mut self, layout: &Layout, group: &Group, bitmap: &[u8]) -> u64 {
        let table = group.inode_table_block * layout.block_len_bytes;
        let mut count = 0;
        for index in (0..layout.inodes_per_group).filter(|index| !is_set(bitmap, *index)) {
            count += 1;
            let start = table + index * layout.inode_len_bytes;
            let end = start + layout.inode_len_bytes;
            match self.free.last_mut() {
                Some(last) if last.end == start => last.end = end,
                _ => self.free.push(start..end),
            }
        }
        count
    }

    /// Adds the unwritten blocks of the files of a group.
    fn add_unwritten(
        &mut self,
        layout: &Layout,
        region: &mut dyn ReadAt,
        number: u64,
        group: &Group,
        bitmap: &[u8],
    ) -> Result<()> {
        let inode_len = layout.inode_len_bytes;
        let per_piece = TABLE_PIECE_BYTES.max(inode_len) / inode_len;
        let mut piece = Vec::new();
        for first in (0..layout.inodes_per_group).step_by(per_piece as usize) {
            let indices = first..(first + per_piece).min(layout.inodes_per_group);
            if !indices.clone().any(|index| is_set(bitmap, index)) {
                continue;
            }
            piece.resize(((indices.end - indices.start) * inode_len) as usize, 0);
            let at = group.inode_table_block * layout.block_len_bytes + first * inode_len;
            region.read_padded(at, &mut piece)?;
            for (index, bytes) in indices.zip(piece.chunks_exact(inode_len as usize)) {
                if !is_set(bitmap, index) {
                    continue;
                }
                let inode_number = number * layout.inodes_per_group + index + 1;
                let inode = Inode::new(layout, u32::try_from(inode_number).unwrap_or(u32::MAX), bytes);
                let asked = inode.is_named_file() && inode.has_extents() && inode.may_have_unwritten();
                if asked && inode.checksum_fits() {
                    let extents = inode.extents(region)?.unwrap_or_default();
                    self.unwritten.extend(
                        extents
                            .into_iter()
                            .filter(|extent| extent.is_unwritten)
                            .map(|extent| bytes_of(layout, extent.blocks)),
                    );
                }
            }
        }
        Ok(())
    }
}

fn is_set(bitmap: &[u8], index: u64) -> bool {
    bitmap[(index / 8) as usize] & 1 << (index % 8) != 0
}

fn bytes_of(layout: &Layout, blocks: Range<u64>) -> Range<u64> {
    blocks.start * layout.block_len_bytes..blocks.end * layout.block_len_bytes
}

/// The journal without its superblock, if nothing has to be replayed. Empty if there is no journal or if it is on
/// another device; `None` if it cannot be read.
fn journal_body(layout: &Layout, region: &mut dyn ReadAt) -> Result<Option<Vec<Range<u64>>>> {
    let Some(index) = layout.journal_inode.checked_sub(1).map(u64::from) else { return Ok(Some(Vec::new())) };
    let group = layout.groups.get((index / layout.inodes_per_group) as usize);
    let Some(group) = group else { return Ok(None) };
    let mut bytes = vec![0; layout.inode_len_bytes as usize];
    let table = group.inode_table_block * layout.block_len_bytes;
    region.read_padded(table + index % layout.inodes_per_group * layout.inode_len_bytes, &mut bytes)?;
    let inode = Inode::new(layout, layout.journal_inode, &bytes);
    if !inode.checksum_fits() {
        return Ok(None);
    }
    let Some(extents) = inode.extents(region)? else { return Ok(None) };
    let Some(Extent { logical: 0, blocks, .. }) = extents.first() else { return Ok(None) };
    let mut superblock = [0; 1024];
    region.read_padded(blocks.start * layout.block_len_bytes, &mut superblock)?;
    let be32 = |at| le32(&superblock, at).swap_bytes();
    // Versions 1 and 2. The log is empty if it starts at block 0.
    let is_empty_log = be32(0) == JOURNAL_MAGIC
        && matches!(be32(4), 3 | 4)
        && u64::from(be32(0xc)) == layout.block_len_bytes
        && be32(0x1c) == 0;
    if !is_empty_log {
        return Ok(None);
    }
    let body = extents.into_iter().filter_map(|extent| {
        let first = extent.blocks.start + u64::from(extent.logical == 0);
        (first < extent.blocks.end).then(|| bytes_of(layout, first..extent.blocks.end))
    });
    let mut body: Vec<_> = body.collect();
    body.sort_by_key(|range| range.start);
    let own: Vec<_> = layout.own_blocks().into_iter().map(|own| bytes_of(layout, own)).collect();
    let overlaps = body.windows(2).any(|pair| pair[0].end > pair[1].start);
    let is_its_own = !overlaps && subtract(body.clone(), &own) == body;
    Ok(is_its_own.then_some(body))
}

#[cfg(test)]
mod tests;
