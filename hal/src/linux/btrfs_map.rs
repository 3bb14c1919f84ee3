//! The bytes that a btrfs on one device needs, by its extent tree.
//!
//! This code reads the superblock, the chunks that map logical addresses, and all extents. All bytes outside the
//! extents are free: space that was never allocated to a chunk, and space that was freed. The result is `None` if there
//! is a log to be replayed, if there are several devices, if checksums are not CRC-32C, or if anything is inconsistent.
//! The format is documented in "On-disk format" of the btrfs documentation.

use super::btrfs_tree::{Chunks, Item, KEY_LEN_BYTES, Nodes};
use super::byte_range::{ReadAt, le16, le32};
use super::ext_checksum::crc32c;
use super::ranges::union;
use crate::signature::le64;
use crate::{Result, UsedMap};
use std::ops::Range;

const SUPERBLOCK_AT: u64 = 64 << 10;
const SUPERBLOCK_LEN_BYTES: usize = 4096;
/// Offsets of the superblock's copies, and the space that is reserved for each.
const COPIES_AT: [u64; 2] = [64 << 20, 256 << 30];
const COPY_LEN_BYTES: u64 = 64 << 10;
/// Nothing is allocated before this offset.
const RESERVED_LEN_BYTES: u64 = 1 << 20;
/// Limits the memory of the result (64 MiB).
const RANGES_MAX: usize = 4 << 20;
/// All features up to RAID1C34, and simple quotas; without zones, the second extent tree and the stripe tree.
const INCOMPAT_KNOWN: u64 = 0xfff | 0x1_0000;

const CHUNK_ITEM: u8 = 228;
const ROOT_ITEM: u8 = 132;
const EXTENT_ITEM: u8 = 168;
const METADATA_ITEM: u8 = 169;
const EXTENT_TREE: u64 = 2;

/// The bytes of the region that must be kept; `None` if that cannot be proven.
pub(super) fn used_map(region: &mut dyn ReadAt) -> Result<Option<UsedMap>> {
    let mut bytes = vec![0; SUPERBLOCK_LEN_BYTES];
    region.read_padded(SUPERBLOCK_AT, &mut bytes)?;
    let Some(superblock) = Superblock::of(&bytes, region.len_bytes()) else { return Ok(None) };
    let mut chunks = Chunks::default();
    if superblock.add_system_chunks(&bytes, &mut chunks).is_none() {
        return Ok(None);
    }
    // The system chunks contain the chunk tree.
    let system = chunks.clone();
    let found = superblock.nodes(&system).walk(region, superblock.chunk_root, |item| match item.kind {
        CHUNK_ITEM => chunks.add(item.offset, item.data),
        _ => Some(()),
    })?;
    let mut extent_root = None;
    let roots = superblock.nodes(&chunks).walk(region, superblock.root, |item| {
        if (item.objectid, item.kind) == (EXTENT_TREE, ROOT_ITEM) {
            extent_root = Some((le64(item.data, 176), *item.data.get(238)?));
        }
        Some(())
    })?;
    let (Some(()), Some(()), Some(extent_root)) = (found, roots, extent_root) else { return Ok(None) };
    let mut used = Vec::new();
    let extents = superblock.nodes(&chunks).walk(region, extent_root, |item| {
        let Some(len) = superblock.extent_len(item) else { return Some(()) };
        used.extend(chunks.places(item.objectid, len)?);
        (used.len() <= RANGES_MAX).then_some(())
    })?;
    if extents.is_none() || used.iter().any(|range| range.end > superblock.device_len_bytes) {
        return Ok(None);
    }
    let copies = COPIES_AT.into_iter().filter(|at| *at < superblock.device_len_bytes);
    let own = copies.map(|at| at..(at + COPY_LEN_BYTES).min(region.len_bytes()));
    let mut own: Vec<Range<u64>> = own.collect();
    own.push(0..RESERVED_LEN_BYTES.min(region.len_bytes()));
    own.push(superblock.device_len_bytes..region.len_bytes());
    Ok(Some(UsedMap { used: union(vec![used, own]) }))
}

struct Superblock {
    root: (u64, u8),
    chunk_root: (u64, u8),
    node_len_bytes: usize,
    device_len_bytes: u64,
    device: u64,
    system_chunks_len_bytes: usize,
}

impl Superblock {
    fn of(bytes: &[u8], region_len_bytes: u64) -> Option<Self> {
        let known = bytes[0x40..0x48] == *b"_BHRfS_M"
            && !crc32c(!0, &bytes[0x20..]) == le32(bytes, 0)
            && le64(bytes, 0x30) == SUPERBLOCK_AT
            // No log, one device, CRC-32C.
            && le64(bytes, 0x60) == 0
            && le64(bytes, 0x88) == 1
            && le16(bytes, 0xc4) == 0
            && le64(bytes, 0xbc) & !INCOMPAT_KNOWN == 0;
        let superblock = Self {
            root: (le64(bytes, 0x50), bytes[0xc6]),
            chunk_root: (le64(bytes, 0x58), bytes[0xc7]),
            node_len_bytes: le32(bytes, 0x94) as usize,
            device: le64(bytes, 0xc9),
            device_len_bytes: le64(bytes, 0xd1),
            system_chunks_len_bytes: le32(bytes, 0xa0) as usize,
        };
        let valid = superblock.node_len_bytes.is_power_of_two()
            && (4096..=65_536).contains(&superblock.node_len_bytes)
            && superblock.device_len_bytes <= region_len_bytes
            && superblock.system_chunks_len_bytes <= 2048;
        (known && valid).then_some(superblock)
    }

    fn add_system_chunks(&self, bytes: &[u8], chunks: &mut Chunks) -> Option<()> {
        let mut rest = bytes.get(0x32b..0x32b + self.system_chunks_len_bytes)?;
        while !rest.is_empty() {
            let (key, item) = rest.split_at_checked(KEY_LEN_BYTES)?;
            let len = Chunks::item_len_bytes(item);
            chunks.add(le64(key, 9), item.get(..len)?)?;
            rest = &item[len..];
        }
        chunks.are_on(self.device)
    }

    fn nodes<'a>(&self, chunks: &'a Chunks) -> Nodes<'a> {
        Nodes { chunks, len_bytes: self.node_len_bytes }
    }

    /// Length of the extent of an item in the extent tree; `None` if the item is about something else.
    fn extent_len(&self, item: &Item<'_>) -> Option<u64> {
        match item.kind {
            EXTENT_ITEM => Some(item.offset),
            METADATA_ITEM => Some(self.node_len_bytes as u64),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests;
