//! Recognises a file system that begins in the first sector of a medium, without a partition table.
//!
//! Its boot sector ends like a master boot record, so other bytes distinguish the two. This module knows only file
//! systems that are used without partitions in practice; it finds out whether there is a table, and not which file system
//! it is.

use super::{FormatError, Geometry, ReadAt};

/// Whether sector 0 is the boot sector of a FAT, exFAT or NTFS file system, or the medium has an ext file system.
pub(super) fn holds_file_system(disk: &mut dyn ReadAt, geometry: &Geometry) -> Result<bool, FormatError> {
    let boot_sector = geometry.read_sector(disk, 0)?;
    Ok(is_fat(&boot_sector) || is_named(&boot_sector) || is_ext(disk)?)
}

fn jumps(boot_sector: &[u8]) -> bool {
    (boot_sector[0] == 0xEB && boot_sector[2] == 0x90) || boot_sector[0] == 0xE9
}

/// Whether there is a BIOS parameter block by the rules of Microsoft's FAT specification. Boot loaders in a master boot
/// record may jump over the space for one, but leave it empty.
fn is_fat(boot_sector: &[u8]) -> bool {
    let sector_len = u16::from_le_bytes([boot_sector[11], boot_sector[12]]);
    let cluster_sectors = boot_sector[13];
    let reserved_sectors = u16::from_le_bytes([boot_sector[14], boot_sector[15]]);
    let fats = boot_sector[16];
    let media = boot_sector[21];
    jumps(boot_sector)
        && matches!(sector_len, 512 | 1024 | 2048 | 4096)
        && cluster_sectors.is_power_of_two()
        && reserved_sectors != 0
        && matches!(fats, 1 | 2)
        && (media == 0xF0 || media >= 0xF8)
}

fn is_named(boot_sector: &[u8]) -> bool {
    jumps(boot_sector)
        && (boot_sector[3..].starts_with(b"EXFAT   ") || boot_sector[3..].starts_with(b"NTFS    "))
}

/// Whether there is the magic number of a superblock, which begins at byte 1024 for every block size.
fn is_ext(disk: &mut dyn ReadAt) -> Result<bool, FormatError> {
    const MAGIC_OFFSET_BYTES: u64 = 1024 + 56;
    if disk.len_bytes() < MAGIC_OFFSET_BYTES + 2 {
        return Ok(false);
    }
    let mut magic = [0; 2];
    disk.read_exact_at(MAGIC_OFFSET_BYTES, &mut magic)?;
    Ok(u16::from_le_bytes(magic) == 0xEF53)
}
