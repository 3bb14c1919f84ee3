use super::*;

/// A header with each signature, so that the code for each is run.
fn seeds() -> Vec<(usize, &'static [u8])> {
    vec![
        (1024 + 0x38, &[0x53, 0xef]),
        (3, b"EXFAT   "),
        (0, b"LUKS\xba\xbe\x00\x02"),
        (512, b"LABELONE\0\0\0\0\0\0\0\0\0\0\0\0\xff\xff\xff\xffLVM2 001"),
        (4096, &[0xfc, 0x4e, 0x2b, 0xa9, 1, 0, 0, 0]),
        (0, b"XFSB"),
        (1024, &[0x10, 0x20, 0xf5, 0xf2]),
        (1024, &[0xe2, 0xe1, 0xf5, 0xe0]),
        (0, b"hsqs"),
        (3, b"NTFS    "),
        (1024, b"H+\x00\x04"),
        (0x8000, b"JFS1"),
        (0x8001, b"CD001"),
        (0x1_0034, b"ReIsErFs"),
        (0x1_0040, b"_BHRfS_M"),
        (65536 - 10, b"SWAPSPACE2"),
    ]
}

#[test]
fn no_length_or_content_panics() {
    for (at, magic) in seeds() {
        for filling in [0, 0x20, 0xff] {
            let mut head = vec![filling; HEAD_LEN_BYTES];
            if filling == 0xff {
                // A signature that is tested earlier would hide it.
                head[0x400..0x800].fill(0);
            }
            head[at..at + magic.len()].copy_from_slice(magic);
            for len in [0, 1, 12, 511, 512, 1082, 4096, 0x9000, 0x1_0048, HEAD_LEN_BYTES] {
                by_head(&head[..len]);
                fat::root_directory(&head[..len]);
            }
            if filling == 0 {
                assert!(by_head(&head).is_some(), "{magic:?} at {at}");
                assert_eq!(by_head(&head[..at + magic.len()]), by_head(&head), "{magic:?} at {at}");
                assert_eq!(by_head(&head[..at + 1]), None, "{magic:?} at {at}");
            }
        }
    }
    assert_eq!(by_head(&[]), None);
    assert_eq!(by_head(&[0xff; 300 * 1024]), None);
}

#[test]
fn a_raid_superblock_counts_only_in_its_place() {
    let len_bytes = 1 << 20;
    let with = |at: usize, minor: u8| {
        let mut tail = vec![0; TAIL_LEN_BYTES];
        tail[at..at + 8].copy_from_slice(&[0xfc, 0x4e, 0x2b, 0xa9, minor, 0, 0, 0]);
        raid_by_tail(&tail, len_bytes).map(|found| found.kind)
    };
    assert_eq!(with(TAIL_LEN_BYTES - 8192, 1), Some(FileSystemKind::MdRaid));
    assert_eq!(with(TAIL_LEN_BYTES - 65536, 0), Some(FileSystemKind::MdRaid));
    assert_eq!(with(TAIL_LEN_BYTES - 4096, 1), None);
    assert_eq!(with(0, 1), None);
    for len in [0, 1, 512, 65536] {
        assert_eq!(raid_by_tail(&vec![0; len], len as u64), None);
    }
}
