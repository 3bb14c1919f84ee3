//! Examines the start of an image: which tables and file systems it has, and how far they reach.
//!
//! It finds out whether a file looks like the image of a medium, before a medium is erased for it. In contrast to
//! [`super::read`], it accepts unusual tables (overlapping partitions, as in hybrid ISO images) and does not need the
//! whole medium.

use super::gpt::{self, Gpt};
use super::mbr::{self, Entry};
use super::{FormatError, Geometry, Scheme};
use replicator_hal::{FileSystem, FileSystemKind, signature};
use std::ops::Range;

/// What the start of an image shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Shown {
    /// A partition table.
    Table(Extent),
    /// One file system or container from the first sector on, without a table.
    FileSystem(FileSystem),
    /// A GPT whose copy at the front is damaged, and why.
    DamagedGpt(String),
    /// A GPT for sectors of this length, which are not the medium's.
    OtherSectors(u32),
    /// A boot record without any partition.
    EmptyTable,
    /// Unknown data.
    Unknown {
        /// Whether all bytes are zeros.
        zeros: bool,
    },
}

/// How far a partition table reaches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Extent {
    /// Its scheme; that of a hybrid is GPT.
    pub scheme: Scheme,
    /// The partitions of the table itself by number, with the extended one, but without those in it.
    pub partitions: Vec<(u32, Range<u64>)>,
    /// The second copy of a GPT: entries and header.
    pub backup: Option<Range<u64>>,
    /// The end of the usable sectors of a GPT.
    pub usable_end_bytes: Option<u64>,
    /// The extended partition, in which logical ones are chained.
    pub extended: Option<Range<u64>>,
    /// The ISO 9660 file system of a hybrid image.
    pub iso: Option<FileSystem>,
}

impl Extent {
    /// The partition that ends last.
    pub(crate) fn last(&self) -> Option<&(u32, Range<u64>)> {
        self.partitions.iter().max_by_key(|(_, range)| range.end)
    }

    /// Where the last partition ends; 0 if there is none.
    pub(crate) fn end_bytes(&self) -> u64 {
        self.last().map_or(0, |(_, range)| range.end)
    }
}

/// Reads `head`, the first bytes of an image for a medium with sectors of `sector_len_bytes`.
/// [`signature::HEAD_LEN_BYTES`] and the entries of a GPT are enough.
///
/// # Errors
/// `Unsupported` for other sector sizes than 512 and 4096.
pub(crate) fn shown(head: &[u8], sector_len_bytes: u32) -> Result<Shown, FormatError> {
    // The length of the image is not known here, so the medium has no end.
    let geometry = Geometry::new(i64::MAX as u64, sector_len_bytes)?;
    let file_system = signature::by_head(head);
    let entries = head.get(..512).and_then(mbr::parse_record);
    if let Some(entries) = entries.filter(mbr::announces_gpt) {
        return Ok(shown_gpt(head, &geometry, &entries, file_system));
    }
    let Some(entries) = entries else {
        let zeros = head.iter().all(|byte| *byte == 0);
        return Ok(file_system.map_or(Shown::Unknown { zeros }, Shown::FileSystem));
    };
    let partitions: Vec<(u32, Range<u64>)> = mbr_partitions(&entries, &geometry);
    match file_system {
        // Their boot sectors end like a boot record, with code or zeros in place of the table.
        Some(found) if has_boot_sector(&found.kind) && !is_table(&entries, &partitions) => {
            Ok(Shown::FileSystem(found))
        }
        Some(found) if partitions.is_empty() => Ok(Shown::FileSystem(found)),
        None if partitions.is_empty() => Ok(Shown::EmptyTable),
        found => Ok(Shown::Table(Extent {
            scheme: Scheme::Mbr,
            partitions,
            backup: None,
            usable_end_bytes: None,
            extended: extended(&entries, &geometry),
            iso: found.filter(|found| found.kind == FileSystemKind::Iso9660),
        })),
    }
}

fn has_boot_sector(kind: &FileSystemKind) -> bool {
    matches!(kind, FileSystemKind::Vfat | FileSystemKind::Exfat | FileSystemKind::Ntfs)
}

/// Whether the entries are a table and not code: flags and types are valid, and no two partitions overlap.
fn is_table(entries: &[Entry; 4], partitions: &[(u32, Range<u64>)]) -> bool {
    let sane = |entry: &Entry| matches!(entry.status, 0 | 0x80) && entry.kind != 0 && entry.start != 0;
    !partitions.is_empty()
        && entries.iter().filter(|entry| !entry.is_unused()).all(sane)
        && super::check_overlaps("MBR", partitions.to_vec()).is_ok()
}

fn mbr_partitions(entries: &[Entry; 4], geometry: &Geometry) -> Vec<(u32, Range<u64>)> {
    let used = (1..).zip(entries).filter(|(_, entry)| !entry.is_unused());
    used.map(|(number, entry)| (number, bytes(entry.sectors(0), geometry))).collect()
}

fn extended(entries: &[Entry; 4], geometry: &Geometry) -> Option<Range<u64>> {
    let found = entries.iter().find(|entry| !entry.is_unused() && entry.is_extended());
    found.map(|entry| bytes(entry.sectors(0), geometry))
}

/// A link in the chain of logical partitions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Link {
    /// The partition that the record describes.
    pub partition: Option<Range<u64>>,
    /// Where the next record lies.
    pub next: Option<u64>,
}

/// Reads an extended boot record at `record_bytes`, in an extended partition from `extended_bytes` on; `None` if there is
/// none. `sector` is at least 512 bytes long.
pub(crate) fn link(
    sector: &[u8],
    record_bytes: u64,
    extended_bytes: u64,
    sector_len_bytes: u32,
) -> Option<Link> {
    let sector_len_bytes = u64::from(sector_len_bytes);
    let mut link = Link::default();
    let entries = sector.get(..512).and_then(mbr::parse_record)?;
    // Two entries are used: the partition is relative to its own record, the next record to the extended partition.
    for entry in entries[..2].iter().filter(|entry| !entry.is_unused()) {
        let at = |base: u64, sectors: u32| base.saturating_add(u64::from(sectors) * sector_len_bytes);
        if entry.is_extended() {
            link.next = Some(at(extended_bytes, entry.start));
        } else {
            let start = at(record_bytes, entry.start);
            link.partition = Some(start..at(start, entry.len));
        }
    }
    Some(link)
}

/// Both ends are at most 2^33 sectors from the start (MBR), or were checked (GPT).
fn bytes(sectors: Range<u64>, geometry: &Geometry) -> Range<u64> {
    geometry.offset_bytes(sectors.start)..geometry.offset_bytes(sectors.end)
}

fn shown_gpt(
    mut head: &[u8],
    geometry: &Geometry,
    entries: &[Entry; 4],
    file_system: Option<FileSystem>,
) -> Shown {
    let detail = match gpt::read_copy(&mut head, geometry, 1) {
        Ok(table) => match extent(&table, geometry, entries) {
            Ok(extent) => {
                let iso = file_system.filter(|found| found.kind == FileSystemKind::Iso9660);
                return Shown::Table(Extent { iso, ..extent });
            }
            Err(error) => error.to_string(),
        },
        Err(FormatError::Damaged { detail, .. }) => detail,
        Err(error) => format!("its entries cannot be read: {error}"),
    };
    for other in [512, 4096] {
        let Ok(other_geometry) = Geometry::new(i64::MAX as u64, other) else { continue };
        if u64::from(other) != geometry.sector_len_bytes
            && gpt::read_copy(&mut head, &other_geometry, 1).is_ok()
        {
            return Shown::OtherSectors(other);
        }
    }
    Shown::DamagedGpt(detail)
}

/// The extent by an intact copy at the front.
pub(super) fn extent(table: &Gpt, geometry: &Geometry, entries: &[Entry; 4]) -> Result<Extent, FormatError> {
    let found = table.partitions(geometry)?;
    let mut partitions: Vec<_> =
        found.iter().map(|partition| (partition.number, partition.range())).collect();
    // The entries of a hybrid are ignored, and so is the protective one.
    if mbr::purely_protective_slot(entries).is_none() {
        let others = mbr_partitions(entries, geometry);
        let is_protective = |number: u32| mbr::protects(&entries[number as usize - 1]);
        partitions.extend(others.into_iter().filter(|(number, _)| !is_protective(*number)));
    }
    let other = table.other_sector();
    let start = other.checked_sub(table.entries_sectors(geometry)).filter(|start| *start > 2);
    let end = other.checked_add(1).filter(|end| *end <= geometry.sectors);
    let backup = start.zip(end).map(|(start, end)| bytes(start..end, geometry));
    let usable_end = table.stored_last_usable().checked_add(1).filter(|end| *end <= geometry.sectors);
    Ok(Extent {
        scheme: Scheme::Gpt,
        partitions,
        backup,
        usable_end_bytes: usable_end.map(|end| geometry.offset_bytes(end)),
        extended: None,
        iso: None,
    })
}
