//! Packs the files of the root file system as a tar archive.
//!
//! The archive keeps everything that a Linux file system keeps: owners, modes, times, hard links, holes, device nodes,
//! attributes, inode flags. Sockets are left out, as every tar does: only the program that listens on a socket can make
//! it.

use super::checksums::{LIST, LIST_MODE};
use super::digest_list::{DigestList, FileDigest};
use super::packer::Packer;
use super::private_keys::PrivateKeys;
use super::{tree, work};
use crate::error::{Error, Result};
use crate::formats::FormatError;
use crate::formats::digest::Digest;
use crate::formats::encoder::Encoding;
use crate::formats::tar::{self, Entry, EntryKind, Remarks, Writer};
use crate::operation::Operation;
use crate::verify::Packed;
use replicator_hal::{
    self as hal, FileKind, InodeFlags, Metadata, NodeKind, Owner, ReadTree, RelativePath, VolumeFile,
};
use std::collections::BTreeMap;
use std::io;
use std::ops::Range;

/// Packs all of `volume` into the new `file` on the drive. With a `list` every regular file is hashed while it is packed,
/// and the list of the digests is the last entry.
pub(super) fn pack<'a>(
    operation: &'a Operation<'a>,
    volume: &'a dyn ReadTree,
    encoding: &Encoding,
    file: &'a mut dyn VolumeFile,
    list: Option<DigestList<'a>>,
    notes: &mut Vec<String>,
) -> Result<Packed> {
    let mut archive = Archive {
        operation,
        volume,
        writer: Writer::new(Packer::new(operation, file, encoding, None)?),
        names: BTreeMap::new(),
        list,
        entries: 0,
        remarks: Remarks::default(),
        buffer: vec![0; operation.tuning.chunk_len_bytes.max(1)],
    };
    let root = RelativePath::root();
    archive.add(&root, FileKind::Directory)?;
    tree::walk(operation, volume, &root, |path, kind| archive.add(path, kind))?;
    let private_keys = archive.add_list()?;
    notes.extend(archive.remarks.lines());
    notes.extend(private_keys.notes());
    archive.writer.finish().map_err(Error::io("the image"))?.finish()
}

/// The data of the entry that was appended last.
struct Data<'w, 'a>(&'w mut Writer<Packer<'a>>);

impl io::Write for Data<'_, '_> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.0.write_data(data).map(|()| data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Archive<'a> {
    operation: &'a Operation<'a>,
    volume: &'a dyn ReadTree,
    writer: Writer<Packer<'a>>,
    /// First names of files that have several, by inode, and the digests of those that are hashed.
    names: BTreeMap<u64, (RelativePath, Option<Digest>)>,
    /// The digests, if files are hashed.
    list: Option<DigestList<'a>>,
    entries: u64,
    remarks: Remarks,
    buffer: Vec<u8>,
}

impl Archive<'_> {
    /// Adds the entry at `path`, which the listing of its directory calls a `listed`.
    fn add(&mut self, path: &RelativePath, listed: FileKind) -> Result<()> {
        let (operation, volume) = (self.operation, self.volume);
        let doing = || format!("packing /{path}");
        let not_copyable = operation.retry(|| volume.not_copyable(path)).map_err(Error::hal(doing()))?;
        if let Some(why) = not_copyable {
            return Err(no_tarball(format!("/{path} {why}")));
        }
        // A regular file is opened once, and everything about it is read through the open file.
        let mut opened = match listed {
            FileKind::File => Some(operation.retry(|| volume.open(path)).map_err(Error::hal(doing()))?),
            _ => None,
        };
        let metadata = match &opened {
            Some(file) => operation.retry(|| file.metadata()),
            None => operation.retry(|| volume.metadata(path)),
        };
        let metadata = metadata.map_err(Error::hal(doing()))?;
        let kind = if let Some((existing, digest)) = self.earlier_name(path, &metadata) {
            if let (Some(list), Some(digest)) = (&mut self.list, digest) {
                list.add(path, &digest)?;
            }
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
                    return Ok(());
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
        self.writer.append(&entry).map_err(|error| match error.kind() {
            // The format, or its reader, cannot hold it.
            io::ErrorKind::InvalidInput => no_tarball(error.to_string()),
            _ => Error::io(doing())(error),
        })?;
        match (opened, &entry.kind) {
            (Some(file), EntryKind::File { data, .. }) => self.add_data(path, file, data, &metadata),
            (Some(mut file), _) => file.close().map_err(Error::hal(doing())),
            (None, _) => Ok(()),
        }
    }

    /// The earlier name of a file with several names, and its digest. The first name is remembered.
    fn earlier_name(
        &mut self,
        path: &RelativePath,
        metadata: &Metadata,
    ) -> Option<(RelativePath, Option<Digest>)> {
        let can_be_linked = !matches!(metadata.kind, FileKind::Directory | FileKind::Socket);
        if metadata.links < 2 || !can_be_linked {
            return None;
        }
        let earlier = self.names.get(&metadata.inode).cloned();
        if earlier.is_none() {
            self.names.insert(metadata.inode, (path.clone(), None));
        }
        earlier
    }

    fn add_data(
        &mut self,
        path: &RelativePath,
        mut file: Box<dyn VolumeFile>,
        data: &[Range<u64>],
        metadata: &Metadata,
    ) -> Result<()> {
        let operation = self.operation;
        let mut digest = self.list.is_some().then(|| FileDigest::new(operation));
        for range in data {
            if let Some(digest) = &mut digest {
                digest.hole(range.start);
            }
            let mut at = range.start;
            while at < range.end {
                let len = (range.end - at).min(self.buffer.len() as u64) as usize;
                let chunk = &mut self.buffer[..len];
                read_exact(operation, &mut *file, path, at, chunk)?;
                if let Some(digest) = &mut digest {
                    digest.data(chunk);
                }
                self.writer.write_data(chunk).map_err(Error::io(format!("packing /{path}")))?;
                at += len as u64;
            }
        }
        file.close().map_err(Error::hal(format!("packing /{path}")))?;
        let (Some(mut digest), Some(list)) = (digest, &mut self.list) else { return Ok(()) };
        digest.hole(metadata.len_bytes);
        let (digest, start) = digest.finish();
        list.look(path, &start);
        if let Some((_, first)) = self.names.get_mut(&metadata.inode) {
            *first = Some(digest);
        }
        list.add(path, &digest)
    }

    /// Adds the list of digests, if there is one. Returns the private keys that were found.
    fn add_list(&mut self) -> Result<PrivateKeys> {
        let Some(list) = self.list.take() else { return Ok(PrivateKeys::default()) };
        self.count()?;
        let len_bytes = list.len_bytes();
        let path = work::in_root(LIST)?;
        let data = std::iter::once(0..len_bytes).filter(|range| !range.is_empty()).collect();
        let entry = Entry {
            path,
            kind: EntryKind::File { len_bytes, data },
            mode: LIST_MODE,
            owner: Owner::default(),
            modified: self.operation.board.clock.wall(),
            xattrs: Vec::new(),
            flags: InodeFlags::none(),
        };
        self.writer.append(&entry).map_err(Error::io(format!("packing /{LIST}")))?;
        list.write_to(&mut Data(&mut self.writer))
    }

    /// Fails if there are more entries than a write accepts.
    fn count(&mut self) -> Result<()> {
        self.entries += 1;
        let limit = self.operation.tuning.tar_entries_max;
        if self.entries > limit {
            return Err(no_tarball(format!("there are more than {limit} entries")));
        }
        Ok(())
    }
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

fn read_exact(
    operation: &Operation<'_>,
    file: &mut dyn VolumeFile,
    path: &RelativePath,
    at: u64,
    chunk: &mut [u8],
) -> Result<()> {
    let doing = || format!("packing /{path}");
    let len = hal::io::read_full(chunk, |done, rest| operation.retry(|| file.read_at(at + done, rest)))
        .map_err(Error::hal(doing()))?;
    if len == chunk.len() {
        return Ok(());
    }
    let detail = format!("the file ends at byte {}, before its length", at + len as u64);
    Err(Error::hal(doing())(hal::Error::new(hal::ErrorKind::Io, "reading", path.to_string(), detail)))
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
