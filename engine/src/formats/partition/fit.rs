//! Changes the GPT of an image for a medium of another length: its second copy must be at the end of the medium.
//!
//! The partitions do not move. The changes are in both headers (the place of the other copy, the usable sectors), in the
//! place of the second copy, and in the protective entry of the boot record; see chapter 5 of the UEFI specification.

use super::gpt::{self, Gpt};
use super::{FormatError, Geometry, Patch, ReadAt, mbr, shown};
use std::ops::Range;

/// One of the two copies of a GPT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum GptCopy {
    /// Behind the boot record.
    Front,
    /// At the end of the medium.
    End,
}

/// Changes to the image when it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fit {
    /// The changes in their order: where two overlap, the later one is used.
    pub patches: Vec<Patch>,
    /// Whether the second copy moves.
    pub moved: bool,
    /// The copy that is damaged in the image and is made again from the other one.
    pub damaged: Option<GptCopy>,
}

/// The changes that make the GPT of `image` fit a medium of `medium_len_bytes`. Only the table of the image is read.
/// `None` if it fits unchanged, or has no GPT.
///
/// # Errors
/// `Damaged` if neither copy is intact, `Unsupported` if the medium is too small for the table; those of the input.
pub(crate) fn fit_gpt(
    image: &mut dyn ReadAt,
    sector_len_bytes: u32,
    medium_len_bytes: u64,
) -> Result<Option<Fit>, FormatError> {
    let from = Geometry::new(image.len_bytes(), sector_len_bytes)?;
    let to = Geometry::new(medium_len_bytes, sector_len_bytes)?;
    let Some(entries) = mbr::read_entries(image, &from)? else { return Ok(None) };
    if !mbr::announces_gpt(&entries) {
        return Ok(None);
    }
    let mut boot_sector = from.read_sector(image, 0)?;
    // In an image that was cut, the front names sectors past the end. Other checks refuse such an image.
    let unbounded = Geometry::new(i64::MAX as u64, sector_len_bytes)?;
    let table = match gpt::read_copy(image, &unbounded, 1) {
        Err(FormatError::Damaged { .. }) => gpt::read(image, &from)?,
        other => other?,
    };
    let last = if table.is_backup { from.sectors.checked_sub(1) } else { Some(table.other_sector()) };
    let moved = last.and_then(|last| last.checked_add(1)) != Some(to.sectors);
    let damaged = match last {
        _ if table.is_backup => Some(GptCopy::Front),
        // A copy that cannot be read is assumed to be intact.
        Some(last) if matches!(gpt::read_copy(image, &from, last), Err(FormatError::Damaged { .. })) => {
            Some(GptCopy::End)
        }
        _ => None,
    };
    if !moved && damaged.is_none() {
        return Ok(None);
    }
    let too_small = || FormatError::Unsupported {
        format: "GPT",
        what: format!("a medium of only {medium_len_bytes} bytes"),
    };
    let extent = shown::extent(&table, &unbounded, &entries)?;
    let last_usable = table.last_usable(&to).ok_or_else(too_small)?;
    if extent.end_bytes() > to.offset_bytes(last_usable + 1) {
        return Err(too_small());
    }
    let copies = table.encode(&to).ok_or_else(too_small)?;
    let old_copy = old_copy(&table, &from).filter(|range| range.start >= extent.end_bytes());
    let mut patches = Vec::new();
    if let Some(range) = &old_copy {
        // At most the limit of entries and two sectors.
        patches.push(Patch { offset_bytes: range.start, bytes: vec![0; (range.end - range.start) as usize] });
    }
    for (sector, bytes) in [copies.end, copies.front_entries, copies.front_header] {
        patches.push(Patch { offset_bytes: to.offset_bytes(sector), bytes });
    }
    if let Some(slot) = mbr::purely_protective_slot(&entries) {
        // Its boot flag may be set on purpose, for firmware that needs it.
        let place = &mut boot_sector[mbr::TABLE_OFFSET + slot * mbr::ENTRY_LEN..][..mbr::ENTRY_LEN];
        place[1..].copy_from_slice(&mbr::protective_entry(&to)[1..]);
        patches.push(Patch { offset_bytes: 0, bytes: boot_sector });
    }
    Ok(Some(Fit { patches, moved, damaged }))
}

/// Where the second copy is, behind the usable sectors.
fn old_copy(table: &Gpt, geometry: &Geometry) -> Option<Range<u64>> {
    let header = if table.is_backup { geometry.sectors.checked_sub(1)? } else { table.other_sector() };
    let start = header.checked_sub(table.entries_sectors(geometry))?;
    let is_apart = start > table.stored_last_usable() && header < geometry.sectors;
    is_apart.then(|| geometry.offset_bytes(start)..geometry.offset_bytes(header + 1))
}
