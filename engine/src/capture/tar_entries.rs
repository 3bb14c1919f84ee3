//! The entries of a tarball: what an archive says about each file of the root file system.
//!
//! [`check`] makes all entries without their data. It finds a file that an archive cannot hold while the working image is
//! still whole.

use super::tree;
use crate::error::{Error, Result};
use crate::formats::FormatError;
use crate::formats::tar::{self, Entry, EntryKind, Remarks, Writer};
use crate::operation::Operation;
use replicator_hal::{
    self as hal, FileKind, InodeFlags, Metadata, NodeKind, ReadTree, RelativePath, VolumeFile,
};
use std::collections::{BTreeMap, btree_map};
use std::io::{self, Write};
use std::ops::Range;

/// An entry, and what is needed to pack its data.
pub(super) struct Found {
    pub(super) entry: Entry,
    /// The open file of a regular file.
    pub(super) file: Option<Box<dyn VolumeFile>>,
    pub(super) metadata: Metadata,
}

/// Makes the entries of `volume`, one after the other.
pub(super) struct Entries<'a> {
    operation: &'a Operation<'a>,
    volume: &'a dyn ReadTree,
    names: FirstNames,
    count: u64,
    /// What an archive leaves out.
    pub(super) remarks: Remarks,
}

impl<'a> Entries<'a> {
    /// No entry was made yet.
    pub(super) fn new(operation: &'a Operation<'a>, volume: &'a dyn ReadTree) -> Self {
        Self { operation, volume, names: FirstNames::default(), count: 0, remarks: Remarks::default() }
    }

    /// The entry at `path`, which the listing of its directory calls a `listed`; `None` for a socket.
    pub(super) fn entry(&mut self, path: &RelativePath, listed: FileKind) -> Result<Option<Found>> {
        let (operation, volume) = (self.operation, self.volume);
        let doing = || format!("packing /{path}");
        // A regular file is opened once, and everything about it is read through the open file.
        let opened = match listed {
            FileKind::File => Some(operation.retry(|| volume.open(path))),
            _ => None,
        };
        let not_copyable = match &opened {
            Some(Ok(file)) => operation.retry(|| file.not_copyable()),
            // An encrypted file cannot be opened without its key.
            Some(Err(_)) => Ok(operation.retry(|| volume.not_copyable(path)).ok().flatten()),
            None => operation.retry(|| volume.not_copyable(path)),
        };
        if let Some(why) = not_copyable.map_err(Error::hal(doing()))? {
            return Err(no_tarball(format!("/{path} {why}")));
        }
        let mut opened = opened.transpose().map_err(Error::hal(doing()))?;
        let metadata = match &opened {
            Some(file) => operation.retry(|| file.metadata()),
            None => operation.retry(|| volume.metadata(path)),
        };
        let metadata = metadata.map_err(Error::hal(doing()))?;
        let kind = if let Some(existing) = self.names.earlier(path, &metadata) {
            EntryKind::HardLink { existing }
        } else {
            match (metadata.kind, &mut opened) {
                (FileKind::Directory, _) => EntryKind::Directory,
                (FileKind::Symlink, _) => EntryKind::Symlink {
                    text: operation.retry(|| volume.read_link(path)).map_err(Error::hal(doing()))?,
                },
                (FileKind::CharDevice | FileKind::BlockDevice | FileKind::Fifo, _) => {
                    EntryKind::Node(node(&metadata))
                }
                (FileKind::Socket, _) => {
                    operation.log(&format!("/{path} is a socket and left out"));
                    return Ok(None);
                }
                (FileKind::File, Some(file)) => {
                    let data = data_ranges(operation, &mut **file, &metadata).map_err(Error::hal(doing()))?;
                    EntryKind::File { len_bytes: metadata.len_bytes, data }
                }
                (FileKind::File, None) => return Err(not_as_listed(path, listed)),
            }
        };
        self.count()?;
        // Attributes belong to the file; the entry of its first name has them.
        let xattrs = match (&kind, &opened) {
            (EntryKind::HardLink { .. }, _) => Ok(Vec::new()),
            (_, Some(file)) => operation.retry(|| file.xattrs()),
            (_, None) => operation.retry(|| volume.xattrs(path)),
        };
        let xattrs = xattrs.map_err(Error::hal(doing()))?;
        let flags = match (&kind, &opened) {
            (EntryKind::File { .. }, Some(file)) => operation.retry(|| file.flags()),
            (EntryKind::Directory, _) => operation.retry(|| volume.flags(path)),
            _ => Ok(InodeFlags::none()),
        };
        let flags = flags.map_err(Error::hal(doing()))?;
        let entry = Entry {
            path: path.clone(),
            kind,
            mode: metadata.mode,
            owner: metadata.owner,
            modified: metadata.modified,
            xattrs,
            flags,
        };
        if !entry.unsupported_flags().is_empty() {
            self.remarks.left_out("inode flags that a tarball cannot hold", || format!("of /{path}"));
        }
        Ok(Some(Found { entry, file: opened, metadata }))
    }

    /// Counts an entry. Fails if there are more than a write accepts.
    pub(super) fn count(&mut self) -> Result<()> {
        self.count += 1;
        let limit = self.operation.tuning.tar_entries_max;
        if self.count > limit {
            return Err(no_tarball(format!("there are more than {limit} entries")));
        }
        Ok(())
    }
}

/// First names of files that have more names which were not found yet, by inode, with the number of these.
#[derive(Debug, Default)]
struct FirstNames(BTreeMap<u64, (RelativePath, u64)>);

impl FirstNames {
    /// The first name of a file with several names; `None` if this is the first one, which is kept until all are found.
    fn earlier(&mut self, path: &RelativePath, metadata: &Metadata) -> Option<RelativePath> {
        let can_be_linked = !matches!(metadata.kind, FileKind::Directory | FileKind::Socket);
        if metadata.links < 2 || !can_be_linked {
            return None;
        }
        match self.0.entry(metadata.inode) {
            btree_map::Entry::Vacant(place) => {
                place.insert((path.clone(), metadata.links - 1));
                None
            }
            btree_map::Entry::Occupied(mut place) => {
                let (first, left) = place.get_mut();
                *left -= 1;
                Some(if *left == 0 { place.remove().0 } else { first.clone() })
            }
        }
    }
}

/// Makes all entries of `volume` without their data, and one more for the list of digests if it `has_list`. Reads no data.
///
/// # Errors
/// Those of packing; [`why_no_tarball`] tells those apart that are no failure.
pub(super) fn check(operation: &Operation<'_>, volume: &dyn ReadTree, has_list: bool) -> Result<()> {
    let mut entries = Entries::new(operation, volume);
    let mut check = |path: &RelativePath, kind| -> Result<()> {
        let Some(found) = entries.entry(path, kind)? else { return Ok(()) };
        append(&mut Writer::new(io::sink()), &found.entry)?;
        match found.file {
            Some(mut file) => file.close().map_err(Error::hal(format!("packing /{path}"))),
            None => Ok(()),
        }
    };
    let root = RelativePath::root();
    check(&root, FileKind::Directory)?;
    tree::walk(operation, volume, &root, &mut check)?;
    if has_list { entries.count() } else { Ok(()) }
}

/// Appends `entry` to an archive.
pub(super) fn append(writer: &mut Writer<impl Write>, entry: &Entry) -> Result<()> {
    writer.append(entry).map_err(|error| match error.kind() {
        // The format, or its reader, cannot hold it.
        io::ErrorKind::InvalidInput => no_tarball(error.to_string()),
        _ => Error::io(format!("packing /{}", entry.path))(error),
    })
}

/// The error for a file that a tarball cannot hold or that a write would refuse.
fn no_tarball(what: String) -> Error {
    Error::format("the image")(FormatError::Unsupported { format: "tar", what })
}

/// The error for an entry whose directory lists it as something else.
fn not_as_listed(path: &RelativePath, listed: FileKind) -> Error {
    let detail = format!("its directory lists it as a {listed:?}, and it is a regular file");
    let error = hal::Error::new(hal::ErrorKind::Io, "reading", path.to_string(), detail);
    Error::hal(format!("packing /{path}"))(error)
}

/// Why these files cannot be a tarball; `None` if the error has another cause.
pub(super) fn why_no_tarball(error: &Error) -> Option<String> {
    match error {
        Error::Format { source: FormatError::Unsupported { format: "tar", what }, .. } => Some(what.clone()),
        // Paths are longer, or files are more, than a walk through the tree accepts.
        Error::Hal { source, .. } if source.kind() == hal::ErrorKind::OutOfRange => Some(source.to_string()),
        _ => None,
    }
}

fn node(metadata: &Metadata) -> NodeKind {
    let (major, minor) = metadata.device;
    match metadata.kind {
        FileKind::CharDevice => NodeKind::CharDevice { major, minor },
        FileKind::BlockDevice => NodeKind::BlockDevice { major, minor },
        _ => NodeKind::Fifo,
    }
}

/// Where the file holds data; one range if it has no holes, or if it has more extents than an archive can hold.
fn data_ranges(
    operation: &Operation<'_>,
    file: &mut dyn VolumeFile,
    metadata: &Metadata,
) -> hal::Result<Vec<Range<u64>>> {
    let len_bytes = metadata.len_bytes;
    if len_bytes == 0 {
        return Ok(Vec::new());
    }
    let whole = vec![0..len_bytes];
    if metadata.allocated_bytes >= len_bytes {
        return Ok(whole);
    }
    let mut found: Vec<Range<u64>> = Vec::new();
    let mut at = 0;
    while at < len_bytes {
        let Some(data) = operation.retry(|| file.next_data(at))? else { break };
        let data = data.start.max(at)..data.end.min(len_bytes);
        if data.start >= data.end {
            break;
        }
        at = data.end;
        match found.last_mut() {
            Some(last) if last.end == data.start => last.end = data.end,
            _ => found.push(data),
        }
        if found.len() > tar::SPARSE_RANGES_MAX {
            return Ok(whole);
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use replicator_hal::{Owner, Timestamp};

    fn file(inode: u64, links: u64) -> Metadata {
        Metadata {
            kind: FileKind::File,
            len_bytes: 0,
            allocated_bytes: 0,
            mode: 0o644,
            owner: Owner::default(),
            modified: Timestamp::default(),
            inode,
            links,
            device: (0, 0),
        }
    }

    #[test]
    fn a_first_name_is_kept_until_all_names_are_found() {
        let mut names = FirstNames::default();
        let mut earlier = |name: &str, inode, links| {
            let found = names.earlier(&RelativePath::parse(name).unwrap(), &file(inode, links));
            (found.map(|path| path.to_string()), names.0.len())
        };
        let first = |name: &str| Some(name.to_owned());
        assert_eq!(earlier("alone", 1, 1), (None, 0));
        assert_eq!(earlier("a", 2, 3), (None, 1));
        assert_eq!(earlier("b", 3, 2), (None, 2));
        assert_eq!(earlier("a2", 2, 3), (first("a"), 2));
        assert_eq!(earlier("b2", 3, 2), (first("b"), 1));
        assert_eq!(earlier("a3", 2, 3), (first("a"), 0));
    }
}
