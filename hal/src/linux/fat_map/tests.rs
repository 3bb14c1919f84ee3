use super::super::ranges::subtract;
use super::super::test_images::{Image, have_tool};
use super::*;
use proptest::prelude::*;
use std::os::unix::fs::FileExt;
use std::process::Command;

// The first byte occurs nowhere else in it: `count` searches for it.
const MARK: &str = "QUITE-A-SECRET";

fn have_tools() -> bool {
    ["mkfs.vfat", "mcopy", "mdel", "fsck.vfat"].into_iter().all(have_tool)
}

/// Runs one of the mtools on the image.
fn mtool(image: &Image, program: &str, arguments: &[&str]) {
    let output = Command::new(program)
        .env("PATH", "/usr/sbin:/sbin:/usr/bin:/bin")
        .env("MTOOLS_SKIP_CHECK", "1")
        .arg("-i")
        .arg(image.path())
        .args(arguments)
        .output()
        .unwrap();
    assert!(output.status.success(), "{program} {arguments:?}: {output:?}");
}

fn count(image: &Image, mark: &str) -> usize {
    let bytes = std::fs::read(image.path()).unwrap();
    bytes
        .split(|byte| *byte == mark.as_bytes()[0])
        .skip(1)
        .filter(|rest| rest.starts_with(&mark.as_bytes()[1..]))
        .count()
}

/// Fills all unused bytes.
fn overwrite_unused(image: &Image, byte: u8) {
    let map = used_map(&mut image.range()).unwrap().unwrap();
    let file = std::fs::File::options().write(true).open(image.path()).unwrap();
    for range in subtract(vec![0..image.len_bytes()], &map.used) {
        file.write_all_at(&vec![byte; (range.end - range.start) as usize], range.start).unwrap();
    }
}

#[test]
fn removed_content_and_names_are_unused_and_files_are_not() {
    if !have_tools() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    std::fs::write(path("secret"), format!("{MARK}\n").repeat(3000)).unwrap();
    std::fs::write(path("kept"), b"kept".repeat(5000)).unwrap();
    std::fs::write(path("short"), b"short").unwrap();
    for (bits, cluster_sectors, len) in [
        ("12", "1", 1 << 20),
        ("12", "8", 8 << 20),
        ("16", "4", 16 << 20),
        ("32", "1", 34 << 20),
        ("32", "2", 70 << 20),
    ] {
        let image = Image::empty(len);
        image.run("mkfs.vfat", &["-F", bits, "-s", cluster_sectors, "-n", "BOOT"]);
        mtool(&image, "mmd", &["::sub", "::sub/deep"]);
        mtool(&image, "mcopy", &[&path("secret"), "::sub/deep/a long name of a secret.conf"]);
        mtool(&image, "mcopy", &[&path("kept"), "::sub/deep/a long name of another.conf"]);
        mtool(&image, "mdel", &["::sub/deep/a long name of a secret.conf"]);
        // Its cluster belonged to the secret.
        mtool(&image, "mcopy", &[&path("short"), "::short"]);
        assert!(count(&image, MARK) > 2000, "FAT{bits}: the secret is not there");
        overwrite_unused(&image, 0);
        assert_eq!(count(&image, MARK), 0, "FAT{bits}");
        assert_eq!(count(&image, "s\0e\0c\0r\0e\0t\0"), 0, "FAT{bits}: the name is there");
        image.run("fsck.vfat", &["-n"]);
        overwrite_unused(&image, 0x5a);
        for (source, name) in [("kept", "::sub/deep/a long name of another.conf"), ("short", "::short")] {
            let copy = path("copy");
            drop(std::fs::remove_file(&copy));
            mtool(&image, "mcopy", &[name, &copy]);
            assert_eq!(std::fs::read(&copy).unwrap(), std::fs::read(path(source)).unwrap(), "FAT{bits}");
        }
    }
}

#[test]
fn most_of_an_empty_file_system_is_unused() {
    if !have_tools() {
        return;
    }
    let image = Image::empty(64 << 20);
    image.run("mkfs.vfat", &["-F", "32"]);
    let map = used_map(&mut image.range()).unwrap().unwrap();
    let used: u64 = map.used.iter().map(|range| range.end - range.start).sum();
    assert!(used < 2 << 20, "{used}");
}

#[test]
fn clusters_with_two_owners_leave_all_but_free_ones() {
    if !have_tools() {
        return;
    }
    let image = Image::empty(16 << 20);
    image.run("mkfs.vfat", &["-F", "16", "-s", "4"]);
    let directory = tempfile::tempdir().unwrap();
    let short = directory.path().join("short");
    std::fs::write(&short, b"short").unwrap();
    for name in ["::one", "::two"] {
        mtool(&image, "mcopy", &[short.to_str().unwrap(), name]);
    }
    let used = |image: &Image| -> u64 {
        let map = used_map(&mut image.range()).unwrap().unwrap();
        map.used.iter().map(|range| range.end - range.start).sum()
    };
    let before = used(&image);
    let mut boot = [0; 512];
    image.range().read_padded(0, &mut boot).unwrap();
    let root = Shape::of(&boot, image.len_bytes()).unwrap().root.start;
    let file = std::fs::File::options().write(true).open(image.path()).unwrap();
    // Both files begin at cluster 2.
    file.write_all_at(&[2, 0], root + 26).unwrap();
    file.write_all_at(&[2, 0], root + 32 + 26).unwrap();
    assert!(used(&image) >= before + 2 * (2048 - 5));
}

/// A valid boot sector.
fn boot_sector(fat32: bool, cluster_sectors: u8, sectors: u32) -> Vec<u8> {
    let mut boot = vec![0; 512];
    boot[..3].copy_from_slice(&[0xeb, 0x58, 0x90]);
    boot[11..13].copy_from_slice(&512_u16.to_le_bytes());
    boot[13] = cluster_sectors;
    boot[14] = 1;
    boot[16] = 2;
    boot[21] = 0xf8;
    boot[32..36].copy_from_slice(&sectors.to_le_bytes());
    if fat32 {
        boot[36..40].copy_from_slice(&4_u32.to_le_bytes());
        boot[44..48].copy_from_slice(&2_u32.to_le_bytes());
    } else {
        boot[17..19].copy_from_slice(&16_u16.to_le_bytes());
        boot[22..24].copy_from_slice(&2_u16.to_le_bytes());
    }
    boot[510..512].copy_from_slice(&[0x55, 0xaa]);
    boot
}

proptest! {
    #[test]
    fn no_table_or_directory_panics(
        fat32: bool,
        cluster_sectors in prop::sample::select(vec![1_u8, 2, 8]),
        tail in prop::collection::vec(prop_oneof![4 => Just(0_u8), 2 => 0_u8..32, 1 => any::<u8>()], 0..40_000),
        flips in prop::collection::vec((0_usize..512, any::<u8>()), 0..3),
    ) {
        let mut bytes = boot_sector(fat32, cluster_sectors, 80);
        for (at, byte) in flips {
            bytes[at] = byte;
        }
        bytes.extend(tail);
        bytes.resize(80 * 512, 0);
        let len = bytes.len() as u64;
        if let Some(map) = used_map(&mut Image::of(&bytes).range()).unwrap() {
            prop_assert!(map.used.iter().all(|range| range.start < range.end && range.end <= len));
            prop_assert!(map.used.windows(2).all(|pair| pair[0].end < pair[1].start));
            // The boot sector must be kept.
            prop_assert!(map.used.first().is_some_and(|range| range.start == 0 && range.end >= 512));
        }
    }
}
