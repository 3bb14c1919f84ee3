//! The table in the master boot record, and the chain of extended boot records with logical partitions.
//!
//! It is read as in the Linux kernel: an entry without length is unused, logical partitions have numbers from 5, and
//! cylinders, heads and sectors are ignored.

use super::{FormatError, Geometry, Partition, ReadAt, check_overlaps, damaged, u32_at};
use std::collections::BTreeSet;
use std::ops::Range;

const FORMAT: &str = "MBR";

/// Where the disk's signature is in sector 0.
pub(super) const SIGNATURE_OFFSET: usize = 440;
/// Where the four entries start in a boot record.
pub(super) const TABLE_OFFSET: usize = 446;

/// Length of one entry.
pub(super) const ENTRY_LEN: usize = 16;

/// More logical partitions than kernels have minor numbers are an error.
const LOGICAL_LIMIT: usize = 128;

/// The type of the entry that protects a GPT from old tools.
const PROTECTIVE: u8 = 0xEE;

/// One entry of a boot record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry {
    /// 0x80: active; 0: not active; other values are invalid.
    pub(super) status: u8,
    pub(super) kind: u8,
    /// In sectors, from the medium's start or from the base of the boot record.
    pub(super) start: u32,
    /// In sectors; 0 means that the entry is unused.
    pub(super) len: u32,
}

impl Entry {
    fn parse(bytes: &[u8]) -> Self {
        Self { status: bytes[0], kind: bytes[4], start: u32_at(bytes, 8), len: u32_at(bytes, 12) }
    }

    pub(super) fn is_unused(&self) -> bool {
        self.len == 0
    }

    pub(super) fn is_extended(&self) -> bool {
        matches!(self.kind, 0x05 | 0x0F | 0x85)
    }

    /// Its sectors, counted from `base`.
    pub(super) fn sectors(&self, base: u64) -> Range<u64> {
        let start = base + u64::from(self.start);
        start..start + u64::from(self.len)
    }

    pub(super) fn encode(&self) -> [u8; ENTRY_LEN] {
        let mut bytes = [0; ENTRY_LEN];
        bytes[0] = self.status;
        bytes[1..4].copy_from_slice(&chs(self.start));
        bytes[4] = self.kind;
        bytes[5..8].copy_from_slice(&chs(self.start.saturating_add(self.len.saturating_sub(1))));
        bytes[8..12].copy_from_slice(&self.start.to_le_bytes());
        bytes[12..].copy_from_slice(&self.len.to_le_bytes());
        bytes
    }
}

/// Cylinder, head, sector for 255 heads and 63 sectors per track; the highest value if that is not enough.
fn chs(sector: u32) -> [u8; 3] {
    let (cylinder, rest) = (sector / (255 * 63), sector % (255 * 63));
    if cylinder > 1023 {
        return [254, 255, 255];
    }
    let (head, sector) = (rest / 63, rest % 63 + 1);
    // Each part fits: head < 255, sector < 64, cylinder < 1024.
    [head as u8, sector as u8 | (cylinder >> 2 & 0xC0) as u8, cylinder as u8]
}

/// The four entries of sector 0; `None` without the signature of a boot record.
pub(super) fn read_entries(
    disk: &mut dyn ReadAt,
    geometry: &Geometry,
) -> Result<Option<[Entry; 4]>, FormatError> {
    if geometry.sectors == 0 {
        return Ok(None);
    }
    Ok(parse_record(&geometry.read_sector(disk, 0)?))
}

pub(super) fn parse_record(sector: &[u8]) -> Option<[Entry; 4]> {
    (sector[510..512] == [0x55, 0xAA]).then(|| {
        [0, 1, 2, 3].map(|slot| Entry::parse(&sector[TABLE_OFFSET + slot * ENTRY_LEN..][..ENTRY_LEN]))
    })
}

/// The disk signature in sector 0, from which the kernel forms the partitions' PARTUUIDs; 0 for none.
pub(super) fn signature(disk: &mut dyn ReadAt, geometry: &Geometry) -> Result<u32, FormatError> {
    Ok(u32_at(&geometry.read_sector(disk, 0)?, SIGNATURE_OFFSET))
}

/// Whether the medium has a GPT according to this table. Other entries beside (a hybrid) change nothing, as in the
/// kernel.
pub(super) fn announces_gpt(entries: &[Entry; 4]) -> bool {
    entries.iter().any(|entry| entry.kind == PROTECTIVE && entry.start == 1)
}

/// Whether this entry only protects a GPT from old tools.
pub(super) fn protects(entry: &Entry) -> bool {
    entry.kind == PROTECTIVE
}

/// The slot of the entry that protects a GPT, if no other is used.
pub(super) fn purely_protective_slot(entries: &[Entry; 4]) -> Option<usize> {
    let mut used = entries.iter().enumerate().filter(|(_, entry)| !entry.is_unused());
    match (used.next(), used.next()) {
        (Some((slot, entry)), None) if entry.kind == PROTECTIVE && entry.start == 1 => Some(slot),
        _ => None,
    }
}

/// The entry that protects a GPT on a medium of so many sectors.
pub(super) fn protective_entry(geometry: &Geometry) -> [u8; ENTRY_LEN] {
    // UEFI: all sectors except this one, or the highest number; the same rule for the end in cylinders, which are not
    // used.
    let len = u32::try_from(geometry.sectors - 1).unwrap_or(u32::MAX);
    let mut bytes = Entry { status: 0, kind: PROTECTIVE, start: 1, len }.encode();
    bytes[1..4].copy_from_slice(&[0, 2, 0]);
    bytes[5..8].copy_from_slice(&[255; 3]);
    bytes
}

/// All partitions, primary and logical.
pub(super) fn partitions(
    disk: &mut dyn ReadAt,
    geometry: &Geometry,
    entries: &[Entry; 4],
) -> Result<Vec<Partition>, FormatError> {
    let mut partitions = Vec::new();
    let mut extended = None;
    let mut primary_ranges = Vec::new();
    for (number, entry) in (1..).zip(entries) {
        check_status(entry)?;
        if entry.is_unused() {
            continue;
        }
        let sectors = entry.sectors(0);
        if sectors.start == 0 {
            return Err(damaged(FORMAT, format!("partition {number} lies over the table itself")));
        }
        let range = geometry.partition(number, sectors.clone()).map_err(|detail| damaged(FORMAT, detail))?;
        primary_ranges.push((number, range.clone()));
        if !entry.is_extended() {
            partitions.push(partition(number, entry, range));
        } else if extended.replace(sectors).is_some() {
            return Err(damaged(FORMAT, "two extended partitions".to_owned()));
        }
    }
    check_overlaps(FORMAT, primary_ranges)?;
    if let Some(container) = extended {
        let logical = logical_partitions(disk, geometry, container)?;
        check_overlaps(FORMAT, logical.iter().map(|logical| (logical.number, logical.range())).collect())?;
        partitions.extend(logical);
    }
    Ok(partitions)
}

fn check_status(entry: &Entry) -> Result<(), FormatError> {
    if matches!(entry.status, 0 | 0x80) {
        return Ok(());
    }
    Err(damaged(FORMAT, format!("a boot flag of 0x{:02x}", entry.status)))
}

fn partition(number: u32, entry: &Entry, range: Range<u64>) -> Partition {
    Partition {
        number,
        start_bytes: range.start,
        len_bytes: range.end - range.start,
        bootable: entry.status == 0x80,
        type_name: format!("0x{:02x}", entry.kind),
        name: None,
        uuid: None,
    }
}

/// Walks the chain of extended boot records in `container`, each of which holds one logical partition and the next link.
fn logical_partitions(
    disk: &mut dyn ReadAt,
    geometry: &Geometry,
    container: Range<u64>,
) -> Result<Vec<Partition>, FormatError> {
    let mut partitions = Vec::new();
    let mut seen = BTreeSet::new();
    let mut next = Some(container.start);
    let mut number = 5;
    while let Some(record) = next {
        if !container.contains(&record) {
            return Err(damaged(
                FORMAT,
                format!("the chain of logical partitions leaves to sector {record}"),
            ));
        }
        if !seen.insert(record) {
            return Err(damaged(FORMAT, format!("the chain of logical partitions loops at sector {record}")));
        }
        if seen.len() > LOGICAL_LIMIT {
            return Err(damaged(FORMAT, format!("more than {LOGICAL_LIMIT} logical partitions")));
        }
        let Some(entries) = parse_record(&geometry.read_sector(disk, record)?) else {
            return Err(damaged(FORMAT, format!("no boot record at sector {record}")));
        };
        next = None;
        // Two entries are used: the partition is relative to its own record, the link to the container.
        for entry in entries[..2].iter().filter(|entry| !entry.is_unused()) {
            check_status(entry)?;
            if entry.is_extended() {
                next = Some(container.start + u64::from(entry.start));
                continue;
            }
            let sectors = entry.sectors(record);
            if sectors.start <= record || sectors.end > container.end {
                let detail = format!("logical partition {number} leaves the extended partition");
                return Err(damaged(FORMAT, detail));
            }
            let range = geometry.partition(number, sectors).map_err(|detail| damaged(FORMAT, detail))?;
            partitions.push(partition(number, entry, range));
            number += 1;
        }
    }
    Ok(partitions)
}
