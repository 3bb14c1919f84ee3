//! The index beside an archive that a capture made. With it, the archive is checked without being decoded before the medium is
//! erased.
//!
//! That is safe because the capture read this file back, decoded all of it and compared its content, and the record beside it
//! says so: the md5 of the whole file, which the pre-flight computes, is that of the record, and so is the hash of the index.
//! What the check then cannot see is proven by the pass that extracts: the hash of the content is that of the record, and the
//! headers are those of the index. Everything else is decoded before anything is erased.

use super::image::Image;
use crate::formats::codec::Compression;
use crate::formats::digest::{Algorithm, Digest};
use crate::names::{self, Packing};
use crate::operation::Operation;
use crate::options::WriteExtent;
use crate::sidecars::Sidecars;
use crate::source_record::IndexRecord;
use crate::verify::{ContentHash, Source};
use replicator_hal::{ErrorKind, FileKind, ReadTree, RelativePath};

/// An index that is for an archive by the record beside it.
#[derive(Debug, Clone)]
pub(super) struct TarIndex {
    /// Its name.
    pub(super) name: String,
    path: RelativePath,
    /// Its decoded content.
    pub(super) content: ContentHash,
    /// The archive.
    pub(super) archive: ContentHash,
}

/// What the record of `image` says about an index, if that may take the place of decoding the archive: no sidecar has a digest of
/// the content that the capture did not check, and `[write] extent` asks for no more.
pub(super) fn record(image: &Image, extent: WriteExtent) -> Option<&IndexRecord> {
    let record = image.captured_from.as_ref()?;
    let md5 = record.image_md5.as_deref()?;
    let is_known = |expected: &Digest| expected.algorithm() == Algorithm::Md5 && expected.to_string() == md5;
    let is_apt = extent == WriteExtent::Used
        && image.name.packing() == Packing::Tar
        && image.name.compression != Compression::None
        && image.content.iter().all(|expected| is_known(&expected.digest));
    record.index.as_ref().filter(|_| is_apt)
}

/// Finds the index of an archive of `len_bytes`, whose file has `file_md5`.
pub(super) fn find(
    operation: &Operation<'_>,
    drive: &dyn ReadTree,
    image: &Image,
    extent: WriteExtent,
    len_bytes: Option<u64>,
    file_md5: Option<&Digest>,
) -> Option<TarIndex> {
    let (record, len_bytes, file_md5) = (record(image, extent)?, len_bytes?, file_md5?);
    let (hash, index_len_bytes) = record.index()?;
    if image.metadata_bytes.is_some() || !record.is_for(file_md5) {
        operation.log("the record is for another file: its index is not used");
        return None;
    }
    let archive = ContentHash { len_bytes, hash: record.image_hash()? };
    let content = ContentHash { len_bytes: index_len_bytes, hash };
    let (name, path) = locate(operation, drive, image)?;
    Some(TarIndex { name, path, content, archive })
}

/// The name and the file of the index: in the root, or beside the file that a symlink in the root points to.
fn locate(operation: &Operation<'_>, drive: &dyn ReadTree, image: &Image) -> Option<(String, RelativePath)> {
    let name = names::archive_index(&image.name);
    let lookup = Sidecars::new(operation, drive, &image.name.to_string(), &image.path);
    for directory in [RelativePath::root(), lookup.directory] {
        let path = directory.join(&name).ok()?;
        match operation.retry(|| drive.metadata(&path)) {
            Ok(metadata) if metadata.kind == FileKind::File => return Some((name, path)),
            Ok(_) => operation.log(&format!("{path} is not a regular file: it is not used")),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => operation.log(&format!("{path}: {error}")),
        }
    }
    None
}

impl TarIndex {
    /// The index in the drive's root, of this content, for an archive of that content.
    #[cfg(test)]
    pub(super) fn new(name: String, content: ContentHash, archive: ContentHash) -> Self {
        let path = RelativePath::root().join(&name).unwrap();
        Self { name, path, content, archive }
    }

    /// The source for a reader.
    pub(super) fn source(&self) -> Source<'_> {
        Source { path: &self.path, name: self.name.clone(), compression: Compression::Zstd, end_bytes: None }
    }
}
