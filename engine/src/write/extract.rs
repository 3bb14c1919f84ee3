//! Extracting a tarball into a fresh file system, and noting what must be there afterwards.
//!
//! Owners come first, then modes, attributes and times, because the kernel clears setuid and capabilities when the owner
//! changes. Directories get theirs last, deepest first, because extracting into them changes their times. Parents that
//! are symlinks are followed inside of the volume only.

use crate::error::{Error, Result};
use crate::formats::FormatError;
use crate::formats::tar::{Entry, EntryKind, Reader, ReaderLimits};
use crate::operation::Operation;
use replicator_hal::{self as hal, ErrorKind, Owner, RelativePath, Timestamp, Volume};
use std::collections::BTreeMap;
use std::io::Read;
use std::ops::Range;
use xxhash_rust::xxh3::Xxh3;

/// A directory that the archive does not mention, but puts files into.
const IMPLIED_DIRECTORY_MODE: u32 = 0o755;

/// What must be found at one path.
#[derive(Debug)]
pub(super) struct Expected {
    pub(super) entry: Entry,
    /// Hash over a file's data ranges.
    pub(super) hash: u128,
}

/// Everything that was extracted, by resolved path.
pub(super) type Manifest = BTreeMap<RelativePath, Expected>;

/// Extracts all of `content` into `volume`.
///
/// # Errors
/// Errors of the archive and of the medium.
pub(super) fn extract(
    operation: &Operation<'_>,
    name: &str,
    content: &mut dyn Read,
    volume: &dyn Volume,
) -> Result<Manifest> {
    let mut extraction = Extraction {
        operation,
        name,
        volume,
        manifest: Manifest::new(),
        buffer: vec![0; operation.tuning.chunk_len_bytes],
    };
    let mut reader = Reader::new(content, ReaderLimits::default());
    while let Some(entry) = reader.next_entry().map_err(Error::format(name))? {
        extraction.entry(entry, &mut reader)?;
    }
    extraction.finish_directories()?;
    Ok(extraction.manifest)
}

struct Extraction<'a> {
    operation: &'a Operation<'a>,
    name: &'a str,
    volume: &'a dyn Volume,
    manifest: Manifest,
    buffer: Vec<u8>,
}

impl Extraction<'_> {
    fn entry(&mut self, mut entry: Entry, reader: &mut Reader<&mut dyn Read>) -> Result<()> {
        let path = self.place(&entry.path)?;
        entry.path = path.clone();
        let mut hash = 0;
        match &entry.kind {
            EntryKind::Directory => self.directory(&path)?,
            EntryKind::File { len_bytes, data } => {
                hash = self.file(&path, *len_bytes, data, reader)?;
            }
            EntryKind::Symlink { text } => {
                self.create(&path, |volume| volume.symlink(&path, text))?;
            }
            EntryKind::Node(node) => {
                let (node, mode) = (*node, entry.mode);
                self.create(&path, |volume| volume.make_node(&path, node, mode))?;
            }
            EntryKind::HardLink { existing } => return self.hard_link(&path, existing),
        }
        if entry.kind != EntryKind::Directory {
            self.metadata(&entry)?;
        }
        self.manifest.insert(path, Expected { entry, hash });
        Ok(())
    }

    /// Where an entry goes: its parent directory with symlinks followed inside of the volume, made if it is missing.
    fn place(&mut self, path: &RelativePath) -> Result<RelativePath> {
        let (Some(parent), Some(file_name)) = (path.parent(), path.file_name()) else {
            return Ok(RelativePath::root());
        };
        if parent.is_root()
            || self.manifest.get(&parent).is_some_and(|e| e.entry.kind == EntryKind::Directory)
        {
            return Ok(path.clone());
        }
        let parent = match self.volume.resolve(&parent) {
            Ok(parent) => parent,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                // Bounded: every level is one component shorter.
                let made = self.place(&parent)?;
                self.volume.create_dir(&made, IMPLIED_DIRECTORY_MODE).map_err(self.failed(&made))?;
                made
            }
            Err(error) => return Err(self.failed(&parent)(error)),
        };
        parent.join(file_name).map_err(|error| {
            Error::format(self.name)(FormatError::Damaged { format: "tar", detail: error.to_string() })
        })
    }

    /// Creates something that is no directory, in place of an earlier entry of that name.
    fn create<T>(
        &mut self,
        path: &RelativePath,
        create: impl Fn(&dyn Volume) -> hal::Result<T>,
    ) -> Result<T> {
        match create(self.volume) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                self.volume.remove_file(path).map_err(self.failed(path))?;
                self.manifest.remove(path);
                create(self.volume).map_err(self.failed(path))
            }
            other => other.map_err(self.failed(path)),
        }
    }

    fn directory(&mut self, path: &RelativePath) -> Result<()> {
        if path.is_root() {
            return Ok(());
        }
        match self.volume.create_dir(path, IMPLIED_DIRECTORY_MODE) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                let there = self.volume.metadata(path).map_err(self.failed(path))?;
                if there.kind == hal::FileKind::Directory {
                    return Ok(());
                }
                Err(self.failed(path)(error))
            }
            other => other.map_err(self.failed(path)),
        }
    }

    fn file(
        &mut self,
        path: &RelativePath,
        len_bytes: u64,
        data: &[Range<u64>],
        reader: &mut Reader<&mut dyn Read>,
    ) -> Result<u128> {
        // Nobody may read it before its owner and mode are set.
        let mut file = self.create(path, |volume| volume.create_new(path, 0o600))?;
        let mut hash = Xxh3::new();
        while let Some((offset_bytes, len)) =
            reader.read_data(&mut self.buffer).map_err(Error::format(self.name))?
        {
            let piece = &self.buffer[..len];
            hash.update(piece);
            self.operation
                .retry(|| hal::io::write_file(&mut *file, offset_bytes, piece))
                .map_err(self.failed(path))?;
        }
        let written_end = data.last().map_or(0, |range| range.end);
        if len_bytes > written_end {
            file.set_len(len_bytes).map_err(self.failed(path))?;
        }
        file.close().map_err(self.failed(path))?;
        Ok(hash.digest128())
    }

    fn hard_link(&mut self, path: &RelativePath, existing: &RelativePath) -> Result<()> {
        let existing = self.place(existing)?;
        if &existing == path {
            return Ok(());
        }
        self.create(path, |volume| volume.hard_link(&existing, path))?;
        let Some(target) = self.manifest.get(&existing) else {
            return Err(Error::format(self.name)(FormatError::Damaged {
                format: "tar",
                detail: format!("hard link {path} to {existing}, which is not in the archive"),
            }));
        };
        let kind = match &target.entry.kind {
            EntryKind::HardLink { existing } => EntryKind::HardLink { existing: existing.clone() },
            _ => EntryKind::HardLink { existing },
        };
        let entry = Entry { path: path.clone(), kind, ..target.entry.clone() };
        self.manifest.insert(path.clone(), Expected { entry, hash: 0 });
        Ok(())
    }

    fn metadata(&self, entry: &Entry) -> Result<()> {
        apply(self.volume, &entry.path, entry.owner, entry, entry.modified).map_err(self.failed(&entry.path))
    }

    /// Directories last, the deepest first.
    fn finish_directories(&self) -> Result<()> {
        for expected in self.manifest.values().rev() {
            if expected.entry.kind == EntryKind::Directory {
                self.metadata(&expected.entry)?;
            }
        }
        Ok(())
    }

    fn failed(&self, path: &RelativePath) -> impl FnOnce(hal::Error) -> Error + use<> {
        Error::hal(format!("extracting {path} to {}", self.operation.label()))
    }
}

fn apply(
    volume: &dyn Volume,
    path: &RelativePath,
    owner: Owner,
    entry: &Entry,
    modified: Timestamp,
) -> hal::Result<()> {
    volume.set_owner(path, owner)?;
    if !matches!(entry.kind, EntryKind::Symlink { .. }) {
        volume.set_mode(path, entry.mode)?;
    }
    for xattr in &entry.xattrs {
        volume.set_xattr(path, xattr)?;
    }
    volume.set_modified(path, modified)
}
