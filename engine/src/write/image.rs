//! An image file on the drive: its path, its sidecars, how it is opened.
//!
//! [`crate::sidecars`] finds sidecars and the record of the captured medium.

use crate::error::{Error, Refusal, Result};
use crate::formats::codec::Compression;
use crate::formats::digest::{Algorithm, Digest};
use crate::formats::text;
use crate::names::ImageName;
use crate::operation::Operation;
use crate::sidecars::{ExpectedDigest, Sidecars, locate};
use crate::source_record::SourceRecord;
use crate::verify::{Announced, Expected, ImageReader, Source};
use replicator_hal::{ReadTree, RelativePath};

/// An image on the drive.
#[derive(Debug, Clone)]
pub(crate) struct Image {
    /// Its name in the drive's root.
    pub name: ImageName,
    /// The regular file, links followed.
    pub path: RelativePath,
    /// Length of the file.
    pub file_len_bytes: u64,
    /// Digests of the uncompressed content.
    pub content: Vec<ExpectedDigest>,
    /// Digests of the file itself.
    pub file: Vec<ExpectedDigest>,
    /// Where metadata of its builder begins, which is not part of the image; the pre-flight finds it.
    pub metadata_bytes: Option<u64>,
    /// The record of the capture that made it, if one lies beside it.
    pub captured_from: Option<SourceRecord>,
}

impl Image {
    /// Finds the file behind `name`, and reads its sidecars.
    ///
    /// # Errors
    /// `BadImageFile` for a dangling link, or for anything but a regular file; `BadSidecar`.
    pub(crate) fn locate(operation: &Operation<'_>, drive: &dyn ReadTree, name: &ImageName) -> Result<Self> {
        let label = name.to_string();
        let (path, file_len_bytes) = locate(operation, drive, &label)?;
        let lookup = Sidecars::new(operation, drive, &label, &path);
        let target_uncompressed = lookup.target_name.as_ref().map(|target| {
            let extension = name.compression.extension();
            target.strip_suffix(extension).unwrap_or(target).to_owned()
        });
        let content = lookup.expected(&name.uncompressed(), target_uncompressed.as_deref())?;
        let file = if name.uncompressed() == label {
            Vec::new()
        } else {
            lookup.expected(&label, lookup.target_name.as_deref())?
        };
        let captured_from = source_record(&lookup, name)?;
        Ok(Self {
            name: name.clone(),
            path,
            file_len_bytes,
            content,
            file,
            metadata_bytes: None,
            captured_from,
        })
    }

    /// The source for a reader: compressed data without the builder's metadata behind it.
    pub(crate) fn source(&self) -> Source<'_> {
        let is_compressed = self.name.compression != Compression::None;
        Source {
            path: &self.path,
            name: self.name.to_string(),
            compression: self.name.compression,
            end_bytes: self.metadata_bytes.filter(|_| is_compressed),
        }
    }

    /// Hashes the file itself and compares it with its sidecars, if there are any. Returns the md5, if a sidecar has one or if
    /// it `needs_md5`.
    ///
    /// # Errors
    /// [`Error::Digest`]; errors of the drive.
    pub(crate) fn check_file(
        &self,
        operation: &Operation<'_>,
        drive: &dyn ReadTree,
        needs_md5: bool,
    ) -> Result<Option<Digest>> {
        if self.file.is_empty() && !needs_md5 {
            return Ok(None);
        }
        let source = Source { compression: Compression::None, end_bytes: None, ..self.source() };
        let mut file = ImageReader::open(operation, drive, source)?;
        let expected = Announced {
            len_bytes: Some(self.file_len_bytes),
            digests: &self.file,
            md5: needs_md5,
            again: false,
        };
        let mut content = file.content("checking the file", Expected::Announced(expected))?;
        let mut buffer = vec![0; operation.tuning.chunk_len_bytes];
        while content.read_chunk(&mut buffer)? > 0 {}
        drop(content);
        Ok(file.finish()?.digest(Algorithm::Md5).cloned())
    }
}

/// The record of the captured medium that lies beside the image.
fn source_record(lookup: &Sidecars<'_>, name: &ImageName) -> Result<Option<SourceRecord>> {
    let own = Some(SourceRecord::file_name(&name.medium));
    let target = lookup
        .target_name
        .as_deref()
        .and_then(|target| target.split_once("image."))
        .map(|(medium, _)| SourceRecord::file_name(medium));
    for (directory, name) in [(RelativePath::root(), own), (lookup.directory.clone(), target)] {
        let Some(name) = name else { continue };
        let Some((name, text)) = lookup.read(&directory, &name)? else { continue };
        let text = text::decode(&text)
            .map_err(|error| Error::refused(Refusal::BadSidecar, format!("{name}: {error}")))?;
        let Some(record) = SourceRecord::parse(text.as_bytes()) else {
            let what = format!("{name} is not a record of a captured medium");
            return Err(Error::refused(Refusal::BadSidecar, what));
        };
        return Ok(Some(record));
    }
    Ok(None)
}
