use super::super::test_images::{Image, have_tool};
use super::*;
use std::collections::BTreeMap;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

const MIB: u64 = 1 << 20;

fn tree_with_files() -> tempfile::TempDir {
    let tree = tempfile::tempdir().unwrap();
    for index in 0..300_usize {
        let dir = tree.path().join(format!("d{}", index % 7));
        std::fs::create_dir_all(&dir).unwrap();
        std::fs::write(dir.join(format!("f{index}")), vec![index as u8; 97 * index]).unwrap();
    }
    tree
}

fn spare(image: &Image) -> Vec<Range<u64>> {
    let map = used_map(&mut image.range()).unwrap().expect("a clean file system has a map");
    subtract(vec![0..image.len_bytes()], &map.used)
}

fn overwrite(image: &Image, ranges: &[Range<u64>], byte: u8) {
    let file = std::fs::File::options().write(true).open(image.path()).unwrap();
    for range in ranges {
        file.write_all_at(&vec![byte; (range.end - range.start) as usize], range.start).unwrap();
    }
}

/// All files as debugfs reads them.
fn dump(image: &Image) -> BTreeMap<PathBuf, Vec<u8>> {
    let out = tempfile::tempdir().unwrap();
    image.run("debugfs", &["-R", &format!("rdump / {}", out.path().display())]);
    let directories = std::fs::read_dir(out.path()).unwrap().map(|dir| dir.unwrap().path());
    let files = directories.flat_map(|dir| std::fs::read_dir(dir).unwrap()).map(|file| file.unwrap().path());
    files
        .map(|file| (file.strip_prefix(out.path()).unwrap().to_owned(), std::fs::read(&file).unwrap()))
        .collect()
}

fn debugfs(image: &Image, commands: &[&str]) {
    for command in commands {
        image.run("debugfs", &["-w", "-R", command]);
    }
}

#[test]
fn a_cleared_file_system_is_clean_and_keeps_its_files() {
    if !have_tool("mke2fs") || !have_tool("e2fsck") || !have_tool("debugfs") {
        return;
    }
    let tree = tree_with_files();
    let from = tree.path().to_str().unwrap();
    for (len, options) in [
        (16 * MIB, &["-t", "ext2"][..]),
        (64 * MIB, &["-t", "ext3"]),
        (200 * MIB, &["-t", "ext3", "-b", "1024", "-J", "size=16"]),
        (150 * MIB, &["-t", "ext3", "-b", "4096", "-J", "size=32"]),
        (64 * MIB, &["-t", "ext4"]),
        (64 * MIB, &["-t", "ext4", "-I", "128", "-O", "^metadata_csum,^64bit"]),
        (150 * MIB, &["-t", "ext4", "-b", "4096", "-E", "lazy_itable_init=1"]),
        (150 * MIB, &["-t", "ext4", "-b", "4096", "-E", "lazy_itable_init=0"]),
        (150 * MIB, &["-t", "ext4", "-O", "^metadata_csum,uninit_bg,^64bit"]),
        (150 * MIB, &["-t", "ext4", "-O", "bigalloc", "-C", "65536"]),
        (150 * MIB, &["-t", "ext4", "-O", "inline_data"]),
        (150 * MIB, &["-t", "ext4", "-O", "^flex_bg,metadata_csum_seed", "-I", "512"]),
        (150 * MIB, &["-t", "ext4", "-b", "1024", "-O", "meta_bg,^resize_inode", "-J", "size=8"]),
    ] {
        let mut all = options.to_vec();
        all.extend(["-d", from]);
        let image = Image::ext(len, &all);
        // Some inodes in the middle of the tables become free.
        debugfs(&image, &["rm d3/f10", "rm d0/f70", "rm d0/f77"]);
        image.run("e2fsck", &["-f", "-n"]);
        let before = dump(&image);
        assert!(before.len() > 290, "{options:?}: {} files", before.len());
        let ranges = spare(&image);
        // The replicator leaves zeros there.
        overwrite(&image, &ranges, 0);
        image.run("e2fsck", &["-f", "-n"]);
        assert_eq!(spare(&image), ranges, "{options:?}");
        assert!(dump(&image) == before, "{options:?}");
    }
}

#[test]
fn the_journal_is_spare_behind_its_superblock() {
    if !have_tool("mke2fs") || !have_tool("debugfs") {
        return;
    }
    for options in [
        &["-t", "ext4", "-J", "size=8"][..],
        &["-t", "ext3", "-J", "size=8", "-b", "1024"],
        &["-t", "ext3", "-J", "size=8", "-b", "4096"],
    ] {
        let image = Image::ext(64 * MIB, options);
        let blocks_of = image.run("debugfs", &["-R", "blocks <8>"]);
        let block_len = Layout::read(&mut image.range()).unwrap().unwrap().block_len_bytes;
        let spare = spare(&image);
        let is_spare = |at: u64| spare.iter().any(|range| range.contains(&at));
        let listed: Vec<u64> = blocks_of.split_whitespace().map(|number| number.parse().unwrap()).collect();
        // debugfs also lists the blocks of block numbers, which stay.
        let kept: Vec<u64> = listed.iter().copied().filter(|block| !is_spare(block * block_len)).collect();
        assert_eq!(kept.first(), listed.first(), "{options:?}");
        let spare_len = (listed.len() - kept.len()) as u64 * block_len;
        assert_eq!(spare_len, 8 * MIB - block_len, "{options:?}");
    }
}

#[test]
fn blocks_that_were_reserved_and_never_written_are_spare() {
    if !have_tool("mke2fs") || !have_tool("debugfs") {
        return;
    }
    let image = Image::ext(64 * MIB, &["-t", "ext4"]);
    let empty = tempfile::NamedTempFile::new().unwrap();
    let write = format!("write {} reserved", empty.path().display());
    let before: u64 = spare(&image).iter().map(|range| range.end - range.start).sum();
    debugfs(&image, &[&write, "fallocate reserved 0 2047", "set_inode_field reserved size 0x200000"]);
    let listed = image.run("debugfs", &["-R", "stat reserved"]);
    assert!(listed.contains("[u]"), "{listed}");
    let after: u64 = spare(&image).iter().map(|range| range.end - range.start).sum();
    // All but the inode itself.
    assert_eq!(before - after, 256, "{listed}");
    overwrite(&image, &spare(&image), 0);
    image.run("e2fsck", &["-f", "-n"]);
}

#[test]
fn an_inconsistent_journal_or_inode_means_no_map() {
    if !have_tool("mke2fs") || !have_tool("debugfs") {
        return;
    }
    let image = Image::ext(32 * MIB, &["-t", "ext4", "-b", "4096", "-O", "^metadata_csum"]);
    let first: u64 =
        image.run("debugfs", &["-R", "blocks <8>"]).split_whitespace().next().unwrap().parse().unwrap();
    let layout = Layout::read(&mut image.range()).unwrap().unwrap();
    let bitmap = layout.groups[0].inode_bitmap_block * 4096;
    let file = std::fs::File::options().read(true).write(true).open(image.path()).unwrap();
    // No magic, an unknown type, another block size, a log that is not empty; an inode that is free.
    for at in [first * 4096, first * 4096 + 7, first * 4096 + 0xe, first * 4096 + 0x1f, bitmap] {
        let mut old = [0];
        file.read_exact_at(&mut old, at).unwrap();
        file.write_all_at(&[old[0] ^ 0x40], at).unwrap();
        assert!(used_map(&mut image.range()).unwrap().is_none(), "{at:#x}");
        file.write_all_at(&old, at).unwrap();
        assert!(used_map(&mut image.range()).unwrap().is_some());
    }
}
