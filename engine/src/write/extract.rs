//! Extracts a tarball into a new file system, and lists what must be there afterwards.
//!
//! Owners come first, then modes, attributes and times, because the kernel clears setuid and capabilities when the owner
//! changes. Directories get theirs last, deepest first, because extracting into them changes their times. Inode
//! flags come after that, because an immutable file cannot be changed. [`tar_tree`] decides where an entry goes, without
//! the volume: the paths that the volume gets have no symlinks.

mod in_order;

use super::tar_limits::Needs;
use super::tar_times;
use super::tar_tree;
use crate::error::{Error, Result};
use crate::formats::FormatError;
use crate::formats::tar::{Entry, EntryKind, Names, Reader, ReaderLimits, Remarks};
use crate::operation::Operation;
use crate::printable;
use crate::verify::{ExpectedFile, Manifest};
use replicator_hal::{
    self as hal, ErrorKind, FileKind, InodeFlags, Owner, RelativePath, Timestamp, Volume, VolumeFile,
};
use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use xxhash_rust::xxh3::Xxh3;

/// Mode of a directory that the archive uses but does not list.
const IMPLIED_DIRECTORY_MODE: u32 = 0o755;

/// The result of an extraction.
pub(super) struct Extracted {
    /// What must be there.
    pub(super) expectation: Expectation,
    /// What was left out or ignored, a line each.
    pub(super) notes: Vec<String>,
    /// The hash of all headers of the archive.
    pub(super) headers_hash: u128,
}

/// What must be on the medium after an extraction.
pub(super) enum Expectation {
    /// All of this.
    Listed(Manifest),
    /// The entries of the archive, which are in order, except that the inode flags are these.
    InOrder(BTreeMap<RelativePath, InodeFlags>),
}

/// An archive and where it goes.
#[derive(Clone, Copy)]
pub(super) struct Extract<'a> {
    pub(super) operation: &'a Operation<'a>,
    /// Name of the archive.
    pub(super) name: &'a str,
    /// The names that the check of the archive found.
    pub(super) names: &'a Names,
    /// The new file system.
    pub(super) volume: &'a dyn Volume,
    /// Length of its medium.
    pub(super) medium_len_bytes: u64,
}

impl Extract<'_> {
    /// Extracts all of `content`. A time outside of the range of the file system is replaced by the nearest one in it.
    ///
    /// # Errors
    /// Errors of the archive and of the medium.
    pub(super) fn listed(&self, content: &mut dyn Read) -> Result<Extracted> {
        let name = self.name;
        let mut extraction = Extraction::new(self, Needs::default());
        let mut reader = Reader::with_names(content, ReaderLimits::default(), self.names.clone());
        while let Some(mut entry) = reader.next_entry().map_err(Error::format(name))? {
            entry.modified = tar_times::nearest(entry.modified);
            extraction.entry(entry, &mut reader)?;
        }
        extraction.needs.check_not_empty(name)?;
        extraction.finish_directories()?;
        let mut remarks = reader.remarks().clone();
        extraction.set_flags(&mut remarks)?;
        Ok(Extracted {
            expectation: Expectation::Listed(extraction.manifest),
            notes: remarks.lines(),
            headers_hash: reader.headers_hash(),
        })
    }
}

struct Extraction<'a> {
    operation: &'a Operation<'a>,
    name: &'a str,
    volume: &'a dyn Volume,
    medium_len_bytes: u64,
    needs: Needs,
    manifest: Manifest,
    /// The other names of files with hard links, by the name that the manifest has for the file.
    other_names: BTreeMap<RelativePath, BTreeSet<RelativePath>>,
    buffer: Vec<u8>,
}

impl<'a> Extraction<'a> {
    fn new(what: &Extract<'a>, needs: Needs) -> Self {
        let Extract { operation, name, volume, medium_len_bytes, .. } = *what;
        Self {
            operation,
            name,
            volume,
            medium_len_bytes,
            needs,
            manifest: Manifest::new(),
            other_names: BTreeMap::new(),
            buffer: vec![0; operation.tuning.chunk_len_bytes],
        }
    }
}

impl Extraction<'_> {
    fn entry(&mut self, mut entry: Entry, reader: &mut Reader<&mut dyn Read>) -> Result<()> {
        self.count(&entry)?;
        let place = tar_tree::place(&self.manifest, &entry)
            .map_err(|why| cannot_be_extracted(self.name, &entry.path, &why))?;
        let linked = match &entry.kind {
            EntryKind::HardLink { existing } => Some(
                tar_tree::linked(&self.manifest, existing)
                    .map_err(|why| cannot_be_extracted(self.name, &entry.path, &why))?,
            ),
            _ => None,
        };
        for path in &place.missing {
            let mut implied = implied_directory(path, entry.modified);
            self.count(&implied)?;
            implied.path = RelativePath::root();
            self.directory(path)?;
            self.manifest.insert(path.clone(), ExpectedFile { entry: implied, hash: 0 });
        }
        if place.keeps_link {
            self.operation.log(&format!(
                "/{} is a link to /{} and is kept: the archive's directory of that name is extracted there",
                printable::line(&entry.path.to_string()),
                printable::line(&place.path.to_string()),
            ));
            return Ok(());
        }
        let path = place.path;
        entry.path = RelativePath::root();
        let mut hash = 0;
        match &entry.kind {
            EntryKind::Directory => self.directory(&path)?,
            EntryKind::File { .. } => hash = self.file(&path, &entry, reader)?,
            EntryKind::Symlink { text } => {
                self.create(&path, |volume| volume.symlink(&path, text))?;
            }
            EntryKind::Node(node) => {
                let (node, mode) = (*node, entry.mode);
                self.create(&path, |volume| volume.make_node(&path, node, mode))?;
            }
            EntryKind::HardLink { .. } => {
                return match linked {
                    Some(target) if target != path => self.hard_link(&path, target),
                    _ => Ok(()),
                };
            }
        }
        if !matches!(entry.kind, EntryKind::Directory | EntryKind::File { .. }) {
            apply(self.volume, &path, &entry).map_err(self.failed(&path))?;
        }
        self.manifest.insert(path, ExpectedFile { entry, hash });
        Ok(())
    }

    fn count(&mut self, entry: &Entry) -> Result<()> {
        self.needs.add(self.name, entry, self.operation.tuning, self.medium_len_bytes)
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

    /// Removes a name from the manifest. If the file has other names, the first of them takes its place.
    fn forget(&mut self, path: &RelativePath) {
        let Some(removed) = self.manifest.remove(path) else { return };
        if let EntryKind::HardLink { existing } = &removed.entry.kind {
            if let Some(names) = self.other_names.get_mut(existing) {
                names.remove(path);
            }
            return;
        }
        let mut names = self.other_names.remove(path).unwrap_or_default();
        let Some(successor) = names.pop_first() else { return };
        for name in &names {
            if let Some(other) = self.manifest.get_mut(name) {
                other.entry.kind = EntryKind::HardLink { existing: successor.clone() };
            }
        }
        self.manifest.insert(successor.clone(), removed);
        self.other_names.insert(successor, names);
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
        entry: &Entry,
        reader: &mut Reader<&mut dyn Read>,
    ) -> Result<u128> {
        let EntryKind::File { len_bytes, data } = &entry.kind else {
            return Err(Error::Internal { detail: format!("{path} is not a file") });
        };
        // Private until its owner and mode are set.
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
        if *len_bytes > written_end {
            file.set_len(*len_bytes).map_err(self.failed(path))?;
        }
        apply_to_file(&mut *file, entry).and_then(|()| file.close()).map_err(self.failed(path))?;
        Ok(hash.digest128())
    }

    fn hard_link(&mut self, path: &RelativePath, target: RelativePath) -> Result<()> {
        self.create(path, |volume| volume.hard_link(&target, path))?;
        // Looked up only now: the replaced name may have been the one in the manifest.
        let Some(known) = self.manifest.get(&target) else {
            return Err(Error::Internal { detail: format!("{target} is not in the manifest") });
        };
        let first = match &known.entry.kind {
            EntryKind::HardLink { existing } => existing.clone(),
            _ => target,
        };
        let (owner, mode, modified) = (known.entry.owner, known.entry.mode, known.entry.modified);
        let kind = EntryKind::HardLink { existing: first.clone() };
        let entry = Entry {
            path: RelativePath::root(),
            kind,
            mode,
            owner,
            modified,
            xattrs: Vec::new(),
            flags: InodeFlags::none(),
        };
        self.manifest.insert(path.clone(), ExpectedFile { entry, hash: 0 });
        self.other_names.entry(first).or_default().insert(path.clone());
        Ok(())
    }

    /// Sets the attributes of directories, the deepest first.
    fn finish_directories(&self) -> Result<()> {
        for (path, expected) in self.manifest.iter().rev() {
            if expected.entry.kind == EntryKind::Directory {
                apply(self.volume, path, &expected.entry).map_err(self.failed(path))?;
                self.operation.renew(self.operation.tuning.io_lease);
            }
        }
        Ok(())
    }

    /// Sets inode flags after everything else, because no file can be made in an immutable directory. Flags that the file
    /// system or the kernel refuses are left out and reported.
    fn set_flags(&mut self, remarks: &mut Remarks) -> Result<()> {
        let mut manifest = std::mem::take(&mut self.manifest);
        for (path, expected) in manifest.iter_mut().rev() {
            self.set_flags_of(path, &mut expected.entry.flags, remarks)?;
        }
        self.manifest = manifest;
        Ok(())
    }

    /// Sets the `flags` of one file, and leaves those in it that were set.
    fn set_flags_of(&self, path: &RelativePath, flags: &mut InodeFlags, remarks: &mut Remarks) -> Result<()> {
        let wanted = std::mem::take(flags);
        if wanted.is_empty() {
            return Ok(());
        }
        let all_at_once = std::iter::once(wanted);
        for more in all_at_once.chain(wanted.each()) {
            if !more.without(*flags).is_empty() {
                let more = flags.with(more);
                match self.volume.set_flags(path, more) {
                    Ok(()) => *flags = more,
                    Err(error) if is_refusal_of_flags(error.kind()) => {}
                    Err(error) => return Err(self.failed(path)(error)),
                }
            }
        }
        if *flags != wanted {
            remarks.left_out("inode flags that the new file system does not support", || {
                printable::line(&path.to_string()).into_owned()
            });
        }
        self.operation.renew(self.operation.tuning.io_lease);
        Ok(())
    }

    fn failed(&self, path: &RelativePath) -> impl FnOnce(hal::Error) -> Error + use<> {
        Error::hal(format!("extracting {path} to {}", self.operation.label()))
    }
}

/// Whether this error means that the flags were refused.
fn is_refusal_of_flags(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::Unsupported | ErrorKind::PermissionDenied | ErrorKind::InvalidInput)
}

/// The error for an entry for which [`tar_tree`] finds no place.
pub(super) fn cannot_be_extracted(name: &str, path: &RelativePath, why: &str) -> Error {
    let detail = format!("entry \"{}\" {why}", printable::line(&path.to_string()));
    Error::format(name)(FormatError::Damaged { format: "tar", detail })
}

/// A directory that the archive uses but does not list. It gets the time of the entry that needs it.
pub(super) fn implied_directory(path: &RelativePath, modified: Timestamp) -> Entry {
    Entry {
        path: path.clone(),
        kind: EntryKind::Directory,
        mode: IMPLIED_DIRECTORY_MODE,
        owner: Owner::default(),
        modified,
        xattrs: Vec::new(),
        flags: InodeFlags::none(),
    }
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

/// The same for an open file: without its path, each call costs less.
fn apply_to_file(file: &mut dyn VolumeFile, entry: &Entry) -> hal::Result<()> {
    file.set_owner(entry.owner)?;
    file.set_mode(entry.mode)?;
    for xattr in &entry.xattrs {
        file.set_xattr(xattr)?;
    }
    file.set_modified(entry.modified)
}
