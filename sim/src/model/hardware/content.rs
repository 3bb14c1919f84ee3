//! Content of media as data: stamped sectors, partitions, file systems with files. `build` makes bytes of it.

use crate::model::bytes::digest::{FOLD_START, fold};
use crate::model::bytes::pages::{Pages, SECTOR_LEN};
use crate::model::bytes::partitions::make_mbr;
use crate::model::hardware::simfs::{Backing, Damage, Kind, Outcome, SimFs, Superblock};
use replicator_hal::{Error, ErrorKind, FileKind, InodeFlags, Owner, RelativePath, Result, Timestamp, Xattr};

/// What an entry of a file system is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Node {
    /// A directory.
    Directory,
    /// A regular file with these bytes.
    File(Vec<u8>),
    /// A file of this length that ends with these bytes, with a hole before them.
    Sparse(u64, Vec<u8>),
    /// A symlink with this text.
    Symlink(String),
    /// A further name of an entry listed before.
    HardLink(String),
    /// A character device.
    CharDevice(u32, u32),
    /// A block device.
    BlockDevice(u32, u32),
    /// A named pipe.
    Fifo,
}

/// One entry of a file system. Missing parents are created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Where it is.
    pub path: String,
    /// What it is.
    pub node: Node,
    /// Permission bits.
    pub mode: u32,
    /// Owner.
    pub owner: Owner,
    /// Last change.
    pub modified: Timestamp,
    /// Extended attributes.
    pub xattrs: Vec<Xattr>,
    /// Inode flags; set after everything else is in place.
    pub flags: InodeFlags,
}

impl Entry {
    fn new(path: &str, node: Node, mode: u32) -> Self {
        let modified = Timestamp { seconds: 1_600_000_000, nanos: 0 };
        Self {
            path: path.to_owned(),
            node,
            mode,
            owner: Owner::default(),
            modified,
            xattrs: Vec::new(),
            flags: InodeFlags::none(),
        }
    }

    /// A regular file, mode 0644.
    pub fn file(path: &str, bytes: impl Into<Vec<u8>>) -> Self {
        Self::new(path, Node::File(bytes.into()), 0o644)
    }

    /// A directory, mode 0755.
    pub fn directory(path: &str) -> Self {
        Self::new(path, Node::Directory, 0o755)
    }

    /// A symlink.
    pub fn symlink(path: &str, text: &str) -> Self {
        Self::new(path, Node::Symlink(text.to_owned()), 0o777)
    }

    /// Anything else, mode 0644.
    pub fn node(path: &str, node: Node) -> Self {
        Self::new(path, node, 0o644)
    }

    /// The same with these permission bits.
    #[must_use]
    pub fn mode(mut self, mode: u32) -> Self {
        self.mode = mode;
        self
    }

    /// The same with this owner.
    #[must_use]
    pub fn owner(mut self, uid: u32, gid: u32) -> Self {
        self.owner = Owner { uid, gid };
        self
    }

    /// The same with these inode flags.
    #[must_use]
    pub fn flags(mut self, flags: InodeFlags) -> Self {
        self.flags = flags;
        self
    }

    /// The same with one more attribute.
    #[must_use]
    pub fn xattr(mut self, name: &str, value: &[u8]) -> Self {
        self.xattrs.push(Xattr { name: name.into(), value: value.into() });
        self
    }
}

/// A file system with files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileSystemContent {
    /// Kind.
    pub kind: Kind,
    /// Label.
    pub label: Option<String>,
    /// UUID; by default derived from label and place.
    pub uuid: Option<[u8; 16]>,
    /// Left without a clean unmount.
    pub dirty: bool,
    /// What a check will find.
    pub damage: Damage,
    /// Files, in order.
    pub entries: Vec<Entry>,
    /// Removed files: their bytes are in free blocks.
    pub removed: Vec<Entry>,
}

impl FileSystemContent {
    /// A clean file system with these entries.
    pub fn new(kind: Kind, entries: Vec<Entry>) -> Self {
        Self {
            kind,
            label: None,
            uuid: None,
            dirty: false,
            damage: Damage::None,
            entries,
            removed: Vec::new(),
        }
    }

    /// The same with a label.
    #[must_use]
    pub fn label(mut self, label: &str) -> Self {
        self.label = Some(label.to_owned());
        self
    }
}

/// A partition of a medium.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionContent {
    /// Type byte of the MBR.
    pub mbr_type: u8,
    /// Start on the medium.
    pub start_bytes: u64,
    /// Length.
    pub len_bytes: u64,
    /// The file system in it; without one, the partition is stamped.
    pub file_system: Option<FileSystemContent>,
}

/// What is on a medium.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Content {
    /// Nothing.
    #[default]
    Zeros,
    /// These bytes from the start, then zeros.
    Bytes(Vec<u8>),
    /// Every sector holds this name, its number and a generation, so that a mismatch shows where its bytes come from.
    Stamped(String, u32),
    /// An MBR with partitions; the bytes before the first one are stamped with this name.
    Partitions(String, Vec<PartitionContent>),
    /// A file system without a partition table.
    FileSystem(FileSystemContent),
    /// Exactly these bytes, cut at the end of the medium.
    Pages(Pages),
}

/// One stamped sector.
pub fn stamped_sector(name: &str, generation: u32, sector: u64) -> [u8; SECTOR_LEN] {
    let mut bytes = [0; SECTOR_LEN];
    stamp(&mut bytes, name, generation, sector);
    bytes
}

/// Fills a sector, or the beginning of one, with its stamp, repeatedly.
fn stamp(sector: &mut [u8], name: &str, generation: u32, number: u64) {
    let line = format!("[{name} sector {number} generation {generation}] ");
    let mut done = line.len().min(sector.len());
    sector[..done].copy_from_slice(&line.as_bytes()[..done]);
    // The bytes so far are a whole number of stamps until the end.
    while done < sector.len() {
        let more = done.min(sector.len() - done);
        sector.copy_within(..more, done);
        done += more;
    }
}

/// Stamped bytes of any length.
pub fn stamped(name: &str, generation: u32, len_bytes: u64) -> Vec<u8> {
    let mut bytes = vec![0; usize::try_from(len_bytes).unwrap_or(usize::MAX)];
    for (sector, number) in bytes.chunks_mut(SECTOR_LEN).zip(0..) {
        stamp(sector, name, generation, number);
    }
    bytes
}

/// The bytes of a file system: an extent of a medium.
pub(crate) struct PagesBacking<'a> {
    pub(crate) pages: &'a mut Pages,
    pub(crate) start_bytes: u64,
}

impl Backing for PagesBacking<'_> {
    fn read(&mut self, offset_bytes: u64, buffer: &mut [u8]) -> Result<()> {
        self.pages.read(self.start_bytes + offset_bytes, buffer);
        Ok(())
    }

    fn write(&mut self, offset_bytes: u64, data: &[u8]) -> Result<()> {
        self.pages.write(self.start_bytes + offset_bytes, data);
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        Ok(())
    }
}

impl Content {
    /// The bytes of a medium of this length.
    ///
    /// # Errors
    /// If something does not fit or a path is invalid.
    pub fn build(&self, len_bytes: u64) -> Result<Pages> {
        let mut pages = Pages::zeros(len_bytes);
        match self {
            Self::Zeros => {}
            Self::Bytes(bytes) => pages.write(0, bytes),
            Self::Stamped(name, generation) => pages.write(0, &stamped(name, *generation, len_bytes)),
            Self::FileSystem(content) => content.build(&mut pages, 0, len_bytes)?,
            Self::Pages(bytes) if bytes.len_bytes() == len_bytes => return Ok(bytes.clone()),
            Self::Pages(bytes) => pages.write(0, &bytes.to_vec()),
            Self::Partitions(name, partitions) => {
                let first =
                    partitions.iter().map(|partition| partition.start_bytes).min().unwrap_or(len_bytes);
                pages.write(0, &stamped(name, 0, first));
                let table: Vec<_> = partitions
                    .iter()
                    .map(|partition| (partition.mbr_type, partition.start_bytes, partition.len_bytes))
                    .collect();
                pages.write(0, &make_mbr(&table));
                for partition in partitions {
                    match &partition.file_system {
                        Some(content) => {
                            content.build(&mut pages, partition.start_bytes, partition.len_bytes)?
                        }
                        None => pages.write(partition.start_bytes, &stamped(name, 0, partition.len_bytes)),
                    }
                }
            }
        }
        Ok(pages)
    }
}

impl FileSystemContent {
    /// Writes the file system into an extent of a medium.
    ///
    /// # Errors
    /// If something does not fit or a path is invalid.
    pub fn build(&self, pages: &mut Pages, start_bytes: u64, len_bytes: u64) -> Result<()> {
        let seed = fold(
            fold(FOLD_START, self.label.as_deref().unwrap_or("").as_bytes()),
            &start_bytes.to_le_bytes(),
        );
        let uuid = self.uuid.unwrap_or_else(|| {
            let mut uuid = [0; 16];
            uuid[..8].copy_from_slice(&seed.to_le_bytes());
            uuid[8..].copy_from_slice(&fold(seed, b"content").to_le_bytes());
            uuid
        });
        let mut backing = PagesBacking { pages, start_bytes };
        let refused =
            |refusal: crate::model::hardware::simfs::Refusal| refusal.into_error("building", "a file system");
        SimFs::format(&mut backing, self.kind, self.label.clone(), uuid, len_bytes).map_err(refused)?;
        let mut fs = SimFs::load(&mut backing, len_bytes).map_err(refused)?;
        for entry in self.removed.iter().chain(&self.entries) {
            add(&mut fs, &mut backing, entry)
                .map_err(|refusal| refusal.into_error("building", &*entry.path))?;
        }
        fs.sync(&mut backing).map_err(refused)?;
        for entry in &self.removed {
            fs.remove(&parse(&entry.path)?, entry.node == Node::Directory, entry.modified)
                .map_err(refused)?;
        }
        for entry in self.entries.iter().filter(|entry| !entry.flags.is_empty()) {
            fs.set_flags(&parse(&entry.path)?, entry.flags).map_err(refused)?;
        }
        fs.sync(&mut backing).map_err(refused)?;
        let superblock = Superblock { dirty: self.dirty, damage: self.damage, ..fs.superblock().clone() };
        superblock.store(&mut backing).map_err(refused)
    }
}

fn parse(path: &str) -> Result<RelativePath> {
    RelativePath::parse(path)
        .map_err(|error| Error::new(ErrorKind::InvalidInput, "building", path, error.to_string()))
}

fn add(fs: &mut SimFs, backing: &mut dyn Backing, entry: &Entry) -> Outcome<()> {
    let (path, now) = (parse(&entry.path)?, entry.modified);
    make_parents(fs, &path, now)?;
    match &entry.node {
        // It exists as a parent or as the root: only its attributes are new.
        Node::Directory if fs.lookup(&path).is_ok() => {}
        Node::Directory => drop(fs.create(&path, FileKind::Directory, 0o755, now)?),
        Node::File(bytes) => {
            let inode = fs.create(&path, FileKind::File, 0o644, now)?;
            write_all(fs, backing, inode, 0, bytes, now)?;
        }
        Node::Sparse(len_bytes, tail) => {
            let inode = fs.create(&path, FileKind::File, 0o644, now)?;
            write_all(fs, backing, inode, len_bytes.saturating_sub(tail.len() as u64), tail, now)?;
        }
        Node::Symlink(text) => drop(fs.symlink(&path, text.as_bytes(), now)?),
        Node::HardLink(existing) => return fs.hard_link(&parse(existing)?, &path, now),
        Node::CharDevice(major, minor) => {
            fs.make_node(&path, FileKind::CharDevice, (*major, *minor), entry.mode, now)?;
        }
        Node::BlockDevice(major, minor) => {
            fs.make_node(&path, FileKind::BlockDevice, (*major, *minor), entry.mode, now)?;
        }
        Node::Fifo => drop(fs.make_node(&path, FileKind::Fifo, (0, 0), entry.mode, now)?),
    }
    let inode = fs.lookup(&path)?;
    if fs.superblock().kind.unix() {
        fs.set_owner(inode, entry.owner)?;
        if !matches!(entry.node, Node::Symlink(_)) {
            fs.set_mode(inode, entry.mode)?;
        }
        for xattr in &entry.xattrs {
            fs.set_xattr(inode, xattr)?;
        }
    }
    fs.set_modified(inode, entry.modified)
}

fn write_all(
    fs: &mut SimFs,
    backing: &mut dyn Backing,
    inode: u64,
    offset_bytes: u64,
    bytes: &[u8],
    now: Timestamp,
) -> Outcome<()> {
    let mut done = 0;
    while done < bytes.len() {
        done += fs.write(backing, inode, offset_bytes + done as u64, &bytes[done..], now)?;
    }
    Ok(())
}

fn make_parents(fs: &mut SimFs, path: &RelativePath, now: Timestamp) -> Outcome<()> {
    match path.parent() {
        Some(parent) if fs.lookup(&parent).is_err() => {
            make_parents(fs, &parent, now)?;
            fs.create(&parent, FileKind::Directory, 0o755, now).map(drop)
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_stamped_sector_is_its_stamp_over_and_over() {
        let bytes = stamped("sd", 1, 1300);
        let wanted = |number: u64| format!("[sd sector {number} generation 1] ").repeat(40).into_bytes();
        for (number, sector) in bytes.chunks(SECTOR_LEN).enumerate() {
            assert_eq!(sector, &wanted(number as u64)[..sector.len()]);
        }
        assert_eq!(bytes[SECTOR_LEN..2 * SECTOR_LEN], stamped_sector("sd", 1, 1));
    }
}
