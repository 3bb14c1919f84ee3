//! The kernel's view of a partition table: MBR with logical partitions, and GPT. The bytes may be hostile.
//!
//! It is written separately from the engine's reader on purpose: a fault that both shared would not be found.

use crate::model::bytes::pages::Pages;
use replicator_hal::{DeviceName, Partition};

const SECTOR: u64 = 512;
/// The kernel reads at most so many partitions of an MBR chain.
const LOGICAL_MAX: u32 = 60;
const GPT_ENTRIES_MAX: u32 = 128;

fn u32_at(bytes: &[u8], offset: usize) -> u64 {
    bytes.get(offset..offset + 4).map_or(0, |b| u64::from(u32::from_le_bytes([b[0], b[1], b[2], b[3]])))
}

fn u64_at(bytes: &[u8], offset: usize) -> u64 {
    u32_at(bytes, offset) | u32_at(bytes, offset + 4) << 32
}

struct MbrEntry {
    kind: u8,
    start: u64,
    count: u64,
}

fn mbr_entries(sector: &[u8]) -> Option<[MbrEntry; 4]> {
    if sector.get(510..512) != Some(&[0x55, 0xaa]) {
        return None;
    }
    Some([0, 1, 2, 3].map(|index| {
        let at = 446 + 16 * index;
        MbrEntry { kind: sector[at + 4], start: u32_at(sector, at + 8), count: u32_at(sector, at + 12) }
    }))
}

/// The partitions in the bytes of a medium. A device without a name has none; no world is built with such a device.
pub(crate) fn read_partitions(device: &str, media: &Pages) -> Vec<Partition> {
    let Ok(device) = DeviceName::parse(device) else { return Vec::new() };
    let sectors = media.len_bytes() / SECTOR;
    let mut found = Vec::new();
    let mut add = |number: u32, start: u64, count: u64| {
        if count > 0 && start < sectors {
            found.push(Partition {
                name: device.partition(number),
                number,
                start_bytes: start * SECTOR,
                len_bytes: count.min(sectors - start) * SECTOR,
            });
        }
    };
    let sector = |number: u64| media.bytes(number.saturating_mul(SECTOR), SECTOR as usize);
    let Some(entries) = mbr_entries(&sector(0)) else {
        return found;
    };
    if entries.iter().any(|entry| entry.kind == 0xee) {
        let header = sector(1);
        if header.starts_with(b"EFI PART") {
            let (table, count) = (u64_at(&header, 72), u32_at(&header, 80) as u32);
            let entry_len = u32_at(&header, 84).clamp(128, 4096);
            for number in 0..count.min(GPT_ENTRIES_MAX) {
                let at = table.saturating_mul(SECTOR).saturating_add(u64::from(number) * entry_len);
                let entry = media.bytes(at, 128);
                let (first, last) = (u64_at(&entry, 32), u64_at(&entry, 40));
                if entry[..16] != [0; 16] && last >= first {
                    add(number + 1, first, last - first + 1);
                }
            }
            return found;
        }
    }
    for (index, entry) in entries.iter().enumerate() {
        if entry.kind != 0 {
            add(index as u32 + 1, entry.start, entry.count);
        }
        if matches!(entry.kind, 0x05 | 0x0f | 0x85) {
            let mut at = entry.start;
            for number in 5..5 + LOGICAL_MAX {
                let Some([logical, next, ..]) = mbr_entries(&sector(at)) else {
                    break;
                };
                add(number, at + logical.start, logical.count);
                if next.kind == 0 || next.count == 0 {
                    break;
                }
                at = entry.start + next.start;
            }
        }
    }
    found
}

/// An MBR with up to four primary partitions: type, start and length in bytes.
pub fn make_mbr(partitions: &[(u8, u64, u64)]) -> [u8; 512] {
    let mut sector = [0; 512];
    for (index, (kind, start_bytes, len_bytes)) in partitions.iter().take(4).enumerate() {
        let at = 446 + 16 * index;
        sector[at + 4] = *kind;
        sector[at + 8..at + 12].copy_from_slice(&((start_bytes / SECTOR) as u32).to_le_bytes());
        sector[at + 12..at + 16].copy_from_slice(&((len_bytes / SECTOR) as u32).to_le_bytes());
    }
    sector[510..].copy_from_slice(&[0x55, 0xaa]);
    sector
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn primaries_are_found_and_cut_at_the_end_of_the_medium() {
        let mut media = Pages::zeros(1 << 20);
        media.write(0, &make_mbr(&[(0x83, 65_536, 131_072), (0x0c, 524_288, 1 << 30)]));
        let found = read_partitions("mmcblk0", &media);
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].name.as_str(), "mmcblk0p1");
        assert_eq!((found[0].start_bytes, found[0].len_bytes), (65_536, 131_072));
        assert_eq!(found[1].len_bytes, 524_288);
        assert_eq!(DeviceName::parse("sda").unwrap().partition(1).as_str(), "sda1");
    }

    #[test]
    fn a_chain_of_logical_partitions_that_loops_ends() {
        let mut media = Pages::zeros(1 << 20);
        media.write(0, &make_mbr(&[(0x05, 512 * 8, 512 * 1000)]));
        let mut chain = make_mbr(&[(0x83, 512, 512), (0x05, 0, 512)]);
        chain[446 + 16 + 8..446 + 16 + 12].copy_from_slice(&[0; 4]);
        media.write(512 * 8, &chain);
        assert_eq!(read_partitions("sda", &media).len(), 1 + LOGICAL_MAX as usize);
    }
}
