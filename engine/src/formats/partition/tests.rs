//! Tests of the partition tables as a whole: what is read, what is refused, and what a new layout reads back as.

mod grow;

use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::io;

const MIB: u64 = 1024 * 1024;

/// Status, type, start, length.
type RawEntry = (u8, u8, u32, u32);

/// A medium of any size of which only the written sectors take memory.
#[derive(Clone)]
struct Sparse {
    len_bytes: u64,
    /// By blocks of 512 bytes.
    blocks: BTreeMap<u64, [u8; 512]>,
}

impl Sparse {
    fn new(len_bytes: u64) -> Self {
        Self { len_bytes, blocks: BTreeMap::new() }
    }

    fn write(&mut self, offset_bytes: u64, bytes: &[u8]) {
        assert!(offset_bytes + bytes.len() as u64 <= self.len_bytes, "a patch past the end");
        for (offset, byte) in (offset_bytes..).zip(bytes) {
            self.blocks.entry(offset / 512).or_insert([0; 512])[(offset % 512) as usize] = *byte;
        }
    }

    fn apply(&mut self, patches: &[Patch], sector_len_bytes: u64) {
        for patch in patches {
            assert_eq!(patch.offset_bytes % sector_len_bytes, 0);
            assert_eq!(patch.bytes.len() as u64 % sector_len_bytes, 0);
            self.write(patch.offset_bytes, &patch.bytes);
        }
    }

    fn get(&mut self, offset_bytes: u64, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        self.read_exact_at(offset_bytes, &mut bytes).unwrap();
        bytes
    }
}

impl ReadAt for Sparse {
    fn len_bytes(&self) -> u64 {
        self.len_bytes
    }

    fn read_at(&mut self, offset_bytes: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let inside = (offset_bytes % 512) as usize;
        let left = usize::try_from(self.len_bytes.saturating_sub(offset_bytes)).unwrap_or(usize::MAX);
        let len = buffer.len().min(512 - inside).min(left);
        match self.blocks.get(&(offset_bytes / 512)) {
            Some(block) => buffer[..len].copy_from_slice(&block[inside..inside + len]),
            None => buffer[..len].fill(0),
        }
        Ok(len)
    }
}

/// Writes a boot record.
fn record(disk: &mut Sparse, offset_bytes: u64, entries: &[RawEntry]) {
    let mut bytes = [0; 512];
    for (slot, (status, kind, start, len)) in entries.iter().enumerate() {
        let entry = &mut bytes[446 + 16 * slot..][..16];
        entry[0] = *status;
        entry[4] = *kind;
        entry[8..12].copy_from_slice(&start.to_le_bytes());
        entry[12..].copy_from_slice(&len.to_le_bytes());
    }
    bytes[510] = 0x55;
    bytes[511] = 0xAA;
    disk.write(offset_bytes, &bytes);
}

fn disk_with(entries: &[RawEntry]) -> Sparse {
    let mut disk = Sparse::new(64 * MIB);
    record(&mut disk, 0, entries);
    disk
}

fn numbers_and_ranges(table: &Table) -> Vec<(u32, u64, u64)> {
    table
        .partitions
        .iter()
        .map(|partition| (partition.number, partition.start_bytes / 512, partition.len_bytes / 512))
        .collect()
}

fn damage(result: Result<Option<Table>, FormatError>) -> String {
    match result {
        Err(FormatError::Damaged { detail, .. }) => detail,
        other => panic!("not damaged: {other:?}"),
    }
}

#[test]
fn a_blank_tiny_or_unknown_medium_has_no_table() {
    for len_bytes in [0, 1, 511, 512, 513, MIB] {
        assert_eq!(read(&mut Sparse::new(len_bytes), 512).unwrap(), None);
        assert_eq!(read(&mut Sparse::new(len_bytes), 4096).unwrap(), None);
    }
    let mut noise: &[u8] = &[0xA5; 4096];
    assert_eq!(read(&mut noise, 512).unwrap(), None);
    assert!(matches!(read(&mut noise, 520), Err(FormatError::Unsupported { .. })));
    assert!(matches!(read(&mut noise, 0), Err(FormatError::Unsupported { .. })));
}

#[test]
fn primary_and_logical_partitions_are_numbered_as_by_the_kernel() {
    let mut disk =
        disk_with(&[(0x80, 0x0C, 2048, 2048), (0, 0, 0, 0), (0, 0x0F, 8192, 65536), (0, 0x83, 4096, 2048)]);
    record(&mut disk, 8192 * 512, &[(0, 0x83, 2048, 4096), (0, 0x05, 16384, 10_000)]);
    record(&mut disk, (8192 + 16384) * 512, &[(0, 0, 0, 0), (0, 0x05, 32768, 4096)]);
    record(&mut disk, (8192 + 32768) * 512, &[(0, 0x82, 64, 1000)]);
    let table = read(&mut disk, 512).unwrap().unwrap();
    assert_eq!(table.scheme, Scheme::Mbr);
    assert_eq!(
        numbers_and_ranges(&table),
        [(1, 2048, 2048), (4, 4096, 2048), (5, 10240, 4096), (6, 41024, 1000)]
    );
    let types: Vec<&str> = table.partitions.iter().map(|partition| partition.type_name.as_str()).collect();
    assert_eq!(types, ["0x0c", "0x83", "0x83", "0x82"]);
    assert!(table.partitions[0].bootable && !table.partitions[1].bootable);
}

#[test]
fn sectors_of_4096_bytes_count_as_such() {
    let mut disk = disk_with(&[(0, 0x83, 256, 512)]);
    let table = read(&mut disk, 4096).unwrap().unwrap();
    assert_eq!(table.partitions[0].range(), MIB..3 * MIB);
    let mut too_small = Sparse::new(3 * MIB - 1);
    record(&mut too_small, 0, &[(0, 0x83, 256, 512)]);
    assert!(damage(read(&mut too_small, 4096)).contains("the medium has 767"));
}

#[test]
fn an_empty_table_is_a_table() {
    assert_eq!(
        read(&mut disk_with(&[]), 512).unwrap(),
        Some(Table {
            scheme: Scheme::Mbr,
            partitions: vec![],
            identity: None,
            front_len_bytes: 512,
            back_len_bytes: 0
        })
    );
}

#[test]
fn a_damaged_mbr_is_an_error_with_the_reason() {
    let table: [(&[RawEntry], &str); 7] = [
        (&[(0, 0x83, 2048, 2048), (0, 0x83, 4095, 10)], "1 and 2 overlap"),
        (&[(0, 0x83, 2048, 131_072)], "the medium has 131072"),
        (&[(0, 0x83, u32::MAX, u32::MAX)], "the medium has 131072"),
        (&[(0x12, 0x83, 2048, 2048)], "boot flag of 0x12"),
        (&[(0, 0x17, 0, 100)], "over the table"),
        (&[(0, 0x05, 2048, 2048), (0, 0x0F, 8192, 2048)], "two extended"),
        (&[(0, 0x05, 2048, 2048)], "no boot record at sector 2048"),
    ];
    for (entries, words) in table {
        let detail = damage(read(&mut disk_with(entries), 512));
        assert!(detail.contains(words), "{detail}");
    }
}

#[test]
fn a_chain_of_logical_partitions_that_loops_or_leaves_ends() {
    let chain = |records: &[(u64, &[RawEntry])]| {
        let mut disk = disk_with(&[(0, 0x05, 2048, 100_000)]);
        for (sector, entries) in records {
            record(&mut disk, sector * 512, entries);
        }
        damage(read(&mut disk, 512))
    };
    assert!(chain(&[(2048, &[(0, 0x83, 1, 10), (0, 5, 0, 10)])]).contains("loops at sector 2048"));
    let back = [
        (2048, &[(0, 0x83, 1, 10), (0, 5, 100, 10)][..]),
        (2148, &[(0, 0x83, 1, 10), (0, 5, 200, 10)]),
        (2248, &[(0, 0x83, 1, 10), (0, 5, 100, 10)]),
    ];
    assert!(chain(&back).contains("loops at sector 2148"));
    assert!(chain(&[(2048, &[(0, 5, u32::MAX, 10)])]).contains("leaves to sector"));
    assert!(chain(&[(2048, &[(0, 0x83, 2048, 100_000)])]).contains("leaves the extended"));
    assert!(chain(&[(2048, &[(0, 0x83, 0, 10)])]).contains("leaves the extended"));
    let twice = [(2048, &[(0, 0x83, 50, 100), (0, 5, 20, 10)][..]), (2068, &[(0, 0x83, 50, 100)])];
    assert!(chain(&twice).contains("5 and 6 overlap"));

    let mut long = disk_with(&[(0, 0x05, 2048, 100_000)]);
    for number in 0..200 {
        let link = (0, 5, (number + 1) * 100, 100);
        record(&mut long, u64::from(2048 + number * 100) * 512, &[(0, 0x83, 1, 10), link]);
    }
    assert!(damage(read(&mut long, 512)).contains("more than 128"));
}

/// A boot sector as mkfs.fat makes it, with a table where code would be.
fn fat_boot_sector(disk: &mut Sparse, entries: &[RawEntry]) {
    record(disk, 0, entries);
    disk.write(0, b"\xEB\x58\x90mkfs.fat\x00\x02\x08\x20\x00\x02\x00\x00\x00\x00\xF8");
    disk.write(82, b"FAT32   ");
}

#[test]
fn a_file_system_over_the_whole_medium_is_no_table() {
    let mut disk = Sparse::new(64 * MIB);
    fat_boot_sector(&mut disk, &[]);
    assert_eq!(read(&mut disk, 512).unwrap(), None);
    // Boot code and text where the entries would be.
    disk.write(446, b"This is not a bootable disk.  Please insert a bootable floppy");
    assert_eq!(read(&mut disk, 512).unwrap(), None);
    // Newer mkfs.fat writes an entry that covers the whole medium, also its own sector.
    fat_boot_sector(&mut disk, &[(0x80, 0x0C, 0, 131_072)]);
    assert_eq!(read(&mut disk, 512).unwrap(), None);
    // With true partitions, what looks like FAT is a boot manager.
    fat_boot_sector(&mut disk, &[(0x80, 0x0C, 2048, 2048)]);
    assert_eq!(numbers_and_ranges(&read(&mut disk, 512).unwrap().unwrap()), [(1, 2048, 2048)]);

    for name in [b"EXFAT   ", b"NTFS    "] {
        let mut disk = disk_with(&[(0x37, 0x83, 1, 1)]);
        disk.write(0, &[b"\xEB\x76\x90", &name[..]].concat());
        assert_eq!(read(&mut disk, 512).unwrap(), None);
    }
    let mut ext = disk_with(&[]);
    ext.write(1024 + 56, &[0x53, 0xEF]);
    assert_eq!(read(&mut ext, 512).unwrap(), None);
    // A table over the remains of such a file system.
    record(&mut ext, 0, &[(0, 0x83, 2048, 2048)]);
    assert_eq!(numbers_and_ranges(&read(&mut ext, 512).unwrap().unwrap()), [(1, 2048, 2048)]);
}

fn gpt_disk(len_bytes: u64, sector_len_bytes: u32) -> Sparse {
    let mut disk = Sparse::new(len_bytes);
    let layout =
        single_partition(&Identity::fresh(Scheme::Gpt, [7; 32]), len_bytes, sector_len_bytes).unwrap();
    disk.apply(&layout.patches, u64::from(sector_len_bytes));
    disk
}

#[test]
fn either_copy_of_a_gpt_is_enough_and_none_is_damage() {
    for sector_len in [512, 4096] {
        let good = gpt_disk(64 * MIB, sector_len);
        let expected = read(&mut good.clone(), sector_len).unwrap();
        assert!(expected.is_some());
        let sector_len_bytes = u64::from(sector_len);
        for broken in [sector_len_bytes + 60, 2 * sector_len_bytes + 33, 64 * MIB - sector_len_bytes + 60] {
            let mut disk = good.clone();
            disk.write(broken, b"X");
            assert_eq!(read(&mut disk, sector_len).unwrap(), expected);
        }
        let mut disk = good.clone();
        disk.write(sector_len_bytes, b"X");
        disk.write(64 * MIB - sector_len_bytes, b"X");
        let detail = damage(read(&mut disk, sector_len));
        assert!(detail.contains("neither copy") && detail.contains("no signature"), "{detail}");
    }
    // Cut off, it is neither whole nor anything else.
    let mut cut = gpt_disk(64 * MIB, 512);
    cut.len_bytes = 32 * MIB;
    assert!(damage(read(&mut cut, 512)).contains("usable"));
}

/// Changes a field of the first header and makes its checksum right again.
fn set_header_field(disk: &mut Sparse, at: u64, bytes: &[u8]) {
    disk.write(512 + at, bytes);
    disk.write(512 + 16, &[0; 4]);
    let mut crc = flate2::Crc::new();
    crc.update(&disk.get(512, 92));
    disk.write(512 + 16, &crc.sum().to_le_bytes());
}

#[test]
fn a_hostile_header_with_a_right_checksum_takes_no_memory() {
    for (at, bytes, words) in [
        (80, &[0xFF; 4][..], "4294967295 entries"),
        (84, &[0, 0, 0, 0x80], "4294967295 entries|entries of 2147483648|128 entries of 2147483648"),
        (84, &[0; 4], "entries of 0"),
        (84, &[129, 0, 0, 0], "entries of 129"),
        (72, &[0xFF; 8], "at sector 18446744073709551615"),
        (72, &[0; 8], "at sector 0"),
        (48, &[0xFF; 8], "usable"),
        (40, &[0xFF; 8], "usable"),
        (24, &[9; 8], "as its own place"),
        (88, &[1; 4], "checksum of the entries"),
    ] {
        let mut disk = gpt_disk(64 * MIB, 512);
        let expected = read(&mut disk, 512).unwrap();
        set_header_field(&mut disk, at, bytes);
        assert_eq!(read(&mut disk, 512).unwrap(), expected, "the other copy serves");
        disk.write(64 * MIB - 512, &[0; 8]);
        let detail = damage(read(&mut disk, 512));
        assert!(words.split('|').any(|words| detail.contains(words)), "{at}: {detail}");
    }
    let mut disk = gpt_disk(64 * MIB, 512);
    disk.write(512 + 12, &[0xFF; 4]);
    disk.write(64 * MIB - 512, &[0; 8]);
    assert!(damage(read(&mut disk, 512)).contains("a length of 4294967295"));
}

#[test]
fn a_hybrid_is_read_as_gpt_and_not_grown() {
    let mut disk = gpt_disk(64 * MIB, 512);
    record(&mut disk, 0, &[(0, 0x83, 8192, 2048), (0, 0xEE, 1, 8191)]);
    disk.len_bytes = 128 * MIB;
    let table = read(&mut disk, 512).unwrap().unwrap();
    assert_eq!((table.scheme, numbers_and_ranges(&table).len()), (Scheme::Gpt, 1));
    assert_eq!(grow_last(&mut disk, 512).unwrap(), None);
    // Without the protective entry, a left-over GPT is ignored.
    record(&mut disk, 0, &[(0, 0x83, 2048, 2048)]);
    assert_eq!(read(&mut disk, 512).unwrap().unwrap().scheme, Scheme::Mbr);
}

#[test]
fn a_new_layout_is_read_back_and_leaves_the_region_alone() {
    for scheme in [Scheme::Mbr, Scheme::Gpt] {
        for sector_len in [512, 4096] {
            for len_bytes in [6 * MIB, 64 * MIB, 64 * MIB + 4096 * 3, 8 << 30] {
                let layout =
                    single_partition(&Identity::fresh(scheme, [9; 32]), len_bytes, sector_len).unwrap();
                assert_eq!((layout.region.start, layout.region.end % 4096), (4 * MIB, 0));
                assert!(layout.region.end <= len_bytes && layout.region.end + 6 * 4096 > len_bytes);
                let mut disk = Sparse::new(len_bytes);
                disk.apply(&layout.patches, u64::from(sector_len));
                assert!(layout.patches.iter().all(|patch| {
                    let end = patch.offset_bytes + patch.bytes.len() as u64;
                    end <= layout.region.start || patch.offset_bytes >= layout.region.end
                }));
                assert_eq!(layout.patches.last().unwrap().offset_bytes, 0);
                assert!(layout.stale.iter().all(|range| range.start < range.end && range.end <= len_bytes));
                let table = read(&mut disk, sector_len).unwrap().unwrap();
                assert_eq!((table.scheme, table.partitions.len()), (scheme, 1));
                let partition = &table.partitions[0];
                assert_eq!((partition.range(), partition.bootable), (layout.region.clone(), true));
                let type_name = match scheme {
                    Scheme::Mbr => "0x83",
                    Scheme::Gpt => "0FC63DAF-8483-4772-8E79-3D69D8477DE4",
                };
                assert_eq!(partition.type_name, type_name);
                assert_eq!(grow_last(&mut disk, sector_len).unwrap(), None, "nothing is left to grow into");
            }
        }
        for len_bytes in [0, 511, 4 * MIB, 5 * MIB - 1] {
            let result = single_partition(&Identity::fresh(scheme, [9; 32]), len_bytes, 512);
            assert!(matches!(result, Err(FormatError::Unsupported { .. })), "{len_bytes}");
        }
    }
}

#[test]
fn an_mbr_reaches_two_to_the_32_sectors_and_a_gpt_beyond() {
    let len_bytes = 5 << 40;
    let layout = single_partition(&Identity::fresh(Scheme::Mbr, [0; 32]), len_bytes, 512).unwrap();
    assert_eq!(layout.region.end, (2 << 40) - 4096);
    let mut disk = Sparse::new(len_bytes);
    disk.apply(&layout.patches, 512);
    assert_ne!(disk.get(440, 4), [0; 4], "a signature of zeros is none");
    assert_eq!(read(&mut disk, 512).unwrap().unwrap().partitions[0].range(), layout.region);
    assert_eq!(grow_last(&mut disk, 512).unwrap(), None);
    let mut disk = gpt_disk(len_bytes, 512);
    assert_eq!(read(&mut disk, 512).unwrap().unwrap().partitions[0].range(), 4 * MIB..len_bytes - 5 * 4096);
    assert_eq!(disk.get(458, 4), [0xFF; 4], "the protective entry covers what it can");
}

proptest! {
    #[test]
    fn random_bytes_are_read_in_bounds(
        table in prop::collection::vec(any::<u8>(), 66),
        holes in prop::collection::vec((0..200_u64, 0..512_u64, any::<[u8; 8]>()), 0..40),
        protective in any::<bool>(),
        sector_len in prop_oneof![Just(512_u32), Just(4096)],
    ) {
        let mut disk = gpt_disk(8 * MIB, sector_len);
        if !protective {
            disk.write(446, &table);
            disk.write(510, &[0x55, 0xAA]);
        }
        for (block, at, bytes) in holes {
            disk.write(block * 512 + at, &bytes);
        }
        if let Ok(Some(table)) = read(&mut disk, sector_len) {
            for partition in table.partitions {
                prop_assert!(partition.len_bytes > 0 && partition.range().end <= 8 * MIB);
            }
        }
        if let Ok(Some(growth)) = grow_last(&mut disk, sector_len) {
            disk.apply(&growth.patches, u64::from(sector_len));
            prop_assert!(read(&mut disk, sector_len).unwrap().is_some());
        }
    }

    #[test]
    fn small_chains_of_logical_partitions_always_end(
        records in prop::collection::vec((0..16_u64, 0..20_u32, 0..20_u32, 0..20_u32, 0..20_u32), 1..16),
    ) {
        let mut disk = disk_with(&[(0, 0x05, 16, 64)]);
        for (sector, start, len, link, link_len) in records {
            record(&mut disk, (16 + sector) * 512, &[(0, 0x83, start, len), (0, 0x05, link, link_len)]);
        }
        if let Ok(Some(table)) = read(&mut disk, 512) {
            let inside = |partition: &Partition| partition.start_bytes > 16 * 512 && partition.range().end <= 80 * 512;
            prop_assert!(table.partitions.iter().all(inside));
        }
    }
}
