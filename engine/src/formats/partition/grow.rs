//! Grows the last partition to the end of a medium, after a small image was copied to a larger medium.

use super::gpt::{self, Gpt};
use super::mbr::{self, Entry};
use super::{FormatError, Geometry, Partition, Patch, ReadAt, Scheme};

/// A smaller gain is not worth a change of the table.
const LEAST_GAIN_BYTES: u64 = 1024 * 1024;

/// The growth of the last partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Growth {
    /// Which partition.
    pub partition_number: u32,
    /// Where it starts; unchanged.
    pub start_bytes: u64,
    /// Its present length.
    pub old_len_bytes: u64,
    /// Its length after the patches.
    pub new_len_bytes: u64,
    /// The changed table, in the order to write it. After each patch there is an intact copy of the old or the new table.
    pub patches: Vec<Patch>,
}

/// How the partition with the last position can grow. The rest of the table stays unchanged.
///
/// A GPT's second copy moves to the end of the medium, and its protective entry is set right. An MBR reaches 2^32
/// sectors. `None` if the gain is less than 1 MiB, if there is no partition, or if the last one cannot grow alone: a
/// logical partition, or one of a hybrid, which is in two tables.
///
/// # Errors
/// Those of [`super::read`].
pub(crate) fn grow_last(disk: &mut dyn ReadAt, sector_len_bytes: u32) -> Result<Option<Growth>, FormatError> {
    let Some(table) = super::read(disk, sector_len_bytes)? else { return Ok(None) };
    let geometry = Geometry::new(disk.len_bytes(), sector_len_bytes)?;
    let Some(last) = table.partitions.into_iter().max_by_key(|partition| partition.start_bytes) else {
        return Ok(None);
    };
    let Some(entries) = mbr::read_entries(disk, &geometry)? else { return Ok(None) };
    let boot_sector = geometry.read_sector(disk, 0)?;
    match table.scheme {
        Scheme::Mbr => Ok(grow_mbr(&geometry, boot_sector, &entries, &last)),
        Scheme::Gpt => {
            let Some(slot) = mbr::purely_protective_slot(&entries) else { return Ok(None) };
            Ok(grow_gpt(&geometry, boot_sector, slot, gpt::read(disk, &geometry)?, &last))
        }
    }
}

/// The grown partition without patches; `None` if it gains too little.
fn growth(geometry: &Geometry, last: &Partition, end_sector: u64) -> Option<Growth> {
    let end = geometry.offset_bytes(geometry.align_down(end_sector));
    let gain_bytes = end.checked_sub(last.range().end)?;
    (gain_bytes >= LEAST_GAIN_BYTES).then(|| Growth {
        partition_number: last.number,
        start_bytes: last.start_bytes,
        old_len_bytes: last.len_bytes,
        new_len_bytes: last.len_bytes + gain_bytes,
        patches: Vec::new(),
    })
}

fn grow_mbr(
    geometry: &Geometry,
    mut boot_sector: Vec<u8>,
    entries: &[Entry; 4],
    last: &Partition,
) -> Option<Growth> {
    // A logical partition has a number above 4, so `get` returns `None`.
    let slot = last.number as usize - 1;
    let entry = entries.get(slot)?;
    // An extended partition behind it, even an empty one, prevents that it grows.
    if entries.iter().any(|other| !other.is_unused() && other.start > entry.start) {
        return None;
    }
    let mut growth = growth(geometry, last, geometry.sectors.min(u64::from(u32::MAX)))?;
    let len = u32::try_from(growth.new_len_bytes / geometry.sector_len_bytes).ok()?;
    let place = &mut boot_sector[mbr::TABLE_OFFSET + slot * mbr::ENTRY_LEN..][..mbr::ENTRY_LEN];
    // The bytes of the start stay, cylinders included; those of the end are computed.
    let encoded = Entry { len, ..*entry }.encode();
    place[5..8].copy_from_slice(&encoded[5..8]);
    place[12..].copy_from_slice(&encoded[12..]);
    growth.patches.push(Patch { offset_bytes: 0, bytes: boot_sector });
    Some(growth)
}

fn grow_gpt(
    geometry: &Geometry,
    mut boot_sector: Vec<u8>,
    protective_slot: usize,
    mut table: Gpt,
    last: &Partition,
) -> Option<Growth> {
    let mut growth = growth(geometry, last, table.last_usable(geometry)? + 1)?;
    let end_bytes = growth.start_bytes + growth.new_len_bytes;
    table.set_last_sector(growth.partition_number, end_bytes / geometry.sector_len_bytes - 1);
    let copies = table.encode(geometry)?;
    let parts = if table.is_backup {
        // The new copy at the end may overwrite the intact one, so the front is written first.
        [copies.front_entries, copies.front_header, copies.end]
    } else {
        [copies.end, copies.front_entries, copies.front_header]
    };
    growth.patches = parts
        .into_iter()
        .map(|(sector, bytes)| Patch { offset_bytes: geometry.offset_bytes(sector), bytes })
        .collect();
    let protective = mbr::protective_entry(geometry);
    let place = &mut boot_sector[mbr::TABLE_OFFSET + protective_slot * mbr::ENTRY_LEN..][..mbr::ENTRY_LEN];
    // Its boot flag may have been set on purpose, for firmware that wants one.
    place[1..].copy_from_slice(&protective[1..]);
    growth.patches.push(Patch { offset_bytes: 0, bytes: boot_sector });
    Some(growth)
}
