//! The simulated file system. It is stored in the bytes of its region: copying the bytes copies the files.
//!
//! On the medium: nothing in the first KiB, a superblock sector at 1024 (with a magic that no prober takes for ext),
//! two metadata slots that are written in turn and have a checksum (so that a cut leaves the old or the new state),
//! then data blocks. Removed data stays in free blocks until it is overwritten, as on real file systems.
//!
//! In memory a mounted file system is two trees: the *live* one that callers see and the *durable* one that is on the
//! medium. File data is durable after a sync of the file, names after a sync of the directory; on journalled kinds
//! that sync makes all earlier directory changes durable, on the others only those of that directory.
//! [`crash`](SimFs::crash) decides what a power cut leaves of the rest.
//!
//! Not modelled: real layouts, a journal on the medium, quotas, several mounts of the same bytes.

mod attributes;
mod crash;
mod data;
mod flags;
mod image;
mod names;
mod profile;
mod sync;

pub use crash::Survival;
pub use profile::Kind;

use imbl::OrdMap;
use replicator_hal::{Error, ErrorKind, FileKind, Owner, Timestamp};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// Inode of the root directory.
pub const ROOT: u64 = 1;
/// Longest name.
const NAME_LEN_MAX: usize = 255;
/// Longest value of an attribute that the kernel accepts, see xattr(7).
const XATTR_LEN_MAX: usize = 64 << 10;
/// Size limit of all attributes of one file together.
const XATTRS_LEN_MAX: usize = 4000;

/// Why the file system refuses something.
#[derive(Debug)]
pub enum Refusal {
    /// By its own rules.
    Kind(ErrorKind, &'static str),
    /// The backing cannot be read or written.
    Below(Error),
}

impl Refusal {
    /// The HAL error for an operation on an object.
    pub fn into_error(self, operation: &str, object: impl Into<String>) -> Error {
        match self {
            Self::Kind(kind, detail) => Error::new(kind, operation, object, detail),
            Self::Below(error) => error,
        }
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self::Below(error)
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        refusal.into_error("", "")
    }
}

/// Result inside of the file system.
pub type Outcome<T> = Result<T, Refusal>;

pub(crate) fn refuse<T>(kind: ErrorKind, detail: &'static str) -> Outcome<T> {
    Err(Refusal::Kind(kind, detail))
}

/// The bytes in which a file system is stored.
pub trait Backing {
    /// Fills the buffer.
    ///
    /// # Errors
    /// Those of what holds the bytes.
    fn read(&mut self, offset_bytes: u64, buffer: &mut [u8]) -> Result<(), Error>;
    /// Writes all of the data.
    ///
    /// # Errors
    /// As [`Backing::read`].
    fn write(&mut self, offset_bytes: u64, data: &[u8]) -> Result<(), Error>;
    /// Makes written data durable.
    ///
    /// # Errors
    /// As [`Backing::read`].
    fn flush(&mut self) -> Result<(), Error>;
}

/// What `fsck` will find.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Damage {
    /// Nothing.
    #[default]
    None,
    /// Damage that it can repair.
    Repairable,
    /// Damage that it cannot repair.
    Fatal,
}

/// The superblock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Superblock {
    /// Its behaviour.
    pub kind: Kind,
    /// Volume label.
    pub label: Option<String>,
    /// Identity of this very file system.
    pub uuid: [u8; 16],
    /// Not cleanly unmounted since it was mounted for writing.
    pub dirty: bool,
    /// What a check will find.
    pub damage: Damage,
    /// Length of the file system.
    pub len_bytes: u64,
    /// Length of a data block.
    pub block_len: u32,
    /// Length of one metadata slot.
    pub slot_len: u32,
    /// Number of inodes at creation; 0 for no limit but space.
    pub inodes_max: u64,
}

impl Superblock {
    fn block_count(&self) -> u32 {
        u32::try_from(self.len_bytes / u64::from(self.block_len)).unwrap_or(u32::MAX)
    }

    /// The first block after the superblock and both slots.
    fn data_start_block(&self) -> u32 {
        let end = image::SLOTS_START + 2 * u64::from(self.slot_len);
        u32::try_from(end.div_ceil(u64::from(self.block_len))).unwrap_or(u32::MAX)
    }
}

/// A name in a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The name as it was given.
    pub name: Vec<u8>,
    /// What it names.
    pub inode: u64,
}

/// A file, directory, link or node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inode {
    /// What it is.
    pub kind: FileKind,
    /// Permission bits.
    pub mode: u32,
    /// Inode flags, with the kernel's numbers.
    pub flags: u32,
    /// Owner.
    pub owner: Owner,
    /// Last change of the content.
    pub modified: Timestamp,
    /// Device number of a node.
    pub device: (u32, u32),
    /// Text of a symlink.
    pub text: Vec<u8>,
    /// Extended attributes.
    pub xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Length of a regular file.
    pub len_bytes: u64,
    /// Data blocks by number in the file; a missing number is a hole.
    pub blocks: BTreeMap<u64, u32>,
    /// Names of a directory, by folded name.
    pub entries: BTreeMap<Vec<u8>, Entry>,
    /// Number of its names.
    pub links: u32,
}

impl Inode {
    fn new(kind: FileKind, mode: u32, modified: Timestamp) -> Self {
        Self {
            kind,
            mode: mode & 0o7777,
            flags: 0,
            owner: Owner::default(),
            modified,
            device: (0, 0),
            text: Vec::new(),
            xattrs: BTreeMap::new(),
            len_bytes: 0,
            blocks: BTreeMap::new(),
            entries: BTreeMap::new(),
            links: 0,
        }
    }
}

/// All inodes of one state.
pub(crate) type Inodes = BTreeMap<u64, Arc<Inode>>;

/// One change of a directory that is not durable yet.
#[derive(Debug, Clone)]
pub(crate) struct NameChange {
    directory: u64,
    name: Vec<u8>,
    entry: Option<Entry>,
}

/// Which states hold a block; a block held by none is free.
const LIVE: u8 = 1;
const DURABLE: u8 = 2;
const FIXED: u8 = 4;

/// A file system in memory. Cloning is cheap enough for a clone before every operation.
#[derive(Debug, Clone)]
pub struct SimFs {
    superblock: Superblock,
    live: Inodes,
    durable: Inodes,
    /// Changes of one operation belong together where the kind is journalled.
    pending: VecDeque<Vec<NameChange>>,
    /// Data of blocks that is not on the medium yet.
    unwritten: OrdMap<u32, Arc<[u8]>>,
    /// Page cache: data that was written to the medium and not dropped since. On a faulty medium it may differ from
    /// what is stored.
    cached: OrdMap<u32, Arc<[u8]>>,
    claims: Arc<Vec<u8>>,
    free_blocks: u32,
    cursor_block: u32,
    generation: u64,
    next_inode: u64,
    open_counts: BTreeMap<u64, u32>,
    capacity_max_bytes: Option<u64>,
}

impl SimFs {
    /// The superblock.
    pub fn superblock(&self) -> &Superblock {
        &self.superblock
    }

    /// The live inode, if it exists.
    pub fn inode(&self, inode: u64) -> Option<&Inode> {
        self.live.get(&inode).map(Arc::as_ref)
    }

    /// Free and total bytes.
    pub fn space_bytes(&self) -> (u64, u64) {
        let block_len = u64::from(self.superblock.block_len);
        let total = u64::from(self.superblock.block_count() - self.superblock.data_start_block()) * block_len;
        // Blocks that only the durable state holds become free with the next sync, and a full volume syncs by itself.
        let reclaimable = self.claims.iter().filter(|claim| **claim == DURABLE).count() as u64;
        let free = (u64::from(self.free_blocks) + reclaimable) * block_len;
        match self.capacity_max_bytes {
            Some(max) => (free.min((max + free).saturating_sub(total)), total.min(max)),
            None => (free, total),
        }
    }

    /// Fault: the volume takes at most so many bytes of data, whatever its size.
    pub fn set_capacity_max(&mut self, bytes: Option<u64>) {
        self.capacity_max_bytes = bytes;
    }

    /// Ranges that the durable state uses: sorted, merged, relative to the region.
    pub fn used_ranges(&self) -> Vec<std::ops::Range<u64>> {
        let block_len = u64::from(self.superblock.block_len);
        let mut used: Vec<std::ops::Range<u64>> = Vec::new();
        for (block, claim) in self.claims.iter().enumerate() {
            if claim & (DURABLE | FIXED) == 0 {
                continue;
            }
            let start = block as u64 * block_len;
            match used.last_mut() {
                Some(range) if range.end == start => range.end += block_len,
                _ => used.push(start..start + block_len),
            }
        }
        used
    }

    /// Notes that a file is open: it exists until it is closed, even without a name.
    pub fn opened(&mut self, inode: u64) {
        *self.open_counts.entry(inode).or_default() += 1;
    }

    /// Notes that a file was closed.
    pub fn closed(&mut self, inode: u64) {
        if let Some(count) = self.open_counts.get_mut(&inode) {
            *count -= 1;
            if *count == 0 {
                self.open_counts.remove(&inode);
                self.drop_if_unused(inode);
            }
        }
    }

    /// How many files are open.
    pub fn open_count(&self) -> u32 {
        self.open_counts.values().sum()
    }

    fn live_inode(&self, inode: u64) -> Outcome<&Inode> {
        self.inode(inode).ok_or(Refusal::Kind(ErrorKind::NotFound, "the file is gone"))
    }

    fn change(&mut self, inode: u64) -> Outcome<&mut Inode> {
        match self.live.get_mut(&inode) {
            Some(inode) => Ok(Arc::make_mut(inode)),
            None => refuse(ErrorKind::NotFound, "the file is gone"),
        }
    }

    fn set_claim(&mut self, block: u32, claim: u8, on: bool) {
        let claims = Arc::make_mut(&mut self.claims);
        let Some(value) = claims.get_mut(block as usize) else {
            return;
        };
        let was_free = *value == 0;
        if on {
            *value |= claim;
        } else {
            *value &= !claim;
        }
        match (was_free, *value == 0) {
            (true, false) => self.free_blocks -= 1,
            (false, true) => self.free_blocks += 1,
            _ => {}
        }
    }

    /// Removes a block from the live state and from the caches.
    fn release(&mut self, block: u32) {
        self.set_claim(block, LIVE, false);
        self.unwritten.remove(&block);
        self.cached.remove(&block);
    }

    /// Frees the blocks of a live inode once it has neither a name nor an opener.
    fn drop_if_unused(&mut self, inode: u64) {
        let unused = self.live.get(&inode).is_some_and(|node| node.links == 0)
            && !self.open_counts.contains_key(&inode);
        if !unused {
            return;
        }
        if let Some(node) = self.live.remove(&inode) {
            for block in node.blocks.values() {
                self.release(*block);
            }
        }
    }
}
