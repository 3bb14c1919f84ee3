//! The bytes that a FAT12, FAT16 or FAT32 file system needs, by its allocation table and directories.
//!
//! Unused are the clusters that are free in the table, the rest of a file's last cluster, removed names in a directory,
//! and the bytes after the last entry of the table: Linux leaves the old content in all of them. Names and chains are
//! as in Microsoft's FAT specification of 2005. FAT16 and FAT32 are distinguished as in Linux (`fs/fat/inode.c`): by
//! whether the length in the old field is zero.

use super::byte_range::{ReadAt, le16, le32};
use super::ranges::{subtract, union};
use crate::{Result, UsedMap};
use std::ops::Range;

/// Larger than the table of the largest FAT16 file system, and than that of a card of 128 GiB with clusters of 32 KiB.
const TABLE_LEN_MAX_BYTES: u64 = 16 << 20;
/// In a file system with more directories, only free clusters count as unused.
const DIRECTORIES_MAX: usize = 1 << 20;
/// Limits the memory of the result (64 MiB).
const RANGES_MAX: usize = 4 << 20;
const ENTRY_LEN_BYTES: usize = 32;
/// Longest directory by the specification.
const DIRECTORY_LEN_MAX_BYTES: u64 = 2 << 20;

const DELETED: u8 = 0xe5;
const ATTRIBUTE_LABEL: u8 = 0x08;
const ATTRIBUTE_DIRECTORY: u8 = 0x10;
const ATTRIBUTE_LONG_NAME: u8 = 0x0f;

/// The bytes of the region that must be kept; `None` if that cannot be proven.
pub(super) fn used_map(region: &mut dyn ReadAt) -> Result<Option<UsedMap>> {
    let mut boot = [0; 512];
    region.read_padded(0, &mut boot)?;
    let Some(shape) = Shape::of(&boot, region.len_bytes()) else { return Ok(None) };
    let Some(table) = Table::read(&shape, region)? else { return Ok(None) };
    let mut unused = vec![table.free(&shape), shape.behind_tables()];
    let mut contents =
        Contents { shape: &shape, table: &table, seen: vec![false; table.entries.len()], unused: Vec::new() };
    // Chains that cross are damage that a check has to repair. Then only free clusters count as unused.
    if contents.walk(region)? {
        unused.push(contents.unused);
    }
    let whole = [0..region.len_bytes()];
    Ok(Some(UsedMap { used: subtract(whole.to_vec(), &union(unused)) }))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Width {
    Fat12,
    Fat16,
    Fat32,
}

/// The byte ranges of the parts of the file system.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Shape {
    width: Width,
    tables_start: u64,
    table_len_bytes: u64,
    tables: u64,
    /// The number of the active table if the tables are not mirrored; `None` if they are.
    active: Option<u64>,
    /// The root directory of FAT12 and FAT16.
    root: Range<u64>,
    root_cluster: u32,
    data_start: u64,
    cluster_len_bytes: u64,
    clusters: u32,
}

impl Shape {
    fn of(boot: &[u8; 512], region_len_bytes: u64) -> Option<Self> {
        let sector = u64::from(le16(boot, 11));
        let cluster_len_bytes = sector * u64::from(boot[13]);
        let or = |small: u16, large: u32| if small == 0 { u64::from(large) } else { u64::from(small) };
        let is_32 = le16(boot, 22) == 0;
        let table_sectors = or(le16(boot, 22), le32(boot, 36));
        let tables = u64::from(boot[16]);
        let root_len = u64::from(le16(boot, 17)) * ENTRY_LEN_BYTES as u64;
        let valid = sector.is_power_of_two()
            && (512..=4096).contains(&sector)
            && boot[13].is_power_of_two()
            && le16(boot, 14) != 0
            && matches!(tables, 1 | 2)
            && table_sectors != 0
            && (root_len == 0) == is_32;
        if !valid {
            return None;
        }
        let tables_start = u64::from(le16(boot, 14)) * sector;
        let table_len_bytes = table_sectors * sector;
        let root_start = tables_start + tables * table_len_bytes;
        let data_start = root_start + root_len.div_ceil(sector) * sector;
        let len_bytes = or(le16(boot, 19), le32(boot, 32)) * sector;
        let clusters = len_bytes.checked_sub(data_start)? / cluster_len_bytes;
        let width = match clusters {
            _ if is_32 => Width::Fat32,
            ..=4084 => Width::Fat12,
            4085..=65_524 => Width::Fat16,
            _ => return None,
        };
        let flags = le16(boot, 40);
        let shape = Self {
            width,
            tables_start,
            table_len_bytes,
            tables,
            active: (is_32 && flags & 0x80 != 0).then_some(u64::from(flags & 0xf)),
            root: root_start..root_start + root_len,
            root_cluster: if is_32 { le32(boot, 44) } else { 0 },
            data_start,
            cluster_len_bytes,
            clusters: u32::try_from(clusters).ok().filter(|clusters| (1..0x0fff_fff5).contains(clusters))?,
        };
        let fits = len_bytes <= region_len_bytes
            && shape.entries_len_bytes() <= table_len_bytes
            && shape.active.is_none_or(|active| active < tables);
        fits.then_some(shape)
    }

    /// Length of the entries of one table, including the two entries without a cluster.
    fn entries_len_bytes(&self) -> u64 {
        let entries = u64::from(self.clusters) + 2;
        match self.width {
            Width::Fat12 => (entries * 3).div_ceil(2),
            Width::Fat16 => entries * 2,
            Width::Fat32 => entries * 4,
        }
    }

    /// The bytes after the last entry of each table.
    fn behind_tables(&self) -> Vec<Range<u64>> {
        let table = |index| self.tables_start + index * self.table_len_bytes;
        (0..self.tables).map(|index| table(index) + self.entries_len_bytes()..table(index + 1)).collect()
    }

    /// The byte range of a cluster; `None` for an invalid number.
    fn cluster(&self, number: u32) -> Option<Range<u64>> {
        let index = number.checked_sub(2).filter(|index| *index < self.clusters)?;
        let start = self.data_start + u64::from(index) * self.cluster_len_bytes;
        Some(start..start + self.cluster_len_bytes)
    }
}

/// The allocation table: for each cluster the next one.
struct Table {
    /// From entry 0 on. If two tables differ, an entry counts as free only if it is free in both.
    entries: Vec<u32>,
    bad: u32,
    /// Entries from this value on end a chain.
    end: u32,
}

impl Table {
    /// Reads the tables; `None` if they are too large for the memory limit.
    fn read(shape: &Shape, region: &mut dyn ReadAt) -> Result<Option<Self>> {
        let len = shape.entries_len_bytes();
        if len > TABLE_LEN_MAX_BYTES {
            return Ok(None);
        }
        let (bad, end) = match shape.width {
            Width::Fat12 => (0xff7, 0xff8),
            Width::Fat16 => (0xfff7, 0xfff8),
            Width::Fat32 => (0x0fff_fff7, 0x0fff_fff8),
        };
        let mut entries: Vec<u32> = Vec::new();
        let mut bytes = vec![0; len as usize];
        for index in (0..shape.tables).filter(|index| shape.active.is_none_or(|active| active == *index)) {
            region.read_padded(shape.tables_start + index * shape.table_len_bytes, &mut bytes)?;
            let read = (0..shape.clusters as usize + 2).map(|entry| match shape.width {
                Width::Fat12 => u32::from(le16(&bytes, entry * 3 / 2) >> (4 * (entry % 2)) & 0xfff),
                Width::Fat16 => u32::from(le16(&bytes, entry * 2)),
                Width::Fat32 => le32(&bytes, entry * 4) & 0x0fff_ffff,
            });
            if entries.is_empty() {
                entries = read.collect();
            } else {
                entries.iter_mut().zip(read).for_each(|(first, second)| *first = (*first).max(second));
            }
        }
        Ok(Some(Self { entries, bad, end }))
    }

    /// Clusters that are not allocated. One that is marked as bad is not read either.
    fn free(&self, shape: &Shape) -> Vec<Range<u64>> {
        let is_free = |entry: u32| entry == 0 || entry == self.bad;
        let free = (2..).zip(&self.entries[2..]).filter(|(_, entry)| is_free(**entry));
        free.filter_map(|(number, _)| shape.cluster(number)).collect()
    }
}

/// Walks through the directories.
struct Contents<'a> {
    shape: &'a Shape,
    table: &'a Table,
    /// Clusters that belong to a file or directory found so far.
    seen: Vec<bool>,
    unused: Vec<Range<u64>>,
}

impl Contents<'_> {
    /// Whether all directories could be read, and no cluster has two owners.
    fn walk(&mut self, region: &mut dyn ReadAt) -> Result<bool> {
        let mut unread = Vec::new();
        let root = if self.shape.width == Width::Fat32 {
            let Some(root) = self.chain(self.shape.root_cluster) else { return Ok(false) };
            root
        } else {
            vec![self.shape.root.clone()]
        };
        unread.push(root);
        let mut directories = 0;
        while let Some(directory) = unread.pop() {
            directories += 1;
            let len: u64 = directory.iter().map(|part| part.end - part.start).sum();
            if directories > DIRECTORIES_MAX || len > DIRECTORY_LEN_MAX_BYTES {
                return Ok(false);
            }
            for part in directory {
                let mut bytes = vec![0; (part.end - part.start) as usize];
                region.read_padded(part.start, &mut bytes)?;
                for (index, entry) in bytes.chunks_exact(ENTRY_LEN_BYTES).enumerate() {
                    let at = part.start + (index * ENTRY_LEN_BYTES) as u64;
                    match self.entry(at, entry) {
                        None => return Ok(false),
                        Some(None) => {}
                        Some(Some(below)) => unread.push(below),
                    }
                }
            }
        }
        Ok(true)
    }

    /// Adds the unused bytes of an entry and its clusters. Returns the clusters of a directory. `None` if the entry is
    /// invalid.
    fn entry(&mut self, at: u64, entry: &[u8]) -> Option<Option<Vec<Range<u64>>>> {
        if matches!(entry[0], 0 | DELETED) {
            if entry[1..].iter().any(|byte| *byte != 0) {
                self.add_unused(at + 1..at + ENTRY_LEN_BYTES as u64)?;
            }
            return Some(None);
        }
        let attributes = entry[11] & 0x3f;
        let is_dot = entry[0] == b'.';
        if attributes == ATTRIBUTE_LONG_NAME || attributes & ATTRIBUTE_LABEL != 0 || is_dot {
            return Some(None);
        }
        let high = if self.shape.width == Width::Fat32 { u32::from(le16(entry, 20)) << 16 } else { 0 };
        let first = high | u32::from(le16(entry, 26));
        let is_directory = attributes & ATTRIBUTE_DIRECTORY != 0;
        let chain = match first {
            0 if !is_directory => Vec::new(),
            first => self.chain(first)?,
        };
        if is_directory {
            return Some(Some(chain));
        }
        let mut left = u64::from(le32(entry, 28));
        for cluster in chain {
            let used = left.min(cluster.end - cluster.start);
            left -= used;
            self.add_unused(cluster.start + used..cluster.end)?;
        }
        Some(None)
    }

    fn add_unused(&mut self, range: Range<u64>) -> Option<()> {
        if !range.is_empty() {
            self.unused.push(range);
        }
        (self.unused.len() <= RANGES_MAX).then_some(())
    }

    /// The clusters from `first` on; `None` if the chain leaves the table, has a cycle or meets another chain.
    fn chain(&mut self, first: u32) -> Option<Vec<Range<u64>>> {
        let mut clusters = Vec::new();
        let mut number = first;
        while number < self.table.end {
            let seen = self.seen.get_mut(number as usize)?;
            if std::mem::replace(seen, true) {
                return None;
            }
            clusters.push(self.shape.cluster(number)?);
            number = *self.table.entries.get(number as usize)?;
        }
        Some(clusters)
    }
}

#[cfg(test)]
mod tests;
