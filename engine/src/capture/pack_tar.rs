//! Packs the files of the root file system as a tar archive.
//!
//! The archive keeps everything that a Linux file system keeps: owners, modes, times, hard links, holes, device nodes,
//! attributes, inode flags. Sockets are left out, as every tar does: only the program that listens on a socket can make
//! it.

use super::checksums::{LIST, LIST_MODE};
use super::digest_list::{DigestList, FileDigest};
use super::give_back_files::{GiveBackFiles, Unpacked};
use super::packer::Packer;
use super::private_keys::PrivateKeys;
use super::tar_entries::{self, Entries, Found};
use super::{tree, work};
use crate::error::{Error, Result};
use crate::formats::digest::Digest;
use crate::formats::encoder::Encoding;
use crate::formats::tar::{Entry, EntryKind, Index, IndexWriter, Names, Writer};
use crate::operation::Operation;
use crate::root_names;
use crate::size::Size;
use crate::verify::Packed;
use replicator_hal::{
    self as hal, FileKind, InodeFlags, Metadata, Owner, ReadTree, RelativePath, VolumeFile,
};
use std::collections::BTreeMap;
use std::io;
use std::ops::Range;

/// Packs all of `volume` into the new `file` on the drive. With a `list` every regular file is hashed while it is packed,
/// and the list of the digests is the last entry. With `give_back` the space of packed files is given back to the drive.
/// Returns an index of the archive too, if that is compressed and the index fits into the memory.
pub(super) fn pack<'a>(
    operation: &'a Operation<'a>,
    volume: &'a dyn ReadTree,
    encoding: &Encoding,
    file: &'a mut dyn VolumeFile,
    list: Option<DigestList<'a>>,
    give_back: Option<&'a mut GiveBackFiles<'_>>,
    notes: &mut Vec<String>,
) -> Result<(Packed, Option<Index>)> {
    let index = index(operation, encoding)?;
    let has_index = index.is_some();
    let packer = Packer::new(operation, file, encoding, None)?;
    let mut archive = Archive {
        operation,
        entries: Entries::new(operation, volume),
        writer: match index {
            Some(index) => Writer::with_index(packer, index),
            None => Writer::new(packer),
        },
        digests: BTreeMap::new(),
        list,
        give_back,
        buffer: vec![0; operation.tuning.chunk_len_bytes.max(1)],
    };
    let root = RelativePath::root();
    archive.add(&root, FileKind::Directory)?;
    tree::walk_reading(operation, volume, &root, |path, kind| archive.add(path, kind))?;
    let private_keys = archive.add_list()?;
    notes.extend(archive.entries.remarks.lines());
    notes.extend(private_keys.notes());
    let (packer, index) = archive.writer.finish_with_index().map_err(Error::io("the image"))?;
    if has_index && index.is_none() {
        let limit = Size(operation.tuning.memory.archive_index_bytes() as u64);
        operation.log(&format!("the index of the archive is left out: it takes more than {limit} of memory"));
    }
    Ok((packer.finish()?, index))
}

/// A new index of an archive; `None` for an archive that needs none, because it is not compressed.
fn index(operation: &Operation<'_>, encoding: &Encoding) -> Result<Option<IndexWriter>> {
    if *encoding == Encoding::Plain {
        return Ok(None);
    }
    let limit_bytes = operation.tuning.memory.archive_index_bytes();
    IndexWriter::new(is_read_by_check, limit_bytes).map(Some).map_err(Error::io("the index of the archive"))
}

/// Whether the check of an archive before it is written reads the data of this file.
fn is_read_by_check(entry: &Entry) -> bool {
    let EntryKind::File { len_bytes, .. } = entry.kind else { return false };
    let is_short = usize::try_from(len_bytes).is_ok_and(|len| len <= root_names::LIMIT_BYTES);
    Names::may_be_in(&entry.path, len_bytes) || is_short && root_names::is_of_interest(&entry.path)
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

struct Archive<'a, 'g> {
    operation: &'a Operation<'a>,
    entries: Entries<'a>,
    writer: Writer<Packer<'a>>,
    /// The digests of hashed files that have several names, by inode.
    digests: BTreeMap<u64, Digest>,
    /// The digests, if files are hashed.
    list: Option<DigestList<'a>>,
    give_back: Option<&'a mut GiveBackFiles<'g>>,
    buffer: Vec<u8>,
}

impl Archive<'_, '_> {
    /// Adds the entry at `path`, which the listing of its directory calls a `listed`.
    fn add(&mut self, path: &RelativePath, listed: FileKind) -> Result<()> {
        let Some(Found { entry, file, metadata }) = self.entries.entry(path, listed)? else { return Ok(()) };
        if let (EntryKind::HardLink { .. }, Some(list)) = (&entry.kind, &mut self.list) {
            if let Some(digest) = self.digests.get(&metadata.inode) {
                list.add(path, digest)?;
            }
        }
        tar_entries::append(&mut self.writer, &entry)?;
        match (file, &entry.kind) {
            (Some(file), EntryKind::File { data, .. }) => self.add_data(path, file, data, &metadata),
            (Some(mut file), _) => file.close().map_err(Error::hal(format!("packing /{path}"))),
            (None, _) => Ok(()),
        }
    }

    fn add_data(
        &mut self,
        path: &RelativePath,
        mut file: Box<dyn VolumeFile>,
        data: &[Range<u64>],
        metadata: &Metadata,
    ) -> Result<()> {
        let operation = self.operation;
        let mut unpacked = match &self.give_back {
            Some(give_back) if !data.is_empty() => give_back.find(path, &*file)?,
            _ => Unpacked::default(),
        };
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
                if let Some(give_back) = &mut self.give_back {
                    give_back.packed_to(&mut unpacked, at)?;
                }
            }
        }
        file.close().map_err(Error::hal(format!("packing /{path}")))?;
        if let Some(give_back) = &mut self.give_back {
            // The last block is longer than the data in it.
            give_back.packed_to(&mut unpacked, u64::MAX)?;
        }
        let (Some(mut digest), Some(list)) = (digest, &mut self.list) else { return Ok(()) };
        digest.hole(metadata.len_bytes);
        let (digest, start) = digest.finish();
        list.look(path, &start);
        list.add(path, &digest)?;
        if metadata.links > 1 {
            self.digests.insert(metadata.inode, digest);
        }
        Ok(())
    }

    /// Adds the list of digests, if there is one. Returns the private keys that were found.
    fn add_list(&mut self) -> Result<PrivateKeys> {
        let Some(list) = self.list.take() else { return Ok(PrivateKeys::default()) };
        self.entries.count()?;
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
