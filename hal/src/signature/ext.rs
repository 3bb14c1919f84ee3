//! ext2, ext3 and ext4.

use super::{bare, le16, le32, text, uuid};
use crate::{FileSystem, FileSystemKind};

/// The kinds differ by their feature sets only. The limits are those of the kernel's drivers (`fs/ext2/ext2.h`, the
/// former `fs/ext3/ext3.h`). `superblock` is the KiB at 1024.
pub(super) fn identify(superblock: &[u8]) -> Option<FileSystem> {
    const HAS_JOURNAL: u32 = 0x4;
    const JOURNAL_DEVICE: u32 = 0x8;
    const EXT3_INCOMPAT: u32 = 0x2 | 0x4 | 0x10;
    const EXT3_RO_COMPAT: u32 = 0x1 | 0x2 | 0x4;
    if le16(superblock, 0x38) != 0xef53 {
        return None;
    }
    let (compat, incompat, ro_compat) =
        (le32(superblock, 0x5c), le32(superblock, 0x60), le32(superblock, 0x64));
    let log_block_len = le32(superblock, 0x18);
    if log_block_len > 6 {
        return None;
    }
    let kind = if incompat & JOURNAL_DEVICE != 0 {
        FileSystemKind::Other("jbd".to_owned())
    } else if incompat & !EXT3_INCOMPAT != 0 || ro_compat & !EXT3_RO_COMPAT != 0 {
        FileSystemKind::Ext4
    } else if compat & HAS_JOURNAL != 0 {
        FileSystemKind::Ext3
    } else {
        FileSystemKind::Ext2
    };
    let high = if incompat & 0x80 != 0 { u64::from(le32(superblock, 0x150)) << 32 } else { 0 };
    let blocks = high | u64::from(le32(superblock, 0x4));
    Some(FileSystem {
        label: text(&superblock[0x78..0x88]),
        uuid: uuid(&superblock[0x68..0x78]),
        len_bytes: blocks.checked_mul(1024 << log_block_len),
        needs_recovery: needs_recovery(incompat, ro_compat, le32(superblock, 0xe8), le16(superblock, 0x3a)),
        ..bare(kind)
    })
}

/// Whether an ext file system must be repaired before it is written to: its journal has to be replayed, or inodes that
/// were deleted while open have to be freed; without a journal, its state is not clean or has errors.
fn needs_recovery(incompat: u32, ro_compat: u32, last_orphan: u32, state: u16) -> bool {
    const NEEDS_RECOVERY: u32 = 0x4;
    const ORPHANS_PRESENT: u32 = 0x1_0000;
    const CLEANLY_UNMOUNTED: u16 = 0x1;
    const ERRORS_DETECTED: u16 = 0x2;
    incompat & NEEDS_RECOVERY != 0
        || ro_compat & ORPHANS_PRESENT != 0
        || last_orphan != 0
        || state & (CLEANLY_UNMOUNTED | ERRORS_DETECTED) != CLEANLY_UNMOUNTED
}
