//! Computes the space that the files of an archive take in an ext file system, and a shape with room for them.
//!
//! Inodes, blocks, directories, attributes and links are counted before anything is erased. If the files fit into the
//! usual shape, it is used; otherwise the shape has more inodes, a smaller journal, or another block size. The counts are
//! upper limits of what the kernel needs, so an accepted archive never runs out of space.

use super::tar_attributes::{outside, stored_name_len};
use super::tar_tree::Shape;
use crate::formats::tar::{Entry, EntryKind};
use crate::printable;
use crate::size::Size;
use replicator_hal::{EXT_JOURNAL_BLOCKS_MIN, ExtShape, Flavour, RelativePath, pointer_blocks};
use std::collections::BTreeMap;
use std::ops::Range;
use xxhash_rust::xxh3::Xxh3;

/// The block sizes that are tried.
const BLOCK_LENS_BYTES: [u32; 2] = [4096, 1024];
/// A shorter text of a symlink is in its inode.
const SHORT_LINK_LEN: usize = 60;
/// Inodes that a new file system has in use.
const RESERVED_INODES: u64 = 11;
/// Files that share one attribute block: half of what the kernel allows, because its cache does not find all.
const SHARERS_OF_ATTRIBUTES: u64 = 512;
/// Names of one file on ext2 and ext3, and on ext4.
const NAMES_MAX: [u64; 2] = [32_000, 65_000];
/// Directories in one directory of ext2 and ext3: each adds a link to it, beside its own two.
const SUBDIRECTORIES_MAX: u64 = 32_000 - 2;

/// The space that one entry takes beside its inode, for each block size.
#[derive(Debug, Clone, Copy, Default)]
struct Held {
    blocks: [u64; 2],
    /// Its set of attributes, if that needs an attribute block.
    attributes: Option<u64>,
    /// Inodes of large attributes.
    inodes: u64,
}

/// Counts the entries of an archive one after the other.
#[derive(Debug)]
pub(super) struct Counter {
    flavour: Flavour,
    held: Vec<Held>,
    obstacles: [Option<String>; 2],
    large_attributes: bool,
    root: Held,
}

/// Why there is no shape for an archive, in words that follow its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum NoShape {
    /// A medium of any length is too small.
    Never(String),
    /// A larger medium has room.
    TooSmall(String),
}

/// The space that all files take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Room {
    flavour: Flavour,
    inodes: u64,
    blocks: [u64; 2],
    /// Why blocks of this size cannot hold them.
    obstacles: [Option<String>; 2],
    large_attributes: bool,
    large_directories: [bool; 2],
}

impl Counter {
    /// For a file system of this flavour.
    pub(super) fn new(flavour: Flavour) -> Self {
        let root = Held::default();
        Self { flavour, held: Vec::new(), obstacles: [None, None], large_attributes: false, root }
    }

    /// Counts one more entry, and returns its number.
    ///
    /// # Errors
    /// Why no file system of the flavour holds it, in words that follow the entry's name.
    pub(super) fn add(&mut self, entry: &Entry) -> Result<usize, String> {
        let held = self.held_by(entry)?;
        if entry.path.is_root() {
            self.root = held;
        }
        self.held.push(held);
        Ok(self.held.len() - 1)
    }

    /// The space that an entry takes. Obstacles are remembered.
    fn held_by(&mut self, entry: &Entry) -> Result<Held, String> {
        let mut held = Held::default();
        if let Some(xattr) = entry.xattrs.iter().find(|xattr| stored_name_len(xattr).is_none()) {
            let name = String::from_utf8_lossy(&xattr.name).into_owned();
            return Err(format!("has the attribute {}, which ext cannot keep", printable::line(&name)));
        }
        for (at, block_len_bytes) in BLOCK_LENS_BYTES.into_iter().enumerate() {
            let block_len_bytes = u64::from(block_len_bytes);
            let (mut blocks, mut obstacle) = (0, None);
            match &entry.kind {
                EntryKind::File { len_bytes, data } => {
                    blocks += file_blocks(self.flavour, data, block_len_bytes);
                    if *len_bytes > file_len_max_bytes(self.flavour, block_len_bytes) {
                        obstacle = Some("is a file that is too long");
                    }
                }
                EntryKind::Symlink { text } if text.len() >= SHORT_LINK_LEN => {
                    blocks += 1;
                    if text.len() as u64 >= block_len_bytes {
                        obstacle = Some("is a link whose text is too long");
                    }
                }
                _ => {}
            }
            let mut attributes = outside(entry, block_len_bytes, false);
            if attributes.is_none() && self.flavour == Flavour::Ext4 && at == 0 {
                attributes = outside(entry, block_len_bytes, true);
                self.large_attributes |= attributes.is_some();
            }
            match attributes {
                Some(outside) => {
                    blocks += outside.blocks;
                    held.inodes = held.inodes.max(outside.inodes);
                    if outside.block {
                        held.attributes = Some(set_of_attributes(entry));
                    }
                }
                None => obstacle = Some("has attributes that take more than a block"),
            }
            held.blocks[at] = blocks;
            if let (Some(why), None) = (obstacle, &self.obstacles[at]) {
                self.obstacles[at] = Some(format!("{} {why}", shown(&entry.path)));
            }
        }
        Ok(held)
    }

    /// Room without any file.
    fn empty_room(&self) -> Room {
        Room {
            flavour: self.flavour,
            inodes: 0,
            blocks: [0; 2],
            obstacles: self.obstacles.clone(),
            large_attributes: self.large_attributes,
            large_directories: [false; 2],
        }
    }

    /// Adds up the entries that remain in the finished tree.
    ///
    /// # Errors
    /// Why no file system of the flavour holds them, in words.
    pub(super) fn finish(self, tree: &Shape) -> Result<Room, String> {
        let mut room = self.empty_room();
        let mut attributes = BTreeMap::<u64, u64>::new();
        let mut names_of = vec![0_u64; self.held.len()];
        let mut directories = BTreeMap::from([(RelativePath::root(), Directory::default())]);
        room.take(&self.root, &mut attributes);
        for (path, is_directory, number) in tree.files() {
            if let (Some(parent), Some(name)) = (path.parent(), path.file_name()) {
                directories.entry(parent).or_default().add(name, is_directory);
            }
            if is_directory {
                directories.entry(path.clone()).or_default();
            }
            // A directory without an entry has no number.
            let names = number.and_then(|number| names_of.get_mut(number));
            let is_first = names.is_none_or(|names| {
                *names += 1;
                *names == 1
            });
            if is_first {
                room.inodes += 1;
                if let Some(held) = number.and_then(|number| self.held.get(number)) {
                    room.take(held, &mut attributes);
                }
            }
        }
        self.check_links(tree, &names_of, &directories)?;
        for count in attributes.values() {
            room.blocks = room.blocks.map(|blocks| blocks + count.div_ceil(SHARERS_OF_ATTRIBUTES));
        }
        directories.values().for_each(|directory| room.add_directory(directory));
        room.reserve_for_fragments();
        Ok(room)
    }

    fn check_links(
        &self,
        tree: &Shape,
        names_of: &[u64],
        directories: &BTreeMap<RelativePath, Directory>,
    ) -> Result<(), String> {
        let names_max = NAMES_MAX[usize::from(self.flavour.has_extents())];
        if let Some(number) = names_of.iter().position(|names| *names > names_max) {
            let found = tree.files().find(|(.., found)| *found == Some(number));
            let path = found.map(|(path, ..)| shown(path)).unwrap_or_default();
            return Err(format!(
                "{path} has {} names, but a file can have {names_max}",
                names_of.get(number).copied().unwrap_or_default()
            ));
        }
        let is_too_wide = |directory: &&Directory| {
            !self.flavour.has_extents() && directory.subdirectories > SUBDIRECTORIES_MAX
        };
        if let Some((path, directory)) = directories.iter().find(|(_, directory)| is_too_wide(directory)) {
            return Err(format!(
                "{} holds {} directories, but a directory can hold {SUBDIRECTORIES_MAX}",
                shown(path),
                directory.subdirectories
            ));
        }
        Ok(())
    }
}

impl Room {
    fn take(&mut self, held: &Held, attributes: &mut BTreeMap<u64, u64>) {
        self.inodes += held.inodes;
        for (sum, blocks) in self.blocks.iter_mut().zip(held.blocks) {
            *sum += blocks;
        }
        if let Some(set) = held.attributes {
            *attributes.entry(set).or_default() += 1;
        }
    }

    fn add_directory(&mut self, directory: &Directory) {
        for (at, block_len_bytes) in BLOCK_LENS_BYTES.into_iter().enumerate() {
            let (blocks, is_large) = directory.blocks(block_len_bytes.into());
            self.blocks[at] += blocks;
            self.large_directories[at] |= is_large;
        }
    }

    /// If space is short, files are fragmented.
    fn reserve_for_fragments(&mut self) {
        self.blocks = self.blocks.map(|blocks| blocks + 16 + blocks / 256);
    }

    /// The shape of a file system of `len_bytes`, on sectors of `sector_len_bytes`, that has room for all.
    ///
    /// # Errors
    /// Why there is none, with figures or the name of an entry.
    pub(super) fn shape(&self, len_bytes: u64, sector_len_bytes: u32) -> Result<ExtShape, NoShape> {
        let flavour = self.flavour;
        let usual = ExtShape::usual(flavour, len_bytes, sector_len_bytes).block_len_bytes;
        let mut sizes = [0, 1];
        sizes.sort_by_key(|at| BLOCK_LENS_BYTES[*at] != usual);
        let (mut never, mut too_small) = (None, None);
        for at in sizes {
            let block_len_bytes = BLOCK_LENS_BYTES[at];
            if block_len_bytes < sector_len_bytes {
                continue;
            }
            let obstacle = match &self.obstacles[at] {
                None if self.large_directories[at] && flavour != Flavour::Ext4 => {
                    Some("there are too many names in one directory")
                }
                obstacle => obstacle.as_deref(),
            };
            if let Some(obstacle) = obstacle {
                // Larger blocks can hold more, so their obstacle is the one to report.
                if at == 0 || never.is_none() {
                    never = Some(obstacle.to_owned());
                }
                continue;
            }
            let usual = ExtShape {
                large_attributes: self.large_attributes,
                large_directories: self.large_directories[at],
                ..ExtShape::with_blocks_of(flavour, len_bytes, block_len_bytes)
            };
            match self.most_similar_that_fits(usual, len_bytes, self.blocks[at]) {
                Ok(shape) => return Ok(shape),
                Err(figures) => too_small = Some(figures),
            }
        }
        Err(match (too_small, never) {
            (Some(figures), _) => NoShape::TooSmall(figures),
            (None, Some(obstacle)) => NoShape::Never(obstacle),
            (None, None) => NoShape::Never("no block size fits the sectors of the medium".to_owned()),
        })
    }

    /// The usual shape if the files fit into it, else the most similar one.
    fn most_similar_that_fits(
        &self,
        usual: ExtShape,
        len_bytes: u64,
        blocks: u64,
    ) -> Result<ExtShape, String> {
        let needed = self.inodes + RESERVED_INODES;
        let shapes = [
            // A clone needs free inodes.
            ExtShape { inodes: usual.inodes.max(needed + needed / 4), ..usual },
            ExtShape { inodes: needed + needed / 64 + 16, ..usual },
            ExtShape {
                inodes: needed,
                journal_blocks: EXT_JOURNAL_BLOCKS_MIN.min(usual.journal_blocks),
                ..usual
            },
        ];
        let mut best = 0;
        for shape in shapes {
            let Some(room) = shape.room(self.flavour, len_bytes) else { continue };
            if room.usable_blocks() >= blocks && room.free_inodes >= self.inodes {
                return Ok(shape);
            }
            best = best.max(room.usable_blocks());
        }
        let size = |blocks: u64| Size(blocks * u64::from(usual.block_len_bytes));
        Err(format!(
            "needs {} inodes and {} for its files, a file system of {} has {} for them",
            self.inodes,
            size(blocks),
            Size(len_bytes),
            size(best)
        ))
    }
}

/// The content of one directory.
#[derive(Debug, Default)]
pub(super) struct Directory {
    names_len_bytes: u64,
    subdirectories: u64,
}

impl Directory {
    fn add(&mut self, name: &[u8], is_directory: bool) {
        self.names_len_bytes += (8 + name.len() as u64).next_multiple_of(4);
        self.subdirectories += u64::from(is_directory);
    }

    /// The most blocks that it takes, and whether its index needs a third level.
    fn blocks(&self, block_len_bytes: u64) -> (u64, bool) {
        // Each block ends with a checksum, and the first has the names `.` and `..`.
        let usable = block_len_bytes - 12;
        if self.names_len_bytes + 24 <= usable {
            return (1, false);
        }
        // A full block is split into two halves.
        let leaves = (2 * self.names_len_bytes).div_ceil(usable).max(2);
        let of_root = block_len_bytes / 8 - 5;
        let of_node = block_len_bytes / 8 - 2;
        let nodes = if leaves > of_root { (2 * leaves).div_ceil(of_node) } else { 0 };
        (1 + nodes + leaves, nodes > of_root)
    }
}

/// Blocks of a file and of its block map.
fn file_blocks(flavour: Flavour, data: &[Range<u64>], block_len_bytes: u64) -> u64 {
    let (mut blocks, mut extents, mut pointers) = (0, 0, 0);
    // An extent ends with its group of blocks.
    let of_group = (8 * block_len_bytes).min(32_768);
    let mut end_block = 0;
    for range in data {
        // Two extents may share a block.
        let start = (range.start / block_len_bytes).max(end_block);
        end_block = range.end.div_ceil(block_len_bytes).max(end_block);
        let here = end_block - start;
        blocks += here;
        extents += u64::from(here > 0) + here / of_group;
        pointers += here.div_ceil(block_len_bytes / 4) + 3;
    }
    if !flavour.has_extents() {
        // No file has more pointers than one of its length without holes.
        return blocks + pointer_blocks(end_block, block_len_bytes).min(pointers);
    }
    // Four extents fit into the inode. Each block of the map has a head of the size of one.
    let of_map = block_len_bytes / 12 - 2;
    let mut map = if extents > 4 { extents.div_ceil(of_map) } else { 0 };
    if map > 4 {
        map += map.div_ceil(of_map);
    }
    blocks + map
}

/// The longest file.
fn file_len_max_bytes(flavour: Flavour, block_len_bytes: u64) -> u64 {
    if flavour.has_extents() {
        return u64::from(u32::MAX) * block_len_bytes;
    }
    let pointers = block_len_bytes / 4;
    let mapped = 12 + pointers + pointers.pow(2) + pointers.pow(3);
    // Without `huge_file` the kernel counts the space of a file, its map included, in units of 512 bytes with 32 bits.
    let map = 3 + 2 * pointers + pointers.pow(2);
    let counted = (u64::from(u32::MAX) / (block_len_bytes / 512)).saturating_sub(map);
    mapped.min(counted) * block_len_bytes
}

fn set_of_attributes(entry: &Entry) -> u64 {
    let mut hash = Xxh3::new();
    for xattr in &entry.xattrs {
        hash.update(&(xattr.name.len() as u64).to_le_bytes());
        hash.update(&xattr.name);
        hash.update(&(xattr.value.len() as u64).to_le_bytes());
        hash.update(&xattr.value);
    }
    hash.digest()
}

fn shown(path: &RelativePath) -> String {
    format!("\"{}\"", printable::line(&path.to_string()))
}

pub(super) mod in_order;
#[cfg(test)]
mod tests;
