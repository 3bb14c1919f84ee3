//! Decodes a whole tarball before anything is erased: it must be possible to restore every entry, all of it must fit, and
//! the content must match the sidecars.

use super::allowed::Allowed;
use super::extract::{cannot_be_extracted, implied_directory};
use super::image::Image;
use super::name_files::NameFiles;
use super::tar_limits::Needs;
use super::tar_room::{Counter, NoShape};
use super::tar_rootfs;
use super::tar_times::OutOfRange;
use super::tar_tree::Shape;
use crate::error::{Error, Refusal, Result};
use crate::formats::FormatError;
use crate::formats::digest::Algorithm;
use crate::formats::tar::{Entry, EntryKind, Names, Reader, ReaderLimits};
use crate::operation::Operation;
use crate::printable;
use crate::root_names::{self, Reference};
use crate::verify::{Announced, Expected, ImageReader, Verified};
use replicator_hal::{ExtShape, Flavour, ReadTree};
use std::collections::BTreeMap;
use std::io::{BufReader, Read};

/// Enough for the headers of many entries.
const BUFFER_LEN_BYTES: usize = 64 * 1024;

/// The facts of a tarball.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TarFacts {
    /// The proof of the archive: the pass that extracts must read the same bytes.
    pub archive: Verified,
    /// Bytes of file data, at most.
    pub data_len_bytes: u64,
    /// The shape of a file system that has room for all of it.
    pub shape: ExtShape,
    /// Remarks for the result.
    pub notes: Vec<String>,
    /// Numbers of the users and groups that its ACLs only name.
    pub names: Names,
    /// The names of file systems in its files.
    pub references: Vec<Reference>,
    /// Whether the record beside it is for this archive.
    pub is_recorded: bool,
}

/// The partition to which a tarball will be extracted.
#[derive(Debug, Clone, Copy)]
pub(super) struct Destination {
    /// Length of its medium.
    pub(super) medium_len_bytes: u64,
    /// Its own length.
    pub(super) len_bytes: u64,
    /// Sectors of the medium.
    pub(super) sector_len_bytes: u32,
    /// The file system that is made in it.
    pub(super) flavour: Flavour,
}

/// Decodes the whole archive without keeping it.
///
/// # Errors
/// Errors of the archive; `NoRootfs`; `ImageTooLarge` if it does not fit; `CannotHold`; `Digest`.
pub(super) fn check_tar(
    operation: &Operation<'_>,
    drive: &dyn ReadTree,
    image: &Image,
    announced_len_bytes: Option<u64>,
    destination: &Destination,
    allowed: Allowed,
) -> Result<TarFacts> {
    let name = image.name.to_string();
    let expected = Announced {
        len_bytes: announced_len_bytes,
        digests: &image.content,
        md5: recorded_md5(image).is_some(),
        again: true,
    };
    let mut reader = ImageReader::open(operation, drive, image.source())?;
    let content = reader.content("checking the archive", Expected::Announced(expected))?;
    let mut content = buffered(operation, content);
    let mut times = OutOfRange::default();
    let (needs, room, tree, names, references) =
        count(operation, &name, &mut content, destination, &mut times)?;
    drop(content);
    let archive = reader.finish()?;
    needs.check_not_empty(&name)?;
    let mut notes: Vec<String> = times.note().into_iter().collect();
    if let Some(refusal) = tar_rootfs::refusal(&name, &tree)? {
        allowed.content(refusal, &mut notes)?;
    }
    let shape = room
        .finish(&tree)
        .map_err(|why| Error::refused(Refusal::CannotHold, format!("{name}: {why}")))?
        .shape(destination.len_bytes, destination.sector_len_bytes)
        .map_err(|why| match why {
            NoShape::Never(why) => Error::refused(Refusal::CannotHold, format!("{name}: {why}")),
            NoShape::TooSmall(why) => Error::refused(Refusal::ImageTooLarge, format!("{name} {why}")),
        })?;
    Ok(TarFacts {
        data_len_bytes: needs.data_len_bytes,
        shape,
        notes,
        names,
        references,
        is_recorded: is_recorded(image, &archive),
        archive,
    })
}

/// Reads the headers and small files of an archive many at a time. Longer reads are not copied.
pub(super) fn buffered<R: Read>(operation: &Operation<'_>, content: R) -> BufReader<R> {
    BufReader::with_capacity(BUFFER_LEN_BYTES.min(operation.tuning.chunk_len_bytes), content)
}

/// The md5 of the image in the record.
fn recorded_md5(image: &Image) -> Option<&str> {
    image.captured_from.as_ref()?.image_md5.as_deref()
}

/// Whether the record is for this archive.
fn is_recorded(image: &Image, archive: &Verified) -> bool {
    let found = archive.digest(Algorithm::Md5);
    found.is_some_and(|found| recorded_md5(image).is_some_and(|recorded| recorded == found.to_string()))
}

fn count(
    operation: &Operation<'_>,
    name: &str,
    content: &mut dyn Read,
    destination: &Destination,
    times: &mut OutOfRange,
) -> Result<(Needs, Counter, Shape, Names, Vec<Reference>)> {
    let mut reader = Reader::collecting_names(content, ReaderLimits::default());
    let mut name_files = NameFiles::default();
    let mut needs = Needs::default();
    let mut room = Counter::new(destination.flavour);
    let mut tree = Shape::default();
    let mut boot_files = BTreeMap::new();
    while let Some(entry) = reader.next_entry().map_err(Error::format(name))? {
        needs.add(name, &entry, operation.tuning, destination.medium_len_bytes)?;
        times.check(&entry.path, entry.modified);
        let number = room.add(&entry).map_err(|why| {
            let path = printable::line(&entry.path.to_string()).into_owned();
            Error::refused(Refusal::CannotHold, format!("{name}: \"{path}\" {why}"))
        })?;
        let place =
            tree.add_as(&entry, number).map_err(|why| cannot_be_extracted(name, &entry.path, &why))?;
        for path in &place.missing {
            let implied = implied_directory(path, entry.modified);
            needs.add(name, &implied, operation.tuning, destination.medium_len_bytes)?;
        }
        name_files.add(&entry, place.path, &mut reader).map_err(Error::format(name))?;
        if root_names::is_of_interest(&entry.path) {
            let content = small_content(&entry, &mut reader).map_err(Error::format(name))?;
            // Of several entries of a name the last one stays.
            boot_files.insert(entry.path.to_string(), content);
        }
    }
    let names = name_files.resolve(name, &tree, &reader)?;
    let read = |(path, content): (&String, &Vec<u8>)| root_names::read(path, content);
    // fstab first, then the files by their names.
    let (fstab, others): (Vec<_>, Vec<_>) =
        boot_files.iter().partition(|(path, _)| *path == root_names::FSTAB);
    Ok((needs, room, tree, names, fstab.into_iter().chain(others).flat_map(read).collect()))
}

/// The data of a short file; empty for everything else.
fn small_content<R: Read>(
    entry: &Entry,
    reader: &mut Reader<R>,
) -> std::result::Result<Vec<u8>, FormatError> {
    let EntryKind::File { len_bytes, .. } = entry.kind else { return Ok(Vec::new()) };
    let Some(len) = usize::try_from(len_bytes).ok().filter(|len| *len <= root_names::LIMIT_BYTES) else {
        return Ok(Vec::new());
    };
    let mut content = vec![0; len];
    let mut buffer = [0; 4096];
    while let Some((offset_bytes, len)) = reader.read_data(&mut buffer)? {
        let place =
            usize::try_from(offset_bytes).ok().and_then(|start| content.get_mut(start..)?.get_mut(..len));
        if let Some(place) = place {
            place.copy_from_slice(&buffer[..len]);
        }
    }
    Ok(content)
}
