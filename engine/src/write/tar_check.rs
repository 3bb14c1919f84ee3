//! Decoding a tarball once before anything is erased: every entry must be one that can be restored, all of it must fit,
//! and its content must match the sidecars.

use super::allowed::Allowed;
use super::extract::{cannot_be_extracted, implied_directory};
use super::image::Image;
use super::name_files::NameFiles;
use super::tar_limits::Needs;
use super::tar_rootfs;
use super::tar_tree::Shape;
use crate::error::{Error, Result};
use crate::formats::codec::decoder;
use crate::formats::digest::{Digest, Hasher};
use crate::formats::tar::{Names, Reader, ReaderLimits};
use crate::operation::{Operation, Progress};
use replicator_hal::Volume;
use std::io::{self, Read, Write};
use xxhash_rust::xxh3::Xxh3;

/// What is known of a tarball before it is extracted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TarFacts {
    /// Length of the decoded archive.
    pub content_len_bytes: u64,
    /// Hash of the decoded archive: the pass that extracts must see the same.
    pub content_hash: u128,
    /// Bytes of file data, or somewhat more.
    pub data_len_bytes: u64,
    /// What is told in the result.
    pub notes: Vec<String>,
    /// Users and groups that its ACLs only name.
    pub names: Names,
}

/// Passes decoded bytes on, hashing and counting them.
pub(super) struct Tap<'a, R> {
    inner: R,
    hash: Xxh3,
    hashers: Vec<Hasher>,
    len_bytes: u64,
    progress: Option<Progress<'a>>,
}

/// What went through a [`Tap`].
pub(super) struct Tapped {
    pub(super) hash: u128,
    pub(super) digests: Vec<Digest>,
    pub(super) len_bytes: u64,
}

impl<'a, R: Read> Tap<'a, R> {
    pub(super) fn new(inner: R, hashers: Vec<Hasher>, progress: Progress<'a>) -> Self {
        Self { inner, hash: Xxh3::new(), hashers, len_bytes: 0, progress: Some(progress) }
    }

    pub(super) fn finish(mut self) -> Tapped {
        if let Some(progress) = self.progress.take() {
            progress.finish();
        }
        Tapped {
            hash: self.hash.digest128(),
            digests: self.hashers.into_iter().map(Hasher::finish).collect(),
            len_bytes: self.len_bytes,
        }
    }
}

impl<R: Read> Read for Tap<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let len = self.inner.read(buffer)?;
        self.hash.update(&buffer[..len]);
        for hasher in &mut self.hashers {
            hasher.write_all(&buffer[..len])?;
        }
        self.len_bytes += len as u64;
        if let Some(progress) = &mut self.progress {
            progress.advance(len as u64);
        }
        Ok(len)
    }
}

/// Decodes the whole archive without keeping it.
///
/// # Errors
/// Whatever is wrong with the archive; `NoRootfs`; `ImageTooLarge` if its data cannot fit into `medium_len_bytes`; `Digest`.
pub(super) fn check_tar(
    operation: &Operation<'_>,
    drive: &dyn Volume,
    image: &Image,
    announced_len_bytes: Option<u64>,
    medium_len_bytes: u64,
    allowed: Allowed,
) -> Result<TarFacts> {
    let name = image.name.to_string();
    let mut file = image.open(operation, drive)?;
    let compute = operation.compute();
    let content = decoder(image.name.compression, &mut file, compute, operation.tuning.limits)
        .map_err(Error::format(name.as_str()))?;
    let hashers = image.content.iter().map(|promise| Hasher::new(promise.algorithm)).collect();
    let mut tap = Tap::new(content, hashers, operation.progress("checking the archive", announced_len_bytes));
    let (needs, tree, names) = count(operation, &name, &mut tap, medium_len_bytes)?;
    let tapped = tap.finish();
    file.close()?;
    for (promise, digest) in image.content.iter().zip(&tapped.digests) {
        promise.check(&name, digest)?;
    }
    needs.check_not_empty(&name)?;
    let mut notes = Vec::new();
    if let Some(refusal) = tar_rootfs::refusal(&name, &tree)? {
        allowed.content(refusal, &mut notes)?;
    }
    Ok(TarFacts {
        content_len_bytes: tapped.len_bytes,
        content_hash: tapped.hash,
        data_len_bytes: needs.data_len_bytes,
        notes,
        names,
    })
}

fn count(
    operation: &Operation<'_>,
    name: &str,
    content: &mut dyn Read,
    medium_len_bytes: u64,
) -> Result<(Needs, Shape, Names)> {
    let mut reader = Reader::collecting_names(content, ReaderLimits::default());
    let mut name_files = NameFiles::default();
    let mut needs = Needs::default();
    let mut shape = Shape::default();
    while let Some(entry) = reader.next_entry().map_err(Error::format(name))? {
        needs.add(name, &entry, operation.tuning, medium_len_bytes)?;
        let place = shape.add(&entry).map_err(|why| cannot_be_extracted(name, &entry.path, &why))?;
        for path in &place.missing {
            let implied = implied_directory(path, entry.modified);
            needs.add(name, &implied, operation.tuning, medium_len_bytes)?;
        }
        name_files.add(&entry, place.path, &mut reader).map_err(Error::format(name))?;
    }
    let names = name_files.resolve(name, &shape, &reader)?;
    Ok((needs, shape, names))
}
