//! Partition tables: reads those of a medium, makes new ones, and grows the last partition.
//!
//! It has both schemes from which boards boot, MBR with logical partitions (`mbr`) and GPT (`gpt`). It distinguishes "no
//! table", "a file system over the whole medium" and "a damaged table". Reading is bounded for any input. This module
//! does not write: changes are [`Patch`]es, in the order in which they must be written. Re-reading the table in the
//! kernel, and file systems in the partitions, are elsewhere.

mod fit;
mod gpt;
mod grow;
mod guid;
mod identity;
mod layout;
mod mbr;
mod shown;
mod whole_disk;

pub(crate) use fit::{Fit, GptCopy, fit_gpt};
pub(crate) use grow::{Growth, grow_last};
pub(crate) use guid::Guid;
pub(crate) use identity::{DiskId, Identity};
pub(crate) use layout::single_partition;
pub(crate) use shown::{Extent, Shown, link, shown};

use super::{FormatError, ReadAt};
use std::ops::Range;

/// A scheme of partition tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scheme {
    /// The table in the master boot record, with a chain of logical partitions.
    Mbr,
    /// The GUID partition table of UEFI.
    Gpt,
}

/// One partition that can hold a file system: not an extended partition, but the logical ones in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partition {
    /// Its number in the kernel: the slot from 1; logical partitions from 5.
    pub number: u32,
    /// Where it starts on the medium.
    pub start_bytes: u64,
    /// Its length.
    pub len_bytes: u64,
    /// The active flag (MBR) or the legacy BIOS bootable attribute (GPT).
    pub bootable: bool,
    /// `0x83` (MBR), or the type's GUID in upper case (GPT).
    pub type_name: String,
    /// Its name, if the scheme has names (GPT) and it has one.
    pub name: Option<String>,
    /// Its PARTUUID, as the kernel forms it: its GUID in lower case (GPT), or disk signature and number, `1234abcd-02`
    /// (MBR).
    pub uuid: Option<String>,
}

/// GPT types of partitions that hold a Linux file system: the generic one, and those of the Discoverable Partitions
/// Specification for root, `/home`, `/srv`, `/var`, `/var/tmp` and `/usr` of the usual architectures.
const LINUX_GUIDS: [&str; 14] = [
    "0FC63DAF-8483-4772-8E79-3D69D8477DE4",
    "44479540-F297-41B2-9AF7-D131D5F0458A",
    "4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709",
    "69DAD710-2CE4-4E3C-B16C-21A1D49ABED3",
    "B921B045-1DF0-41C3-AF44-4C6F280D3FAE",
    "72EC70A6-CF74-40E6-BD49-4BDA08E8F224",
    "60D5A7FE-8E7D-435C-B714-3DD8162144E1",
    "6523F8AE-3EB1-4E2A-A05A-18B695AE656F",
    "933AC7E1-2EB4-4F13-B844-0E14E2AEF915",
    "3B8F8425-20E0-4F3B-907F-1A25A76F98E8",
    "4D21B016-B534-45C2-A9FB-5C16E091FD2D",
    "7EC6F557-3BC5-4ACA-B293-16EF5DF639D1",
    "8484680C-9521-48C6-9C11-B0720656F69E",
    "B0E01050-EE5F-4390-949A-9101B17104E9",
];

impl Partition {
    /// Whether its type is that of a Linux file system.
    pub fn is_linux(&self) -> bool {
        self.type_name == "0x83" || LINUX_GUIDS.contains(&self.type_name.as_str())
    }
}

impl Partition {
    /// Its bytes on the medium.
    pub fn range(&self) -> Range<u64> {
        self.start_bytes..self.start_bytes + self.len_bytes
    }
}

/// A partition table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// Its scheme; that of a hybrid is GPT.
    pub scheme: Scheme,
    /// The partitions by number. They lie on the medium and do not overlap.
    pub partitions: Vec<Partition>,
    /// The identity of the medium, if it has exactly one partition, which is not logical.
    pub identity: Option<Identity>,
    /// Length of the table at the medium's start.
    pub front_len_bytes: u64,
    /// Length of the table at the medium's end.
    pub back_len_bytes: u64,
}

/// Bytes to write; whole sectors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Patch {
    /// Where on the medium.
    pub offset_bytes: u64,
    /// What.
    pub bytes: Vec<u8>,
}

/// Reads the partition table of a medium whose logical sectors have `sector_len_bytes`.
///
/// `None` means that there is no table: the medium is blank, holds unknown data, or has one file system from its first
/// sector on.
///
/// # Errors
/// `Damaged` if there is an inconsistent table, with the reason: entries that overlap or lie past the end, a chain of
/// logical partitions that loops, a GPT without an intact copy. `Unsupported` for other sector sizes than 512 and 4096.
/// `Io` if the medium cannot be read.
pub fn read(disk: &mut dyn ReadAt, sector_len_bytes: u32) -> Result<Option<Table>, FormatError> {
    let geometry = Geometry::new(disk.len_bytes(), sector_len_bytes)?;
    let Some(entries) = mbr::read_entries(disk, &geometry)? else { return Ok(None) };
    if mbr::announces_gpt(&entries) {
        let table = gpt::read(disk, &geometry)?;
        let partitions = table.partitions(&geometry)?;
        let identity = match partitions.as_slice() {
            [single] => Identity::of_gpt(&table, single),
            _ => None,
        };
        let (front_len_bytes, back_len_bytes) = table.copies_len_bytes(&geometry);
        return Ok(Some(Table {
            scheme: Scheme::Gpt,
            partitions,
            identity,
            front_len_bytes,
            back_len_bytes,
        }));
    }
    let is_whole_disk = whole_disk::holds_file_system(disk, &geometry)?;
    match mbr::partitions(disk, &geometry, &entries) {
        // A file system's boot sector has code or zeros in the place of the table.
        Ok(partitions) if is_whole_disk && partitions.is_empty() => Ok(None),
        Err(FormatError::Damaged { .. }) if is_whole_disk => Ok(None),
        Ok(mut partitions) => {
            let signature = mbr::signature(disk, &geometry)?;
            for partition in &mut partitions {
                partition.uuid =
                    (signature != 0).then(|| format!("{signature:08x}-{:02x}", partition.number));
            }
            let identity = match partitions.as_slice() {
                [single] => Identity::of_mbr(signature, single, &entries),
                _ => None,
            };
            let front_len_bytes = geometry.sector_len_bytes;
            Ok(Some(Table { scheme: Scheme::Mbr, partitions, identity, front_len_bytes, back_len_bytes: 0 }))
        }
        Err(error) => Err(error),
    }
}

/// New partitions end at multiples of this: with smaller ones, the kernel's cache of the partition has blocks of one
/// sector.
const END_ALIGNMENT_BYTES: u64 = 4096;

/// The sectors of a medium.
#[derive(Debug, Clone, Copy)]
struct Geometry {
    sector_len_bytes: u64,
    sectors: u64,
}

impl Geometry {
    fn new(disk_len_bytes: u64, sector_len_bytes: u32) -> Result<Self, FormatError> {
        if !matches!(sector_len_bytes, 512 | 1024 | 2048 | 4096) {
            let what = format!("sectors of {sector_len_bytes} bytes");
            return Err(FormatError::Unsupported { format: "partition table", what });
        }
        let sector_len_bytes = u64::from(sector_len_bytes);
        Ok(Self { sector_len_bytes, sectors: disk_len_bytes / sector_len_bytes })
    }

    /// Where a sector starts. Only for sectors on the medium, so that it cannot overflow.
    fn offset_bytes(&self, sector: u64) -> u64 {
        sector * self.sector_len_bytes
    }

    /// The last aligned sector at or before `sector`.
    fn align_down(&self, sector: u64) -> u64 {
        let alignment = END_ALIGNMENT_BYTES / self.sector_len_bytes;
        sector - sector % alignment
    }

    fn read_sector(&self, disk: &mut dyn ReadAt, sector: u64) -> Result<Vec<u8>, FormatError> {
        // At most 4096 bytes.
        let mut bytes = vec![0; self.sector_len_bytes as usize];
        disk.read_exact_at(self.offset_bytes(sector), &mut bytes)?;
        Ok(bytes)
    }

    /// The bytes of a partition, if its sectors lie on the medium.
    fn partition(&self, number: u32, sectors: Range<u64>) -> Result<Range<u64>, String> {
        if sectors.start >= sectors.end || sectors.end > self.sectors {
            return Err(format!(
                "partition {number} is sectors {} to {}, but the medium has {}",
                sectors.start,
                sectors.end.saturating_sub(1),
                self.sectors
            ));
        }
        Ok(self.offset_bytes(sectors.start)..self.offset_bytes(sectors.end))
    }
}

/// Fails if two of the ranges overlap; the message has their numbers.
fn check_overlaps(format: &'static str, mut ranges: Vec<(u32, Range<u64>)>) -> Result<(), FormatError> {
    ranges.sort_by_key(|(_, range)| range.start);
    for pair in ranges.windows(2) {
        let ((one, first), (other, second)) = (&pair[0], &pair[1]);
        if second.start < first.end {
            return Err(damaged(format, format!("partitions {one} and {other} overlap")));
        }
    }
    Ok(())
}

fn damaged(format: &'static str, detail: String) -> FormatError {
    FormatError::Damaged { format, detail }
}

/// A little-endian number at an offset within `bytes`.
fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes[at..at + 4].iter().rev().fold(0, |value, byte| value << 8 | u32::from(*byte))
}

/// A little-endian number at an offset within `bytes`.
fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) | u64::from(u32_at(bytes, at + 4)) << 32
}

#[cfg(test)]
mod crates_tests;

#[cfg(test)]
mod fit_tests;

#[cfg(test)]
mod tests;

#[cfg(test)]
mod tools_tests;
