//! Checks before anything is erased that a file is a disk image, that it is complete, and that it fits the medium.
//!
//! It examines the image's first bytes (table or file system), its length, the superblocks of its partitions and the
//! chain of logical partitions. Of xz data with one large block and of zstd data with a known length, partitions behind
//! the first [`FRONT_LEN_BYTES`] are examined during the write, before the start is written. An image that is longer than
//! the medium is decoded whole, because only that shows whether the surplus holds data.

use super::allowed::Allowed;
use super::decode_whole::{Seen, TAIL_LEN_BYTES, Watch, decode_whole, first_data, no_room};
use super::disk_look::{self, Unfit};
use super::image::Image;
use super::places::Places;
use crate::error::{Error, Refusal, Result};
use crate::formats::ReadAt;
use crate::formats::codec::Compression;
use crate::formats::partition::{self, Extent, Patch, Scheme, Shown};
use crate::operation::Operation;
use crate::size::Size;
use crate::verify::ImageReader;
use replicator_hal::{BlockDevice, ReadTree, signature};
use std::io::{self, Read};
use std::ops::Range;

/// How much of an image's start is decoded: the tables, and the superblock of a partition at 1 MiB.
const HEAD_LEN_BYTES: usize = (1 << 20) + signature::HEAD_LEN_BYTES;

/// How much of an image is decoded to examine its partitions, if the format has no random access.
const FRONT_LEN_BYTES: u64 = 64 << 20;

/// An image of unknown length may be this many times as long as its medium, if the surplus is zeros.
const LONGEST_TIMES: u64 = 8;

/// The facts of a disk image.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct DiskFacts {
    /// Its decoded length.
    pub(super) len_bytes: u64,
    /// Changes to the image when it is written, in this order.
    pub(super) patches: Vec<Patch>,
    /// Ranges that may hold data although they do not fit on the medium: the second copy of a GPT, a builder's metadata.
    pub(super) spared: Vec<Range<u64>>,
    /// Places to examine during the write, because they could not be read before.
    pub(super) unseen: Option<Places>,
}

/// Checks the image against the medium. `announced_bytes` is the decoded length, if the file has it. Remarks for the
/// result are added to `notes`.
///
/// # Errors
/// `NoDiskImage`, `CutImage`, `SectorSize`, `ImageTooLarge`, `WrongContent`; errors of the drive and the codec.
pub(super) fn check_disk(
    operation: &Operation<'_>,
    drive: &dyn ReadTree,
    image: &Image,
    device: &BlockDevice,
    announced_bytes: Option<u64>,
    allowed: Allowed,
    notes: &mut Vec<String>,
) -> Result<DiskFacts> {
    let name = image.name.to_string();
    if announced_bytes == Some(0) {
        return Err(Error::refused(Refusal::WrongContent, format!("{name} is empty")));
    }
    let look = Look { operation, drive, image, device, name, announced_bytes };
    match look.facts()? {
        Ok((mut facts, more_notes)) => {
            notes.extend(more_notes);
            let captured_bytes = image.captured_from.as_ref().map(|record| record.len_bytes);
            if allowed.any_content || captured_bytes == Some(facts.len_bytes) {
                facts.unseen = None;
            }
            Ok(facts)
        }
        Err(unfit) if unfit.kind == Refusal::ImageTooLarge => Err(unfit.of(&look.name)),
        Err(unfit) => look.as_it_is(unfit, allowed, notes),
    }
}

/// An image and its medium.
struct Look<'a> {
    operation: &'a Operation<'a>,
    drive: &'a dyn ReadTree,
    image: &'a Image,
    device: &'a BlockDevice,
    name: String,
    announced_bytes: Option<u64>,
}

/// What was read of an image.
struct Parts {
    head: Vec<u8>,
    seen: Seen,
    /// Whether the image is not compressed.
    is_plain: bool,
}

type Checked<T> = std::result::Result<T, Unfit>;

impl Look<'_> {
    /// The facts with their notes, or why the content is unfit.
    fn facts(&self) -> Result<Checked<(DiskFacts, Vec<String>)>> {
        let head = self.head()?;
        let shown = match disk_look::by_head(&head, self.device.sector_len_bytes) {
            Ok(shown) => shown,
            Err(unfit) => return Ok(Err(unfit)),
        };
        let too_large = self.check_room(&shown);
        if let Some(len_bytes) = self.announced_bytes {
            // A cut image is wrong for every medium, so this error comes first.
            if let Err(unfit) = self.check_length(&shown, &head, len_bytes) {
                return Ok(Err(unfit));
            }
        }
        too_large?;
        let parts = self.parts(head, &shown)?;
        if let Err(unfit) = self.check_length(&shown, &parts.head, parts.seen.len_bytes) {
            return Ok(Err(unfit));
        }
        Ok(self.examine(&shown, &parts))
    }

    /// The first bytes of the image, decoded.
    fn head(&self) -> Result<Vec<u8>> {
        let mut reader = ImageReader::open(self.operation, self.drive, self.image.source())?;
        let head = reader.first_bytes(HEAD_LEN_BYTES)?;
        reader.close()?;
        Ok(head)
    }

    /// Whether the partitions fit on the medium, whatever follows them in the image.
    fn check_room(&self, shown: &Shown) -> Result<()> {
        let (room, device) = (self.device.len_bytes, &self.device.name);
        let Shown::Table(extent) = shown else { return Ok(()) };
        match extent.last().filter(|(_, range)| range.end > room) {
            Some((number, range)) => {
                let end = range.end;
                let what =
                    format!("{}: partition {number} ends at byte {end}, but {device} has {room}", self.name);
                Err(Error::refused(Refusal::ImageTooLarge, what))
            }
            None => Ok(()),
        }
    }

    /// Whether an image of this length holds everything that its tables show. `head` are its first bytes.
    fn check_length(&self, shown: &Shown, head: &[u8], len_bytes: u64) -> Checked<()> {
        let cut = disk_look::all_there(shown, len_bytes);
        let Shown::Table(extent) = shown else { return cut };
        // The table may be right for sectors of another length.
        let own = self.device.sector_len_bytes;
        for other in [512, 4096].into_iter().filter(|other| *other != own) {
            let Some(rescaled) = disk_look::rescaled(extent, own, other) else { continue };
            let fits = rescaled.end_bytes() <= len_bytes;
            if fits
                && (cut.is_err() && other == 512
                    || starts_known(&rescaled, head) && !starts_known(extent, head))
            {
                return Err(disk_look::other_sectors(other, own));
            }
        }
        cut
    }

    /// Reads the parts of the image that the checks need. It decodes the whole image if there is no other way.
    fn parts(&self, head: Vec<u8>, shown: &Shown) -> Result<Parts> {
        let room = self.device.len_bytes;
        let is_plain = self.image.name.compression == Compression::None;
        let places = self.places(shown);
        // The end may be left out only if the tables and partitions fit.
        let may_be_longer = disk_look::least_bytes(shown) <= room;
        let too_long = |len_bytes: u64| {
            let what = format!(
                "{} holds {:#}, {} has {:#}",
                self.name,
                Size(len_bytes),
                self.device.name,
                Size(room)
            );
            Err(Error::refused(Refusal::ImageTooLarge, what))
        };
        match self.announced_bytes {
            Some(len_bytes) if len_bytes > room && !may_be_longer => return too_long(len_bytes),
            Some(len_bytes) if is_plain => {
                self.check_plain_end(len_bytes, &self.spared(shown))?;
                let seen = self.examine_places(len_bytes, places)?;
                return Ok(Parts { head, seen, is_plain });
            }
            Some(len_bytes) if len_bytes <= room && !matches!(shown, Shown::DamagedGpt(_)) => {
                let seen = self.examine_places(len_bytes, places)?;
                return Ok(Parts { head, seen, is_plain });
            }
            _ => {}
        }
        let limit = if may_be_longer { room.saturating_mul(LONGEST_TIMES) } else { room };
        let limit = self.announced_bytes.map_or(limit, |len_bytes| limit.max(len_bytes));
        let watch = Watch::new(limit).room(room, self.spared(shown)).places(places);
        let seen = decode_whole(self.operation, self.drive, self.image, watch, self.announced_bytes)?;
        Ok(Parts { head, seen, is_plain })
    }

    /// Ranges of data that a smaller medium does not need: the second copy of a GPT is written again for it, and the
    /// metadata of the image's builder is not used.
    fn spared(&self, shown: &Shown) -> Vec<Range<u64>> {
        let backup = match shown {
            Shown::Table(Extent { backup, .. }) => backup.clone(),
            _ => None,
        };
        let metadata = self.image.metadata_bytes.map(|start| start..u64::MAX);
        backup.into_iter().chain(metadata).collect()
    }

    /// The places to examine in the partitions.
    fn places(&self, shown: &Shown) -> Places {
        match shown {
            Shown::Table(extent) => Places::of(extent, self.device.sector_len_bytes),
            _ => Places::default(),
        }
    }

    /// Examines the places, as far as possible without decoding everything.
    fn examine_places(&self, len_bytes: u64, mut places: Places) -> Result<Seen> {
        let mut reader = ImageReader::open(self.operation, self.drive, self.image.source())?;
        let mut tail = Vec::new();
        let is_seekable = match reader.seekable()? {
            Some(mut content) => {
                while let Some((at, len)) = places.next().filter(|(at, _)| *at < len_bytes) {
                    let bytes = self.read(&mut *content, at, len)?;
                    if bytes.is_empty() {
                        break;
                    }
                    places.pass(at, &bytes);
                }
                let tail_bytes = len_bytes.saturating_sub(TAIL_LEN_BYTES as u64);
                tail = self.read(&mut *content, tail_bytes, TAIL_LEN_BYTES)?;
                true
            }
            None => false,
        };
        if !is_seekable {
            self.look_at_front(&mut reader, &mut places)?;
        }
        reader.close()?;
        places.end(len_bytes);
        Ok(Seen { len_bytes, places, tail })
    }

    /// Decodes the first [`FRONT_LEN_BYTES`] of the image, as far as places lie there.
    fn look_at_front(&self, reader: &mut ImageReader<'_>, places: &mut Places) -> Result<()> {
        let mut content = reader.look()?;
        let mut buffer = vec![0; self.operation.tuning.chunk_len_bytes];
        let mut at = 0;
        while places.misses_place_within(at, FRONT_LEN_BYTES) {
            let len = content.read(&mut buffer).map_err(Error::io(self.name.as_str()))?;
            if len == 0 {
                break;
            }
            places.pass(at, &buffer[..len]);
            at += len as u64;
        }
        Ok(())
    }

    /// Checks that an uncompressed image holds no data behind the medium's end.
    fn check_plain_end(&self, len_bytes: u64, spared: &[Range<u64>]) -> Result<()> {
        let mut reader = ImageReader::open(self.operation, self.drive, self.image.source())?;
        let mut at = self.device.len_bytes;
        if at < len_bytes {
            let mut progress = self.operation.progress("checking the image's end", Some(len_bytes - at));
            while at < len_bytes {
                let chunk = self.read(reader.file(), at, self.operation.tuning.chunk_len_bytes)?;
                if chunk.is_empty() {
                    break;
                }
                if let Some(data) = first_data(&chunk, at, self.device.len_bytes, spared) {
                    return Err(no_room(&self.name, self.device.len_bytes, data));
                }
                at += chunk.len() as u64;
                progress.advance(chunk.len() as u64);
            }
            progress.finish();
        }
        reader.close()
    }

    /// Reads `len` bytes, or fewer at the end.
    fn read(&self, file: &mut dyn ReadAt, start: u64, len: usize) -> Result<Vec<u8>> {
        let mut bytes = vec![0; len];
        let done = file.read_full_at(start, &mut bytes).map_err(Error::io(self.name.as_str()))?;
        bytes.truncate(done);
        Ok(bytes)
    }

    /// The checks that need all parts.
    fn examine(&self, shown: &Shown, parts: &Parts) -> Checked<(DiskFacts, Vec<String>)> {
        let len_bytes = parts.seen.len_bytes;
        let mut notes = Vec::new();
        if parts.is_plain {
            disk_look::by_tail(&parts.seen.tail)?;
        }
        let places = &parts.seen.places;
        // All places are examined again, because a chain of partitions is followed from its start.
        let unseen = (!places.is_complete()).then(|| self.places(shown));
        let mut facts = DiskFacts { len_bytes, patches: Vec::new(), spared: self.spared(shown), unseen };
        match shown {
            Shown::FileSystem(found) => {
                notes.push(format!("the image is one {} file system without a partition table", found.kind));
            }
            _ => notes.extend(places.check(len_bytes, self.device.len_bytes)?),
        }
        let is_gpt = matches!(shown, Shown::Table(Extent { scheme: Scheme::Gpt, .. }) | Shown::DamagedGpt(_));
        if is_gpt {
            let mut ends = Ends { head: &parts.head, tail: &parts.seen.tail, len_bytes };
            let fit = partition::fit_gpt(&mut ends, self.device.sector_len_bytes, self.device.len_bytes)
                .map_err(|error| disk_look::unfit_table(&error))?;
            if let Some(fit) = fit {
                notes.extend(disk_look::fit_notes(&fit));
                facts.patches = fit.patches;
            }
        }
        if len_bytes > self.device.len_bytes {
            let more = len_bytes - self.device.len_bytes;
            notes.push(format!(
                "the last {:#} of the image are unused and do not fit on the medium: left out",
                Size(more)
            ));
        }
        Ok((facts, notes))
    }

    /// Accepts an unfit image to be written as it is, if the settings allow it, or if it was captured from such a medium:
    /// the record beside it has the same length.
    fn as_it_is(&self, unfit: Unfit, allowed: Allowed, notes: &mut Vec<String>) -> Result<DiskFacts> {
        let room = self.device.len_bytes;
        let (kind, what) = (unfit.kind, unfit.what.clone());
        let refusal = unfit.of(&self.name);
        let captured_bytes = self.image.captured_from.as_ref().map(|record| record.len_bytes);
        if !allowed.any_content && captured_bytes.is_none() {
            return Err(refusal);
        }
        let len_bytes = match self.announced_bytes {
            Some(len_bytes) => len_bytes,
            None => decode_whole(self.operation, self.drive, self.image, Watch::new(room), None)?.len_bytes,
        };
        if captured_bytes == Some(len_bytes) && kind != Refusal::SectorSize {
            notes.push(format!("the image {what}; so did the medium that it was captured from"));
        } else {
            allowed.content(refusal, notes)?;
        }
        if len_bytes > room {
            let what = format!(
                "{} holds {:#}, {} has {:#}",
                self.name,
                Size(len_bytes),
                self.device.name,
                Size(room)
            );
            return Err(Error::refused(Refusal::ImageTooLarge, what));
        }
        Ok(DiskFacts { len_bytes, ..DiskFacts::default() })
    }
}

/// Whether a known file system begins at one of the partitions that lie in `head`.
fn starts_known(extent: &Extent, head: &[u8]) -> bool {
    let starts = extent.partitions.iter().filter_map(|(_, range)| usize::try_from(range.start).ok());
    starts.filter_map(|start| head.get(start..)).any(|bytes| signature::by_head(bytes).is_some())
}

/// The first and the last bytes of an image.
struct Ends<'a> {
    head: &'a [u8],
    tail: &'a [u8],
    len_bytes: u64,
}

impl ReadAt for Ends<'_> {
    fn len_bytes(&self) -> u64 {
        self.len_bytes
    }

    fn read_at(&mut self, offset_bytes: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let tail_start = self.len_bytes.saturating_sub(self.tail.len() as u64);
        let mut head = self.head;
        let mut tail = self.tail;
        match offset_bytes {
            at if at < self.head.len() as u64 => head.read_at(at, buffer),
            at if at >= tail_start => tail.read_at(at - tail_start, buffer),
            _ => Err(io::ErrorKind::Unsupported.into()),
        }
    }
}
