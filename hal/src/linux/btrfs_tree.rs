//! The trees of a btrfs: the map of logical addresses, and all items of a tree.

use super::byte_range::{ReadAt, le16, le32};
use super::ext_checksum::crc32c;
use crate::Result;
use crate::signature::le64;
use std::collections::BTreeMap;
use std::ops::Range;

/// Object, type and offset.
pub(super) const KEY_LEN_BYTES: usize = 17;
const HEADER_LEN_BYTES: usize = 0x65;
const ITEM_LEN_BYTES: usize = KEY_LEN_BYTES + 8;
const POINTER_LEN_BYTES: usize = KEY_LEN_BYTES + 16;
const LEVEL_MAX: u8 = 7;
/// More nodes than the trees of the largest medium have. Limits the work that a crafted tree can cause.
const NODES_MAX: usize = 1 << 20;

const CHUNK_LEN_BYTES: usize = 48;
const STRIPE_LEN_BYTES: usize = 32;
/// RAID of every level; without DUP, whose stripes are copies on one device.
const RAID: u64 = 0x8 | 0x10 | 0x40 | 0x80 | 0x100 | 0x200 | 0x400;

/// Extents of logical addresses, and where each copy of them begins.
#[derive(Debug, Clone, Default)]
pub(super) struct Chunks {
    by_start: BTreeMap<u64, (u64, Vec<u64>)>,
    devices: Vec<u64>,
}

impl Chunks {
    /// Length of the item of a chunk with its stripes.
    pub(super) fn item_len_bytes(item: &[u8]) -> usize {
        CHUNK_LEN_BYTES + STRIPE_LEN_BYTES * usize::from(le16(item, 44))
    }

    /// Adds the chunk at a logical address; `None` if it is not on one device.
    pub(super) fn add(&mut self, logical: u64, item: &[u8]) -> Option<()> {
        let stripes = item.get(CHUNK_LEN_BYTES..Self::item_len_bytes(item))?;
        let len = le64(item, 0);
        logical.checked_add(len)?;
        if le64(item, 24) & RAID != 0 || stripes.is_empty() || len == 0 {
            return None;
        }
        let mut starts = Vec::new();
        for stripe in stripes.chunks_exact(STRIPE_LEN_BYTES) {
            self.devices.push(le64(stripe, 0));
            let start = le64(stripe, 8);
            start.checked_add(len)?;
            starts.push(start);
        }
        self.by_start.insert(logical, (len, starts));
        Some(())
    }

    /// Whether all of them are on this device.
    pub(super) fn are_on(&self, device: u64) -> Option<()> {
        self.devices.iter().all(|found| *found == device).then_some(())
    }

    /// Where `len` bytes at a logical address are, once for each copy; `None` if nowhere.
    pub(super) fn places(&self, logical: u64, len: u64) -> Option<Vec<Range<u64>>> {
        let (start, (chunk_len, starts)) = self.by_start.range(..=logical).next_back()?;
        let at = logical - start;
        (at.checked_add(len)? <= *chunk_len && len > 0)
            .then(|| starts.iter().map(|start| start + at..start + at + len).collect())
    }
}

/// An item of a leaf.
pub(super) struct Item<'a> {
    pub(super) objectid: u64,
    pub(super) kind: u8,
    pub(super) offset: u64,
    pub(super) data: &'a [u8],
}

/// Reads nodes.
pub(super) struct Nodes<'a> {
    pub(super) chunks: &'a Chunks,
    pub(super) len_bytes: usize,
}

impl Nodes<'_> {
    /// Calls `visit` for every item of the tree whose root is at this address and level. `None` if a node is invalid,
    /// or if `visit` returns `None`.
    pub(super) fn walk(
        &self,
        region: &mut dyn ReadAt,
        root: (u64, u8),
        mut visit: impl FnMut(&Item<'_>) -> Option<()>,
    ) -> Result<Option<()>> {
        let mut unread = vec![root];
        let mut node = vec![0; self.len_bytes];
        let mut left = NODES_MAX;
        while let Some((logical, level)) = unread.pop() {
            let place = self.chunks.places(logical, self.len_bytes as u64);
            let Some(place) = place.and_then(|places| places.into_iter().next()) else { return Ok(None) };
            if left == 0 || level > LEVEL_MAX {
                return Ok(None);
            }
            left -= 1;
            region.read_padded(place.start, &mut node)?;
            let is_right = !crc32c(!0, &node[0x20..]) == le32(&node, 0)
                && le64(&node, 0x30) == logical
                && node[0x64] == level;
            let count = le32(&node, 0x60) as usize;
            let entry_len = if level == 0 { ITEM_LEN_BYTES } else { POINTER_LEN_BYTES };
            let body = &node[HEADER_LEN_BYTES..];
            if !is_right || count > body.len() / entry_len {
                return Ok(None);
            }
            for entry in body.chunks_exact(entry_len).take(count) {
                if level > 0 {
                    unread.push((le64(entry, KEY_LEN_BYTES), level - 1));
                    continue;
                }
                let start = le32(entry, KEY_LEN_BYTES) as usize;
                let len = le32(entry, KEY_LEN_BYTES + 4) as usize;
                let data = start.checked_add(len).and_then(|end| body.get(start..end));
                let Some(data) = data else { return Ok(None) };
                let item = Item { objectid: le64(entry, 0), kind: entry[8], offset: le64(entry, 9), data };
                if visit(&item).is_none() {
                    return Ok(None);
                }
            }
        }
        Ok(Some(()))
    }
}
