//! Everything but ext and FAT: containers, other Linux file systems, and other content of media.
//!
//! Offsets are from the on-disk structures in the kernel's sources and from the specifications of the formats. If a
//! magic number is short, the version beside it is checked too.

use super::{bare, be32, be64, le16, le32, le64, text, utf16_text, uuid};
use crate::{FileSystem, FileSystemKind as Kind};

/// Containers, which have a header in the first sectors.
pub(super) fn container(head: &[u8]) -> Option<FileSystem> {
    luks(head)
        .or_else(|| lvm(head))
        .or_else(|| raid(&head[..256]))
        .or_else(|| raid(&head[4096..4352]))
        .or_else(|| bcache(head))
}

/// A file system that is neither ext nor FAT.
pub(super) fn file_system(head: &[u8]) -> Option<FileSystem> {
    xfs(head)
        .or_else(|| f2fs(head))
        .or_else(|| squashfs(head))
        .or_else(|| erofs(head))
        .or_else(|| ntfs(head))
        .or_else(|| hfs_plus(head))
        .or_else(|| by_magic(head))
        .or_else(|| swap(head))
        .or_else(|| jfs(head))
        .or_else(|| optical(head))
        .or_else(|| reiserfs(head))
        .or_else(|| btrfs(head))
}

fn has(head: &[u8], at: usize, magic: &[u8]) -> bool {
    head.get(at..).is_some_and(|bytes| bytes.starts_with(magic))
}

/// File systems that are only reported by name.
fn by_magic(head: &[u8]) -> Option<FileSystem> {
    let found = |kind| Some(bare(kind));
    let other = |name: &str| found(Kind::Other(name.to_owned()));
    match head {
        _ if has(head, 0, b"UBI#") => found(Kind::Ubi),
        _ if has(head, 0, &[0x31, 0x18, 0x10, 0x06]) => found(Kind::Ubifs),
        _ if has(head, 0, &[0x45, 0x3d, 0xcd, 0x28]) => other("cramfs"),
        _ if has(head, 0, b"-rom1fs-") => other("romfs"),
        _ if has(head, 3, b"-FVE-FS-") => other("BitLocker"),
        _ if has(head, 32, b"NXSB") => other("apfs"),
        // Revision and magic number of nilfs2.
        _ if le32(head, 1024) == 2 && has(head, 1024 + 6, &[0x34, 0x34]) => other("nilfs2"),
        _ => None,
    }
}

fn luks(head: &[u8]) -> Option<FileSystem> {
    if !has(head, 0, b"LUKS\xba\xbe") {
        return None;
    }
    let label = if head[6..8] == [0, 2] { text(&head[24..72]) } else { None };
    Some(FileSystem { label, uuid: text(&head[168..208]), ..bare(Kind::Luks) })
}

/// The label is in one of the first four sectors. It has the offset of the physical volume's header.
fn lvm(head: &[u8]) -> Option<FileSystem> {
    let at = (0..4)
        .map(|sector| sector * 512)
        .find(|at| has(head, *at, b"LABELONE") && has(head, at + 24, b"LVM2 001"))?;
    let header = at + le32(head, at + 20).min(480) as usize;
    let id = String::from_utf8_lossy(&head[header..header + 32]);
    let mut uuid = String::with_capacity(38);
    for (index, letter) in id.chars().enumerate() {
        if matches!(index, 6 | 10 | 14 | 18 | 22 | 26) {
            uuid.push('-');
        }
        uuid.push(letter);
    }
    Some(FileSystem { uuid: Some(uuid), ..bare(Kind::Lvm) })
}

/// A superblock of Linux RAID (md), at any place.
pub(super) fn raid(superblock: &[u8]) -> Option<FileSystem> {
    const MAGIC: u32 = 0xa92b_4efc;
    if le32(superblock, 0) != MAGIC && be32(superblock, 0) != MAGIC {
        return None;
    }
    match (le32(superblock, 4), be32(superblock, 4)) {
        (1, _) => Some(FileSystem {
            label: text(&superblock[32..64]),
            uuid: uuid(&superblock[16..32]),
            ..bare(Kind::MdRaid)
        }),
        (0, 0) => Some(bare(Kind::MdRaid)),
        _ => None,
    }
}

/// bcache and bcachefs have their superblock at the same place.
fn bcache(head: &[u8]) -> Option<FileSystem> {
    const BCACHE: &[u8] = b"\xc6\x85\x73\xf6\x4e\x1a\x45\xca\x82\x65\xf5\x7f\x48\xba\x6d\x81";
    const BCACHEFS: &[u8] = b"\xc6\x85\x73\xf6\x66\xce\x90\xa9\xd9\x6a\x60\xcf\x80\x3d\xf7\xef";
    const AT: usize = 4096;
    if has(head, AT + 24, BCACHEFS) {
        return Some(FileSystem {
            label: text(&head[AT + 72..AT + 104]),
            uuid: uuid(&head[AT + 56..AT + 72]),
            ..bare(Kind::Bcachefs)
        });
    }
    has(head, AT + 24, BCACHE).then(|| bare(Kind::Other("bcache".to_owned())))
}

/// Requires at least four uberblocks in the first label of a pool's device, as other probers do.
pub(super) fn zfs(head: &[u8]) -> Option<FileSystem> {
    const MAGIC: u64 = 0x00ba_b10c;
    const UBERBLOCKS_AT: usize = 128 * 1024;
    const LABEL_LEN: usize = 256 * 1024;
    let uberblocks = head.get(UBERBLOCKS_AT..)?;
    let uberblocks = &uberblocks[..uberblocks.len().min(LABEL_LEN - UBERBLOCKS_AT)];
    let found =
        uberblocks.chunks(1024).filter(|block| le64(block, 0) == MAGIC || be64(block, 0) == MAGIC).count();
    (found >= 4).then(|| bare(Kind::Zfs))
}

fn xfs(head: &[u8]) -> Option<FileSystem> {
    has(head, 0, b"XFSB").then(|| FileSystem {
        label: text(&head[108..120]),
        uuid: uuid(&head[32..48]),
        len_bytes: be64(head, 8).checked_mul(u64::from(be32(head, 4))),
        ..bare(Kind::Xfs)
    })
}

fn f2fs(head: &[u8]) -> Option<FileSystem> {
    const AT: usize = 1024;
    has(head, AT, &[0x10, 0x20, 0xf5, 0xf2]).then(|| FileSystem {
        label: utf16_text(&head[AT + 124..AT + 124 + 1024]),
        uuid: uuid(&head[AT + 108..AT + 124]),
        len_bytes: 1u64.checked_shl(le32(head, AT + 16)).and_then(|len| len.checked_mul(le64(head, AT + 36))),
        ..bare(Kind::F2fs)
    })
}

fn btrfs(head: &[u8]) -> Option<FileSystem> {
    const AT: usize = 0x1_0000;
    has(head, AT + 0x40, b"_BHRfS_M").then(|| FileSystem {
        label: text(&head[AT + 0x12b..AT + 0x22b]),
        uuid: uuid(&head[AT + 0x20..AT + 0x30]),
        // The size of this device's part of the file system: the first field after the number in its item.
        len_bytes: Some(le64(head, AT + 0xc9 + 8)),
        needs_recovery: le64(head, AT + 0x60) != 0,
        ..bare(Kind::Btrfs)
    })
}

fn squashfs(head: &[u8]) -> Option<FileSystem> {
    if has(head, 0, b"hsqs") && le16(head, 28) == 4 {
        return Some(FileSystem { len_bytes: Some(le64(head, 40)), ..bare(Kind::Squashfs) });
    }
    (has(head, 0, b"hsqs") || has(head, 0, b"sqsh")).then(|| bare(Kind::Squashfs))
}

fn erofs(head: &[u8]) -> Option<FileSystem> {
    const AT: usize = 1024;
    has(head, AT, &[0xe2, 0xe1, 0xf5, 0xe0]).then(|| FileSystem {
        label: text(&head[AT + 64..AT + 80]),
        uuid: uuid(&head[AT + 48..AT + 64]),
        len_bytes: u64::from(le32(head, AT + 36)).checked_shl(u32::from(head[AT + 12])),
        ..bare(Kind::Erofs)
    })
}

fn ntfs(head: &[u8]) -> Option<FileSystem> {
    has(head, 3, b"NTFS    ").then(|| FileSystem {
        uuid: Some(format!("{:016X}", le64(head, 72))),
        len_bytes: le64(head, 40).checked_mul(u64::from(le16(head, 11))),
        ..bare(Kind::Ntfs)
    })
}

fn hfs_plus(head: &[u8]) -> Option<FileSystem> {
    const AT: usize = 1024;
    (has(head, AT, b"H+\x00\x04") || has(head, AT, b"HX\x00\x05")).then(|| FileSystem {
        len_bytes: u64::from(be32(head, AT + 40)).checked_mul(u64::from(be32(head, AT + 44))),
        ..bare(Kind::HfsPlus)
    })
}

fn jfs(head: &[u8]) -> Option<FileSystem> {
    const AT: usize = 0x8000;
    has(head, AT, b"JFS1").then(|| FileSystem {
        label: text(&head[AT + 152..AT + 168]),
        uuid: uuid(&head[AT + 136..AT + 152]),
        ..bare(Kind::Jfs)
    })
}

fn reiserfs(head: &[u8]) -> Option<FileSystem> {
    const AT: usize = 0x1_0000;
    if has(head, AT, b"ReIsEr4") {
        return Some(bare(Kind::Other("reiser4".to_owned())));
    }
    let magics: [&[u8]; 3] = [b"ReIsErFs", b"ReIsEr2Fs", b"ReIsEr3Fs"];
    magics.iter().any(|magic| has(head, AT + 0x34, magic)).then(|| FileSystem {
        label: text(&head[AT + 100..AT + 116]),
        uuid: uuid(&head[AT + 84..AT + 100]),
        len_bytes: Some(u64::from(le32(head, AT)) * u64::from(le16(head, AT + 44))),
        ..bare(Kind::Reiserfs)
    })
}

/// The first volume descriptor distinguishes ISO 9660 from UDF.
fn optical(head: &[u8]) -> Option<FileSystem> {
    const AT: usize = 0x8000;
    if has(head, AT + 1, b"CD001") {
        return Some(FileSystem {
            label: text(&head[AT + 40..AT + 72]),
            len_bytes: Some(u64::from(le32(head, AT + 80)) * 2048),
            ..bare(Kind::Iso9660)
        });
    }
    has(head, AT + 1, b"BEA01").then(|| bare(Kind::Other("udf".to_owned())))
}

/// The signature is at the end of the first page, and there are several page sizes. The image of a hibernated system is
/// swap too; it needs recovery, because the next boot would resume from it.
fn swap(head: &[u8]) -> Option<FileSystem> {
    const SWAP: [&[u8]; 2] = [b"SWAPSPACE2", b"SWAP-SPACE"];
    const HIBERNATED: [&[u8]; 3] = [b"S1SUSPEND", b"S2SUSPEND", b"ULSUSPEND"];
    let ends_in = |page: usize, magics: &[&[u8]]| magics.iter().any(|magic| has(head, page - 10, magic));
    [4096, 8192, 16384, 32768, 65536]
        .into_iter()
        .find(|page| ends_in(*page, &SWAP) || ends_in(*page, &HIBERNATED))
        .map(|page| FileSystem {
            needs_recovery: ends_in(page, &HIBERNATED),
            label: text(&head[1052..1068]),
            uuid: uuid(&head[1036..1052]),
            len_bytes: Some((u64::from(le32(head, 1028)) + 1) * page as u64),
            ..bare(Kind::Swap)
        })
}
