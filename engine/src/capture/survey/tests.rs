// mke2fs works on real files.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)]

use super::*;
use std::process::Command;

fn part(len_bytes: u64, is_linux: bool, name: Option<&str>) -> Part {
    let slot = Slot { number: 1, is_linux, name: name.map(str::to_owned), ..Slot::whole(len_bytes) };
    Part { slot, file_system: None }
}

fn is_damaged(bytes: &[u8], is_linux: bool, name: Option<&str>) -> bool {
    damaged(&part(bytes.len() as u64, is_linux, name), &mut &*bytes).unwrap().is_some()
}

fn ext(options: &[&str], len_bytes: u64) -> Vec<u8> {
    let file = tempfile::NamedTempFile::new().unwrap();
    file.as_file().set_len(len_bytes).unwrap();
    let made = Command::new("mke2fs").args(["-q", "-F"]).args(options).arg(file.path()).output().unwrap();
    assert!(made.status.success(), "{made:?}");
    std::fs::read(file.path()).unwrap()
}

#[test]
fn a_damaged_superblock_is_found_with_any_type_in_the_table() {
    type Damage = (&'static str, fn(&mut [u8]));
    let damages: [Damage; 4] = [
        ("magic", |bytes| bytes[1024 + 0x38] = 0),
        ("block size", |bytes| bytes[1024 + 0x18] = 0x77),
        ("the first block is zeros", |bytes| bytes[..4096].fill(0)),
        ("the first 64 KiB are ones", |bytes| bytes[..65536].fill(0xff)),
    ];
    for options in
        [&["-t", "ext4", "-b", "1024"][..], &["-t", "ext2", "-b", "2048"], &["-t", "ext4", "-b", "4096"]]
    {
        let mut bytes = ext(options, 136 << 20);
        let head = bytes[..65536].to_vec();
        for (what, damage) in damages {
            damage(&mut bytes);
            assert!(is_damaged(&bytes, false, None), "{options:?}: {what}");
            bytes[..65536].copy_from_slice(&head);
        }
    }
    // No second group, and so no backup.
    let mut small = ext(&["-t", "ext4", "-b", "1024"], 4 << 20);
    small[1024 + 0x38] ^= 0x10;
    assert!(is_damaged(&small, false, None));
    small[..8192].fill(7);
    assert!(!is_damaged(&small, false, None), "nothing shows that this was a file system");
    assert!(is_damaged(&small, true, None), "the type in the table does");
    assert!(is_damaged(&small, false, Some("rootfs_b")), "the partition's name does");
}

#[test]
fn blank_and_foreign_partitions_are_not_damaged() {
    for filling in [0, 0xff] {
        assert!(!is_damaged(&vec![filling; 4 << 20], true, Some("rootfs")));
    }
    let mut late = vec![0; 4 << 20];
    late[3 << 20] = 1;
    assert!(!is_damaged(&late, true, None), "blank at its start");
    late[512] = 1;
    assert!(is_damaged(&late, true, None));
    assert!(!is_damaged(&late, false, Some("uboot-env")));
    for len in [0, 1, 512, 1024, 2047, 2048] {
        assert_eq!(is_damaged(&vec![5; len], true, None), len > 0, "{len}");
    }
}

#[test]
fn names_of_root_file_systems_are_recognised() {
    for (name, is_root) in [
        ("rootfs", true),
        ("ROOT-A", true),
        ("system_a", true),
        ("my_rootfs.2", true),
        ("data", false),
        ("ecosystem", false),
        ("bootroot", false),
    ] {
        assert_eq!(part(1, true, Some(name)).is_named_root(), is_root, "{name}");
    }
}

#[test]
fn a_part_is_named_for_the_report() {
    let mut part = part(1, true, None);
    assert_eq!(part.to_string(), "partition 1, no known file system");
    part.file_system = Some(FileSystem {
        kind: FileSystemKind::Ext4,
        label: Some("data".to_owned()),
        uuid: None,
        len_bytes: None,
        needs_recovery: false,
    });
    assert_eq!(part.to_string(), "partition 1, ext4 `data`");
    part.slot.number = 0;
    assert_eq!(part.to_string(), "whole medium, ext4 `data`");
}
