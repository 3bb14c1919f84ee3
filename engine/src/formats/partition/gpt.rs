//! The GUID partition table, as in chapter 5 of the UEFI specification.
//!
//! A GPT has two copies: header and entries at the front, entries and header at the end. A copy is intact if both
//! checksums are right and every field is within bounds; the first copy is preferred. The size of the entries is checked
//! before they are read.

use super::guid::Guid;
use super::identity::DiskId;
use super::{FormatError, Geometry, Partition, ReadAt, check_overlaps, damaged, u32_at, u64_at};
use std::ops::RangeInclusive;

const FORMAT: &str = "GPT";

/// Length of a header without the additions of later revisions.
const HEADER_LEN: usize = 92;

/// Most bytes of entries that are read; the usual table has 16 KiB.
const ENTRIES_LIMIT_BYTES: u64 = 1024 * 1024;

/// Offsets in a header.
mod field {
    pub(super) const HEADER_LEN: usize = 12;
    pub(super) const HEADER_CRC: usize = 16;
    pub(super) const OWN_SECTOR: usize = 24;
    pub(super) const OTHER_SECTOR: usize = 32;
    pub(super) const FIRST_USABLE: usize = 40;
    pub(super) const LAST_USABLE: usize = 48;
    pub(super) const DISK_GUID: usize = 56;
    pub(super) const ENTRIES_SECTOR: usize = 72;
    pub(super) const ENTRIES: usize = 80;
    pub(super) const ENTRY_LEN: usize = 84;
    pub(super) const ENTRIES_CRC: usize = 88;
}

/// Offset of a partition's last sector in its entry.
const ENTRY_LAST: usize = 40;
/// A partition's name in its entry: UTF-16, ended by a zero if it is shorter.
const ENTRY_NAME: std::ops::Range<usize> = 56..128;

/// One intact copy of a table.
#[derive(Debug, Clone)]
pub(super) struct Gpt {
    /// The header's sector.
    header: Vec<u8>,
    /// All entries, without the padding of the last sector.
    entries: Vec<u8>,
    /// Whether the copy at the front was not intact.
    pub(super) is_backup: bool,
}

/// Reads an intact copy, the one at the front first.
pub(super) fn read(disk: &mut dyn ReadAt, geometry: &Geometry) -> Result<Gpt, FormatError> {
    let first = match read_copy(disk, geometry, 1) {
        Err(FormatError::Damaged { detail, .. }) => detail,
        other => return other,
    };
    // An image on a larger medium has its second copy elsewhere; then only the first copy is found.
    match read_copy(disk, geometry, geometry.sectors - 1) {
        Ok(copy) => Ok(Gpt { is_backup: true, ..copy }),
        Err(FormatError::Damaged { detail, .. }) => {
            Err(damaged(FORMAT, format!("neither copy is intact: {first}; {detail}")))
        }
        Err(error) => Err(error),
    }
}

/// Reads the copy whose header is at `sector`.
pub(super) fn read_copy(disk: &mut dyn ReadAt, geometry: &Geometry, sector: u64) -> Result<Gpt, FormatError> {
    let at = |detail: &str| damaged(FORMAT, format!("header at sector {sector}: {detail}"));
    if sector == 0 || sector >= geometry.sectors {
        return Err(at("past the end of the medium"));
    }
    let header = geometry.read_sector(disk, sector)?;
    check_header(&header, geometry, sector).map_err(|detail| at(&detail))?;
    let (count, entry_len) = (u32_at(&header, field::ENTRIES), u32_at(&header, field::ENTRY_LEN));
    let len_bytes = u64::from(count) * u64::from(entry_len);
    let start = u64_at(&header, field::ENTRIES_SECTOR);
    let fits = start
        .checked_add(len_bytes.div_ceil(geometry.sector_len_bytes))
        .is_some_and(|end| end <= geometry.sectors);
    if len_bytes > ENTRIES_LIMIT_BYTES || start == 0 || !fits {
        return Err(at(&format!("{count} entries of {entry_len} bytes at sector {start}")));
    }
    // At most the limit, as just checked.
    let mut entries = vec![0; len_bytes as usize];
    disk.read_exact_at(geometry.offset_bytes(start), &mut entries)?;
    if crc32(&entries) != u32_at(&header, field::ENTRIES_CRC) {
        return Err(at("the checksum of the entries is wrong"));
    }
    Ok(Gpt { header, entries, is_backup: false })
}

/// Checks a header without further reads.
fn check_header(header: &[u8], geometry: &Geometry, sector: u64) -> Result<(), String> {
    if !header.starts_with(b"EFI PART") {
        return Err("no signature".to_owned());
    }
    let len = u32_at(header, field::HEADER_LEN) as usize;
    if len < HEADER_LEN || len > header.len() {
        return Err(format!("a length of {len} bytes"));
    }
    if header_crc(header, len) != u32_at(header, field::HEADER_CRC) {
        return Err("the checksum is wrong".to_owned());
    }
    let own = u64_at(header, field::OWN_SECTOR);
    if own != sector {
        return Err(format!("it has sector {own} as its own place"));
    }
    let (first, last) = (u64_at(header, field::FIRST_USABLE), u64_at(header, field::LAST_USABLE));
    if first < 2 || last >= geometry.sectors || first > last {
        return Err(format!("sectors {first} to {last} are usable, but the medium has {}", geometry.sectors));
    }
    let entry_len = u32_at(header, field::ENTRY_LEN);
    if entry_len < 128 || !entry_len.is_power_of_two() {
        return Err(format!("entries of {entry_len} bytes"));
    }
    Ok(())
}

impl Gpt {
    /// A new table of the usual shape: 128 entries of 128 bytes, of which entry `number` is the only one.
    pub(super) fn with_one_partition(
        geometry: &Geometry,
        (number, disk, partition, kind): (u32, Guid, Guid, Guid),
        name: &str,
        sectors: RangeInclusive<u64>,
    ) -> Option<Self> {
        let mut entries = vec![0; ENTRIES_LEN];
        let entry = entries.chunks_exact_mut(ENTRY_LEN).nth((number as usize).checked_sub(1)?)?;
        entry[..16].copy_from_slice(&kind.0);
        entry[16..32].copy_from_slice(&partition.0);
        put_u64(entry, 32, *sectors.start());
        put_u64(entry, ENTRY_LAST, *sectors.end());
        entry[48] = LEGACY_BOOT;
        for (place, unit) in entry[ENTRY_NAME].chunks_exact_mut(2).zip(name.encode_utf16()) {
            place.copy_from_slice(&unit.to_le_bytes());
        }
        // At most 4096 bytes.
        let mut header = vec![0; geometry.sector_len_bytes as usize];
        header[..12].copy_from_slice(b"EFI PART\0\0\x01\0");
        put_u32(&mut header, field::HEADER_LEN, HEADER_LEN as u32);
        put_u64(&mut header, field::FIRST_USABLE, 2 + usual_entries_sectors(geometry));
        header[field::DISK_GUID..][..16].copy_from_slice(&disk.0);
        put_u64(&mut header, field::ENTRIES_SECTOR, 2);
        put_u32(&mut header, field::ENTRIES, 128);
        put_u32(&mut header, field::ENTRY_LEN, 128);
        Some(Self { header, entries, is_backup: false })
    }

    /// The identities of the disk and of partition `number`.
    pub(super) fn disk_id(&self, number: u32) -> Option<DiskId> {
        let entry = self.entries.chunks_exact(self.entry_len()).nth((number as usize).checked_sub(1)?)?;
        Some(DiskId::Gpt {
            disk: Guid::on_disk(&self.header[field::DISK_GUID..][..16]),
            partition: Guid::on_disk(&entry[16..32]),
            kind: Guid::on_disk(&entry[..16]),
            name: name_text(&entry[ENTRY_NAME]).unwrap_or_default(),
        })
    }

    fn entry_len(&self) -> usize {
        u32_at(&self.header, field::ENTRY_LEN) as usize
    }

    /// How many sectors the entries take.
    pub(super) fn entries_sectors(&self, geometry: &Geometry) -> u64 {
        (self.entries.len() as u64).div_ceil(geometry.sector_len_bytes)
    }

    /// Lengths of the copies, at the front (with sector 0) and at the end.
    pub(super) fn copies_len_bytes(&self, geometry: &Geometry) -> (u64, u64) {
        let front_entries = if self.is_backup { 2 } else { u64_at(&self.header, field::ENTRIES_SECTOR) };
        let entries = self.entries_sectors(geometry);
        // The header was checked: its entries lie on the medium.
        (geometry.offset_bytes(front_entries + entries), geometry.offset_bytes(1 + entries))
    }

    /// The partitions by slot.
    pub(super) fn partitions(&self, geometry: &Geometry) -> Result<Vec<Partition>, FormatError> {
        let usable = u64_at(&self.header, field::FIRST_USABLE)..=u64_at(&self.header, field::LAST_USABLE);
        let mut partitions = Vec::new();
        for (number, entry) in (1..).zip(self.entries.chunks_exact(self.entry_len())) {
            if entry[..16] == [0; 16] {
                continue;
            }
            let (first, last) = (u64_at(entry, 32), u64_at(entry, ENTRY_LAST));
            if !usable.contains(&first) || !usable.contains(&last) || first > last {
                let (from, to) = (usable.start(), usable.end());
                let detail = format!(
                    "partition {number} is sectors {first} to {last}, outside of the usable {from} to {to}"
                );
                return Err(damaged(FORMAT, detail));
            }
            let range =
                geometry.partition(number, first..last + 1).map_err(|detail| damaged(FORMAT, detail))?;
            partitions.push(Partition {
                number,
                start_bytes: range.start,
                len_bytes: range.end - range.start,
                bootable: entry[48] & LEGACY_BOOT != 0,
                type_name: Guid::on_disk(&entry[..16]).to_string().to_uppercase(),
                name: name_text(&entry[ENTRY_NAME]),
                uuid: Some(Guid::on_disk(&entry[16..32]).to_string()),
            });
        }
        check_overlaps(
            FORMAT,
            partitions.iter().map(|partition| (partition.number, partition.range())).collect(),
        )?;
        Ok(partitions)
    }

    /// The sector of the other copy's header, from this header.
    pub(super) fn other_sector(&self) -> u64 {
        u64_at(&self.header, field::OTHER_SECTOR)
    }

    /// The last usable sector in the header.
    pub(super) fn stored_last_usable(&self) -> u64 {
        u64_at(&self.header, field::LAST_USABLE)
    }

    /// Moves the end of a partition.
    pub(super) fn set_last_sector(&mut self, number: u32, last: u64) {
        let at = (number as usize - 1) * self.entry_len() + ENTRY_LAST;
        put_u64(&mut self.entries, at, last);
    }

    /// The last sector that a partition may have if the second copy is at the medium's end; `None` if the medium is too
    /// small.
    pub(super) fn last_usable(&self, geometry: &Geometry) -> Option<u64> {
        geometry.sectors.checked_sub(2 + self.entries_sectors(geometry))
    }

    /// Both copies, made for this medium: entries and header at the end, and header and entries at the front.
    ///
    /// The front keeps its entries where they were. `None` if the medium is too small, or there is no room for the entries
    /// before the first usable sector.
    pub(super) fn encode(&self, geometry: &Geometry) -> Option<Copies> {
        let last_sector = geometry.sectors.checked_sub(1)?;
        let last_usable = self.last_usable(geometry)?;
        // The copy at the end does not have the place of the front's entries; they follow the header.
        let front_entries = if self.is_backup { 2 } else { u64_at(&self.header, field::ENTRIES_SECTOR) };
        let entries_sectors = self.entries_sectors(geometry);
        if front_entries < 2
            || front_entries.checked_add(entries_sectors)? > u64_at(&self.header, field::FIRST_USABLE)
        {
            return None;
        }
        let mut padded = self.entries.clone();
        // At most the limit and a sector.
        padded.resize((entries_sectors * geometry.sector_len_bytes) as usize, 0);
        let header = |own, other, entries_sector| {
            let mut header = self.header.clone();
            put_u64(&mut header, field::OWN_SECTOR, own);
            put_u64(&mut header, field::OTHER_SECTOR, other);
            put_u64(&mut header, field::LAST_USABLE, last_usable);
            put_u64(&mut header, field::ENTRIES_SECTOR, entries_sector);
            put_u32(&mut header, field::ENTRIES_CRC, crc32(&self.entries));
            let len = u32_at(&header, field::HEADER_LEN) as usize;
            let crc = header_crc(&header, len);
            put_u32(&mut header, field::HEADER_CRC, crc);
            header
        };
        let mut end = padded.clone();
        end.extend(header(last_sector, 1, last_usable + 1));
        Some(Copies {
            end: (last_usable + 1, end),
            front_entries: (front_entries, padded),
            front_header: (1, header(1, last_sector, front_entries)),
        })
    }
}

/// Both copies of a table, each part with its first sector.
pub(super) struct Copies {
    pub(super) end: (u64, Vec<u8>),
    pub(super) front_entries: (u64, Vec<u8>),
    pub(super) front_header: (u64, Vec<u8>),
}

/// Length of one entry of a new table.
const ENTRY_LEN: usize = 128;
/// Length of the entries of a new table.
const ENTRIES_LEN: usize = 128 * ENTRY_LEN;

/// How many sectors the entries of a new table take.
pub(super) fn usual_entries_sectors(geometry: &Geometry) -> u64 {
    (ENTRIES_LEN as u64).div_ceil(geometry.sector_len_bytes)
}

/// 0FC63DAF-8483-4772-8E79-3D69D8477DE4.
pub(super) const LINUX_FILE_SYSTEM: Guid =
    Guid([0xAF, 0x3D, 0xC6, 0x0F, 0x83, 0x84, 0x72, 0x47, 0x8E, 0x79, 0x3D, 0x69, 0xD8, 0x47, 0x7D, 0xE4]);

/// Attribute bit 2, in the first byte of the attributes: legacy BIOS bootable.
const LEGACY_BOOT: u8 = 1 << 2;

/// A partition's name: UTF-16, up to the first NUL; `None` if there is none.
fn name_text(bytes: &[u8]) -> Option<String> {
    let units = bytes.chunks_exact(2).map(|unit| u16::from_le_bytes([unit[0], unit[1]]));
    let units: Vec<u16> = units.take_while(|unit| *unit != 0).collect();
    (!units.is_empty()).then(|| String::from_utf16_lossy(&units))
}

fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = flate2::Crc::new();
    crc.update(bytes);
    crc.sum()
}

/// The header's checksum is computed with zeros in its place.
fn header_crc(header: &[u8], len: usize) -> u32 {
    let mut copy = header[..len].to_vec();
    put_u32(&mut copy, field::HEADER_CRC, 0);
    crc32(&copy)
}

fn put_u32(bytes: &mut [u8], at: usize, value: u32) {
    bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
}

fn put_u64(bytes: &mut [u8], at: usize, value: u64) {
    bytes[at..at + 8].copy_from_slice(&value.to_le_bytes());
}
