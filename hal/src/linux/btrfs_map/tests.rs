use super::super::ranges::subtract;
use super::super::test_images::{Image, have_tool};
use super::*;
use std::os::unix::fs::FileExt;

const MIB: u64 = 1 << 20;

#[test]
fn free_bytes_can_be_overwritten_without_damage_to_files() {
    if !have_tool("mkfs.btrfs") || !have_tool("btrfs") {
        return;
    }
    let tree = tempfile::tempdir().unwrap();
    for index in 0..400_usize {
        let dir = tree.path().join(format!("d{}", index % 7));
        std::fs::create_dir_all(&dir).unwrap();
        std::fs::write(dir.join(format!("f{index}")), vec![index as u8; 377 * index]).unwrap();
    }
    let from = tree.path().to_str().unwrap();
    for (len, options) in [
        (200 * MIB, &["-m", "dup"][..]),
        (200 * MIB, &["-m", "single", "-n", "4096"]),
        (120 * MIB, &["--mixed"]),
        (200 * MIB, &["-R", "^free-space-tree", "-O", "^no-holes"]),
    ] {
        let image = Image::empty(len);
        let mut all = vec!["-q", "-f", "--rootdir", from];
        all.extend(options);
        image.run("mkfs.btrfs", &all);
        std::fs::File::options().write(true).open(image.path()).unwrap().set_len(len).unwrap();
        let map = used_map(&mut image.range()).unwrap().unwrap_or_else(|| panic!("{options:?}: no map"));
        let free = subtract(vec![0..len], &map.used);
        let free_bytes: u64 = free.iter().map(|range| range.end - range.start).sum();
        assert!(free_bytes > 60 * MIB, "{options:?}: {free_bytes}");
        let file = std::fs::File::options().write(true).open(image.path()).unwrap();
        for range in free {
            let mut at = range.start;
            while at < range.end {
                let piece = (range.end - at).min(MIB);
                file.write_all_at(&vec![0xa5; piece as usize], at).unwrap();
                at += piece;
            }
        }
        image.run("btrfs", &["check", "--check-data-csum", "-p"]);
    }
}

#[test]
fn an_inconsistent_file_system_has_no_map() {
    if !have_tool("mkfs.btrfs") {
        return;
    }
    let image = Image::empty(128 * MIB);
    image.run("mkfs.btrfs", &["-q", "-f"]);
    assert!(used_map(&mut image.range()).unwrap().is_some());
    let mut bytes = vec![0; SUPERBLOCK_LEN_BYTES];
    image.range().read_padded(SUPERBLOCK_AT, &mut bytes).unwrap();
    let with = |at: usize, value: u8| {
        let mut bytes = bytes.clone();
        bytes[at] = value;
        let sum = !crc32c(!0, &bytes[0x20..]);
        bytes[..4].copy_from_slice(&sum.to_le_bytes());
        Superblock::of(&bytes, 128 * MIB)
    };
    assert!(with(0x12b, b'x').is_some(), "a label");
    for (at, value, what) in [
        (0x60, 1, "a log"),
        (0x88, 2, "two devices"),
        (0xc4, 1, "xxhash"),
        (0xbd, 0x10, "zones"),
        (0xd6, 9, "longer"),
    ] {
        assert!(with(at, value).is_none(), "{what}");
    }
    bytes[0x12b] = b'x';
    assert!(Superblock::of(&bytes, 128 * MIB).is_none(), "a checksum that does not fit");
    // A damaged node of the extent tree.
    let map = used_map(&mut image.range()).unwrap().unwrap();
    let last = map.used.last().unwrap().start;
    let file = std::fs::File::options().write(true).open(image.path()).unwrap();
    for range in &map.used[1..] {
        file.write_all_at(&[0xff; 8], range.start + 0x70).unwrap();
    }
    assert!(used_map(&mut image.range()).unwrap().is_none(), "{last}");
}
