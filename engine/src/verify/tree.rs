//! Compares a mounted tree with the entries that were extracted into it: content, kinds, owners, modes, times, links,
//! attributes, flags. It also finds files that were not extracted.

use super::kept::Kept;
use super::readers::{self, Reader};
use crate::error::{Error, FaultyPart, Result};
use crate::formats::tar::{Entry, EntryKind};
use crate::formats::{within, zeros};
use crate::operation::{Operation, Progress};
use replicator_hal::{
    self as hal, FileKind, FileSystemKind, Metadata, NodeKind, ReadTree, RelativePath, Timestamp, Xattr,
};
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};
use xxhash_rust::xxh3::Xxh3;

/// The empty directory that mke2fs makes in the root of a new file system.
const LOST_AND_FOUND: &[u8] = b"lost+found";

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

/// The last second that the kernel's own driver for ext2 keeps: 2038-01-19.
const LAST_OF_32_BITS: i64 = i32::MAX as i64;

/// Whether the driver for ext2 stores the time `written` as `found`.
fn is_end_of_32_bits(written: Timestamp, found: Timestamp) -> bool {
    written.seconds >= LAST_OF_32_BITS && found == Timestamp { seconds: LAST_OF_32_BITS, nanos: 0 }
}

/// How exactly a file system kept the times of files. Some keep whole seconds only: that is reported, but is not an error
/// if it is so for all files.
#[derive(Debug, Default)]
pub(crate) struct Times {
    exact: bool,
    cut_off: Option<RelativePath>,
    /// Whether the file system may end with 32 bits of seconds, and whether it did.
    is_ext2: bool,
    ends_in_2038: bool,
}

impl Times {
    /// Whether fractions of seconds were lost.
    pub(crate) fn in_whole_seconds(&self) -> bool {
        self.cut_off.is_some()
    }

    /// Whether times after 2038 were set to the last second of 32 bits.
    pub(crate) fn end_in_2038(&self) -> bool {
        self.ends_in_2038
    }

    fn accepts(&mut self, path: &RelativePath, expected: Timestamp, found: Timestamp) -> bool {
        if found == expected {
            self.exact |= expected.nanos != 0;
            return true;
        }
        if self.is_ext2 && is_end_of_32_bits(expected, found) {
            self.ends_in_2038 = true;
            return true;
        }
        let cut_off = found.seconds == expected.seconds && found.nanos == 0;
        if cut_off && self.cut_off.is_none() {
            self.cut_off = Some(path.clone());
        }
        cut_off
    }

    /// What another reader of the same file system found, too.
    fn and(mut self, other: Self) -> Self {
        self.exact |= other.exact;
        self.ends_in_2038 |= other.ends_in_2038;
        self.cut_off = self.cut_off.into_iter().chain(other.cut_off).min();
        self
    }

    /// The path whose time was cut off although others were kept.
    fn inexact_path(&self) -> Option<&RelativePath> {
        self.cut_off.as_ref().filter(|_| self.exact)
    }
}

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
    let is_ext2 = volume.capabilities().file_system == FileSystemKind::Ext2;
    let progress = Mutex::new(operation.progress("verifying", Some(data_len_bytes)));
    let readers = readers::number(operation);
    let buffer_len_bytes = (operation.tuning.chunk_len_bytes / readers).max(1);
    let readers = (0..readers)
        .map(|_| TreeReader {
            operation,
            volume,
            progress: &progress,
            times: Times { is_ext2, ..Times::default() },
            buffer: vec![0; buffer_len_bytes],
        })
        .collect();
    let readers: Vec<TreeReader<'_, '_>> = readers::compare_all(operation, manifest, readers)?;
    let times = readers.into_iter().map(|reader| reader.times).reduce(Times::and).unwrap_or_default();
    let mut progress = progress.into_inner().unwrap_or_else(PoisonError::into_inner);
    let differs = |path: &RelativePath, detail| difference(operation, path, detail);
    if let Some(path) = times.inexact_path() {
        return Err(differs(path, "the time differs".into()));
    }
    if let Some(path) = not_listed(operation, volume, manifest, &mut progress)? {
        return Err(differs(
            &path,
            "the archive does not have it: an older file system is still on the medium".into(),
        ));
    }
    progress.finish();
    Ok((times, Kept(())))
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
struct TreeReader<'a, 'o> {
    operation: &'a Operation<'a>,
    volume: &'a dyn ReadTree,
    progress: &'a Mutex<Progress<'o>>,
    times: Times,
    buffer: Vec<u8>,
}

impl Reader for TreeReader<'_, '_> {
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
    progress: &mut Progress<'_>,
) -> Result<Option<RelativePath>> {
    let root = RelativePath::root();
    let directories = manifest.iter().filter(|(_, expected)| expected.entry.kind == EntryKind::Directory);
    let below_root = directories.map(|(path, _)| path).filter(|path| !path.is_root());
    for directory in std::iter::once(&root).chain(below_root) {
        for path in paths_in(operation, volume, directory)? {
            if manifest.contains_key(&path) {
                continue;
            }
            let is_new = path.as_bytes() == LOST_AND_FOUND && {
                let kind =
                    operation.retry(|| volume.metadata(&path)).map_err(failed_at(operation, &path))?.kind;
                kind == FileKind::Directory && paths_in(operation, volume, &path)?.is_empty()
            };
            if !is_new {
                return Ok(Some(path));
            }
        }
        progress.advance(0);
    }
    Ok(None)
}

/// The sorted paths of a directory's entries.
fn paths_in(
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

#[cfg(test)]
mod tests {
    use super::*;

    fn accepted(pairs: &[(Timestamp, Timestamp)]) -> (bool, Times) {
        let mut times = Times::default();
        let path = RelativePath::parse("a").unwrap();
        let all = pairs.iter().all(|(expected, found)| times.accepts(&path, *expected, *found));
        (all && times.inexact_path().is_none(), times)
    }

    fn at(seconds: i64, nanos: u32) -> Timestamp {
        Timestamp { seconds, nanos }
    }

    #[test]
    fn times_may_be_cut_off_to_the_second_if_all_of_them_are() {
        let (exact, cut) = ((at(7, 5), at(7, 5)), (at(8, 5), at(8, 0)));
        let whole = (at(9, 0), at(9, 0));
        for (pairs, agree, in_whole_seconds) in [
            (&[exact, whole][..], true, false),
            (&[cut, whole, (at(-3, 9), at(-3, 0))], true, true),
            (&[exact, cut], false, true),
            (&[cut, exact], false, true),
            (&[(at(7, 5), at(7, 4))], false, false),
            (&[(at(7, 5), at(8, 0))], false, false),
            (&[(at(7, 0), at(7, 5))], false, false),
        ] {
            let (all, times) = accepted(pairs);
            assert_eq!((all, times.in_whole_seconds()), (agree, in_whole_seconds), "{pairs:?}");
        }
    }
}
