//! The bytes that an exFAT file system needs, by its allocation bitmap (Microsoft's specification, sections 3 and 7.1).
//!
//! Clusters that are free in the bitmap are unused. The rest of a file's last cluster is kept.

use super::byte_range::{ReadAt, le16, le32};
use super::ranges::{subtract, union};
use crate::signature::le64;
use crate::{Result, UsedMap};
use std::ops::Range;

/// Length of the bitmap of a card of 2 TiB with clusters of 128 KiB.
const BITMAP_LEN_MAX_BYTES: u64 = 2 << 20;
const ALLOCATION_BITMAP: u8 = 0x81;
/// Longest chain of the root directory that is searched.
const ROOT_CLUSTERS_MAX: usize = 64;

/// The bytes of the region that must be kept; `None` if that cannot be proven.
pub(super) fn used_map(region: &mut dyn ReadAt) -> Result<Option<UsedMap>> {
    let mut boot = [0; 512];
    region.read_padded(0, &mut boot)?;
    let Some(shape) = Shape::of(&boot, region.len_bytes()) else { return Ok(None) };
    let Some(bitmap) = shape.bitmap(region)? else { return Ok(None) };
    let is_free = |index: &u32| bitmap[*index as usize / 8] & 1 << (index % 8) == 0;
    let free = (0..shape.clusters).filter(is_free).filter_map(|index| shape.cluster(index + 2)).collect();
    let whole = [0..region.len_bytes()];
    Ok(Some(UsedMap { used: subtract(whole.to_vec(), &union(vec![free])) }))
}

struct Shape {
    table_start: u64,
    heap_start: u64,
    cluster_len_bytes: u64,
    clusters: u32,
    root_cluster: u32,
}

impl Shape {
    fn of(boot: &[u8; 512], region_len_bytes: u64) -> Option<Self> {
        let (sector_shift, cluster_shift) = (u32::from(boot[108]), u32::from(boot[109]));
        let valid = (9..=12).contains(&sector_shift)
            && sector_shift + cluster_shift <= 25
            // TexFAT has two tables and bitmaps. No program on Linux makes it.
            && boot[110] == 1
            && le16(boot, 510) == 0xaa55;
        if !valid {
            return None;
        }
        let shape = Self {
            table_start: u64::from(le32(boot, 80)) << sector_shift,
            heap_start: u64::from(le32(boot, 88)) << sector_shift,
            cluster_len_bytes: 1 << (sector_shift + cluster_shift),
            clusters: le32(boot, 92),
            root_cluster: le32(boot, 96),
        };
        let end =
            shape.heap_start.checked_add(u64::from(shape.clusters) << (sector_shift + cluster_shift))?;
        let len_bytes = le64(boot, 72).checked_mul(1 << sector_shift)?;
        let table_end = shape.table_start + 4 * (u64::from(shape.clusters) + 2);
        (end <= len_bytes && len_bytes <= region_len_bytes && table_end <= shape.heap_start).then_some(shape)
    }

    fn cluster(&self, number: u32) -> Option<Range<u64>> {
        let index = number.checked_sub(2).filter(|index| *index < self.clusters)?;
        let start = self.heap_start + u64::from(index) * self.cluster_len_bytes;
        Some(start..start + self.cluster_len_bytes)
    }

    /// The allocation bitmap, which an entry of the root directory describes.
    fn bitmap(&self, region: &mut dyn ReadAt) -> Result<Option<Vec<u8>>> {
        let wanted = u64::from(self.clusters).div_ceil(8);
        let mut directory = vec![0; self.cluster_len_bytes as usize];
        let mut number = self.root_cluster;
        for _ in 0..ROOT_CLUSTERS_MAX {
            let Some(cluster) = self.cluster(number) else { return Ok(None) };
            region.read_padded(cluster.start, &mut directory)?;
            let mut entries = directory.chunks_exact(32);
            if let Some(entry) = entries.find(|entry| entry[0] == ALLOCATION_BITMAP) {
                let fits = le64(entry, 24) >= wanted && wanted <= BITMAP_LEN_MAX_BYTES;
                return if fits { self.read_chain(region, le32(entry, 20), wanted) } else { Ok(None) };
            }
            number = self.next(region, number)?;
        }
        Ok(None)
    }

    fn read_chain(&self, region: &mut dyn ReadAt, first: u32, len_bytes: u64) -> Result<Option<Vec<u8>>> {
        let mut bytes = vec![0; len_bytes as usize];
        let mut number = first;
        for piece in bytes.chunks_mut(self.cluster_len_bytes as usize) {
            let Some(cluster) = self.cluster(number) else { return Ok(None) };
            region.read_padded(cluster.start, piece)?;
            number = self.next(region, number)?;
        }
        Ok(Some(bytes))
    }

    fn next(&self, region: &mut dyn ReadAt, number: u32) -> Result<u32> {
        let mut entry = [0; 4];
        region.read_padded(self.table_start + 4 * u64::from(number), &mut entry)?;
        Ok(le32(&entry, 0))
    }
}

#[cfg(test)]
mod tests {
    use super::super::test_images::{Image, have_tool};
    use super::*;
    use std::os::unix::fs::FileExt;

    #[test]
    fn free_clusters_after_mkfs_are_found_and_the_others_are_kept() {
        if !have_tool("mkfs.exfat") || !have_tool("fsck.exfat") {
            return;
        }
        for options in [&[][..], &["-c", "4K"], &["-c", "128K"]] {
            let image = Image::empty(64 << 20);
            image.run("mkfs.exfat", options);
            let map = used_map(&mut image.range()).unwrap().unwrap();
            let free = subtract(vec![0..image.len_bytes()], &map.used);
            let free_bytes: u64 = free.iter().map(|range| range.end - range.start).sum();
            assert!(free_bytes > 50 << 20, "{free_bytes}");
            let file = std::fs::File::options().write(true).open(image.path()).unwrap();
            for range in free {
                file.write_all_at(&vec![0xa5; (range.end - range.start) as usize], range.start).unwrap();
            }
            image.run("fsck.exfat", &["-n"]);
        }
    }

    #[test]
    fn a_crafted_boot_sector_does_not_panic() {
        let mut bytes = vec![0xff; 8192];
        bytes[3..11].copy_from_slice(b"EXFAT   ");
        for shifts in [[9, 3], [12, 13], [9, 255]] {
            bytes[108..110].copy_from_slice(&shifts);
            bytes[110] = 1;
            bytes[510..512].copy_from_slice(&[0x55, 0xaa]);
            assert_eq!(used_map(&mut Image::of(&bytes).range()).unwrap(), None);
        }
    }
}
