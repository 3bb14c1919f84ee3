//! Extracting a tarball into a fresh file system, and noting what must be there afterwards.
//!
//! Owners come first, then modes, attributes and times, because the kernel clears setuid and capabilities when the owner
//! changes. Directories get theirs last, deepest first, because extracting into them changes their times. Parents that
//! are symlinks are followed inside of the volume only. A later entry of a name replaces an earlier one, as tar does it,
//! but for a directory that holds something.

use super::tar_limits::Needs;
use crate::error::{Error, Result};
use crate::formats::FormatError;
use crate::formats::tar::{Entry, EntryKind, Reader, ReaderLimits};
use crate::operation::Operation;
use replicator_hal::{self as hal, ErrorKind, FileKind, Owner, RelativePath, Timestamp, Volume};
use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::ops::Range;
use xxhash_rust::xxh3::Xxh3;

/// A directory that the archive does not mention, but puts files into.
const IMPLIED_DIRECTORY_MODE: u32 = 0o755;

/// What must be found at one path.
#[derive(Debug)]
pub(super) struct Expected {
    /// Its path is left empty: the manifest's key is the one that holds.
    pub(super) entry: Entry,
    /// Hash over a file's data ranges.
    pub(super) hash: u128,
}

/// Everything that was extracted, by resolved path.
pub(super) type Manifest = BTreeMap<RelativePath, Expected>;

/// Extracts all of `content` into `volume`, on a medium of `medium_len_bytes`.
///
/// # Errors
/// Errors of the archive and of the medium.
pub(super) fn extract(
    operation: &Operation<'_>,
    name: &str,
    content: &mut dyn Read,
    volume: &dyn Volume,
    medium_len_bytes: u64,
) -> Result<Manifest> {
    let mut needs = Needs::default();
    let mut extraction = Extraction {
        operation,
        name,
        volume,
        manifest: Manifest::new(),
        other_names: BTreeMap::new(),
        buffer: vec![0; operation.tuning.chunk_len_bytes],
    };
    let mut reader = Reader::new(content, ReaderLimits::default());
    while let Some(entry) = reader.next_entry().map_err(Error::format(name))? {
        needs.add(name, &entry, operation.tuning, medium_len_bytes)?;
        extraction.entry(entry, &mut reader)?;
    }
    needs.check_not_empty(name)?;
    extraction.finish_directories()?;
    Ok(extraction.manifest)
}

struct Extraction<'a> {
    operation: &'a Operation<'a>,
    name: &'a str,
    volume: &'a dyn Volume,
    manifest: Manifest,
    /// The further names of files with hard links, by the name that stands for the file in the manifest.
    other_names: BTreeMap<RelativePath, BTreeSet<RelativePath>>,
    buffer: Vec<u8>,
}

impl Extraction<'_> {
    fn entry(&mut self, mut entry: Entry, reader: &mut Reader<&mut dyn Read>) -> Result<()> {
        let path = self.place(&std::mem::take(&mut entry.path), entry.modified)?;
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
            apply(self.volume, &path, &entry).map_err(self.failed(&path))?;
        }
        self.manifest.insert(path, Expected { entry, hash });
        Ok(())
    }

    /// Where an entry goes: its parent directory with symlinks followed inside of the volume. Directories that the
    /// archive puts something into but does not mention are made, with the time of what made them necessary.
    fn place(&mut self, path: &RelativePath, modified: Timestamp) -> Result<RelativePath> {
        let (Some(parent), Some(file_name)) = (path.parent(), path.file_name()) else {
            return Ok(RelativePath::root());
        };
        let mut at = parent;
        let mut missing = Vec::new();
        let mut found = loop {
            match self.find_directory(&at)? {
                Some(found) => break found,
                None => {
                    missing.extend(at.file_name().map(<[u8]>::to_vec));
                    at = at.parent().unwrap_or_default();
                }
            }
        };
        for name in missing.iter().rev() {
            found = self.join(&found, name)?;
            self.volume.create_dir(&found, IMPLIED_DIRECTORY_MODE).map_err(self.failed(&found))?;
            self.manifest.insert(found.clone(), implied_directory(modified));
        }
        self.join(&found, file_name)
    }

    /// The directory at `path`, without links in it; `None` if there is nothing.
    fn find_directory(&self, path: &RelativePath) -> Result<Option<RelativePath>> {
        let is_known = |expected: &Expected| expected.entry.kind == EntryKind::Directory;
        if path.is_root() || self.manifest.get(path).is_some_and(is_known) {
            return Ok(Some(path.clone()));
        }
        match self.volume.resolve(path) {
            Ok(found) => Ok(Some(found)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(self.failed(path)(error)),
        }
    }

    fn join(&self, directory: &RelativePath, name: &[u8]) -> Result<RelativePath> {
        directory.join(name).map_err(|error| self.damaged(error.to_string()))
    }

    /// Creates something in place of an earlier entry of that name.
    fn create<T>(
        &mut self,
        path: &RelativePath,
        create: impl Fn(&dyn Volume) -> hal::Result<T>,
    ) -> Result<T> {
        match create(self.volume) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                let there = self.volume.metadata(path).map_err(self.failed(path))?;
                let removed = match there.kind {
                    FileKind::Directory => self.volume.remove_dir(path),
                    _ => self.volume.remove_file(path),
                };
                removed.map_err(self.failed(path))?;
                self.forget(path);
                create(self.volume).map_err(self.failed(path))
            }
            other => other.map_err(self.failed(path)),
        }
    }

    /// Takes a name that was removed out of the manifest. If the file has other names, the first of them stands for it
    /// from now on.
    fn forget(&mut self, path: &RelativePath) {
        let Some(gone) = self.manifest.remove(path) else { return };
        if let EntryKind::HardLink { existing } = &gone.entry.kind {
            if let Some(names) = self.other_names.get_mut(existing) {
                names.remove(path);
            }
            return;
        }
        let mut names = self.other_names.remove(path).unwrap_or_default();
        let Some(heir) = names.pop_first() else { return };
        for name in &names {
            if let Some(other) = self.manifest.get_mut(name) {
                other.entry.kind = EntryKind::HardLink { existing: heir.clone() };
            }
        }
        self.manifest.insert(heir.clone(), gone);
        self.other_names.insert(heir, names);
    }

    fn directory(&mut self, path: &RelativePath) -> Result<()> {
        if path.is_root() {
            return Ok(());
        }
        let is_there = match self.volume.metadata(path) {
            Ok(there) => there.kind == FileKind::Directory,
            Err(error) if error.kind() == ErrorKind::NotFound => false,
            Err(error) => return Err(self.failed(path)(error)),
        };
        if is_there {
            return Ok(());
        }
        self.create(path, |volume| volume.create_dir(path, IMPLIED_DIRECTORY_MODE))
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
        let missing = || self.damaged(format!("hard link {path} to {existing}, which is not in the archive"));
        let (Some(parent), Some(file_name)) = (existing.parent(), existing.file_name()) else {
            return Err(missing());
        };
        let parent = self.find_directory(&parent)?.ok_or_else(missing)?;
        let target = self.join(&parent, file_name)?;
        let is_known = self.manifest.get(&target).is_some_and(|e| e.entry.kind != EntryKind::Directory);
        if !is_known {
            return Err(missing());
        }
        if &target == path {
            return Ok(());
        }
        self.create(path, |volume| volume.hard_link(&target, path))?;
        // Only now, because what was replaced may have been the name that stood for the file.
        let Some(known) = self.manifest.get(&target) else {
            return Err(Error::Internal { detail: format!("{target} is in no manifest") });
        };
        let first = match &known.entry.kind {
            EntryKind::HardLink { existing } => existing.clone(),
            _ => target,
        };
        let (owner, mode, modified) = (known.entry.owner, known.entry.mode, known.entry.modified);
        let kind = EntryKind::HardLink { existing: first.clone() };
        let entry = Entry { path: RelativePath::root(), kind, mode, owner, modified, xattrs: Vec::new() };
        self.manifest.insert(path.clone(), Expected { entry, hash: 0 });
        self.other_names.entry(first).or_default().insert(path.clone());
        Ok(())
    }

    /// Directories last, the deepest first.
    fn finish_directories(&self) -> Result<()> {
        for (path, expected) in self.manifest.iter().rev() {
            if expected.entry.kind == EntryKind::Directory {
                apply(self.volume, path, &expected.entry).map_err(self.failed(path))?;
                self.operation.renew(self.operation.tuning.io_lease);
            }
        }
        Ok(())
    }

    fn failed(&self, path: &RelativePath) -> impl FnOnce(hal::Error) -> Error + use<> {
        Error::hal(format!("extracting {path} to {}", self.operation.label()))
    }

    fn damaged(&self, detail: String) -> Error {
        Error::format(self.name)(FormatError::Damaged { format: "tar", detail })
    }
}

fn implied_directory(modified: Timestamp) -> Expected {
    let entry = Entry {
        path: RelativePath::root(),
        kind: EntryKind::Directory,
        mode: IMPLIED_DIRECTORY_MODE,
        owner: Owner::default(),
        modified,
        xattrs: Vec::new(),
    };
    Expected { entry, hash: 0 }
}

/// Gives `path` the owner, mode, attributes and time of `entry`.
fn apply(volume: &dyn Volume, path: &RelativePath, entry: &Entry) -> hal::Result<()> {
    volume.set_owner(path, entry.owner)?;
    if !matches!(entry.kind, EntryKind::Symlink { .. }) {
        volume.set_mode(path, entry.mode)?;
    }
    for xattr in &entry.xattrs {
        volume.set_xattr(path, xattr)?;
    }
    volume.set_modified(path, entry.modified)
}
