//! `/md5sums.txt` of a captured root file system: the digest of every other regular file.
//!
//! `md5sum -c /md5sums.txt` checks the files on a running board. A tarball gets the list as its last entry, because the
//! files are hashed while they are packed ([`super::digest_list`]). In a disk image the list is a file of the captured file
//! system, and every file is read for it before the image is packed; this module writes that one.

use super::packer::BufferedSink;
use super::private_keys::PrivateKeys;
use super::{tree, work};
use crate::error::{Error, Result};
use crate::formats::digest::{Algorithm, Digest, Hasher};
use crate::formats::sidecar;
use crate::operation::Operation;
use replicator_hal::{self as hal, FileKind, ReadTree, RelativePath, WriteTree};
use std::collections::BTreeMap;
use std::io::Write;

/// Name of the list: the entry that may end an archive out of order.
pub(super) use crate::formats::tar::in_order::DIGEST_LIST as LIST;

/// Mode of the list.
pub(super) const LIST_MODE: u32 = 0o644;

/// Removes an old list, or a link of that name.
pub(super) fn remove_list(operation: &Operation<'_>, volume: &dyn WriteTree) -> Result<()> {
    work::remove_if_there(operation, volume, &work::in_root(LIST)?).map(drop)
}

/// Writes a new list. An old file or link of that name is removed. Every file is read for it, so it also finds private
/// keys.
pub(super) fn write_list(operation: &Operation<'_>, volume: &dyn WriteTree) -> Result<PrivateKeys> {
    let mut private_keys = PrivateKeys::default();
    remove_list(operation, volume)?;
    let path = work::in_root(LIST)?;
    let doing = || format!("writing /{LIST} in the image");
    let mut file = operation.retry(|| volume.create_new(&path, LIST_MODE)).map_err(Error::hal(doing()))?;
    let mut sink = BufferedSink::new(operation, &mut *file);
    let mut progress = operation.progress("hashing every file", None);
    let mut buffer = vec![0; operation.tuning.chunk_len_bytes.max(1)];
    // A file with several names is read once.
    let mut known: BTreeMap<u64, Digest> = BTreeMap::new();
    tree::walk(operation, &volume, &RelativePath::root(), |found, kind| {
        if kind != FileKind::File || found == &path {
            return Ok(());
        }
        let metadata =
            operation.retry(|| volume.metadata(found)).map_err(Error::hal(format!("hashing /{found}")))?;
        let earlier = if metadata.links > 1 { known.get(&metadata.inode).copied() } else { None };
        let digest = match earlier {
            Some(digest) => digest,
            None => {
                let (digest, len_bytes) =
                    match hash(operation, &volume, found, &mut buffer, &mut private_keys) {
                        Err(error) if is_locked(operation, &volume, found, &error) => {
                            operation.log(&format!("/{found} is encrypted and not in /{LIST}"));
                            private_keys.is_below_locked(&locked_top(operation, &volume, found));
                            return Ok(());
                        }
                        hashed => hashed.map_err(Error::hal(format!("hashing /{found}")))?,
                    };
                progress.advance(len_bytes);
                digest
            }
        };
        if metadata.links > 1 {
            known.insert(metadata.inode, digest);
        }
        sink.write_all(&line(&digest, found)).map_err(Error::io(doing()))
    })?;
    sink.finish().map_err(Error::io(doing()))?;
    progress.finish();
    file.close().map_err(Error::hal(doing()))?;
    Ok(private_keys)
}

/// Whether a file cannot be read because it is encrypted and its key is missing.
fn is_locked(
    operation: &Operation<'_>,
    volume: &dyn ReadTree,
    path: &RelativePath,
    error: &hal::Error,
) -> bool {
    error.kind() == hal::ErrorKind::Unsupported
        && operation.retry(|| volume.not_copyable(path)).is_ok_and(|why| why.is_some())
}

/// The outermost directory above a locked file that is locked too; the file if there is none.
fn locked_top(operation: &Operation<'_>, volume: &dyn ReadTree, file: &RelativePath) -> RelativePath {
    let mut top = file.clone();
    while let Some(parent) = top.parent() {
        if !operation.retry(|| volume.not_copyable(&parent)).is_ok_and(|why| why.is_some()) {
            break;
        }
        top = parent;
    }
    top
}

/// The line about the file at `path`, as `md5sum` run in the root would print it.
pub(super) fn line(digest: &Digest, path: &RelativePath) -> Vec<u8> {
    sidecar::line(digest, &[b"./", path.as_bytes()].concat())
}

fn hash(
    operation: &Operation<'_>,
    volume: &dyn ReadTree,
    path: &RelativePath,
    buffer: &mut [u8],
    private_keys: &mut PrivateKeys,
) -> hal::Result<(Digest, u64)> {
    let mut file = operation.retry(|| volume.open(path))?;
    let mut hasher = Hasher::new(Algorithm::Md5);
    let mut at = 0;
    loop {
        let len = hal::io::read_full(buffer, |done, rest| operation.retry(|| file.read_at(at + done, rest)))?;
        if len == 0 {
            break;
        }
        if at == 0 {
            private_keys.look(path, &buffer[..len]);
        }
        hasher.update(&buffer[..len]);
        at += len as u64;
    }
    file.close()?;
    Ok((hasher.finish(), at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_relative_to_the_root_and_escaped() {
        let digest = Digest::of(Algorithm::Md5, b"");
        let at = |path: &[u8]| line(&digest, &RelativePath::parse(path).unwrap());
        assert_eq!(at(b"/etc/motd"), b"d41d8cd98f00b204e9800998ecf8427e  ./etc/motd\n");
        assert_eq!(at(b"a\nb\\"), b"\\d41d8cd98f00b204e9800998ecf8427e  ./a\\nb\\\\\n");
    }
}
