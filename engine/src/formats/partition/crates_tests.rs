//! Compares with independent code, `gptman` and `mbrman`: their tables are read correctly here, and they read the tables
//! that are made and grown here. So the reader is not only tested with its own writer.

use super::*;
use gptman::{GPT, GPTPartitionEntry};
use mbrman::{CHS, MBR, MBRPartitionEntry};
use proptest::prelude::*;
use std::io::Cursor;

const MIB: u64 = 1 << 20;
const LEN_BYTES: u64 = 4 * MIB;
/// The partitions of a test.
const UNIT: u64 = 64 << 10;

/// Number, first byte, length.
type Row = (u32, u64, u64);

fn rows(table: &Table) -> Vec<Row> {
    table.partitions.iter().map(|part| (part.number, part.start_bytes, part.len_bytes)).collect()
}

fn apply(disk: &mut [u8], patches: &[Patch]) {
    for patch in patches {
        let at = usize::try_from(patch.offset_bytes).unwrap();
        disk[at..at + patch.bytes.len()].copy_from_slice(&patch.bytes);
    }
}

fn read_here(disk: &[u8], sector_len: u32) -> Table {
    let mut disk = disk;
    read(&mut disk, sector_len).unwrap().unwrap()
}

/// The rows of a GPT as gptman reads them, of the first copy that it accepts.
fn rows_of_gptman(disk: &[u8], sector_len: u64) -> Vec<Row> {
    let gpt = GPT::read_from(&mut Cursor::new(disk), sector_len).unwrap();
    let used = gpt.iter().filter(|(_, entry)| entry.is_used());
    used.map(|(number, entry)| {
        let start = entry.starting_lba * sector_len;
        (number, start, (entry.ending_lba + 1) * sector_len - start)
    })
    .collect()
}

fn rows_of_mbrman(disk: &[u8], sector_len: u64) -> Vec<Row> {
    let mbr = MBR::read_from(&mut Cursor::new(disk), sector_len as u32).unwrap();
    let used = mbr.iter().filter(|(_, entry)| entry.is_used() && !entry.is_extended());
    used.map(|(number, entry)| {
        let [start, len] = [entry.starting_lba, entry.sectors].map(|sectors| u64::from(sectors) * sector_len);
        (number as u32, start, len)
    })
    .collect()
}

/// Up to four partitions that do not overlap, each in a slot of its own.
fn extents() -> impl Strategy<Value = Vec<(u32, u64, u64)>> {
    (prop::collection::btree_set(1..60_u64, 2..9), Just([1_u32, 2, 3, 4]).prop_shuffle()).prop_map(
        |(cuts, slots)| {
            let cuts: Vec<u64> = cuts.into_iter().collect();
            let mut parts: Vec<_> = cuts
                .chunks_exact(2)
                .zip(slots)
                .map(|(cut, slot)| (slot, cut[0] * UNIT, (cut[1] - cut[0]) * UNIT))
                .collect();
            parts.sort();
            parts
        },
    )
}

fn sector_len() -> impl Strategy<Value = u64> {
    prop_oneof![Just(512_u64), Just(4096)]
}

fn gpt_of_gptman(parts: &[Row], sector_len: u64) -> Vec<u8> {
    let mut disk = Cursor::new(vec![0; LEN_BYTES as usize]);
    GPT::write_protective_mbr_into(&mut disk, sector_len).unwrap();
    let mut gpt = GPT::new_from(&mut disk, sector_len, [0x5A; 16]).unwrap();
    for (number, start, len) in parts {
        gpt[*number] = GPTPartitionEntry {
            partition_type_guid: [0xAF; 16],
            unique_partition_guid: [*number as u8; 16],
            starting_lba: start / sector_len,
            ending_lba: (start + len) / sector_len - 1,
            attribute_bits: if number % 2 == 0 { 1 << 2 } else { 0 },
            partition_name: format!("p{number} ä").as_str().into(),
        };
    }
    gpt.write_into(&mut disk).unwrap();
    disk.into_inner()
}

fn mbr_of_mbrman(parts: &[Row], sector_len: u64) -> Vec<u8> {
    let mut disk = Cursor::new(vec![0; LEN_BYTES as usize]);
    let mut mbr = MBR::new_from(&mut disk, sector_len as u32, [0xD1, 0xC2, 0xB3, 0xA4]).unwrap();
    for (number, start, len) in parts {
        mbr[*number as usize] = MBRPartitionEntry {
            boot: if number % 2 == 0 { mbrman::BOOT_ACTIVE } else { mbrman::BOOT_INACTIVE },
            first_chs: CHS::empty(),
            sys: 0x83,
            last_chs: CHS::empty(),
            starting_lba: (start / sector_len) as u32,
            sectors: (len / sector_len) as u32,
        };
    }
    mbr.write_into(&mut disk).unwrap();
    disk.into_inner()
}

proptest! {
    #[test]
    fn a_gpt_of_gptman_is_read_correctly(parts in extents(), sector_len in sector_len(), broken in any::<bool>()) {
        let mut disk = gpt_of_gptman(&parts, sector_len);
        if broken {
            // Of the first copy; the second one has the same.
            disk[sector_len as usize + 40] ^= 1;
        }
        let table = read_here(&disk, sector_len as u32);
        prop_assert_eq!(table.scheme, Scheme::Gpt);
        prop_assert_eq!(rows(&table), parts);
        for part in &table.partitions {
            prop_assert_eq!(part.bootable, part.number % 2 == 0);
            prop_assert_eq!(part.name.clone(), Some(format!("p{} ä", part.number)));
            let byte = format!("{:02x}", part.number);
            prop_assert!(part.uuid.as_ref().is_some_and(|uuid| uuid.replace('-', "") == byte.repeat(16)));
        }
    }

    #[test]
    fn an_mbr_of_mbrman_is_read_correctly(parts in extents(), sector_len in sector_len()) {
        let table = read_here(&mbr_of_mbrman(&parts, sector_len), sector_len as u32);
        prop_assert_eq!(table.scheme, Scheme::Mbr);
        prop_assert_eq!(rows(&table), parts);
        for part in &table.partitions {
            prop_assert_eq!(part.bootable, part.number % 2 == 0);
            prop_assert_eq!(part.uuid.clone(), Some(format!("a4b3c2d1-{:02}", part.number)));
        }
    }

    #[test]
    fn gptman_and_mbrman_read_grown_tables(parts in extents(), sector_len in sector_len(), is_gpt in any::<bool>()) {
        let mut disk = if is_gpt { gpt_of_gptman(&parts, sector_len) } else { mbr_of_mbrman(&parts, sector_len) };
        disk.resize(2 * LEN_BYTES as usize, 0);
        let growth = grow_last(&mut disk.as_slice(), sector_len as u32).unwrap().unwrap();
        apply(&mut disk, &growth.patches);
        let expected: Vec<Row> = parts
            .iter()
            .map(|&(number, start, len)| {
                (number, start, if number == growth.partition_number { growth.new_len_bytes } else { len })
            })
            .collect();
        prop_assert_eq!(rows(&read_here(&disk, sector_len as u32)), expected.clone());
        if is_gpt {
            prop_assert_eq!(rows_of_gptman(&disk, sector_len), expected.clone());
            disk[sector_len as usize + 40] ^= 1;
            prop_assert_eq!(rows_of_gptman(&disk, sector_len), expected, "the second copy");
        } else {
            prop_assert_eq!(rows_of_mbrman(&disk, sector_len), expected);
        }
    }

    #[test]
    fn gptman_and_mbrman_read_new_tables(
        len_mib in 8..24_u64, sector_len in sector_len(), is_gpt in any::<bool>(), random in any::<[u8; 32]>(),
    ) {
        let scheme = if is_gpt { Scheme::Gpt } else { Scheme::Mbr };
        let layout =
            single_partition(&Identity::fresh(scheme, random), len_mib * MIB, sector_len as u32).unwrap();
        let mut disk = vec![0; (len_mib * MIB) as usize];
        apply(&mut disk, &layout.patches);
        let expected = vec![(1, layout.region.start, layout.region.end - layout.region.start)];
        let found = if is_gpt { rows_of_gptman(&disk, sector_len) } else { rows_of_mbrman(&disk, sector_len) };
        prop_assert_eq!(found, expected);
    }
}

/// The numbers of logical partitions are those of the kernel: from 5 on, in the order of the chain.
#[test]
fn logical_partitions_of_mbrman_are_read_correctly() {
    let mut disk = Cursor::new(vec![0; 64 * MIB as usize]);
    let mut mbr = MBR::new_from(&mut disk, 512, [1, 2, 3, 4]).unwrap();
    let entry = |sys, starting_lba, sectors| MBRPartitionEntry {
        boot: mbrman::BOOT_INACTIVE,
        first_chs: CHS::empty(),
        sys,
        last_chs: CHS::empty(),
        starting_lba,
        sectors,
    };
    mbr[1] = entry(0x0C, 2048, 2048);
    mbr[3] = entry(0x05, 8192, 65_536);
    for (start, sectors) in [(10_240, 4096), (20_480, 6144), (40_960, 8192)] {
        mbr.push(0x83, start, sectors).unwrap();
    }
    mbr.write_into(&mut disk).unwrap();
    let disk = disk.into_inner();
    let table = read_here(&disk, 512);
    assert_eq!(rows(&table), rows_of_mbrman(&disk, 512));
    assert_eq!(table.partitions.iter().map(|part| part.number).collect::<Vec<_>>(), [1, 5, 6, 7]);
}
