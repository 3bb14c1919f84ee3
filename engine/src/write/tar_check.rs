//! Checks a whole tarball before anything is erased: it must be possible to restore every entry, all of it must fit, and
//! the content must match the sidecars. It is decoded for that, or its index is read (`tar_index`).

mod in_order;
#[cfg(test)]
mod tests;

use super::allowed::Allowed;
use super::extract::{cannot_be_extracted, implied_directory};
use super::image::Image;
use super::name_files::NameFiles;
use super::tar_index::TarIndex;
use super::tar_limits::Needs;
use super::tar_room::{Counter, NoShape, Room};
use super::tar_rootfs;
use super::tar_times::OutOfRange;
use super::tar_tree::Shape;
use crate::error::{Error, Refusal, Result};
use crate::formats::FormatError;
use crate::formats::digest::Algorithm;
use crate::formats::tar::in_order::InOrder;
use crate::formats::tar::{
    Entry, EntryKind, IndexReader, Names, Reader, ReaderLimits, Skip, skip_by_reading,
};
use crate::operation::Operation;
use crate::printable;
use crate::root_names::{self, Reference};
use crate::verify::{Announced, ContentHash, Expected, ImageReader, Verified};
use in_order::Links;
use replicator_hal::{ExtShape, Flavour, ReadTree, RelativePath};
use std::collections::BTreeMap;
use std::io::{self, BufReader, Read};

/// Enough for the headers of many entries.
const BUFFER_LEN_BYTES: usize = 64 * 1024;

/// The facts of a tarball.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TarFacts {
    /// The content of the archive: the pass that extracts must read the same bytes.
    pub archive: ContentHash,
    /// The hash of the headers that were checked. Those that are extracted must be the same.
    pub headers_hash: u128,
    /// The index by which the archive was checked, if it was not decoded.
    pub index: Option<String>,
    /// Bytes of file data, at most.
    pub data_len_bytes: u64,
    /// The number of entries, if they are in order and the archive is verified without a list of them.
    pub in_order: Option<u64>,
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

/// Checks all entries of the archive, which has the announced length, by its index if there is one. Without an index, or if
/// that is damaged or shows anything for which the archive would be refused, the whole archive is decoded.
///
/// # Errors
/// Errors of the archive; `NoRootfs`; `ImageTooLarge` if it does not fit; `CannotHold`; `Digest`.
pub(super) fn check_tar(
    operation: &Operation<'_>,
    drive: &dyn ReadTree,
    image: &Image,
    (announced_len_bytes, index): (Option<u64>, Option<&TarIndex>),
    destination: &Destination,
    allowed: Allowed,
) -> Result<TarFacts> {
    let name = image.name.to_string();
    let whole = Check { operation, drive, image, name: &name, announced_len_bytes, destination, index: None };
    if let Some(index) = index {
        match (Check { index: Some(index), ..whole }).facts(allowed) {
            Ok(facts) => {
                operation.short_step(&format!("{name} was checked by its index"));
                return Ok(facts);
            }
            Err(error) => {
                operation.log(&error.to_string());
                operation.short_step(&format!("{name} was not checked by its index: all of it is decoded"));
            }
        }
    }
    whole.facts(allowed)
}

/// Reads the headers and small files of an archive many at a time. Longer reads are not copied.
pub(super) fn buffered<R: Read>(operation: &Operation<'_>, content: R) -> BufReader<R> {
    BufReader::with_capacity(BUFFER_LEN_BYTES.min(operation.tuning.chunk_len_bytes), content)
}

/// A decoded archive.
struct Whole<R>(R);

impl<R: Read> Read for Whole<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl<R: Read> Skip for Whole<R> {
    fn skip(&mut self, len_bytes: u64) -> io::Result<u64> {
        skip_by_reading(&mut self.0, len_bytes)
    }
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

/// How the entries of an archive are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// With a list, as long as that is short or the entries are not in order.
    ShortList,
    /// Without a list.
    InOrder,
    /// With a list.
    List,
}

/// A pass through an archive, or the way of the next one.
enum Pass<T> {
    Done(T),
    Again(Way),
}

/// The check of one archive.
#[derive(Clone, Copy)]
struct Check<'a> {
    operation: &'a Operation<'a>,
    drive: &'a dyn ReadTree,
    image: &'a Image,
    name: &'a str,
    announced_len_bytes: Option<u64>,
    destination: &'a Destination,
    /// The index that is read instead of the archive.
    index: Option<&'a TarIndex>,
}

/// What was counted.
struct Counted {
    headers_hash: u128,
    needs: Needs,
    space: Space,
    /// The tree, or as much of it as the check needs.
    tree: Shape,
    looked: Found,
}

/// The space of the entries.
enum Space {
    Listed(Counter),
    InOrder(Room),
}

impl Space {
    fn room(self, tree: &Shape) -> std::result::Result<Room, String> {
        match self {
            Self::Listed(counter) => counter.finish(tree),
            Self::InOrder(room) => Ok(room),
        }
    }
}

/// An archive that a pass read to its end.
#[derive(Debug, Clone, Copy)]
struct Archive {
    content: ContentHash,
    /// Whether the record beside it is for it.
    is_recorded: bool,
}

impl Check<'_> {
    /// All facts.
    fn facts(&self, allowed: Allowed) -> Result<TarFacts> {
        let (name, destination) = (self.name, self.destination);
        let (counted, archive) = self.run()?;
        let Counted { headers_hash, needs, space, tree, looked: Found { times, names, references } } =
            counted;
        needs.check_not_empty(name)?;
        let mut notes: Vec<String> = times.note().into_iter().collect();
        if let Some(refusal) = tar_rootfs::refusal(name, &tree)? {
            allowed.content(refusal, &mut notes)?;
        }
        let in_order = matches!(space, Space::InOrder(_)).then(|| needs.entries());
        let shape = space
            .room(&tree)
            .map_err(|why| Error::refused(Refusal::CannotHold, format!("{name}: {why}")))?
            .shape(destination.len_bytes, destination.sector_len_bytes)
            .map_err(|why| match why {
                NoShape::Never(why) => Error::refused(Refusal::CannotHold, format!("{name}: {why}")),
                NoShape::TooSmall(why) => Error::refused(Refusal::ImageTooLarge, format!("{name} {why}")),
            })?;
        Ok(TarFacts {
            archive: archive.content,
            headers_hash,
            index: self.index.map(|index| index.name.clone()),
            data_len_bytes: needs.data_len_bytes,
            in_order,
            shape,
            notes,
            names,
            references,
            is_recorded: archive.is_recorded,
        })
    }

    /// Reads the archive as often as needed.
    fn run(&self) -> Result<(Counted, Archive)> {
        let mut way = Way::ShortList;
        loop {
            let (pass, archive) = self.read("checking the archive", None, |content| match way {
                Way::InOrder => self.count_in_order(content),
                Way::ShortList | Way::List => self.count(content, way == Way::ShortList),
            })?;
            match (pass, archive) {
                (Pass::Done((counted, links)), Some(archive)) => {
                    if links.are_none() || self.has_targets(links, archive)? {
                        return Ok((counted, archive));
                    }
                    way = Way::List;
                }
                (Pass::Again(next), _) => way = next,
                (Pass::Done(_), None) => {
                    return Err(Error::Internal { detail: format!("{} was not read to its end", self.name) });
                }
            }
        }
    }

    /// Reads the archive or its index; to the end if `work` is done, and then compares it with what is announced, or with an
    /// `earlier` pass.
    fn read<T>(
        &self,
        doing: &str,
        earlier: Option<Archive>,
        work: impl FnOnce(&mut dyn Skip) -> Result<Pass<T>>,
    ) -> Result<(Pass<T>, Option<Archive>)> {
        if let Some(index) = self.index {
            return self.read_index(index, doing, work);
        }
        let announced = Announced {
            len_bytes: self.announced_len_bytes,
            digests: &self.image.content,
            md5: recorded_md5(self.image).is_some(),
            again: true,
        };
        let expected =
            earlier.map_or(Expected::Announced(announced), |earlier| Expected::Same(earlier.content));
        let mut reader = ImageReader::open(self.operation, self.drive, self.image.source())?;
        let content = reader.content(doing, expected)?;
        let mut content = Whole(buffered(self.operation, content));
        let pass = work(&mut content)?;
        drop(content);
        if let Pass::Again(_) = pass {
            return reader.close().map(|()| (pass, None));
        }
        let verified = reader.finish()?;
        let Some(content) = verified.content_hash() else {
            return Err(Error::Internal { detail: format!("{} was not hashed", self.name) });
        };
        Ok((pass, Some(Archive { content, is_recorded: is_recorded(self.image, &verified) })))
    }

    /// Reads the index instead of the archive, and compares it with the record.
    fn read_index<T>(
        &self,
        index: &TarIndex,
        doing: &str,
        work: impl FnOnce(&mut dyn Skip) -> Result<Pass<T>>,
    ) -> Result<(Pass<T>, Option<Archive>)> {
        let mut reader = ImageReader::open(self.operation, self.drive, index.source())?;
        let content = reader.content(&format!("{doing} by its index"), Expected::Same(index.content))?;
        let mut content = IndexReader::new(buffered(self.operation, content));
        let pass = work(&mut content)?;
        drop(content);
        if let Pass::Again(_) = pass {
            return reader.close().map(|()| (pass, None));
        }
        reader.finish()?;
        // The record is for this file, and has the md5 of its content.
        Ok((pass, Some(Archive { content: index.archive, is_recorded: true })))
    }

    /// Counts with a list of all entries. If `is_short`, it ends as soon as the list is long and the entries are in order.
    fn count(&self, content: &mut dyn Skip, is_short: bool) -> Result<Pass<(Counted, Links)>> {
        let (name, tuning, medium_len_bytes) =
            (self.name, self.operation.tuning, self.destination.medium_len_bytes);
        let mut reader = Reader::collecting_names(content, ReaderLimits::default()).skipping();
        let mut looked = Looked::default();
        let mut needs = Needs::default();
        let mut space = Counter::new(self.destination.flavour);
        let mut tree = Shape::default();
        let mut order = is_short.then(|| InOrder::new(()));
        while let Some(entry) = reader.next_entry().map_err(Error::format(name))? {
            needs.add(name, &entry, tuning, medium_len_bytes)?;
            if order.as_mut().is_some_and(|order| order.go_to(&entry.path, drop).is_err()) {
                order = None;
            }
            if let (Some(order), EntryKind::Directory) = (&mut order, &entry.kind) {
                order.open(entry.path.clone(), ());
            }
            if order.is_some() && needs.list_bytes() > tuning.tar_list_bytes {
                return Ok(Pass::Again(Way::InOrder));
            }
            let number = space.add(&entry).map_err(self.cannot_hold(&entry))?;
            let place =
                tree.add_as(&entry, number).map_err(|why| cannot_be_extracted(name, &entry.path, &why))?;
            for path in &place.missing {
                let implied = implied_directory(path, entry.modified);
                needs.add(name, &implied, tuning, medium_len_bytes)?;
            }
            looked.look(&entry, place.path, &mut reader).map_err(Error::format(name))?;
        }
        let looked = looked.finish(name, &tree, &reader)?;
        let headers_hash = reader.headers_hash();
        let counted = Counted { headers_hash, needs, space: Space::Listed(space), tree, looked };
        Ok(Pass::Done((counted, Links::default())))
    }

    /// The error for an entry that the file system cannot hold.
    fn cannot_hold(&self, entry: &Entry) -> impl FnOnce(String) -> Error + use<> {
        let path = printable::line(&entry.path.to_string()).into_owned();
        let name = self.name.to_owned();
        move |why| Error::refused(Refusal::CannotHold, format!("{name}: \"{path}\" {why}"))
    }
}

/// What is read from the content of an archive on the way.
#[derive(Default)]
struct Looked {
    times: OutOfRange,
    name_files: NameFiles,
    boot_files: BTreeMap<String, Vec<u8>>,
}

/// What was found in it.
struct Found {
    times: OutOfRange,
    names: Names,
    references: Vec<Reference>,
}

impl Looked {
    /// Looks at the entry at which `reader` is, which will be at `path`.
    fn look<R: Read>(
        &mut self,
        entry: &Entry,
        path: RelativePath,
        reader: &mut Reader<R>,
    ) -> std::result::Result<(), FormatError> {
        self.times.check(&entry.path, entry.modified);
        self.name_files.add(entry, path, reader)?;
        if root_names::is_of_interest(&entry.path) {
            // Of several entries of a name the last one stays.
            self.boot_files.insert(entry.path.to_string(), small_content(entry, reader)?);
        }
        Ok(())
    }

    fn finish<R: Read>(self, name: &str, tree: &Shape, reader: &Reader<R>) -> Result<Found> {
        let names = self.name_files.resolve(name, tree, reader)?;
        let read = |(path, content): (&String, &Vec<u8>)| root_names::read(path, content);
        // fstab first, then the files by their names.
        let (fstab, others): (Vec<_>, Vec<_>) =
            self.boot_files.iter().partition(|(path, _)| *path == root_names::FSTAB);
        let references = fstab.into_iter().chain(others).flat_map(read).collect();
        Ok(Found { times: self.times, names, references })
    }
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
