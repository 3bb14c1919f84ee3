//! Compares a mounted tree with the entries that were extracted into it: content, kinds, owners, modes, times, links,
//! attributes, flags. It also finds files that were not extracted.

use super::kept::Kept;
use super::readers::{self, Reader};
use super::times::Times;
use crate::error::{Error, FaultyPart, Result};
use crate::formats::tar::{Entry, EntryKind};
use crate::formats::{within, zeros};
use crate::operation::{Operation, Progress};
use replicator_hal::{
    self as hal, FileKind, FileSystemKind, Metadata, NodeKind, ReadTree, RelativePath, Xattr,
};
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};
use xxhash_rust::xxh3::Xxh3;

/// The empty directory that mke2fs makes in the root of a new file system.
pub(super) const LOST_AND_FOUND: &[u8] = b"lost+found";

/// The expected file at one path.
#[derive(Debug)]
pub(crate) struct ExpectedFile {
    /// The entry; its path is empty, because the key of the manifest is the path.
    pub(crate) entry: Entry,
    /// Hash over a file's data ranges.
    pub(crate) hash: u128,
}

/// Everything that was extracted, by resolved path.
pub(crate) type Manifest = BTreeMap<RelativePath, ExpectedFile>;

/// Checks every entry of the manifest.
///
/// # Errors
/// [`Error::Verify`] naming the first file that differs, and how; errors of the medium.
pub(crate) fn verify(
    operation: &Operation<'_>,
    volume: &dyn ReadTree,
    manifest: &Manifest,
    data_len_bytes: u64,
) -> Result<(Times, Kept)> {
    let check = TreeCheck::new(operation, volume, data_len_bytes);
    let readers = check.compare(manifest, check.readers())?;
    let times = check.times(readers)?;
    if let Some(path) = not_listed(operation, volume, manifest, &check.progress)? {
        return Err(not_in_archive(operation, &path));
    }
    check.finish();
    Ok((times, Kept(())))
}

/// A comparison of a mounted tree, in one or more parts.
pub(super) struct TreeCheck<'a, 'o> {
    operation: &'a Operation<'o>,
    volume: &'a dyn ReadTree,
    progress: Mutex<Progress<'a>>,
}

impl<'a, 'o> TreeCheck<'a, 'o> {
    /// Of a tree with `data_len_bytes` of file data.
    pub(super) fn new(operation: &'a Operation<'o>, volume: &'a dyn ReadTree, data_len_bytes: u64) -> Self {
        let progress = Mutex::new(operation.progress("verifying", Some(data_len_bytes)));
        Self { operation, volume, progress }
    }

    /// The readers, for [`TreeCheck::compare`].
    pub(super) fn readers(&self) -> Vec<TreeReader<'_, 'a>> {
        let is_ext2 = self.volume.capabilities().file_system == FileSystemKind::Ext2;
        let readers = readers::number(self.operation);
        let buffer_len_bytes = (self.operation.tuning.chunk_len_bytes / readers).max(1);
        let reader = |_| TreeReader {
            operation: self.operation,
            volume: self.volume,
            progress: &self.progress,
            times: Times::new(is_ext2),
            buffer: vec![0; buffer_len_bytes],
        };
        (0..readers).map(reader).collect()
    }

    /// Compares all entries of `manifest`.
    ///
    /// # Errors
    /// As [`verify`].
    pub(super) fn compare<'c>(
        &'c self,
        manifest: &Manifest,
        readers: Vec<TreeReader<'c, 'a>>,
    ) -> Result<Vec<TreeReader<'c, 'a>>> {
        readers::compare_all(self.operation, manifest, readers)
    }

    /// How exactly the times of all compared files were kept.
    ///
    /// # Errors
    /// [`Error::Verify`] if those of some files only.
    pub(super) fn times(&self, readers: Vec<TreeReader<'_, 'a>>) -> Result<Times> {
        let times = readers.into_iter().map(|reader| reader.times).reduce(Times::and).unwrap_or_default();
        match times.inexact_path() {
            Some(path) => Err(difference(self.operation, path, "the time differs".into())),
            None => Ok(times),
        }
    }

    /// Ends the step.
    pub(super) fn finish(self) {
        self.progress.into_inner().unwrap_or_else(PoisonError::into_inner).finish();
    }
}

/// The error for a file that is on the medium, but not in the archive.
pub(super) fn not_in_archive(operation: &Operation<'_>, path: &RelativePath) -> Error {
    let detail = "the archive does not have it: an older file system is still on the medium";
    difference(operation, path, detail.into())
}

/// The error for a directory with another number of entries than in the archive.
pub(super) fn others_in_directory(
    operation: &Operation<'_>,
    path: &RelativePath,
    found: u64,
    expected: u64,
) -> Error {
    let detail = format!(
        "it has {found} entries, and {expected} in the archive: an older file system is still on the medium"
    );
    difference(operation, path, detail)
}

fn difference(operation: &Operation<'_>, path: &RelativePath, detail: String) -> Error {
    Error::Verify {
        part: FaultyPart::Medium,
        what: format!("{path} on {}", operation.label()),
        offset_bytes: None,
        detail,
    }
}

/// Compares entries with a mounted tree.
pub(super) struct TreeReader<'a, 'o> {
    operation: &'a Operation<'a>,
    volume: &'a dyn ReadTree,
    progress: &'a Mutex<Progress<'o>>,
    times: Times,
    buffer: Vec<u8>,
}

impl Reader for TreeReader<'_, '_> {
    fn announce(&mut self, entries: &[(&RelativePath, &ExpectedFile)]) {
        let is_file = |expected: &ExpectedFile| matches!(expected.entry.kind, EntryKind::File { .. });
        let files = entries.iter().filter(|(_, expected)| is_file(expected));
        let paths: Vec<_> = files.map(|(path, _)| (*path).clone()).collect();
        if !paths.is_empty() {
            self.volume.read_ahead(&paths);
        }
    }

    fn compare(&mut self, path: &RelativePath, expected: &ExpectedFile) -> Result<()> {
        let found = match &expected.entry.kind {
            EntryKind::File { len_bytes, data } => {
                self.compare_file(&File { path, len_bytes: *len_bytes, data, expected })?
            }
            _ => self.compare_other(path, &expected.entry).map_err(failed_at(self.operation, path))?,
        };
        // Entries without content are progress, too, so that many of them do not let the lease run out.
        self.advance(0);
        match found {
            Some(detail) => Err(difference(self.operation, path, detail)),
            None => Ok(()),
        }
    }
}

/// The first file on the volume that is not in the manifest, except for what a new file system comes with. A medium that
/// dropped the start of the new file system shows its old one, in which all files of the archive may be found.
fn not_listed(
    operation: &Operation<'_>,
    volume: &dyn ReadTree,
    manifest: &Manifest,
    progress: &Mutex<Progress<'_>>,
) -> Result<Option<RelativePath>> {
    let root = RelativePath::root();
    let directories = manifest.iter().filter(|(_, expected)| expected.entry.kind == EntryKind::Directory);
    let below_root = directories.map(|(path, _)| path).filter(|path| !path.is_root());
    for directory in std::iter::once(&root).chain(below_root) {
        for path in paths_in(operation, volume, directory)? {
            if manifest.contains_key(&path) {
                continue;
            }
            if path.as_bytes() != LOST_AND_FOUND || !is_empty_directory(operation, volume, &path)? {
                return Ok(Some(path));
            }
        }
        progress.lock().unwrap_or_else(PoisonError::into_inner).advance(0);
    }
    Ok(None)
}

/// Whether the file at `path` is a directory without entries.
pub(super) fn is_empty_directory(
    operation: &Operation<'_>,
    volume: &dyn ReadTree,
    path: &RelativePath,
) -> Result<bool> {
    let kind = operation.retry(|| volume.metadata(path)).map_err(failed_at(operation, path))?.kind;
    Ok(kind == FileKind::Directory && paths_in(operation, volume, path)?.is_empty())
}

/// The sorted paths of a directory's entries.
pub(super) fn paths_in(
    operation: &Operation<'_>,
    volume: &dyn ReadTree,
    directory: &RelativePath,
) -> Result<Vec<RelativePath>> {
    let entries = operation.retry(|| volume.list(directory)).map_err(failed_at(operation, directory))?;
    let mut paths = Vec::with_capacity(entries.len());
    for entry in entries {
        let path = directory.join(&entry.name).map_err(|why| Error::Verify {
            part: FaultyPart::Medium,
            what: format!("the directory {directory} on {}", operation.label()),
            offset_bytes: None,
            detail: why.to_string(),
        })?;
        paths.push(path);
    }
    paths.sort();
    Ok(paths)
}

fn failed_at(operation: &Operation<'_>, path: &RelativePath) -> impl FnOnce(hal::Error) -> Error + use<> {
    Error::hal(format!("reading {path} back from {}", operation.label()))
}

impl TreeReader<'_, '_> {
    fn advance(&self, len_bytes: u64) {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner).advance(len_bytes);
    }

    /// How an entry that is not a regular file differs.
    fn compare_other(&mut self, path: &RelativePath, entry: &Entry) -> hal::Result<Option<String>> {
        let (operation, volume) = (self.operation, self.volume);
        let found = operation.retry(|| volume.metadata(path))?;
        let kind = match &entry.kind {
            EntryKind::File { .. } => FileKind::File,
            EntryKind::Directory => FileKind::Directory,
            EntryKind::Symlink { .. } => FileKind::Symlink,
            EntryKind::Node(NodeKind::CharDevice { .. }) => FileKind::CharDevice,
            EntryKind::Node(NodeKind::BlockDevice { .. }) => FileKind::BlockDevice,
            EntryKind::Node(NodeKind::Fifo) => FileKind::Fifo,
            EntryKind::HardLink { existing } => {
                let first = operation.retry(|| volume.metadata(existing))?;
                return Ok((first.inode != found.inode).then(|| format!("it is no hard link to {existing}")));
            }
        };
        if let Some(difference) = compare_metadata(path, entry, kind, &found, &mut self.times) {
            return Ok(Some(difference));
        }
        match &entry.kind {
            EntryKind::Symlink { text } if operation.retry(|| volume.read_link(path))? != *text => {
                return Ok(differs("the link's text"));
            }
            EntryKind::Node(
                NodeKind::CharDevice { major, minor } | NodeKind::BlockDevice { major, minor },
            ) if found.device != (*major, *minor) => {
                return Ok(differs("the device number"));
            }
            _ => {}
        }
        if kind == FileKind::Directory && operation.retry(|| volume.flags(path))? != entry.flags {
            return Ok(differs("an inode flag"));
        }
        Ok(compare_xattrs(entry, &operation.retry(|| volume.xattrs(path))?))
    }

    /// How a regular file differs. It is opened once, and everything about it is read through the open file.
    fn compare_file(&mut self, file: &File<'_>) -> Result<Option<String>> {
        let (operation, volume) = (self.operation, self.volume);
        let (path, entry) = (file.path, &file.expected.entry);
        let failed = || failed_at(operation, path);
        let mut open = match operation.retry(|| volume.open(path)) {
            Ok(open) => open,
            Err(error) => {
                // Something else may have its name.
                let found = operation.retry(|| volume.metadata(path)).map_err(failed())?;
                return match compare_metadata(path, entry, FileKind::File, &found, &mut self.times) {
                    Some(difference) => Ok(Some(difference)),
                    None => Err(failed()(error)),
                };
            }
        };
        let found = operation.retry(|| open.metadata()).map_err(failed())?;
        let mut difference = compare_metadata(path, entry, FileKind::File, &found, &mut self.times);
        if difference.is_none() && found.len_bytes != file.len_bytes {
            difference = differs("the length");
        }
        if difference.is_none() && operation.retry(|| open.flags()).map_err(failed())? != entry.flags {
            difference = differs("an inode flag");
        }
        if difference.is_none() {
            difference = compare_xattrs(entry, &operation.retry(|| open.xattrs()).map_err(failed())?);
        }
        if difference.is_none() {
            difference = self.compare_content(&mut *open, file)?;
        }
        if difference.is_none() {
            open.close().map_err(failed())?;
        }
        Ok(difference)
    }

    fn compare_content(&mut self, open: &mut dyn hal::VolumeFile, file: &File<'_>) -> Result<Option<String>> {
        let operation = self.operation;
        let failed = || failed_at(operation, file.path);
        let mut hash = Xxh3::new();
        for range in file.data {
            let mut offset_bytes = range.start;
            while offset_bytes < range.end {
                let len = within(self.buffer.len(), range.end - offset_bytes);
                let found = &mut self.buffer[..len];
                let read = operation
                    .retry(|| hal::io::read_file(&mut *open, offset_bytes, found))
                    .map_err(failed())?;
                if read < len {
                    return Ok(Some("the file ends early".into()));
                }
                hash.update(found);
                offset_bytes += len as u64;
                self.advance(len as u64);
            }
        }
        if hash.digest128() != file.expected.hash {
            return Ok(Some("the content differs".into()));
        }
        let holes_clean = holes_are_zero(operation, open, file, &mut self.buffer)?;
        Ok((!holes_clean).then(|| "a hole is not empty".into()))
    }
}

fn compare_metadata(
    path: &RelativePath,
    entry: &Entry,
    kind: FileKind,
    found: &Metadata,
    times: &mut Times,
) -> Option<String> {
    if found.kind != kind {
        return Some(format!("it is a {:?}, not a {kind:?}", found.kind));
    }
    if found.owner != entry.owner {
        return differs("the owner");
    }
    if kind != FileKind::Symlink && found.mode != entry.mode {
        return differs("the mode");
    }
    if !times.accepts(path, entry.modified, found.modified) {
        return differs("the time");
    }
    None
}

fn compare_xattrs(entry: &Entry, found: &[Xattr]) -> Option<String> {
    let is_same = match entry.xattrs.is_sorted() {
        true => *found == entry.xattrs,
        false => {
            let mut xattrs = entry.xattrs.clone();
            xattrs.sort();
            *found == xattrs
        }
    };
    if is_same { None } else { differs("an extended attribute") }
}

fn differs(what: &str) -> Option<String> {
    Some(format!("{what} differs"))
}

/// A file that is compared.
struct File<'a> {
    path: &'a RelativePath,
    len_bytes: u64,
    data: &'a [Range<u64>],
    expected: &'a ExpectedFile,
}

/// Whether everything outside of the data ranges reads as zeros. Only what the file system stores is read.
fn holes_are_zero(
    operation: &Operation<'_>,
    open: &mut dyn hal::VolumeFile,
    file: &File<'_>,
    buffer: &mut [u8],
) -> Result<bool> {
    let failed = || failed_at(operation, file.path);
    let mut hole_start = 0;
    let ends = file.data.iter().cloned().chain([file.len_bytes..file.len_bytes]);
    for range in ends {
        let mut offset_bytes = hole_start;
        while offset_bytes < range.start {
            let Some(stored) = open.next_data(offset_bytes).map_err(failed())? else { break };
            let start = stored.start.max(offset_bytes);
            let end = stored.end.min(range.start);
            if start >= end {
                break;
            }
            let len = within(buffer.len(), end - start);
            let found = &mut buffer[..len];
            let read = operation.retry(|| hal::io::read_file(&mut *open, start, found)).map_err(failed())?;
            if read < len || !zeros::only_zeros(found) {
                return Ok(false);
            }
            offset_bytes = start + len as u64;
        }
        hole_start = range.end;
    }
    Ok(true)
}
