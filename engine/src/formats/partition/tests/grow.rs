//! Growing the last partition: what grows, what does not, and that all else stays.

use super::*;

#[test]
fn the_last_partition_of_an_mbr_grows_and_all_else_stays() {
    let mut disk = disk_with(&[(0, 0x83, 16384, 2048), (0x80, 0x0C, 2048, 4096)]);
    disk.write(0, b"boot code");
    let before = disk.get(0, 512);
    let growth = grow_last(&mut disk, 512).unwrap().unwrap();
    assert_eq!((growth.partition_number, growth.start_bytes), (1, 8 * MIB));
    assert_eq!((growth.old_len_bytes, growth.new_len_bytes), (MIB, 56 * MIB));
    disk.apply(&growth.patches, 512);
    let table = read(&mut disk, 512).unwrap().unwrap();
    assert_eq!(numbers_and_ranges(&table), [(1, 16384, 114_688), (2, 2048, 4096)]);
    for (at, (old, new)) in before.iter().zip(disk.get(0, 512)).enumerate() {
        assert!(*old == new || (451..454).contains(&at) || (458..462).contains(&at), "byte {at}");
    }
    assert_eq!(grow_last(&mut disk, 512).unwrap(), None);
}

#[test]
fn a_partition_that_cannot_grow_alone_does_not_grow() {
    // Less than 1 MiB to gain.
    assert_eq!(grow_last(&mut disk_with(&[(0, 0x83, 2048, 126_977)]), 512).unwrap(), None);
    assert!(grow_last(&mut disk_with(&[(0, 0x83, 2048, 126_976)]), 512).unwrap().is_some());
    assert_eq!(grow_last(&mut disk_with(&[]), 512).unwrap(), None);
    assert_eq!(grow_last(&mut Sparse::new(64 * MIB), 512).unwrap(), None);
    // A logical partition is last, or an empty extended one.
    let mut logical = disk_with(&[(0, 0x83, 2048, 2048), (0, 0x05, 8192, 8192)]);
    record(&mut logical, 8192 * 512, &[]);
    assert_eq!(grow_last(&mut logical, 512).unwrap(), None);
    record(&mut logical, 8192 * 512, &[(0, 0x83, 2048, 2048)]);
    assert_eq!(grow_last(&mut logical, 512).unwrap(), None);
}

#[test]
fn the_last_partition_of_a_gpt_grows_from_either_copy() {
    for sector_len in [512, 4096] {
        for front_is_broken in [false, true] {
            let mut disk = gpt_disk(64 * MIB, sector_len);
            let sector_len_bytes = u64::from(sector_len);
            if front_is_broken {
                // The second copy must be at the medium's end to be found: make the partition smaller instead.
                let layout =
                    single_partition(&Identity::fresh(Scheme::Gpt, [7; 32]), 64 * MIB, sector_len).unwrap();
                disk = Sparse::new(128 * MIB);
                let mut table = {
                    let mut small = Sparse::new(64 * MIB);
                    small.apply(&layout.patches, sector_len_bytes);
                    gpt::read(&mut small, &Geometry::new(64 * MIB, sector_len).unwrap()).unwrap()
                };
                let geometry = Geometry::new(128 * MIB, sector_len).unwrap();
                table.set_last_sector(1, layout.region.end / sector_len_bytes - 1);
                let copies = table.encode(&geometry).unwrap();
                disk.write(geometry.offset_bytes(copies.end.0), &copies.end.1);
                record(&mut disk, 0, &[(0x80, 0xEE, 1, 5)]);
            } else {
                disk.len_bytes = 128 * MIB;
            }
            let growth = grow_last(&mut disk, sector_len).unwrap().unwrap();
            let spare = 5 * 4096;
            assert_eq!((growth.old_len_bytes, growth.new_len_bytes), (60 * MIB - spare, 124 * MIB - spare));
            assert_eq!(growth.patches.last().unwrap().offset_bytes, 0);
            // Power may fail after each patch.
            for patch in &growth.patches {
                assert!(read(&mut disk, sector_len).unwrap().is_some());
                disk.apply(std::slice::from_ref(patch), sector_len_bytes);
            }
            let table = read(&mut disk, sector_len).unwrap().unwrap();
            assert_eq!(table.partitions[0].range(), 4 * MIB..128 * MIB - spare);
            let protective = disk.get(446, 16);
            assert_eq!(u64::from(u32_at(&protective, 12)), 128 * MIB / sector_len_bytes - 1);
            assert_eq!(protective[0], if front_is_broken { 0x80 } else { 0 });
            disk.write(sector_len_bytes, &[0; 512]);
            assert_eq!(read(&mut disk, sector_len).unwrap().unwrap(), table, "both copies agree");
        }
    }
}

proptest! {
    #[test]
    fn growing_an_mbr_changes_one_length_only(
        cuts in prop::collection::btree_set(1..32_u32, 2..8),
        order in Just([0_usize, 1, 2, 3]).prop_shuffle(),
    ) {
        let cuts: Vec<u32> = cuts.into_iter().collect();
        let mut entries = [(0, 0, 0, 0); 4];
        for (pair, slot) in cuts.chunks_exact(2).zip(order) {
            entries[slot] = (0, 0x83, pair[0] * 2048, (pair[1] - pair[0]) * 2048);
        }
        let mut disk = disk_with(&entries);
        let before = read(&mut disk, 512).unwrap().unwrap();
        let growth = grow_last(&mut disk, 512).unwrap().unwrap();
        disk.apply(&growth.patches, 512);
        let mut expected = before;
        for partition in &mut expected.partitions {
            if partition.number == growth.partition_number {
                prop_assert_eq!(partition.len_bytes, growth.old_len_bytes);
                partition.len_bytes = 64 * MIB - partition.start_bytes;
            }
        }
        prop_assert_eq!(read(&mut disk, 512).unwrap().unwrap(), expected);
    }
}
