//! Where an ext2, ext3 or ext4 file system has its own blocks: superblock, group descriptors, bitmaps, inode tables.
//!
//! Reads the superblock and the descriptors, and checks them as far as possible. The result is `None` for everything
//! inconsistent. Offsets and rules are from the kernel's documentation of ext4 (`Documentation/filesystems/ext4`).

use super::byte_range::{ReadAt, le16, le32};
use super::ext_checksum::{crc16, crc32c};
use crate::Result;
use std::ops::Range;

/// More groups than the largest medium has. Limits the memory that a crafted superblock can cause to be used.
const GROUPS_MAX: u64 = 1 << 20;

const INCOMPAT_META_BG: u32 = 0x10;
const INCOMPAT_64BIT: u32 = 0x80;
const INCOMPAT_CSUM_SEED: u32 = 0x2000;
/// filetype, meta_bg, extents, 64bit, mmp, flex_bg, ea_inode, csum_seed, largedir, inline_data, encrypt, casefold;
/// without a journal that needs recovery (0x4), a journal device (0x8), compression and dirdata.
const INCOMPAT_KNOWN: u32 = 0x2
    | INCOMPAT_META_BG
    | 0x40
    | INCOMPAT_64BIT
    | 0x100
    | 0x200
    | 0x400
    | INCOMPAT_CSUM_SEED
    | 0x4000
    | 0x3_8000;
const RO_COMPAT_SPARSE_SUPER: u32 = 0x1;
const RO_COMPAT_GDT_CSUM: u32 = 0x10;
const RO_COMPAT_BIGALLOC: u32 = 0x200;
const RO_COMPAT_METADATA_CSUM: u32 = 0x400;
/// sparse_super, large_file, btree_dir, huge_file, gdt_csum, dir_nlink, extra_isize, quota, bigalloc, metadata_csum,
/// readonly, project, verity; without snapshots, replicas, shared blocks and orphans present.
const RO_COMPAT_KNOWN: u32 =
    0x7 | 0x8 | 0x10 | 0x20 | 0x40 | 0x100 | 0x200 | 0x400 | 0x1000 | 0x2000 | 0x8000;
const COMPAT_HAS_JOURNAL: u32 = 0x4;
const COMPAT_SPARSE_SUPER2: u32 = 0x200;

const GROUP_INODE_UNINIT: u16 = 0x1;
const GROUP_BLOCK_UNINIT: u16 = 0x2;

/// The descriptor of one block group.
pub(super) struct Group {
    /// Block of the block bitmap.
    pub(super) bitmap_block: u64,
    /// Block of the inode bitmap.
    pub(super) inode_bitmap_block: u64,
    /// First block of the inode table.
    pub(super) inode_table_block: u64,
    /// Free blocks in the group; with bigalloc, free clusters.
    pub(super) free_count: u64,
    /// Free inodes in the group.
    pub(super) free_inodes: u64,
    /// Whether the block bitmap was never written: only the file system's own blocks are in use.
    pub(super) bitmap_uninitialised: bool,
    /// Whether the inode bitmap was never written: no inode is in use.
    pub(super) inodes_uninitialised: bool,
    bitmap_checksum: u32,
    inode_bitmap_checksum: u32,
}

/// A file system's geometry and groups.
pub(super) struct Layout {
    /// Bytes in a block.
    pub(super) block_len_bytes: u64,
    /// Blocks for one bit of a bitmap.
    pub(super) blocks_per_cluster: u64,
    /// Blocks in a group.
    pub(super) blocks_per_group: u64,
    /// First block of group 0: 1 if blocks are 1 KiB, else 0.
    pub(super) first_block: u64,
    /// Blocks of the file system, counted from block 0.
    pub(super) blocks: u64,
    /// The groups in order.
    pub(super) groups: Vec<Group>,
    /// Inodes in a group.
    pub(super) inodes_per_group: u64,
    /// Bytes of an inode in the table.
    pub(super) inode_len_bytes: u64,
    /// Inode of the journal; 0 if there is none inside the file system.
    pub(super) journal_inode: u32,
    /// The seed of the checksums of metadata, if there are any.
    pub(super) metadata_checksum_seed: Option<u32>,
    inode_table_blocks: u64,
    reserved_descriptor_blocks: u64,
    descriptor_blocks: u64,
    descriptors_per_block: u64,
    first_meta_group: u64,
    meta_bg: bool,
    sparse_super: bool,
    backup_groups: Option<[u64; 2]>,
    descriptor_wide: bool,
}

impl Layout {
    /// Reads the layout; `None` if it is not ext, or if its bitmaps cannot be trusted.
    pub(super) fn read(region: &mut dyn ReadAt) -> Result<Option<Self>> {
        let mut superblock = [0; 1024];
        if region.read_up_to(1024, &mut superblock)? < superblock.len() {
            return Ok(None);
        }
        let Some(mut layout) = Self::from_superblock(&superblock, region.len_bytes()) else {
            return Ok(None);
        };
        let descriptor_len = descriptor_len_bytes(&superblock);
        let gdt_checksums = le32(&superblock, 0x64) & RO_COMPAT_GDT_CSUM != 0;
        let mut block = vec![0; layout.block_len_bytes as usize];
        let group_count = layout.group_count();
        for index in 0..layout.descriptor_blocks {
            let at = layout.descriptor_block(index);
            if at >= layout.blocks {
                return Ok(None);
            }
            region.read_padded(at * layout.block_len_bytes, &mut block)?;
            for bytes in block.chunks_exact(descriptor_len) {
                let number = layout.groups.len() as u64;
                if number == group_count {
                    break;
                }
                let checked = layout.metadata_checksum_seed.is_some() || gdt_checksums;
                if checked && layout.descriptor_checksum(&superblock, number, bytes) != le16(bytes, 0x1e) {
                    return Ok(None);
                }
                let Some(group) = layout.group(bytes, checked) else { return Ok(None) };
                layout.groups.push(group);
            }
        }
        Ok((layout.groups.len() as u64 == group_count).then_some(layout))
    }

    fn from_superblock(superblock: &[u8; 1024], region_len_bytes: u64) -> Option<Self> {
        let (compat, incompat, ro_compat) =
            (le32(superblock, 0x5c), le32(superblock, 0x60), le32(superblock, 0x64));
        let state = le16(superblock, 0x3a);
        // Revision 0 has no feature fields. No kernel of the last 20 years makes it.
        let trusted = le16(superblock, 0x38) == 0xef53
            && le32(superblock, 0x4c) == 1
            && incompat & !INCOMPAT_KNOWN == 0
            && ro_compat & !RO_COMPAT_KNOWN == 0
            // Unmounted cleanly, without errors, and without orphans that the next mount would free.
            && state & 0x3 == 0x1
            && le32(superblock, 0xe8) == 0;
        let log_block_len = le32(superblock, 0x18);
        if !trusted || log_block_len > 6 {
            return None;
        }
        let metadata_checksums = ro_compat & RO_COMPAT_METADATA_CSUM != 0;
        if metadata_checksums && crc32c(!0, &superblock[..0x3fc]) != le32(superblock, 0x3fc) {
            return None;
        }
        let block_len_bytes = 1024_u64 << log_block_len;
        let bigalloc = ro_compat & RO_COMPAT_BIGALLOC != 0;
        let log_cluster = le32(superblock, 0x1c).checked_sub(log_block_len)?;
        if log_cluster > 16 || (log_cluster != 0 && !bigalloc) {
            return None;
        }
        let wide = incompat & INCOMPAT_64BIT != 0;
        let blocks_high = if wide { u64::from(le32(superblock, 0x150)) << 32 } else { 0 };
        let inodes_per_group = u64::from(le32(superblock, 0x28));
        let inode_len_bytes = u64::from(le16(superblock, 0x58));
        let has_journal = compat & COMPAT_HAS_JOURNAL != 0;
        let descriptors_per_block = block_len_bytes / descriptor_len_bytes(superblock) as u64;
        let mut layout = Self {
            block_len_bytes,
            blocks_per_cluster: 1 << log_cluster,
            blocks_per_group: u64::from(le32(superblock, 0x20)),
            first_block: u64::from(le32(superblock, 0x14)),
            blocks: blocks_high | u64::from(le32(superblock, 0x4)),
            groups: Vec::new(),
            inodes_per_group,
            inode_len_bytes,
            journal_inode: if has_journal { le32(superblock, 0xe0) } else { 0 },
            inode_table_blocks: (inodes_per_group * inode_len_bytes).div_ceil(block_len_bytes),
            reserved_descriptor_blocks: u64::from(le16(superblock, 0xce)),
            descriptor_blocks: 0,
            descriptors_per_block,
            first_meta_group: u64::from(le32(superblock, 0x104)),
            meta_bg: incompat & INCOMPAT_META_BG != 0,
            sparse_super: ro_compat & RO_COMPAT_SPARSE_SUPER != 0,
            backup_groups: (compat & COMPAT_SPARSE_SUPER2 != 0)
                .then(|| [u64::from(le32(superblock, 0x24c)), u64::from(le32(superblock, 0x250))]),
            metadata_checksum_seed: metadata_checksums.then(|| {
                if incompat & INCOMPAT_CSUM_SEED != 0 {
                    le32(superblock, 0x270)
                } else {
                    crc32c(!0, &superblock[0x68..0x78])
                }
            }),
            descriptor_wide: descriptor_len_bytes(superblock) >= 64,
        };
        let valid = descriptor_len_bytes(superblock).is_power_of_two()
            && (32..=1024).contains(&descriptor_len_bytes(superblock))
            && layout.first_block == u64::from(block_len_bytes == 1024 && !bigalloc)
            && layout.blocks > layout.first_block
            && layout.blocks.checked_mul(block_len_bytes)? <= region_len_bytes
            && layout.blocks_per_group != 0
            && layout.blocks_per_group % (8 * layout.blocks_per_cluster) == 0
            && layout.blocks_per_group / layout.blocks_per_cluster <= 8 * block_len_bytes
            && inodes_per_group != 0
            && inodes_per_group % 8 == 0
            && inodes_per_group <= 8 * block_len_bytes
            && inode_len_bytes.is_power_of_two()
            && (128..=block_len_bytes).contains(&inode_len_bytes)
            && layout.group_count() <= GROUPS_MAX;
        if !valid {
            return None;
        }
        layout.descriptor_blocks = layout.group_count().div_ceil(descriptors_per_block);
        Some(layout)
    }

    fn group_count(&self) -> u64 {
        (self.blocks - self.first_block).div_ceil(self.blocks_per_group)
    }

    /// The blocks of group `number`. The last group may be shorter.
    pub(super) fn group_blocks(&self, number: u64) -> Range<u64> {
        let start = self.first_block + number * self.blocks_per_group;
        start..(start + self.blocks_per_group).min(self.blocks)
    }

    fn group(&self, bytes: &[u8], flags_valid: bool) -> Option<Group> {
        let block = |low, high| {
            let high = if self.descriptor_wide { u64::from(le32(bytes, high)) << 32 } else { 0 };
            high | u64::from(le32(bytes, low))
        };
        let high16 = |at| if self.descriptor_wide { u32::from(le16(bytes, at)) << 16 } else { 0 };
        let group = Group {
            bitmap_block: block(0x0, 0x20),
            inode_bitmap_block: block(0x4, 0x24),
            inode_table_block: block(0x8, 0x28),
            free_count: u64::from(u32::from(le16(bytes, 0xc)) | high16(0x2c)),
            free_inodes: u64::from(u32::from(le16(bytes, 0xe)) | high16(0x2e)),
            bitmap_uninitialised: flags_valid && le16(bytes, 0x12) & GROUP_BLOCK_UNINIT != 0,
            inodes_uninitialised: flags_valid && le16(bytes, 0x12) & GROUP_INODE_UNINIT != 0,
            bitmap_checksum: u32::from(le16(bytes, 0x18)) | high16(0x38),
            inode_bitmap_checksum: u32::from(le16(bytes, 0x1a)) | high16(0x3a),
        };
        let table_end = group.inode_table_block.checked_add(self.inode_table_blocks)?;
        let inside = [group.bitmap_block, group.inode_bitmap_block, group.inode_table_block]
            .iter()
            .all(|block| (self.first_block + 1..self.blocks).contains(block));
        (inside && table_end <= self.blocks).then_some(group)
    }

    fn descriptor_checksum(&self, superblock: &[u8; 1024], number: u64, bytes: &[u8]) -> u16 {
        let number = (number as u32).to_le_bytes();
        if let Some(seed) = self.metadata_checksum_seed {
            let crc = crc32c(crc32c(seed, &number), &bytes[..0x1e]);
            return crc32c(crc32c(crc, &[0, 0]), &bytes[0x20..]) as u16;
        }
        let crc = crc16(crc16(!0, &superblock[0x68..0x78]), &number);
        crc16(crc16(crc, &bytes[..0x1e]), if self.descriptor_wide { &bytes[0x20..] } else { &[] })
    }

    /// Whether a bitmap has the checksum in its descriptor, if the file system has checksums of bitmaps.
    pub(super) fn bitmap_checksum_fits(&self, group: &Group, bitmap: &[u8]) -> bool {
        let len = (self.blocks_per_group / self.blocks_per_cluster / 8) as usize;
        self.checksum_fits(&bitmap[..len], group.bitmap_checksum)
    }

    /// The same for the inode bitmap.
    pub(super) fn inode_bitmap_checksum_fits(&self, group: &Group, bitmap: &[u8]) -> bool {
        self.checksum_fits(&bitmap[..(self.inodes_per_group / 8) as usize], group.inode_bitmap_checksum)
    }

    fn checksum_fits(&self, bytes: &[u8], recorded: u32) -> bool {
        let Some(seed) = self.metadata_checksum_seed else { return true };
        let mask = if self.descriptor_wide { !0 } else { 0xffff };
        crc32c(seed, bytes) & mask == recorded
    }

    /// The place of block `index` of the group descriptors.
    fn descriptor_block(&self, index: u64) -> u64 {
        if !self.meta_bg || index < self.first_meta_group {
            // The superblock is in block 1 if blocks are 1 KiB, even if clusters start at block 0.
            return u64::from(self.block_len_bytes == 1024) + 1 + index;
        }
        let group = index * self.descriptors_per_block;
        self.group_blocks(group).start + self.superblock_blocks(group)
    }

    fn has_superblock(&self, group: u64) -> bool {
        let power_of = |base: u64| {
            let mut power = base;
            while power < group {
                power *= base;
            }
            power == group
        };
        match self.backup_groups {
            _ if group == 0 => true,
            Some(backups) => backups.contains(&group),
            None => !self.sparse_super || group == 1 || power_of(3) || power_of(5) || power_of(7),
        }
    }

    /// Number of blocks from the start of a group to the end of its superblock.
    fn superblock_blocks(&self, group: u64) -> u64 {
        if !self.has_superblock(group) {
            0
        } else if group == 0 && self.block_len_bytes == 1024 && self.first_block == 0 {
            2
        } else {
            1
        }
    }

    /// Number of blocks of the superblock and the descriptors at the start of a group.
    fn group_head(&self, group: u64) -> Range<u64> {
        let start = self.group_blocks(group).start;
        let in_meta_group = self.meta_bg && group / self.descriptors_per_block >= self.first_meta_group;
        let descriptors = if in_meta_group {
            let place = group % self.descriptors_per_block;
            u64::from(place < 2 || place == self.descriptors_per_block - 1)
        } else if self.has_superblock(group) {
            let kept = if self.meta_bg { self.first_meta_group } else { self.descriptor_blocks };
            kept + self.reserved_descriptor_blocks
        } else {
            0
        };
        start..start + self.superblock_blocks(group) + descriptors
    }

    /// All blocks that the file system uses for itself, outside inodes: sorted, not overlapping, within the file
    /// system. With flex_bg the tables of a group are in another group.
    pub(super) fn own_blocks(&self) -> Vec<Range<u64>> {
        let mut own = Vec::with_capacity(4 * self.groups.len());
        for (number, group) in self.groups.iter().enumerate() {
            own.push(self.group_head(number as u64));
            own.push(group.bitmap_block..group.bitmap_block + 1);
            own.push(group.inode_bitmap_block..group.inode_bitmap_block + 1);
            own.push(group.inode_table_block..group.inode_table_block + self.inode_table_blocks);
        }
        own.sort_by_key(|range| range.start);
        let mut merged: Vec<Range<u64>> = Vec::with_capacity(own.len());
        for range in own {
            let range = range.start..range.end.min(self.blocks);
            match merged.last_mut() {
                Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
                _ => merged.push(range),
            }
        }
        merged
    }
}

fn descriptor_len_bytes(superblock: &[u8; 1024]) -> usize {
    match (le32(superblock, 0x60) & INCOMPAT_64BIT != 0, le16(superblock, 0xfe)) {
        (false, _) => 32,
        // A zero is refused together with other lengths that are not a power of two.
        (true, len) => usize::from(len).max(1),
    }
}
