//! The shape of an ext file system, and how much room a file system of that shape has for files.
//!
//! The calculation is that of mke2fs. With it the engine checks before it erases anything whether the files will fit.

use crate::Flavour;

/// Length of an inode in every file system that is made here. With 128 bytes, times would end in 2038 and have whole
/// seconds only.
pub const EXT_INODE_LEN_BYTES: u64 = 256;
/// Smallest length of a journal.
pub const EXT_JOURNAL_BLOCKS_MIN: u64 = 1024;

/// Inodes that a new file system has in use: ten are reserved, the eleventh is `lost+found`.
const INODES_OF_ITS_OWN: u64 = 11;
/// File systems of at least this length have blocks of 4 KiB. mke2fs itself chooses small blocks up to 512 MiB; with
/// these, growing the file system later takes minutes on a board, and U-Boot reads files slowly.
const LARGE_BLOCKS_FROM_BYTES: u64 = 64 << 20;
/// Bytes of a medium for each inode, with large and with small blocks: the defaults in mke2fs.conf(5) since 2008.
const INODE_RATIO_BYTES: [u64; 2] = [16 << 10, 4 << 10];
/// mke2fs drops a last group that has fewer blocks than this beside its own tables.
const LAST_GROUP_BLOCKS_MIN: u64 = 50;
/// Length of a new `lost+found`.
const LOST_AND_FOUND_LEN_BYTES: u64 = 16 << 10;
/// The inodes of a group are a multiple of this, so that every block of the table is full at any block size.
const INODES_STEP: u64 = 16;

/// The parameters with which an ext file system is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExtShape {
    /// Bytes of a block: 1024, 2048 or 4096.
    pub block_len_bytes: u32,
    /// Smallest number of inodes, including those of the file system itself.
    pub inodes: u64,
    /// Blocks of the journal; ignored for ext2.
    pub journal_blocks: u64,
    /// Attributes may take more than a block (`ea_inode`): for ext4 only, from Linux 4.13 on.
    pub large_attributes: bool,
    /// Directories may have a third level of their index (`large_dir`): for ext4 only, from Linux 4.13 on.
    pub large_directories: bool,
}

/// The space of a new file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExtRoom {
    /// All inodes, including those of the file system itself.
    pub inodes: u64,
    /// Free inodes.
    pub free_inodes: u64,
    /// Blocks of the file system.
    pub blocks: u64,
    /// Free blocks. The kernel lets root fill slightly fewer, see [`ExtRoom::usable_blocks`].
    pub free_blocks: u64,
    /// Blocks that the kernel reserves while the file system is mounted, for root too.
    pub kept_back_blocks: u64,
}

impl ExtRoom {
    /// Blocks that root can fill.
    pub fn usable_blocks(&self) -> u64 {
        self.free_blocks.saturating_sub(self.kept_back_blocks)
    }
}

impl ExtShape {
    /// The default shape for a file system of `len_bytes` on sectors of `sector_len_bytes`.
    pub fn usual(flavour: Flavour, len_bytes: u64, sector_len_bytes: u32) -> Self {
        // A block is never smaller than a sector.
        let is_large = len_bytes >= LARGE_BLOCKS_FROM_BYTES || sector_len_bytes > 1024;
        Self::with_blocks_of(flavour, len_bytes, if is_large { 4096 } else { 1024 })
    }

    /// The default shape with this block size.
    pub fn with_blocks_of(flavour: Flavour, len_bytes: u64, block_len_bytes: u32) -> Self {
        let ratio_bytes = INODE_RATIO_BYTES[usize::from(block_len_bytes < 4096)];
        let blocks = len_bytes / u64::from(block_len_bytes);
        Self {
            block_len_bytes,
            inodes: (len_bytes / ratio_bytes).max(2 * INODES_STEP),
            journal_blocks: if flavour == Flavour::Ext2 { 0 } else { usual_journal_blocks(blocks) },
            large_attributes: false,
            large_directories: false,
        }
    }

    /// The room of a file system of this shape and `len_bytes`; `None` if mke2fs cannot make it.
    pub fn room(&self, flavour: Flavour, len_bytes: u64) -> Option<ExtRoom> {
        let tables = self.tables(flavour, len_bytes)?;
        let block = u64::from(self.block_len_bytes);
        let is_journalled = flavour != Flavour::Ext2;
        if is_journalled {
            // mke2fs refuses a journal that is longer than half of the free space.
            let half = tables.blocks.checked_sub(tables.used)? / 2;
            if tables.blocks < 2048 || !(EXT_JOURNAL_BLOCKS_MIN..=half).contains(&self.journal_blocks) {
                return None;
            }
        }
        let journal = match flavour {
            Flavour::Ext2 => 0,
            Flavour::Ext3 => self.journal_blocks + pointer_blocks(self.journal_blocks, block),
            // The inode of the journal has room for four extents of 32,768 blocks.
            Flavour::Ext4 | Flavour::Ext4Compat => {
                self.journal_blocks + u64::from(self.journal_blocks > 65_536)
            }
        };
        let lost_and_found = (LOST_AND_FOUND_LEN_BYTES / block).min(12);
        // The root directory, and the map of the blocks that are reserved for growing.
        let others = 2;
        let used = tables.used + journal + lost_and_found + others;
        let inodes = tables.inodes();
        Some(ExtRoom {
            inodes,
            free_inodes: inodes.checked_sub(INODES_OF_ITS_OWN)?,
            blocks: tables.blocks,
            free_blocks: tables.blocks.checked_sub(used)?,
            kept_back_blocks: if flavour.has_extents() { (tables.blocks / 50).min(4096) } else { 0 },
        })
    }

    /// The number of inodes to pass to mke2fs; `None` if it cannot make the file system.
    pub fn inodes_to_make(&self, flavour: Flavour, len_bytes: u64) -> Option<u64> {
        self.tables(flavour, len_bytes).map(|tables| tables.inodes())
    }

    fn tables(&self, flavour: Flavour, len_bytes: u64) -> Option<Tables> {
        let mut inodes = self.inodes;
        // mke2fs starts with the given number of inodes, which is rounded up here; that can change the number of
        // groups.
        for _ in 0..4 {
            let tables = self.tables_for(flavour, len_bytes, inodes)?;
            if tables.inodes() == inodes {
                return Some(tables);
            }
            inodes = tables.inodes();
        }
        None
    }

    fn tables_for(&self, flavour: Flavour, len_bytes: u64, inodes: u64) -> Option<Tables> {
        let block = u64::from(self.block_len_bytes);
        let first_block = u64::from(block == 1024);
        let blocks_of_group = 8 * block;
        let descriptors_of_block = block / if flavour == Flavour::Ext4 { 64 } else { 32 };
        let mut blocks = len_bytes / block;
        if blocks > u64::from(u32::MAX) && flavour != Flavour::Ext4 {
            return None;
        }
        loop {
            let data_blocks = blocks.checked_sub(first_block).filter(|left| *left > 0)?;
            let groups = data_blocks.div_ceil(blocks_of_group);
            let inodes_of_group = inodes.div_ceil(groups).next_multiple_of(INODES_STEP);
            if inodes_of_group > 8 * block {
                return None;
            }
            let inode_table = inodes_of_group * EXT_INODE_LEN_BYTES / block;
            let descriptors = groups.div_ceil(descriptors_of_block);
            let set_apart = set_apart_blocks(blocks, first_block, block, descriptors, descriptors_of_block);
            let with_backup = 1 + descriptors + set_apart;
            if 2 + inode_table + with_backup > blocks_of_group {
                return None;
            }
            let rest = data_blocks % blocks_of_group;
            let last = 2 + inode_table + if has_backup(groups - 1) { with_backup } else { 0 };
            if rest > 0 && groups == 1 && rest < last {
                return None;
            }
            if rest > 0 && groups > 1 && rest < last + LAST_GROUP_BLOCKS_MIN {
                blocks -= rest;
                continue;
            }
            let backups = (0..groups).filter(|group| has_backup(*group)).count() as u64;
            let used = first_block + groups * (2 + inode_table) + backups * with_backup;
            return Some(Tables { blocks, groups, inodes_of_group, used });
        }
    }
}

/// The space that the tables of a file system take.
struct Tables {
    blocks: u64,
    groups: u64,
    inodes_of_group: u64,
    used: u64,
}

impl Tables {
    fn inodes(&self) -> u64 {
        self.inodes_of_group * self.groups
    }
}

/// Default length of a journal, as in `ext2fs_default_journal_size` of libext2fs: for a file system of fewer blocks
/// than the first number, the second number of blocks.
const JOURNALS: [(u64, u64); 7] = [
    (32_768, 1024),
    (262_144, 4096),
    (524_288, 8192),
    (4_194_304, 16_384),
    (8_388_608, 32_768),
    (16_777_216, 65_536),
    (33_554_432, 131_072),
];

fn usual_journal_blocks(blocks: u64) -> u64 {
    JOURNALS.iter().find(|(below, _)| blocks < *below).map_or(262_144, |(_, journal)| *journal)
}

/// Blocks reserved so that the file system can grow to 1024 times its size.
fn set_apart_blocks(
    blocks: u64,
    first_block: u64,
    block: u64,
    descriptors: u64,
    descriptors_of_block: u64,
) -> u64 {
    let all = u64::from(u32::MAX);
    let grown = if blocks < all / 1024 { blocks * 1024 } else { all };
    let groups = (grown - first_block.min(grown)).div_ceil(8 * block);
    groups.div_ceil(descriptors_of_block).saturating_sub(descriptors).min(block / 4)
}

/// Whether a group holds a copy of the superblock (`sparse_super`).
fn has_backup(group: u64) -> bool {
    let is_power_of = |base: u64| {
        let mut power = base;
        while power < group {
            power *= base;
        }
        power == group
    };
    group < 2 || [3, 5, 7].into_iter().any(is_power_of)
}

/// Number of pointer blocks of a file with this many data blocks, without holes and without extents.
pub fn pointer_blocks(data_blocks: u64, block_len_bytes: u64) -> u64 {
    let of_block = block_len_bytes / 4;
    let mut left = data_blocks.saturating_sub(12);
    let mut sum = 0;
    let mut reach = 1;
    for _ in 0..3 {
        if left == 0 {
            break;
        }
        reach *= of_block;
        let here = left.min(reach);
        left -= here;
        // Each higher level has one block for this many blocks of the level below.
        let mut blocks = here;
        let mut level = reach;
        while level > 1 {
            blocks = blocks.div_ceil(of_block);
            sum += blocks;
            level /= of_block;
        }
    }
    sum
}

impl Flavour {
    /// Whether files are mapped by extents.
    pub fn has_extents(self) -> bool {
        matches!(self, Self::Ext4 | Self::Ext4Compat)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backups_are_in_powers_of_three_five_and_seven() {
        let found: Vec<u64> = (0..130).filter(|group| has_backup(*group)).collect();
        assert_eq!(found, [0, 1, 3, 5, 7, 9, 25, 27, 49, 81, 125]);
    }

    #[test]
    fn pointers_of_a_file_without_extents() {
        for (data_blocks, expected) in [
            (12, 0),
            (13, 1),
            (12 + 256, 1),
            (12 + 257, 3),
            (12 + 256 + 256 * 256, 1 + 257),
            (12 + 256 + 256 * 256 + 1, 1 + 257 + 3),
        ] {
            assert_eq!(pointer_blocks(data_blocks, 1024), expected, "{data_blocks}");
        }
    }

    #[test]
    fn a_shape_that_cannot_be_made_has_no_room() {
        let usual = |len| ExtShape::usual(Flavour::Ext4, len, 512);
        assert_eq!(usual(1 << 20).room(Flavour::Ext4, 1 << 20), None, "no journal");
        let many = ExtShape { inodes: 1 << 20, ..usual(64 << 20) };
        assert_eq!(many.room(Flavour::Ext4, 64 << 20), None, "inodes");
        let small = ExtShape::with_blocks_of(Flavour::Ext4, 1 << 40, 1024);
        assert_eq!(small.room(Flavour::Ext4, 1 << 40), None, "descriptors");
        let room = usual(60 << 20).room(Flavour::Ext4, 60 << 20).unwrap();
        assert!(room.free_blocks > 40_000 && room.usable_blocks() < room.free_blocks, "{room:?}");
        assert!(room.free_inodes >= 15_360 - 11, "{room:?}");
    }
}
