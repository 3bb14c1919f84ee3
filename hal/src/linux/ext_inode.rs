//! Single inodes of an ext file system, and where their data is.
//!
//! As in [`Layout`], the result is `None` for everything inconsistent: a wrong checksum, a block outside the file
//! system, a tree that does not end.

use super::byte_range::{ReadAt, le16, le32};
use super::ext_checksum::crc32c;
use super::ext_layout::Layout;
use crate::Result;
use std::ops::Range;

/// Length of the part of an inode that is the same in every ext file system.
const OLD_LEN_BYTES: usize = 128;
/// Offset of the block map, or of the root of the extent tree.
const MAP_AT: usize = 0x28;
const MAP_LEN_BYTES: usize = 60;
const FLAG_EXTENTS: u32 = 0x8_0000;
const FLAG_INLINE_DATA: u32 = 0x1000_0000;
const EXTENT_MAGIC: u16 = 0xf30a;
const EXTENT_ENTRY_LEN_BYTES: usize = 12;
const EXTENT_DEPTH_MAX: u16 = 5;
/// The length of an unwritten extent (allocated, never written) is greater than this.
const EXTENT_WRITTEN_MAX: u64 = 32_768;
/// More nodes than the trees of any valid file have. Limits the work that a crafted tree can cause.
const NODES_MAX: usize = 1 << 16;
/// Blocks that one inode may have without extents. Only a journal is read that way.
const INDIRECT_BLOCKS_MAX: usize = 1 << 22;

/// Blocks of a file that are contiguous on the device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Extent {
    /// The first block, counted within the file.
    pub(super) logical: u64,
    /// Its place on the device.
    pub(super) blocks: Range<u64>,
    /// Allocated, but never written: they read as zeros, whatever is stored in them.
    pub(super) is_unwritten: bool,
}

/// The bytes of an inode.
pub(super) struct Inode<'a> {
    layout: &'a Layout,
    number: u32,
    bytes: &'a [u8],
}

impl<'a> Inode<'a> {
    /// The inode `number` with these bytes.
    pub(super) fn new(layout: &'a Layout, number: u32, bytes: &'a [u8]) -> Self {
        Self { layout, number, bytes }
    }

    /// Whether it is a regular file with at least one name.
    pub(super) fn is_named_file(&self) -> bool {
        le16(self.bytes, 0) & 0xf000 == 0x8000 && le16(self.bytes, 0x1a) != 0
    }

    /// Whether its data is mapped by extents.
    pub(super) fn has_extents(&self) -> bool {
        let flags = le32(self.bytes, 0x20);
        flags & FLAG_EXTENTS != 0 && flags & FLAG_INLINE_DATA == 0
    }

    /// Whether the tree has nodes outside the inode, or its root has an unwritten extent.
    pub(super) fn may_have_unwritten(&self) -> bool {
        let root = &self.bytes[MAP_AT..MAP_AT + MAP_LEN_BYTES];
        let lens = root.chunks_exact(EXTENT_ENTRY_LEN_BYTES).skip(1).take(usize::from(le16(root, 2)));
        le16(root, 6) != 0 || lens.into_iter().any(|entry| u64::from(le16(entry, 4)) > EXTENT_WRITTEN_MAX)
    }

    /// Length of the file.
    pub(super) fn len_bytes(&self) -> u64 {
        u64::from(le32(self.bytes, 0x6c)) << 32 | u64::from(le32(self.bytes, 4))
    }

    /// Whether the checksum is correct, or there is none.
    pub(super) fn checksum_fits(&self) -> bool {
        let Some(seed) = self.checksum_seed() else { return true };
        let low_at = 0x7c;
        let mut crc = crc32c(seed, &self.bytes[..low_at]);
        crc = crc32c(crc32c(crc, &[0, 0]), &self.bytes[low_at + 2..OLD_LEN_BYTES]);
        let recorded_low = u32::from(le16(self.bytes, low_at));
        if self.bytes.len() == OLD_LEN_BYTES {
            return crc & 0xffff == recorded_low;
        }
        let high_at = 0x82;
        crc = crc32c(crc, &self.bytes[OLD_LEN_BYTES..high_at]);
        if le16(self.bytes, OLD_LEN_BYTES) < 4 {
            return crc32c(crc, &self.bytes[high_at..]) & 0xffff == recorded_low;
        }
        crc = crc32c(crc32c(crc, &[0, 0]), &self.bytes[high_at + 2..]);
        crc == u32::from(le16(self.bytes, high_at)) << 16 | recorded_low
    }

    /// The seed of the checksums of this inode and its extent blocks.
    fn checksum_seed(&self) -> Option<u32> {
        let seed = self.layout.metadata_checksum_seed?;
        Some(crc32c(crc32c(seed, &self.number.to_le_bytes()), &self.bytes[0x64..0x68]))
    }

    /// Where its data is, in the order of the file.
    pub(super) fn extents(&self, region: &mut dyn ReadAt) -> Result<Option<Vec<Extent>>> {
        if self.has_extents() { self.extent_tree(region) } else { self.block_map(region) }
    }

    fn extent_tree(&self, region: &mut dyn ReadAt) -> Result<Option<Vec<Extent>>> {
        let block_len = self.layout.block_len_bytes as usize;
        let root = self.bytes[MAP_AT..MAP_AT + MAP_LEN_BYTES].to_vec();
        let depth = le16(&root, 6);
        if depth > EXTENT_DEPTH_MAX {
            return Ok(None);
        }
        let mut found = Vec::new();
        let mut unread: Vec<(u64, u16)> = Vec::new();
        let mut node = root;
        let mut depth = depth;
        let mut nodes = 0;
        loop {
            let entries = usize::from(le16(&node, 2));
            let room = node.len() / EXTENT_ENTRY_LEN_BYTES - 1;
            if le16(&node, 0) != EXTENT_MAGIC || le16(&node, 6) != depth || entries > room {
                return Ok(None);
            }
            let entries = node.chunks_exact(EXTENT_ENTRY_LEN_BYTES).skip(1).take(entries);
            if depth == 0 {
                for entry in entries {
                    let Some(extent) = self.extent(entry) else { return Ok(None) };
                    found.push(extent);
                }
            } else {
                let children: Vec<_> = entries
                    .map(|entry| (u64::from(le16(entry, 8)) << 32 | u64::from(le32(entry, 4)), depth - 1))
                    .collect();
                unread.extend(children.into_iter().rev());
            }
            let Some((block, child_depth)) = unread.pop() else { break };
            nodes += 1;
            if nodes > NODES_MAX || !self.is_inside(&(block..block.saturating_add(1))) {
                return Ok(None);
            }
            node.resize(block_len, 0);
            region.read_padded(block * self.layout.block_len_bytes, &mut node)?;
            if !self.node_checksum_fits(&node) {
                return Ok(None);
            }
            depth = child_depth;
        }
        let ordered = found
            .windows(2)
            .all(|pair| pair[0].logical + (pair[0].blocks.end - pair[0].blocks.start) <= pair[1].logical);
        Ok(ordered.then_some(found))
    }

    fn extent(&self, entry: &[u8]) -> Option<Extent> {
        let len = u64::from(le16(entry, 4));
        let is_unwritten = len > EXTENT_WRITTEN_MAX;
        let len = if is_unwritten { len - EXTENT_WRITTEN_MAX } else { len };
        let start = u64::from(le16(entry, 6)) << 32 | u64::from(le32(entry, 8));
        let blocks = start..start + len;
        let logical = u64::from(le32(entry, 0));
        (len > 0 && self.is_inside(&blocks)).then_some(Extent { logical, blocks, is_unwritten })
    }

    /// The checksum follows the space for entries.
    fn node_checksum_fits(&self, node: &[u8]) -> bool {
        let Some(seed) = self.checksum_seed() else { return true };
        let at = EXTENT_ENTRY_LEN_BYTES * (1 + usize::from(le16(node, 4)));
        node.get(..at).is_some_and(|covered| at + 4 <= node.len() && crc32c(seed, covered) == le32(node, at))
    }

    /// The map of ext2 and ext3: twelve blocks, then blocks of block numbers with one, two and three levels.
    fn block_map(&self, region: &mut dyn ReadAt) -> Result<Option<Vec<Extent>>> {
        let block_len = self.layout.block_len_bytes;
        let blocks = self.len_bytes().div_ceil(block_len);
        if blocks > INDIRECT_BLOCKS_MAX as u64 || le32(self.bytes, 0x20) & FLAG_INLINE_DATA != 0 {
            return Ok(None);
        }
        let root: Vec<(u32, u32)> = (0..15)
            .map(|index| (le32(self.bytes, MAP_AT + 4 * index), (index as u32).saturating_sub(11)))
            .collect();
        let mut unread: Vec<(u32, u32)> = root.into_iter().rev().collect();
        let mut found: Vec<Extent> = Vec::new();
        let mut logical = 0;
        let mut node = vec![0; block_len as usize];
        while let Some((block, depth)) = unread.pop() {
            if logical >= blocks {
                break;
            }
            // A journal has no holes.
            let block = u64::from(block);
            if block == 0 || !self.is_inside(&(block..block + 1)) {
                return Ok(None);
            }
            if depth == 0 {
                match found.last_mut() {
                    Some(last) if last.blocks.end == block => last.blocks.end += 1,
                    _ => found.push(Extent { logical, blocks: block..block + 1, is_unwritten: false }),
                }
                logical += 1;
                continue;
            }
            region.read_padded(block * block_len, &mut node)?;
            unread.extend(node.chunks_exact(4).rev().map(|number| (le32(number, 0), depth - 1)));
        }
        Ok((logical == blocks).then_some(found))
    }

    fn is_inside(&self, blocks: &Range<u64>) -> bool {
        blocks.start > self.layout.first_block && blocks.end <= self.layout.blocks
    }
}
