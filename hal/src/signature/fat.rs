//! FAT and exFAT. Their label is an entry of the root directory, which is not at a fixed place.

use super::{bare, le16, le32, le64, text, utf16_text};
use crate::{FileSystem, FileSystemKind};
use std::ops::Range;

/// Longest part of a root directory that is searched for a label.
const ROOT_DIRECTORY_LEN_MAX_BYTES: u64 = 64 * 1024;

pub(super) fn identify(head: &[u8]) -> Option<FileSystem> {
    if head[3..11] == *b"EXFAT   " {
        return Some(exfat(head));
    }
    fat_kind(head).map(|fat| identify_fat(head, fat))
}

/// The range of the root directory that [`label`] needs, relative to the region's start; `None` if `head` is neither
/// FAT nor exFAT.
pub fn root_directory(head: &[u8]) -> Option<Range<u64>> {
    if head.len() < 512 {
        return None;
    }
    let (at, len) = if head[3..11] == *b"EXFAT   " {
        // Offsets are from Microsoft's exFAT specification, section 3.1.
        let (sector_shift, cluster_shift) = exfat_shifts(head);
        let cluster = u64::from(le32(head, 96)).saturating_sub(2);
        ((u64::from(le32(head, 88)) << sector_shift) + (cluster << cluster_shift), 1 << cluster_shift)
    } else {
        let fat = fat_kind(head)?;
        let sector = u64::from(le16(head, 11));
        let fat_sectors = match (le16(head, 22), fat) {
            (0, Fat::Fat32) => u64::from(le32(head, 36)),
            (sectors, _) => u64::from(sectors),
        };
        let after_fats = (u64::from(le16(head, 14)) + u64::from(head[16]) * fat_sectors) * sector;
        let cluster = u64::from(head[13]) * sector;
        match fat {
            // A longer root directory is a chain of clusters. mkfs writes the label as the first entry.
            Fat::Fat32 => (after_fats + u64::from(le32(head, 44)).saturating_sub(2) * cluster, cluster),
            Fat::Fat16 => (after_fats, u64::from(le16(head, 17)) * 32),
        }
    };
    Some(at..at + len.min(ROOT_DIRECTORY_LEN_MAX_BYTES))
}

/// The label in the root directory of a file system of this kind. Windows changes only this one, so it has priority
/// over the label of the boot sector.
pub fn label(kind: &FileSystemKind, root: &[u8]) -> Option<String> {
    // Section 7.3 of the exFAT specification.
    const EXFAT_VOLUME_LABEL: u8 = 0x83;
    let mut entries = root.chunks_exact(32).take_while(|entry| entry[0] != 0);
    if *kind == FileSystemKind::Exfat {
        let entry = entries.find(|entry| entry[0] == EXFAT_VOLUME_LABEL)?;
        return utf16_text(&entry[2..2 + 2 * usize::from(entry[1].min(11))]);
    }
    entries
        .find(|entry| entry[0] != 0xe5 && entry[11] & 0x3f != 0x0f && entry[11] & 0x08 != 0)
        .and_then(|entry| fat_label(&entry[..11]))
}

fn fat_label(bytes: &[u8]) -> Option<String> {
    text(bytes).filter(|label| label != "NO NAME")
}

#[derive(Clone, Copy, PartialEq)]
enum Fat {
    Fat16,
    Fat32,
}

/// FAT has no magic number. Both a valid BIOS parameter block *and* the type string that every formatter writes are
/// required, so that the MBR of a boot loader is not taken for FAT.
fn fat_kind(head: &[u8]) -> Option<Fat> {
    let sector = le16(head, 11);
    let valid = le16(head, 510) == 0xaa55
        && matches!(head[0], 0xeb | 0xe9)
        && matches!(sector, 512 | 1024 | 2048 | 4096)
        && head[13].is_power_of_two()
        && le16(head, 14) >= 1
        && matches!(head[16], 1 | 2)
        && (head[21] == 0xf0 || head[21] >= 0xf8);
    if !valid {
        None
    } else if head[82..90] == *b"FAT32   " {
        Some(Fat::Fat32)
    } else if [&b"FAT12   "[..], b"FAT16   ", b"FAT     "].contains(&&head[54..62]) {
        Some(Fat::Fat16)
    } else {
        None
    }
}

fn identify_fat(head: &[u8], fat: Fat) -> FileSystem {
    let (serial_at, label_at) = if fat == Fat::Fat32 { (67, 71) } else { (39, 43) };
    let sectors = match le16(head, 19) {
        0 => u64::from(le32(head, 32)),
        sectors => u64::from(sectors),
    };
    FileSystem {
        label: fat_label(&head[label_at..label_at + 11]),
        uuid: dos_serial(head, serial_at),
        len_bytes: Some(sectors * u64::from(le16(head, 11))),
        // The dirty mark of Windows and of the kernel: bit 0 of the byte before the extended boot signature.
        needs_recovery: head[serial_at - 2] & 1 != 0,
        ..bare(FileSystemKind::Vfat)
    }
}

fn dos_serial(head: &[u8], at: usize) -> Option<String> {
    Some(format!("{:04X}-{:04X}", le16(head, at + 2), le16(head, at)))
}

fn exfat_shifts(head: &[u8]) -> (u8, u8) {
    let sector_shift = head[108].clamp(9, 12);
    (sector_shift, sector_shift + head[109].min(25 - sector_shift))
}

fn exfat(head: &[u8]) -> FileSystem {
    FileSystem {
        uuid: dos_serial(head, 100),
        len_bytes: le64(head, 72).checked_mul(1 << exfat_shifts(head).0),
        // VolumeDirty, section 3.1.13.2.
        needs_recovery: le16(head, 106) & 0x2 != 0,
        ..bare(FileSystemKind::Exfat)
    }
}
