use super::super::test_images::{Image, have_loop_devices, have_tool};
use super::*;
use std::process::Command;

/// The free extents that xfs_db lists, as bytes, sorted.
fn by_xfs_db(image: &Image) -> Vec<Range<u64>> {
    let output = Command::new("xfs_db")
        .args(["-r", "-c", "freesp -d", "-c", "sb 0", "-c", "p blocksize agblocks"])
        .arg(image.path())
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let value = |name: &str| -> u64 {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(" = ")).unwrap();
        line.parse().unwrap()
    };
    let (block_len, ag_blocks) = (value("blocksize"), value("agblocks"));
    let mut free: Vec<Range<u64>> = text
        .lines()
        .filter_map(|line| {
            let mut numbers = line.split_whitespace().map(str::parse::<u64>);
            match (numbers.next(), numbers.next(), numbers.next(), numbers.next()) {
                (Some(Ok(ag)), Some(Ok(block)), Some(Ok(len)), None) => {
                    let start = ag * ag_blocks + block;
                    Some(start * block_len..(start + len) * block_len)
                }
                _ => None,
            }
        })
        .collect();
    free.sort_by_key(|range| range.start);
    free
}

fn complement(used: &[Range<u64>], end: u64) -> Vec<Range<u64>> {
    let mut at = 0;
    let mut free = Vec::new();
    for range in used.iter().chain([&(end..end)]) {
        if range.start > at {
            free.push(at..range.start);
        }
        at = range.end;
    }
    free
}

/// Joins adjacent ranges.
fn joined(ranges: Vec<Range<u64>>) -> Vec<Range<u64>> {
    let mut all: Vec<Range<u64>> = Vec::new();
    for range in ranges {
        match all.last_mut() {
            Some(last) if last.end == range.start => last.end = range.end,
            _ => all.push(range),
        }
    }
    all
}

fn mounted(image: &Image, work: impl FnOnce(&std::path::Path)) {
    let point = tempfile::tempdir().unwrap();
    let run = |program: &str, arguments: &[&str]| {
        let end = Command::new(program).args(arguments).output().unwrap();
        assert!(end.status.success(), "{program} {arguments:?}: {end:?}");
    };
    run("mount", &["-o", "loop,nouuid", image.path().to_str().unwrap(), point.path().to_str().unwrap()]);
    work(point.path());
    run("umount", &[point.path().to_str().unwrap()]);
}

#[test]
fn free_extents_are_those_of_xfs_db() {
    if !have_tool("mkfs.xfs") || !have_tool("xfs_db") || !have_loop_devices("xfs_map") {
        return;
    }
    for options in [&["-m", "crc=1"][..], &["-b", "size=1024"], &["-d", "agcount=2"]] {
        let image = Image::empty(320 << 20);
        image.run("mkfs.xfs", &[&["-q"], options].concat());
        mounted(&image, |root| {
            for number in 0..400 {
                std::fs::write(root.join(format!("f{number}")), vec![7; 1 + number * 999]).unwrap();
            }
        });
        mounted(&image, |root| {
            for number in (0..400).step_by(3) {
                std::fs::remove_file(root.join(format!("f{number}"))).unwrap();
            }
        });
        let used = used_map(&mut image.range()).unwrap().unwrap().used;
        assert!(used.windows(2).all(|pair| pair[0].end < pair[1].start));
        let free = complement(&used, image.len_bytes());
        let theirs = joined(by_xfs_db(&image));
        let sum = |ranges: &[Range<u64>]| ranges.iter().map(|range| range.end - range.start).sum::<u64>();
        assert!(theirs.len() > 20, "{options:?}: {theirs:?}");
        for range in &theirs {
            let is_free = free.iter().any(|free| free.start <= range.start && range.end <= free.end);
            assert!(is_free, "{options:?}: {range:?} is used");
        }
        // Ours includes the spare blocks of the groups, a few for each.
        assert!(sum(&free) - sum(&theirs) <= 64 * 4096, "{options:?}");
        // With zeros there, every file is unchanged.
        let mut bytes = std::fs::read(image.path()).unwrap();
        free.iter().for_each(|range| bytes[range.start as usize..range.end as usize].fill(0));
        let cleared = Image::of(&bytes);
        cleared.run("xfs_repair", &["-n"]);
        mounted(&cleared, |root| {
            for number in (1..400).filter(|number| number % 3 != 0) {
                let content = std::fs::read(root.join(format!("f{number}"))).unwrap();
                assert!(content == vec![7; 1 + number * 999], "{options:?}: f{number}");
            }
        });
    }
}

#[test]
fn version_4_is_read_too() {
    if !have_tool("mkfs.xfs") || !have_tool("xfs_db") {
        return;
    }
    // Many kernels have no driver for it any more.
    let image = Image::empty(320 << 20);
    image.run("mkfs.xfs", &["-q", "-m", "crc=0"]);
    let used = used_map(&mut image.range()).unwrap().unwrap().used;
    let free = complement(&used, image.len_bytes());
    let theirs = joined(by_xfs_db(&image));
    assert!(!theirs.is_empty());
    for range in &theirs {
        assert!(
            free.iter().any(|free| free.start <= range.start && range.end <= free.end),
            "{range:?} is used"
        );
    }
    let sum = |ranges: &[Range<u64>]| ranges.iter().map(|range| range.end - range.start).sum::<u64>();
    assert!(sum(&free) - sum(&theirs) <= 64 * 4096);
}

#[test]
fn an_unclean_or_inconsistent_file_system_has_no_map() {
    if !have_tool("mkfs.xfs") || !have_tool("xfs_db") || !have_loop_devices("xfs_map") {
        return;
    }
    let image = Image::empty(320 << 20);
    image.run("mkfs.xfs", &["-q"]);
    let mut dirty = None;
    mounted(&image, |root| {
        std::fs::write(root.join("file"), "x").unwrap();
        Command::new("sync").arg("-f").arg(root).status().unwrap();
        dirty = Some(Image::of(&std::fs::read(image.path()).unwrap()));
    });
    assert_eq!(used_map(&mut dirty.unwrap().range()).unwrap(), None, "a log to be replayed");
    assert!(used_map(&mut image.range()).unwrap().is_some());
    let with = |at: u64, bytes: &[u8]| {
        let changed = Image::of(&std::fs::read(image.path()).unwrap());
        changed.write_at(at, bytes);
        used_map(&mut changed.range()).unwrap()
    };
    for (at, bytes, what) in [
        (0, &b"YFSB"[..], "magic"),
        (4, &[0, 0, 0, 3], "block size"),
        (84, &[0xff; 4], "blocks of a group"),
        (216, &[0x80, 0, 0, 0], "an unknown feature"),
        (512, b"XXXX", "a group's header"),
        (512 + 52, &[0, 0, 0, 1], "a group's counter"),
        (512 + 16, &[0x7f; 4], "a group's tree"),
        (512 + 48, &[0xff; 4], "a group's spare blocks"),
    ] {
        assert_eq!(with(at, bytes), None, "{what}");
    }
}
