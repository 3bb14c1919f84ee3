//! Checks an image and its medium before anything is erased.
//!
//! Of a disk image the structure is checked: index, sizes, first bytes, the sidecar of the file. Its content is checked
//! during the write, before its start is written. All headers of a tarball are read: only they show whether the file system of
//! this medium can hold it. It is decoded whole for that, unless a capture left an index beside it. An image that does not
//! have its decoded length in it is decoded whole, too.

use super::allowed::Allowed;
use super::disk_check::{DiskFacts, check_disk};
use super::golden::{self, MarksOn};
use super::image::Image;
use super::image_map::{self, ImageMap};
use super::root_plan::{self, Question, RootPlan};
use super::tar_check::{Destination, TarFacts, check_tar};
use super::tar_index;
use crate::context::Context;
use crate::error::{Error, Refusal, Result};
use crate::formats::codec::Compression;
use crate::formats::foreign;
use crate::formats::partition::{self, Identity};
use crate::formats::sniff::{self, Content};
use crate::media::{Medium, check_not_in_use, same_device};
use crate::names::Packing;
use crate::operation::Operation;
use crate::options::WriteExtent;
use crate::sidecars::ExpectedDigest;
use crate::verify::ImageReader;
use replicator_hal::{BlockDevice, ReadTree};
use sha2::{Digest as _, Sha256};

/// How many first bytes are examined: the magic of a tar is at 257.
const SNIFFED_LEN_BYTES: usize = 512;

/// An image that may be written to its medium.
#[derive(Debug)]
pub(crate) struct Checked {
    /// The image.
    pub image: Image,
    /// The medium's device.
    pub device: BlockDevice,
    /// Decoded length, once known.
    pub content_len_bytes: Option<u64>,
    /// The facts of a tarball.
    pub tar: Option<TarFacts>,
    /// The facts of a disk image.
    pub disk: DiskFacts,
    /// The block map of a disk image.
    pub map: Option<ImageMap>,
    /// How much of a disk image is written.
    pub extent: WriteExtent,
    /// The names of a tarball's file system and partition.
    pub root: Option<RootPlan>,
    /// Remarks for the result.
    pub notes: Vec<String>,
}

/// Checks `image` and `medium`.
///
/// # Errors
/// Refusals; errors of the drive and the codec.
pub(super) fn check(
    operation: &Operation<'_>,
    context: &Context<'_>,
    mut image: Image,
    medium: &Medium,
    marks_on: &MarksOn<'_>,
) -> Result<Checked> {
    let drive: &dyn ReadTree = &context.drive;
    let allowed = Allowed::by(context.options);
    let name = image.name.to_string();
    let mut notes = Vec::new();
    let device = check_medium(operation, medium, &name)?;
    golden::check(operation, &image, &device, allowed, marks_on)?;
    check_first_bytes(operation, drive, &image)?;
    notes.extend(image.content.iter().chain(&image.file).filter_map(ExpectedDigest::note));
    let extent = context.options.settings.write.extent;
    let file_md5 = image.check_file(operation, drive, tar_index::record(&image, extent).is_some())?;
    let mut reader = ImageReader::open(operation, drive, image.source())?;
    let behind = reader.metadata()?;
    reader.close()?;
    let is_apart = image.name.compression != Compression::None;
    if let Some(found) = behind.filter(|_| is_apart || image.name.packing() == Packing::Disk) {
        image.metadata_bytes = found.start_bytes;
        notes.push(match is_apart {
            true => format!("ignored {} behind the compressed data", found.what),
            false => format!("{} lies behind the image", found.what),
        });
    }
    let mut reader = ImageReader::open(operation, drive, image.source())?;
    let mut content_len_bytes = reader.announced_len()?;
    reader.close()?;
    let (mut tar, mut root, mut disk, mut map) = (None, None, DiskFacts::default(), None);
    match image.name.packing() {
        Packing::Tar => {
            let destination = destination(&name, medium, &device)?;
            let index =
                tar_index::find(operation, drive, &image, extent, content_len_bytes, file_md5.as_ref());
            let announced = (content_len_bytes, index.as_ref());
            let mut facts = check_tar(operation, drive, &image, announced, &destination, allowed)?;
            notes.append(&mut facts.notes);
            let plan = root_plan(operation, context, &image, &facts, medium, &device, &mut notes)?;
            content_len_bytes = Some(facts.archive.len_bytes);
            (tar, root) = (Some(facts), Some(plan));
        }
        Packing::Disk => {
            let facts =
                check_disk(operation, drive, &image, &device, content_len_bytes, allowed, &mut notes)?;
            content_len_bytes = Some(facts.len_bytes);
            if extent == WriteExtent::Used {
                map = image_map::find(operation, drive, &image)?;
                map.iter().try_for_each(|map| map.check_len(&name, facts.len_bytes))?;
            }
            disk = facts;
        }
    }
    Ok(Checked { image, device, content_len_bytes, tar, root, disk, map, extent, notes })
}

/// Reads the device's properties again: it may have changed since the plan.
fn check_medium(operation: &Operation<'_>, medium: &Medium, image: &str) -> Result<BlockDevice> {
    let label = medium.name();
    let Some(planned) = &medium.device else {
        return Err(Error::refused(
            Refusal::MediumAbsent,
            format!("found {image}, but this board has no {label} medium inserted"),
        ));
    };
    let device = check_unchanged(operation, label, planned)?;
    Ok(device)
}

/// The device as it is now, if it is still the same, and free to be written.
///
/// # Errors
/// `MediumUnfit`, `MediumBusy`, `MediumReadOnly`.
pub(super) fn check_unchanged(
    operation: &Operation<'_>,
    label: &str,
    planned: &BlockDevice,
) -> Result<BlockDevice> {
    let device = same_device(operation, label, planned)?;
    check_not_in_use(label, &device)?;
    if device.read_only {
        return Err(Error::refused(
            Refusal::MediumReadOnly,
            format!(
                "{label}: {name} is read-only in the kernel, by a write-protect switch or because a program set it so \
                 (`blockdev --setrw /dev/{name}` undoes the latter)",
                name = device.name
            ),
        ));
    }
    Ok(device)
}

/// The file's format must be that of its name, and so must the format of its content. A disk image is checked in detail
/// later.
fn check_first_bytes(operation: &Operation<'_>, drive: &dyn ReadTree, image: &Image) -> Result<()> {
    let name = image.name.to_string();
    let wrong = |detail: &str| Err(Error::refused(Refusal::WrongContent, format!("{name} {detail}")));
    let mut reader = ImageReader::open(operation, drive, image.source())?;
    let mut first = [0; SNIFFED_LEN_BYTES];
    let len = reader.file().read_full_at(0, &mut first).map_err(Error::io(name.as_str()))?;
    let outer = sniff::content(&first[..len]);
    let wanted = match image.name.compression {
        Compression::None => None,
        Compression::Xz => Some(Content::Xz),
        Compression::Bzip2 => Some(Content::Bzip2),
        Compression::Gzip => Some(Content::Gzip),
        Compression::Zstd => Some(Content::Zstd),
    };
    if outer == Content::Empty {
        return wrong("is empty");
    }
    let inner = match wanted {
        Some(wanted) if wanted != outer => {
            let found = foreign::by_head(&first[..len]).map(|found| format!(", it is {}", found.what));
            let found = found.unwrap_or_default();
            return wrong(&format!("is not compressed with {}{found}", image.name.compression));
        }
        // The head of a disk image is decoded later, once for all checks.
        _ if image.name.packing() == Packing::Disk => outer,
        Some(_) => {
            let inner = reader.first_bytes(SNIFFED_LEN_BYTES)?;
            sniff::content(&inner)
        }
        None => outer,
    };
    reader.close()?;
    match (image.name.packing(), inner) {
        (_, Content::Empty) => wrong("holds nothing"),
        (Packing::Tar, Content::Tar) | (Packing::Disk, _) => Ok(()),
        (Packing::Tar, _) => wrong("holds no tar archive"),
    }
}

/// The destination of a tarball, if a partition for it can be made on the device.
fn destination(name: &str, medium: &Medium, device: &BlockDevice) -> Result<Destination> {
    // The position of a partition does not depend on its names.
    let identity = Identity::fresh(medium.profile.file_system.scheme(), [0; 32]);
    let layout = partition::single_partition(&identity, device.len_bytes, device.sector_len_bytes).map_err(
        |error| Error::refused(Refusal::ImageTooLarge, format!("{name} on {}: {error}", device.name)),
    )?;
    Ok(Destination {
        medium_len_bytes: device.len_bytes,
        len_bytes: layout.region.end - layout.region.start,
        sector_len_bytes: device.sector_len_bytes,
        flavour: medium.profile.file_system.flavour(),
    })
}

/// The names that the clone gets. Refuses if it would not find its root by them.
fn root_plan(
    operation: &Operation<'_>,
    context: &Context<'_>,
    image: &Image,
    facts: &TarFacts,
    medium: &Medium,
    device: &BlockDevice,
    notes: &mut Vec<String>,
) -> Result<RootPlan> {
    let name = image.name.to_string();
    let record = image.captured_from.as_ref();
    if record.is_some_and(|record| record.root.is_some()) && !facts.is_recorded {
        notes.push("the record beside it is for another image: its UUIDs and labels are not used".to_owned());
    }
    let record = record.filter(|_| facts.is_recorded);
    let question = Question {
        image: &name,
        record: record.and_then(|record| record.root.as_ref()),
        same_board: record.is_some_and(|record| record.board == context.profile.name),
        references: &facts.references,
        scheme: medium.profile.file_system.scheme(),
        random: randomness(operation, device),
    };
    let answer = root_plan::decide(&question);
    notes.extend(answer.notes);
    answer.refusal.map_or(Ok(()), |refusal| Allowed::by(context.options).root(refusal, notes))?;
    Ok(answer.plan)
}

/// Randomness for disk signature and GUIDs: different for every unit and every time.
fn randomness(operation: &Operation<'_>, device: &BlockDevice) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(device.identity.as_deref().unwrap_or_default());
    hash.update(&device.controller_path);
    hash.update(device.name.as_str());
    let wall = operation.board.clock.wall();
    hash.update(wall.seconds.to_le_bytes());
    hash.update(wall.nanos.to_le_bytes());
    hash.update(operation.board.clock.monotonic().as_nanos().to_le_bytes());
    hash.finalize().into()
}
