//! Writes the partition tables of the media in scenarios.
//!
//! It is separate from the engine's own writer on purpose: a fault of both would not be found.

use super::layout::{Layout, Part};
use crate::model::bytes::digest::{FOLD_START, fold};
use crate::model::bytes::pages::Pages;
use crate::model::bytes::partitions::make_mbr;
use crate::scenario::composition::{Holds, Scheme};
use crate::scenario::guid;
use crate::scenario::schema::TableDamage;

const SECTOR: u64 = 512;
const ENTRIES: u64 = 128;
const ENTRY_LEN: usize = 128;
/// Offset of the disk's identity in an MBR.
const DISK_ID_AT: u64 = 440;
/// Partition types of a GPT.
const LINUX: &str = "0fc63daf-8483-4772-8e79-3d69d8477de4";
const BASIC: &str = "ebd0a0a2-b9e5-4433-87c0-68b6b72699c7";
const SWAP: &str = "0657fd6d-a4ab-43c4-84e5-0933c84b4f4f";
const LVM: &str = "e6d6d379-f507-44c2-a23c-238f2a3df928";
const LUKS: &str = "ca7d7ccb-63ed-4c53-861c-1742536059cc";

pub(super) fn write(layout: &Layout, name: &str, pages: &mut Pages) {
    match layout.scheme {
        Scheme::Mbr => {
            let mut table = [(0, 0, 0); 4];
            for part in layout.parts.iter().filter(|part| (1..=4).contains(&part.number)) {
                table[part.number as usize - 1] = mbr_entry(part);
            }
            write_mbr(layout, &table, pages);
        }
        Scheme::Logical => write_logical(layout, pages),
        Scheme::Gpt => write_gpt(layout, name, pages),
        Scheme::None => {}
    }
}

fn write_mbr(layout: &Layout, table: &[(u8, u64, u64)], pages: &mut Pages) {
    pages.write(0, &make_mbr(table));
    // As `fdisk` prints it: one number, stored with the lowest byte first.
    if let Some(mut id) = layout.disk_id.as_deref().and_then(guid::parse) {
        id[..4].reverse();
        pages.write(DISK_ID_AT, &id[..4]);
    }
}

/// Type byte of a partition in an MBR.
fn mbr_type(part: &Part) -> u8 {
    let listed = part.spec.part_type.as_deref().and_then(|text| u8::from_str_radix(text, 16).ok());
    listed.unwrap_or(match part.holds() {
        Holds::Boot => 0x0c,
        Holds::Swap => 0x82,
        Holds::Lvm => 0x8e,
        Holds::Rootfs | Holds::Data | Holds::Empty | Holds::Luks | Holds::Raw | Holds::Blank => 0x83,
    })
}

fn mbr_entry(part: &Part) -> (u8, u64, u64) {
    (mbr_type(part), part.start_bytes, part.len_bytes)
}

/// Type of a partition in a GPT.
fn gpt_type(part: &Part) -> [u8; 16] {
    let usual = match part.holds() {
        Holds::Boot => BASIC,
        Holds::Swap => SWAP,
        Holds::Lvm => LVM,
        Holds::Luks => LUKS,
        Holds::Rootfs | Holds::Data | Holds::Empty | Holds::Raw | Holds::Blank => LINUX,
    };
    let listed = part.spec.part_type.as_deref().and_then(guid::parse_gpt);
    listed.or_else(|| guid::parse_gpt(usual)).unwrap_or_default()
}

/// Each logical partition has a table of its own in the sectors before it.
fn write_logical(layout: &Layout, pages: &mut Pages) {
    let (logical, primary): (Vec<&Part>, Vec<&Part>) = layout.parts.iter().partition(|part| part.number >= 5);
    let mut table: Vec<_> = primary.iter().map(|part| mbr_entry(part)).collect();
    let extended = primary.iter().map(|part| part.start_bytes + part.len_bytes).max().unwrap_or(1 << 20);
    table.push((0x05, extended, pages.len_bytes() - extended));
    write_mbr(layout, &table, pages);
    let mut at = extended;
    for (index, part) in logical.iter().enumerate() {
        let (kind, start, len) = mbr_entry(part);
        let mut chain = vec![(kind, start - at, len)];
        let next = start + len;
        if let Some(after) = logical.get(index + 1) {
            chain.push((0x05, next - extended, after.start_bytes + after.len_bytes - next));
        }
        pages.write(at, &make_mbr(&chain));
        at = next;
    }
}

fn write_gpt(layout: &Layout, name: &str, pages: &mut Pages) {
    let sectors = pages.len_bytes() / SECTOR;
    pages.write(0, &make_mbr(&[(0xee, SECTOR, (sectors - 1) * SECTOR)]));
    let guid_of = |what: &str| {
        let first = fold(fold(FOLD_START, name.as_bytes()), what.as_bytes());
        let mut guid = [0; 16];
        guid[..8].copy_from_slice(&first.to_le_bytes());
        guid[8..].copy_from_slice(&fold(first, b"guid").to_le_bytes());
        guid
    };
    let mut entries = vec![0; ENTRIES as usize * ENTRY_LEN];
    for part in &layout.parts {
        let at = (part.number as usize - 1) * ENTRY_LEN;
        let entry = &mut entries[at..at + ENTRY_LEN];
        entry[..16].copy_from_slice(&gpt_type(part));
        let listed = part.spec.part_uuid.as_deref().and_then(guid::parse_gpt);
        entry[16..32]
            .copy_from_slice(&listed.unwrap_or_else(|| guid_of(&format!("partition {}", part.number))));
        let name = part.spec.part_name.as_deref().unwrap_or_default();
        for (place, unit) in entry[56..].chunks_mut(2).zip(name.encode_utf16()) {
            place.copy_from_slice(&unit.to_le_bytes());
        }
        entry[32..40].copy_from_slice(&(part.start_bytes / SECTOR).to_le_bytes());
        let last = (part.start_bytes + part.len_bytes) / SECTOR - 1;
        entry[40..48].copy_from_slice(&last.to_le_bytes());
    }
    let disk = layout.disk_id.as_deref().and_then(guid::parse_gpt).unwrap_or_else(|| guid_of("disk"));
    let entries_sectors = entries.len() as u64 / SECTOR;
    let copy_start = sectors - 1 - entries_sectors;
    for (own, other, table) in [(1, sectors - 1, 2), (sectors - 1, 1, copy_start)] {
        pages.write(table * SECTOR, &entries);
        let header = gpt_header(own, other, table, [2 + entries_sectors, copy_start - 1], disk, &entries);
        pages.write(own * SECTOR, &header);
    }
}

/// UEFI specification, 5.3.2.
fn gpt_header(
    own: u64,
    other: u64,
    table: u64,
    usable: [u64; 2],
    disk: [u8; 16],
    entries: &[u8],
) -> [u8; 512] {
    let mut header = [0; SECTOR as usize];
    header[..8].copy_from_slice(b"EFI PART");
    header[8..12].copy_from_slice(&0x0001_0000_u32.to_le_bytes());
    header[12..16].copy_from_slice(&92_u32.to_le_bytes());
    for (at, value) in [(24, own), (32, other), (40, usable[0]), (48, usable[1]), (72, table)] {
        header[at..at + 8].copy_from_slice(&value.to_le_bytes());
    }
    header[56..72].copy_from_slice(&disk);
    header[80..84].copy_from_slice(&(ENTRIES as u32).to_le_bytes());
    header[84..88].copy_from_slice(&(ENTRY_LEN as u32).to_le_bytes());
    header[88..92].copy_from_slice(&crc(entries).to_le_bytes());
    let sum = crc(&header[..92]);
    header[16..20].copy_from_slice(&sum.to_le_bytes());
    header
}

fn crc(bytes: &[u8]) -> u32 {
    let mut crc = flate2::Crc::new();
    crc.update(bytes);
    crc.sum()
}

/// Makes the last logical partition of an image four times as long as the whole.
///
/// # Errors
/// If the image has no logical partition.
pub(in crate::scenario) fn lengthen_last_logical(image: &mut [u8]) -> Result<(), String> {
    let number = |image: &[u8], at: usize| {
        let bytes = image.get(at..at + 4).ok_or("a table outside of the image")?;
        Ok::<usize, String>(u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]) as usize)
    };
    let is_extended = |slot: &usize| image.get(446 + 16 * slot + 4) == Some(&0x05);
    let slot = (0..4).find(is_extended).ok_or("there is no extended partition")?;
    let extended = number(image, 446 + 16 * slot + 8)?;
    let mut record = extended;
    while number(image, record * 512 + 446 + 16 + 12)? > 0 {
        record = extended + number(image, record * 512 + 446 + 16 + 8)?;
    }
    let len = ((image.len() / 512 * 4) as u32).to_le_bytes();
    image[record * 512 + 446 + 12..record * 512 + 446 + 16].copy_from_slice(&len);
    Ok(())
}

/// Damages the table of a medium that is built.
pub(super) fn damage(damage: TableDamage, layout: Option<&Layout>, pages: &mut Pages) {
    let len_bytes = pages.len_bytes();
    let entry = |number: u64| 446 + 16 * (number - 1);
    let number_at = |pages: &Pages, at: u64| {
        let bytes = pages.bytes(at, 4);
        u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
    };
    match damage {
        TableDamage::Overlapping => {
            let (first, second) = (number_at(pages, entry(1) + 8), number_at(pages, entry(2) + 8));
            let inside = first + second.saturating_sub(first) / 2;
            pages.write(entry(2) + 8, &inside.to_le_bytes());
        }
        TableDamage::PastEnd => {
            let last = if number_at(pages, entry(2) + 12) > 0 { 2 } else { 1 };
            pages.write(entry(last) + 12, &((len_bytes / SECTOR * 4) as u32).to_le_bytes());
        }
        TableDamage::Hybrid => {
            let mut second = [0; 16];
            second[4] = 0x83;
            let start_bytes = layout.and_then(Layout::rootfs).map_or(0, |part| part.start_bytes);
            second[8..12].copy_from_slice(&((start_bytes / SECTOR) as u32).to_le_bytes());
            second[12..].copy_from_slice(&4096_u32.to_le_bytes());
            pages.write(entry(2), &second);
        }
        TableDamage::ProtectiveOnly => {
            pages.write(SECTOR, &[0; SECTOR as usize]);
            pages.write(len_bytes - SECTOR, &[0; SECTOR as usize]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::bytes::partitions::read_partitions;
    use crate::scenario::schema::Content;
    use replicator_engine::formats::partition;

    #[test]
    fn the_kernels_model_and_the_engine_read_the_same_layout() {
        for content in [
            Content::Single,
            Content::SingleGpt,
            Content::BootAndRoot,
            Content::RootAndData,
            Content::Gpt,
            Content::Logical,
        ] {
            for len_bytes in [2 << 20, 4 << 20, 8 << 20] {
                // Logical partitions need more room.
                if content != Content::Logical || len_bytes != 4 << 20 {
                    reads_back(content, len_bytes);
                }
            }
        }
    }

    fn reads_back(content: Content, len_bytes: u64) {
        let layout = Layout::of(content, len_bytes).unwrap();
        let mut pages = Pages::zeros(len_bytes);
        write(&layout, "sd", &mut pages);
        let wanted: Vec<_> =
            layout.parts.iter().map(|part| (part.number, part.start_bytes, part.len_bytes)).collect();
        let mut seen: Vec<_> = read_partitions("mmcblk0", &pages)
            .iter()
            .map(|found| (found.number, found.start_bytes, found.len_bytes))
            .collect();
        // The kernel lists the extended partition too, with a length of two sectors.
        seen.retain(|found| wanted.iter().any(|part| part.0 == found.0));
        assert_eq!(seen, wanted, "{content:?}");
        let bytes = pages.to_vec();
        let table = partition::read(&mut bytes.as_slice(), 512).unwrap().unwrap();
        let read: Vec<_> =
            table.partitions.iter().map(|found| (found.number, found.start_bytes, found.len_bytes)).collect();
        assert_eq!(read, wanted, "{content:?}");
    }
}
