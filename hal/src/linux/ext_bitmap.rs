//! The bytes that an ext2, ext3 or ext4 file system uses, by its block bitmaps.
//!
//! The result is exact or `None`: a block counts as free only if it is free in a bitmap with a valid checksum, and if
//! the free count of its group is the same. The layout is in [`Layout`].

use super::byte_range::ReadAt;
use super::ext_layout::Layout;
use crate::{Result, UsedMap};
use std::ops::Range;

/// Limits the memory of the result (64 MiB). For a file system that is so fragmented the result would save nothing.
const RANGES_MAX: usize = 4 << 20;

#[cfg(test)]
fn used_map(region: &mut dyn ReadAt) -> Result<Option<UsedMap>> {
    match Layout::read(region)? {
        Some(layout) => used_blocks(&layout, region),
        None => Ok(None),
    }
}

/// The used bytes of the region; `None` if that cannot be proven.
///
/// Bytes outside the file system count as used, and so does the boot area before it.
///
/// # Errors
/// If the region cannot be read.
pub(super) fn used_blocks(layout: &Layout, region: &mut dyn ReadAt) -> Result<Option<UsedMap>> {
    let own_blocks = layout.own_blocks();
    let mut own = own_blocks.as_slice();
    let mut used = Used::default();
    // The boot area, and block 0 if the first group starts at block 1.
    used.add(0..1024.max(layout.first_block * layout.block_len_bytes));
    let mut bitmap = vec![0; layout.block_len_bytes as usize];
    for (number, group) in layout.groups.iter().enumerate() {
        let blocks = layout.group_blocks(number as u64);
        if group.bitmap_uninitialised {
            bitmap.fill(0);
        } else {
            region.read_padded(group.bitmap_block * layout.block_len_bytes, &mut bitmap)?;
            if !layout.bitmap_checksum_fits(group, &bitmap) {
                return Ok(None);
            }
        }
        let marked = bitmap.clone();
        own = mark_own_blocks(own, &blocks, layout.blocks_per_cluster, &mut bitmap);
        // A bitmap on disk in which the file system's own blocks are free is wrong about other blocks too.
        if !group.bitmap_uninitialised && marked != bitmap {
            return Ok(None);
        }
        let free = used.add_group(layout, &blocks, &bitmap);
        if free != group.free_count || used.ranges.len() > RANGES_MAX {
            return Ok(None);
        }
    }
    let end = layout.blocks * layout.block_len_bytes;
    used.add(end..region.len_bytes());
    Ok(Some(UsedMap { used: used.ranges }))
}

/// Sets the bits of the `own` blocks that are in the group. Returns the ranges that later groups need.
fn mark_own_blocks<'a>(
    mut own: &'a [Range<u64>],
    blocks: &Range<u64>,
    blocks_per_cluster: u64,
    bitmap: &mut [u8],
) -> &'a [Range<u64>] {
    while let Some((first, rest)) = own.split_first() {
        if first.start >= blocks.end {
            break;
        }
        let inside = first.start.max(blocks.start)..first.end.min(blocks.end);
        if !inside.is_empty() {
            let first_bit = (inside.start - blocks.start) / blocks_per_cluster;
            let last_bit = (inside.end - 1 - blocks.start) / blocks_per_cluster;
            for bit in first_bit..=last_bit {
                bitmap[(bit / 8) as usize] |= 1 << (bit % 8);
            }
        }
        if first.end > blocks.end {
            break;
        }
        own = rest;
    }
    own
}

#[derive(Default)]
struct Used {
    ranges: Vec<Range<u64>>,
}

impl Used {
    fn add(&mut self, range: Range<u64>) {
        if range.is_empty() {
            return;
        }
        match self.ranges.last_mut() {
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            _ => self.ranges.push(range),
        }
    }

    /// Adds the used blocks of a group by its bitmap. Returns the number of free clusters.
    fn add_group(&mut self, layout: &Layout, blocks: &Range<u64>, bitmap: &[u8]) -> u64 {
        let clusters = (blocks.end - blocks.start).div_ceil(layout.blocks_per_cluster);
        let mut free = 0;
        let mut bit = 0;
        while bit < clusters {
            let byte = bitmap[(bit / 8) as usize];
            let whole_byte = bit % 8 == 0 && bit + 8 <= clusters;
            if whole_byte && byte == 0 {
                free += 8;
                bit += 8;
                continue;
            }
            let step = if whole_byte && byte == 0xff { 8 } else { 1 };
            if byte & (1 << (bit % 8)) == 0 {
                free += 1;
            } else {
                let start = blocks.start + bit * layout.blocks_per_cluster;
                let end = (start + step * layout.blocks_per_cluster).min(blocks.end);
                self.add(start * layout.block_len_bytes..end * layout.block_len_bytes);
            }
            bit += step;
        }
        free
    }
}

#[cfg(test)]
mod tests {
    use super::super::test_images::{Image, have_tool};
    use super::*;
    use std::os::unix::fs::FileExt;

    /// The free blocks that `dumpe2fs` lists, in bytes.
    fn free_by_dumpe2fs(image: &Image) -> Vec<Range<u64>> {
        let text = image.run("dumpe2fs", &[]);
        let field = |name: &str| -> Option<u64> {
            let line = text.lines().find(|line| line.starts_with(name))?;
            Some(line.split_whitespace().last().unwrap().parse().unwrap())
        };
        let block_len = field("Block size:").unwrap();
        // For a free cluster dumpe2fs prints only the first block.
        let unit = field("Cluster size:").unwrap_or(block_len) / block_len;
        let mut free = Used::default();
        for line in text.lines().filter_map(|line| line.strip_prefix("  Free blocks: ")) {
            for range in line.split(", ").filter(|range| !range.trim().is_empty()) {
                let (start, end) = range.split_once('-').unwrap_or((range, range));
                let (start, end): (u64, u64) = (start.trim().parse().unwrap(), end.trim().parse().unwrap());
                free.add(start * block_len..(end + unit) * block_len);
            }
        }
        free.ranges
    }

    fn gaps(map: &UsedMap, len_bytes: u64) -> Vec<Range<u64>> {
        let starts = std::iter::once(0).chain(map.used.iter().map(|range| range.end));
        let ends = map.used.iter().map(|range| range.start).chain(std::iter::once(len_bytes));
        starts.zip(ends).filter(|(start, end)| start < end).map(|(start, end)| start..end).collect()
    }

    fn tree_with_files() -> tempfile::TempDir {
        let tree = tempfile::tempdir().unwrap();
        for index in 0..60_usize {
            let dir = tree.path().join(format!("d{}", index % 7));
            std::fs::create_dir_all(&dir).unwrap();
            std::fs::write(dir.join(format!("f{index}")), vec![index as u8; 977 * index * (index % 5)])
                .unwrap();
        }
        tree
    }

    #[test]
    fn free_blocks_are_those_of_dumpe2fs() {
        if !have_tool("mke2fs") || !have_tool("dumpe2fs") {
            return;
        }
        const MIB: u64 = 1 << 20;
        let tree = tree_with_files();
        let tree = tree.path().to_str().unwrap();
        for (len, options) in [
            (16 * MIB, &["-t", "ext2"][..]),
            (16 * MIB, &["-t", "ext2", "-b", "4096"]),
            (40 * MIB, &["-t", "ext2", "-b", "1024", "-O", "none"]),
            (64 * MIB, &["-t", "ext3"]),
            (64 * MIB, &["-t", "ext4"]),
            (600 * MIB, &["-t", "ext4"]),
            (600 * MIB, &["-t", "ext4", "-b", "4096", "-O", "^64bit,^metadata_csum"]),
            (600 * MIB, &["-t", "ext4", "-O", "^metadata_csum,uninit_bg"]),
            (600 * MIB, &["-t", "ext4", "-O", "^flex_bg"]),
            (600 * MIB, &["-t", "ext4", "-O", "^resize_inode,metadata_csum_seed"]),
            (600 * MIB, &["-t", "ext4", "-O", "^flex_bg,^64bit,^metadata_csum,uninit_bg"]),
            (300 * MIB, &["-t", "ext4", "-b", "1024"]),
            (300 * MIB, &["-t", "ext4", "-b", "1024", "-O", "meta_bg,^resize_inode"]),
            (900 * MIB, &["-t", "ext4", "-b", "1024", "-O", "meta_bg,^resize_inode,^flex_bg,uninit_bg"]),
            (600 * MIB, &["-t", "ext4", "-b", "2048"]),
            (600 * MIB, &["-t", "ext4", "-O", "bigalloc", "-C", "65536"]),
            (300 * MIB, &["-t", "ext4", "-b", "1024", "-O", "bigalloc", "-C", "16384"]),
            (600 * MIB, &["-t", "ext4", "-O", "sparse_super2"]),
            (600 * MIB, &["-t", "ext4", "-O", "^has_journal,inline_data", "-g", "8192"]),
            (601 * MIB + 12345, &["-t", "ext4", "-g", "1024", "-G", "4"]),
        ] {
            let mut all = options.to_vec();
            all.extend(["-d", tree]);
            let image = Image::ext(len, &all);
            let map = used_map(&mut image.range()).unwrap();
            let map = map.unwrap_or_else(|| panic!("no map for {options:?}"));
            let free: u64 = gaps(&map, len).iter().map(|gap| gap.end - gap.start).sum();
            assert!(free > len / 4, "{options:?}: only {free} bytes free");
            assert_eq!(gaps(&map, len), free_by_dumpe2fs(&image), "{options:?}");
        }
    }

    #[test]
    fn files_survive_when_free_bytes_are_overwritten() {
        if !have_tool("mke2fs") || !have_tool("e2fsck") {
            return;
        }
        let tree = tree_with_files();
        let image = Image::ext(200 << 20, &["-t", "ext4", "-d", tree.path().to_str().unwrap()]);
        let map = used_map(&mut image.range()).unwrap().unwrap();
        let file = std::fs::File::options().write(true).open(image.path()).unwrap();
        let noise = vec![0xa5; 1 << 20];
        for gap in gaps(&map, image.len_bytes()) {
            let mut at = gap.start;
            while at < gap.end {
                let len = (gap.end - at).min(noise.len() as u64);
                file.write_all_at(&noise[..len as usize], at).unwrap();
                at += len;
            }
        }
        image.run("e2fsck", &["-f", "-n"]);
        let out = tempfile::tempdir().unwrap();
        image.run("debugfs", &["-R", &format!("rdump / {}", out.path().display())]);
        for dir in std::fs::read_dir(tree.path()).unwrap() {
            let dir = dir.unwrap();
            for file in std::fs::read_dir(dir.path()).unwrap() {
                let file = file.unwrap();
                let copy = out.path().join(dir.file_name()).join(file.file_name());
                assert_eq!(std::fs::read(file.path()).unwrap(), std::fs::read(copy).unwrap());
            }
        }
    }

    #[test]
    fn bytes_behind_the_file_system_count_as_used() {
        if !have_tool("mke2fs") {
            return;
        }
        let image = Image::ext(16 << 20, &["-t", "ext4"]);
        std::fs::File::options().write(true).open(image.path()).unwrap().set_len(17 << 20).unwrap();
        let map = used_map(&mut image.range()).unwrap().unwrap();
        assert_eq!(map.used.last().unwrap().end, 17 << 20);
        assert!(map.used.iter().any(|range| range.start <= 16 << 20 && range.end == 17 << 20));
    }

    #[test]
    fn an_inconsistent_file_system_has_no_map() {
        if !have_tool("mke2fs") {
            return;
        }
        let with = |options: &[&str], at: u64, bytes: &[u8]| {
            let image = Image::ext(32 << 20, options);
            let file = std::fs::File::options().write(true).open(image.path()).unwrap();
            file.write_all_at(bytes, at).unwrap();
            used_map(&mut image.range()).unwrap()
        };
        let plain = &["-t", "ext4", "-b", "4096", "-O", "^metadata_csum,^64bit,^uninit_bg,^flex_bg"][..];
        let checksummed = &["-t", "ext4", "-b", "4096"][..];
        assert!(with(plain, 0, &[0]).is_some());
        assert!(with(checksummed, 0, &[0]).is_some());
        // needs_recovery, an unknown feature, not unmounted cleanly, an orphan, longer than the region.
        for (at, bytes) in [
            (1024 + 0x60, &[0x46, 0, 0, 0][..]),
            (1024 + 0x60, &[0x42, 0, 0, 0x10]),
            (1024 + 0x3a, &[0, 0]),
            (1024 + 0x3a, &[3, 0]),
            (1024 + 0xe8, &[12, 0, 0, 0]),
            (1024 + 0x4, &[1, 32, 0, 0]),
            (1024 + 0x20, &[0, 0, 0, 0]),
            (1024 + 0x18, &[60, 0, 0, 0]),
            // The free count of group 0.
            (4096 + 0xc, &[1, 0]),
        ] {
            assert!(with(plain, at, bytes).is_none(), "{at:#x} {bytes:x?}");
            assert!(with(checksummed, at, bytes).is_none(), "{at:#x} {bytes:x?}");
        }
        assert!(used_map(&mut Image::empty(1 << 20).range()).unwrap().is_none());
        assert!(used_map(&mut Image::empty(100).range()).unwrap().is_none());
    }

    #[test]
    fn a_damaged_bitmap_is_not_used() {
        if !have_tool("mke2fs") || !have_tool("dumpe2fs") {
            return;
        }
        for options in [&["-t", "ext4", "-b", "4096"][..], &["-t", "ext3", "-b", "4096"]] {
            let image = Image::ext(32 << 20, options);
            let text = image.run("dumpe2fs", &[]);
            let line = text.lines().find(|line| line.contains("Block bitmap at ")).unwrap();
            let block: u64 = line.split_whitespace().nth(3).unwrap().trim_end_matches(',').parse().unwrap();
            let file = std::fs::File::options().write(true).open(image.path()).unwrap();
            // Group 0 starts with the superblock. A bitmap in which it is free must be detected.
            file.write_all_at(&[0], block * 4096).unwrap();
            assert!(used_map(&mut image.range()).unwrap().is_none(), "{options:?}");
        }
    }
}
