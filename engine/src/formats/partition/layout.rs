//! A new table with one partition, for media that are written from a tarball.
//!
//! The first 4 MiB stay free for boot loaders outside of file systems, as on earlier images for these boards.

use super::gpt::{self, Gpt};
use super::guid::Guid;
use super::identity::{DiskId, Identity};
use super::{FormatError, Geometry, Patch, Scheme, mbr};
use std::ops::Range;

/// Where the partition starts.
const START_BYTES: u64 = 4 * 1024 * 1024;

/// A smaller partition cannot hold a root file system.
const LEAST_BYTES: u64 = 1024 * 1024;

/// The layout of a newly partitioned medium.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Layout {
    /// The partition's bytes; starts at 4 MiB and ends at a multiple of 4096 bytes.
    pub region: Range<u64>,
    /// The table, in the order to write it: the copy at the end, the copy at the front, sector 0. None of it lies in the
    /// region, so all of it can be written after the file system was verified.
    pub patches: Vec<Patch>,
    /// Where older tables may be: these ranges are zeroed before the file system is made. The last one may reach into the
    /// region.
    pub stale: Vec<Range<u64>>,
}

/// A table with one bootable Linux partition from 4 MiB to the end, or to the last multiple of 4096 bytes.
///
/// Scheme and number are those of `identity`. An MBR reaches 2^32 sectors; the rest stays unused.
///
/// # Errors
/// `Unsupported` if the medium is too small, its sector size is unknown, or the scheme has no such partition number.
pub(crate) fn single_partition(
    identity: &Identity,
    disk_len_bytes: u64,
    sector_len_bytes: u32,
) -> Result<Layout, FormatError> {
    let geometry = Geometry::new(disk_len_bytes, sector_len_bytes)?;
    let too_small = || FormatError::Unsupported {
        format: "partition table",
        what: format!("a medium of only {disk_len_bytes} bytes"),
    };
    let start = START_BYTES / geometry.sector_len_bytes;
    let reserved_at_end = 1 + gpt::usual_entries_sectors(&geometry);
    let limit = match identity.scheme() {
        Scheme::Mbr => geometry.sectors.min(u64::from(u32::MAX)),
        Scheme::Gpt => geometry.sectors.saturating_sub(reserved_at_end),
    };
    let end = geometry.align_down(limit);
    let region = geometry.offset_bytes(start)..geometry.offset_bytes(end);
    if end <= start || region.end - region.start < LEAST_BYTES {
        return Err(too_small());
    }
    if !identity.has_valid_number() {
        let what = format!("a table whose only partition has the number {}", identity.number);
        return Err(FormatError::Unsupported { format: "partition table", what });
    }
    let patches = match &identity.disk {
        DiskId::Mbr { signature, kind } => {
            vec![boot_sector(&geometry, *signature, identity.number, mbr_entry(*kind, start..end))]
        }
        DiskId::Gpt { disk, partition, kind, name } => {
            let ids = (identity.number, *disk, *partition, *kind);
            gpt_patches(&geometry, start..end, ids, name).ok_or_else(too_small)?
        }
    };
    // The copy of a GPT at the end is wiped for both schemes. Of the front, wiping the header is enough.
    let stale = vec![
        0..geometry.offset_bytes(2),
        geometry.offset_bytes(geometry.sectors - reserved_at_end)..geometry.offset_bytes(geometry.sectors),
    ];
    Ok(Layout { region, patches, stale })
}

fn mbr_entry(kind: u8, sectors: Range<u64>) -> [u8; mbr::ENTRY_LEN] {
    // Both are below 2^32: the limit was applied.
    let (start, len) = (sectors.start as u32, (sectors.end - sectors.start) as u32);
    mbr::Entry { status: 0x80, kind, start, len }.encode()
}

fn gpt_patches(
    geometry: &Geometry,
    sectors: Range<u64>,
    ids: (u32, Guid, Guid, Guid),
    name: &str,
) -> Option<Vec<Patch>> {
    let table = Gpt::with_one_partition(geometry, ids, name, sectors.start..=sectors.end - 1)?;
    let copies = table.encode(geometry)?;
    let mut patches: Vec<Patch> = [copies.end, copies.front_entries, copies.front_header]
        .into_iter()
        .map(|(sector, bytes)| Patch { offset_bytes: geometry.offset_bytes(sector), bytes })
        .collect();
    patches.push(boot_sector(geometry, 0, 1, mbr::protective_entry(geometry)));
    Some(patches)
}

/// Sector 0 with one entry, in slot `number` from 1, and no boot code.
fn boot_sector(geometry: &Geometry, signature: u32, number: u32, entry: [u8; mbr::ENTRY_LEN]) -> Patch {
    // At most 4096 bytes.
    let mut bytes = vec![0; geometry.sector_len_bytes as usize];
    bytes[mbr::SIGNATURE_OFFSET..][..4].copy_from_slice(&signature.to_le_bytes());
    // The number is 1 to 4.
    let slot = (number - 1) as usize;
    bytes[mbr::TABLE_OFFSET + slot * mbr::ENTRY_LEN..][..mbr::ENTRY_LEN].copy_from_slice(&entry);
    bytes[510..512].copy_from_slice(&[0x55, 0xAA]);
    Patch { offset_bytes: 0, bytes }
}
