//! Publishes a finished file: reads it back from the drive, compares it, syncs it and renames it.
//!
//! The order keeps every crash state safe. No file has a name in the drive's root before its content is on the drive and
//! verified. The image is renamed last: when it is there, its sidecars and its record are too.

use super::session::replace;
use super::work::{self, Work};
use crate::error::{Error, FaultyPart, Refusal, Result};
use crate::formats::FormatError;
use crate::formats::codec::Compression;
use crate::formats::digest::{Algorithm, Digest};
use crate::formats::sidecar;
use crate::names::ImageName;
use crate::operation::Operation;
use crate::verify::{Expected, ImageReader, Packed, Source, Verified};
use replicator_hal::{CacheBypass, RelativePath, VolumeFile};

/// Syncs the packed `file`, drops its cached pages and closes it. Later reads come from the drive.
pub(super) fn sync_and_close(
    operation: &Operation<'_>,
    mut file: Box<dyn VolumeFile>,
    what: &str,
) -> Result<CacheBypass> {
    operation.step("syncing the drive");
    file.sync()
        .and_then(|()| file.drop_cache())
        .and_then(|()| file.close())
        .map_err(Error::hal(format!("writing {what} on the drive")))?;
    Ok(CacheBypass::Dropped)
}

/// Reads the file back whole, decodes it, and compares file and content with what was written.
pub(super) fn verify(
    operation: &Operation<'_>,
    work: &Work<'_>,
    path: &RelativePath,
    compression: Compression,
    packed: &Packed,
) -> Result<Verified> {
    let source = Source { path, name: format!("{path} on the drive"), compression, end_bytes: None };
    let mut reader = ImageReader::open(operation, &work.drive, source)?;
    let mut content = reader.content("verifying", Expected::Written(packed)).map_err(blame_the_drive)?;
    let mut buffer = vec![0; operation.tuning.chunk_len_bytes.max(1)];
    while content.read_chunk(&mut buffer).map_err(blame_the_drive)? > 0 {}
    drop(content);
    reader.finish()
}

/// An image that was just packed has a correct format, so bytes that are in no format are those of a faulty drive.
fn blame_the_drive(error: Error) -> Error {
    match error {
        Error::Format {
            file,
            source:
                source @ (FormatError::Damaged { .. }
                | FormatError::Truncated { .. }
                | FormatError::TrailingData { .. }),
        } => Error::Verify {
            part: FaultyPart::Drive,
            what: file,
            offset_bytes: None,
            detail: format!("it reads back other bytes than were written: {source}"),
        },
        error => error,
    }
}

/// The sidecars of an image, by name: of the uncompressed content, and of the file if it is compressed.
fn sidecars(image: &ImageName, verified: &Verified) -> Vec<(String, Vec<u8>)> {
    let of = |name: String, digest: &Digest| {
        let content = sidecar::line(digest, name.as_bytes());
        (format!("{name}{}", Algorithm::Md5.extension()), content)
    };
    let of_content = verified.digest(Algorithm::Md5).map(|md5| of(image.uncompressed(), md5));
    let of_file = verified.file_md5().filter(|_| image.compression != Compression::None);
    of_content.into_iter().chain(of_file.map(|md5| of(image.to_string(), md5))).collect()
}

/// A published image and what lies beside it, by name in the drive's root.
pub(super) struct Published {
    pub(super) image: String,
    pub(super) file_len_bytes: u64,
    pub(super) file_md5: Digest,
    /// Sidecars, record and block map.
    pub(super) beside: Vec<(String, Vec<u8>)>,
}

/// Moves an image from the session directory to the root, after its sidecars and `more` files, each with its name: record
/// and block map. It takes the proof that the image was read back from the drive and is what was packed. The sidecars hold
/// its digests.
pub(super) fn publish(
    operation: &Operation<'_>,
    work: &Work<'_>,
    image: &ImageName,
    verified: &Verified,
    more: Vec<(String, Vec<u8>)>,
) -> Result<Published> {
    let Some(file_md5) = verified.file_md5().cloned() else {
        return Err(Error::Internal { detail: format!("the md5 of {image} was not computed") });
    };
    let mut beside = sidecars(image, verified);
    beside.extend(more);
    let image = image.to_string();
    let drive = work.drive;
    let target = work::in_root(&image)?;
    if work::kind_of(operation, &drive, &target)?.is_some() {
        return Err(Error::refused(Refusal::WouldReplace, format!("{image} is on the drive already")));
    }
    for (name, content) in &beside {
        work.write_small(operation, &work.path(name)?, content)?;
    }
    operation.board.leds.renew(operation.tuning.tool_lease);
    work.sync()?;
    for (name, _) in &beside {
        replace(operation, &drive, &work.path(name)?, &work::in_root(name)?)?;
    }
    work::sync_directory(&drive, &RelativePath::root())?;
    let source = work.path(&image)?;
    drive
        .rename(&source, &target)
        .map_err(Error::hal(format!("renaming {source} to {target} on the drive")))?;
    // If the file system writes directories in any order, a lost name only means that the medium is captured again. A
    // link in both directories would be worse: on FAT, two names would own the same clusters.
    work.sync()?;
    work::sync_directory(&drive, &RelativePath::root())?;
    Ok(Published { image, file_len_bytes: verified.file_len_bytes(), file_md5, beside })
}
