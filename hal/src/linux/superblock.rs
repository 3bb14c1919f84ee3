//! Which file system lies in a region, by its bytes alone.
//!
//! Only the first block of each format is read, plus the root directory of FAT and exFAT for the label. Which kernel
//! driver or tool serves it is not decided here.

use super::byte_range::{ReadAt, le16, le32, le64};
use crate::{FileSystem, FileSystemKind, Result};

/// The head of a region in which all magic numbers but that of btrfs lie.
const HEAD_LEN_BYTES: usize = 0x9000;
/// Longest part of a root directory that is searched for a label.
const ROOT_DIRECTORY_LEN_MAX_BYTES: usize = 64 * 1024;

/// Names what lies in the region; `None` if nothing known does.
///
/// # Errors
/// If the region cannot be read.
pub(super) fn identify(region: &mut dyn ReadAt) -> Result<Option<FileSystem>> {
    let mut head = vec![0; HEAD_LEN_BYTES];
    region.read_padded(0, &mut head)?;
    if let Some(ext) = identify_ext(&head[1024..2048]) {
        return Ok(Some(ext));
    }
    if head[3..11] == *b"EXFAT   " {
        return identify_exfat(region, &head).map(Some);
    }
    if let Some(kind) = fat_kind(&head) {
        return identify_fat(region, &head, kind).map(Some);
    }
    if let Some(name) = other_by_magic(&head) {
        return Ok(Some(other(name)));
    }
    let mut btrfs = [0; 8];
    region.read_padded(0x1_0040, &mut btrfs)?;
    Ok((btrfs == *b"_BHRfS_M").then(|| other("btrfs")))
}

fn other(name: &str) -> FileSystem {
    FileSystem {
        kind: FileSystemKind::Other(name.to_owned()),
        label: None,
        uuid: None,
        len_bytes: None,
        needs_recovery: false,
    }
}

fn other_by_magic(head: &[u8]) -> Option<&'static str> {
    const MAGICS: [(usize, &[u8], &str); 10] = [
        (0, b"XFSB", "xfs"),
        (0, b"hsqs", "squashfs"),
        (0, b"LUKS\xba\xbe", "LUKS"),
        (3, b"NTFS    ", "ntfs"),
        (512, b"LABELONE", "LVM2"),
        (1024, &[0x10, 0x20, 0xf5, 0xf2], "f2fs"),
        (1024, &[0xe2, 0xe1, 0xf5, 0xe0], "erofs"),
        (4086, b"SWAPSPACE2", "swap"),
        (4086, b"SWAP-SPACE", "swap"),
        (0x8001, b"CD001", "iso9660"),
    ];
    MAGICS.iter().find(|(at, magic, _)| head[*at..].starts_with(magic)).map(|(_, _, name)| *name)
}

/// ext2, ext3 and ext4 differ by their feature sets only; the borders are those of the kernel's drivers
/// (`fs/ext2/ext2.h`, the former `fs/ext3/ext3.h`).
fn identify_ext(superblock: &[u8]) -> Option<FileSystem> {
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
        kind,
        label: text(&superblock[0x78..0x88]),
        uuid: uuid(&superblock[0x68..0x78]),
        len_bytes: blocks.checked_mul(1024 << log_block_len),
        needs_recovery: needs_recovery(incompat, ro_compat, le32(superblock, 0xe8), le16(superblock, 0x3a)),
    })
}

/// Whether an ext file system has to be mended before it is written to: a journal to be replayed, inodes to be freed
/// that were deleted while open; or, where no journal tells, a state that says mounted or damaged.
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

/// The text before the first NUL, without blanks at the end; `None` if that is empty.
fn text(bytes: &[u8]) -> Option<String> {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    let text = String::from_utf8_lossy(&bytes[..end]);
    let text = text.trim_end();
    (!text.is_empty()).then(|| text.to_owned())
}

fn uuid(bytes: &[u8]) -> Option<String> {
    if bytes.iter().all(|byte| *byte == 0) {
        return None;
    }
    let mut text = String::with_capacity(36);
    for (index, byte) in bytes.iter().enumerate() {
        if matches!(index, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        text.push_str(&format!("{byte:02x}"));
    }
    Some(text)
}

#[derive(Clone, Copy, PartialEq)]
enum Fat {
    Fat16,
    Fat32,
}

/// FAT has no magic number: a sane BIOS parameter block *and* the type string that every formatter writes are asked
/// for, so that a boot loader's MBR is not taken for one.
fn fat_kind(head: &[u8]) -> Option<Fat> {
    let sector = le16(head, 11);
    let sane = le16(head, 510) == 0xaa55
        && matches!(head[0], 0xeb | 0xe9)
        && matches!(sector, 512 | 1024 | 2048 | 4096)
        && head[13].is_power_of_two()
        && le16(head, 14) >= 1
        && matches!(head[16], 1 | 2)
        && (head[21] == 0xf0 || head[21] >= 0xf8);
    if !sane {
        None
    } else if head[82..90] == *b"FAT32   " {
        Some(Fat::Fat32)
    } else if [&b"FAT12   "[..], b"FAT16   ", b"FAT     "].contains(&&head[54..62]) {
        Some(Fat::Fat16)
    } else {
        None
    }
}

fn identify_fat(region: &mut dyn ReadAt, head: &[u8], fat: Fat) -> Result<FileSystem> {
    let sector = u64::from(le16(head, 11));
    let (serial_at, label_at) = if fat == Fat::Fat32 { (67, 71) } else { (39, 43) };
    let fat_sectors = match (le16(head, 22), fat) {
        (0, Fat::Fat32) => u64::from(le32(head, 36)),
        (sectors, _) => u64::from(sectors),
    };
    let reserved = u64::from(le16(head, 14));
    let after_fats = (reserved + u64::from(head[16]) * fat_sectors) * sector;
    let cluster = usize::from(head[13]) * usize::from(le16(head, 11));
    let (root_at, root_len) = match fat {
        // A longer root directory is a chain of clusters; the label is made with the file system and stands first.
        Fat::Fat32 => {
            let clusters = u64::from(le32(head, 44)).saturating_sub(2);
            (after_fats + clusters * cluster as u64, cluster)
        }
        Fat::Fat16 => (after_fats, usize::from(le16(head, 17)) * 32),
    };
    let mut root = vec![0; root_len.min(ROOT_DIRECTORY_LEN_MAX_BYTES)];
    region.read_padded(root_at, &mut root)?;
    // Windows changes the label of the root directory only: it counts more than the boot sector's.
    let label = root
        .chunks_exact(32)
        .take_while(|entry| entry[0] != 0)
        .find(|entry| entry[0] != 0xe5 && entry[11] & 0x3f != 0x0f && entry[11] & 0x08 != 0)
        .map_or(&head[label_at..label_at + 11], |entry| &entry[..11]);
    let sectors = match le16(head, 19) {
        0 => u64::from(le32(head, 32)),
        sectors => u64::from(sectors),
    };
    Ok(FileSystem {
        kind: FileSystemKind::Vfat,
        label: text(label).filter(|label| label != "NO NAME"),
        uuid: dos_serial(head, serial_at),
        len_bytes: Some(sectors * sector),
        // The dirty mark of Windows and of the kernel: bit 0 of the byte before the extended boot signature.
        needs_recovery: head[serial_at - 2] & 1 != 0,
    })
}

fn dos_serial(head: &[u8], at: usize) -> Option<String> {
    Some(format!("{:04X}-{:04X}", le16(head, at + 2), le16(head, at)))
}

/// Offsets are those of Microsoft's exFAT specification, sections 3.1 and 7.3.
fn identify_exfat(region: &mut dyn ReadAt, head: &[u8]) -> Result<FileSystem> {
    const VOLUME_LABEL: u8 = 0x83;
    let sector_shift = head[108].clamp(9, 12);
    let cluster_shift = sector_shift + head[109].min(25 - sector_shift);
    let root_cluster = u64::from(le32(head, 96)).saturating_sub(2);
    let heap = u64::from(le32(head, 88)) << sector_shift;
    let root_at = heap + (root_cluster << cluster_shift);
    let mut root = vec![0; (1usize << cluster_shift).min(ROOT_DIRECTORY_LEN_MAX_BYTES)];
    region.read_padded(root_at, &mut root)?;
    let label = root
        .chunks_exact(32)
        .take_while(|entry| entry[0] != 0)
        .find(|entry| entry[0] == VOLUME_LABEL)
        .and_then(|entry| {
            let units: Vec<u16> =
                (0..usize::from(entry[1].min(11))).map(|index| le16(entry, 2 + 2 * index)).collect();
            let label = String::from_utf16_lossy(&units);
            (!label.is_empty()).then_some(label)
        });
    Ok(FileSystem {
        kind: FileSystemKind::Exfat,
        label,
        uuid: dos_serial(head, 100),
        len_bytes: le64(head, 72).checked_mul(1 << sector_shift),
        // VolumeDirty, section 3.1.13.2.
        needs_recovery: le16(head, 106) & 0x2 != 0,
    })
}

#[cfg(test)]
mod tests {
    use super::super::test_images::{Image, have_tool};
    use super::*;

    #[test]
    fn ext_families_are_told_apart_by_their_features() {
        if !have_tool("mke2fs") {
            return;
        }
        for (kind, options) in [
            (FileSystemKind::Ext2, &["-t", "ext2"][..]),
            (FileSystemKind::Ext3, &["-t", "ext3"]),
            (FileSystemKind::Ext4, &["-t", "ext4"]),
            (FileSystemKind::Ext4, &["-t", "ext4", "-O", "^has_journal"]),
        ] {
            let mut all = vec!["-L", "rootfs", "-U", "01234567-89ab-cdef-0123-456789abcdef", "-b", "4096"];
            all.extend(options);
            let image = Image::ext(16 << 20, &all);
            let found = identify(&mut image.range()).unwrap().unwrap();
            let expected = FileSystem {
                kind,
                label: Some("rootfs".to_owned()),
                uuid: Some("01234567-89ab-cdef-0123-456789abcdef".to_owned()),
                len_bytes: Some(16 << 20),
                needs_recovery: false,
            };
            assert_eq!(found, expected, "{options:?}");
        }
    }

    #[test]
    fn what_the_kernel_has_to_mend_is_seen() {
        let with = |at: usize, byte: u8| {
            let mut bytes = vec![0; 2048];
            bytes[1024 + 0x38..1024 + 0x3b].copy_from_slice(&[0x53, 0xef, 0x1]);
            bytes[1024 + at] = byte;
            identify(&mut Image::of(&bytes).range()).unwrap().unwrap().needs_recovery
        };
        assert!(!with(0, 0));
        assert!(with(0x60, 0x4), "a journal to be replayed");
        assert!(with(0x66, 0x1), "an orphan file in use");
        assert!(with(0xe8, 12), "an orphan list");
        assert!(with(0x3a, 0), "not unmounted, without a journal");
        assert!(with(0x3a, 0x3), "errors that the kernel found");
    }

    #[test]
    fn fat_shows_label_serial_and_length() {
        if !have_tool("mkfs.vfat") {
            return;
        }
        for (bits, len) in [("12", 1 << 20), ("16", 16 << 20), ("32", 64 << 20)] {
            let image = Image::empty(len);
            image.run("mkfs.vfat", &["-F", bits, "-s", "1", "-n", "REPLICATOR", "-i", "12345678"]);
            let found = identify(&mut image.range()).unwrap().unwrap();
            assert_eq!(found.kind, FileSystemKind::Vfat, "FAT{bits}");
            assert_eq!(found.label.as_deref(), Some("REPLICATOR"), "FAT{bits}");
            assert_eq!(found.uuid.as_deref(), Some("1234-5678"), "FAT{bits}");
            assert_eq!(found.len_bytes, Some(image.len_bytes()), "FAT{bits}");
        }
    }

    #[test]
    fn exfat_label_is_read_from_the_root_directory() {
        let mut bytes = vec![0; 1 << 20];
        bytes[3..11].copy_from_slice(b"EXFAT   ");
        bytes[72..80].copy_from_slice(&2048u64.to_le_bytes());
        bytes[88..92].copy_from_slice(&256u32.to_le_bytes());
        bytes[96..100].copy_from_slice(&4u32.to_le_bytes());
        bytes[100..104].copy_from_slice(&0xcafe_0123_u32.to_le_bytes());
        bytes[108..110].copy_from_slice(&[9, 3]);
        let root = 256 * 512 + 2 * 4096;
        bytes[root] = 0x83;
        bytes[root + 1] = 3;
        bytes[root + 2..root + 8].copy_from_slice(b"D\0r\0v\0");
        let found = identify(&mut Image::of(&bytes).range()).unwrap().unwrap();
        assert_eq!(found.kind, FileSystemKind::Exfat);
        assert_eq!(found.label.as_deref(), Some("Drv"));
        assert_eq!(found.uuid.as_deref(), Some("CAFE-0123"));
        assert_eq!(found.len_bytes, Some(1 << 20));
    }

    #[test]
    fn others_are_named_and_nothing_is_none() {
        for (at, magic, name) in [
            (0, &b"hsqs"[..], "squashfs"),
            (0, b"LUKS\xba\xbe", "LUKS"),
            (4086, b"SWAPSPACE2", "swap"),
            (0x1_0040, b"_BHRfS_M", "btrfs"),
        ] {
            let mut bytes = vec![0; 128 * 1024];
            bytes[at..at + magic.len()].copy_from_slice(magic);
            let found = identify(&mut Image::of(&bytes).range()).unwrap().unwrap();
            assert_eq!(found.kind, FileSystemKind::Other(name.to_owned()));
        }
        assert_eq!(identify(&mut Image::empty(1 << 20).range()).unwrap(), None);
        assert_eq!(identify(&mut Image::of(&[0x53, 0xef]).range()).unwrap(), None);
    }

    #[test]
    fn a_hostile_first_block_is_survived() {
        // Every byte 0xff around the fields that are shifted, multiplied or used as lengths.
        for magic_at_3 in [&b"EXFAT   "[..], b"MSDOS5.0"] {
            let mut bytes = vec![0xff; 8192];
            bytes[0] = 0xeb;
            bytes[3..11].copy_from_slice(magic_at_3);
            bytes[11..17].copy_from_slice(&[0, 16, 128, 255, 255, 2]);
            bytes[82..90].copy_from_slice(b"FAT32   ");
            bytes[510..512].copy_from_slice(&[0x55, 0xaa]);
            bytes[1024 + 0x38..1024 + 0x3a].fill(0);
            let found = identify(&mut Image::of(&bytes).range()).unwrap().unwrap();
            assert!(matches!(found.kind, FileSystemKind::Exfat | FileSystemKind::Vfat));
        }
    }
}
