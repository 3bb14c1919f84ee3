//! Copies the whole medium to the working image, with holes for zeros and for proven unused blocks.
//!
//! The source is claimed, opened read-only, never mounted, and closed before any other step uses the image.

use super::content_size::least_content_bytes;
use super::gap::Gap;
use super::layout::Layout;
use super::survey::{self, Part};
use super::work::Work;
use crate::error::{Error, Refusal, Result};
use crate::formats::ReadAt;
use crate::media::same_device;
use crate::operation::Operation;
use crate::ranges;
use crate::size::Size;
use replicator_hal::{self as hal, BlockDevice, Holder, RelativePath, Source, VolumeFile};
use std::io;
use std::ops::Range;

/// A source that retries.
struct Medium<'a> {
    operation: &'a Operation<'a>,
    source: Box<dyn Source>,
}

impl ReadAt for Medium<'_> {
    fn len_bytes(&self) -> u64 {
        self.source.len_bytes()
    }

    fn read_at(&mut self, offset_bytes: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let source = &mut self.source;
        Ok(self.operation.retry(|| source.read_at(offset_bytes, buffer))?)
    }
}

/// Copies all of `device` to the new file `image` on the drive; its length is the medium's. If the image will be
/// sanitised, this refuses a partition table that cannot be read and a file system that cannot be sanitised, and also
/// returns the partitions that the medium showed.
pub(super) fn copy_medium(
    operation: &Operation<'_>,
    work: &Work<'_>,
    device: &BlockDevice,
    image: &RelativePath,
    is_sanitised: bool,
) -> Result<(Layout, Vec<Part>)> {
    let devices = &operation.board.devices;
    // Claimed before anything on it is read. Until it is closed, no other program can mount or write it.
    let source = operation
        .retry(|| devices.open_source(&device.name))
        .map_err(Error::hal(format!("claiming {} to capture it", device.name)))?;
    let mut medium = Medium { operation, source };
    // The name may have moved to another device before the open. An open device keeps its name until it is closed.
    let result = same_device(operation, operation.label(), device)
        .and_then(|_| copy_open(operation, work, device, image, &mut medium, is_sanitised));
    let closed = medium.source.close().map_err(Error::hal(format!("closing {}", device.name)));
    match (result, closed) {
        (Ok(copied), closed) => closed.map(|()| copied),
        (Err(error), Ok(())) => Err(error),
        (Err(error), Err(second)) => {
            operation.log(&format!("further failure: {second}"));
            Err(error)
        }
    }
}

/// The layout of `device`. The device is claimed while it is read.
pub(super) fn layout(operation: &Operation<'_>, device: &BlockDevice) -> Result<Layout> {
    let source = operation
        .retry(|| operation.board.devices.open_source(&device.name))
        .map_err(Error::hal(format!("opening {} to look at it", device.name)))?;
    let mut medium = Medium { operation, source };
    let result = Layout::read(&mut medium, device.sector_len_bytes);
    let closed = medium.source.close().map_err(Error::hal(format!("closing {}", device.name)));
    result.and_then(|layout| closed.map(|()| layout))
}

fn copy_open(
    operation: &Operation<'_>,
    work: &Work<'_>,
    device: &BlockDevice,
    image: &RelativePath,
    medium: &mut Medium<'_>,
    is_sanitised: bool,
) -> Result<(Layout, Vec<Part>)> {
    let len_bytes = medium.len_bytes();
    if len_bytes == 0 || len_bytes != device.len_bytes {
        return Err(Error::refused(
            Refusal::MediumUnfit,
            format!(
                "{} has {:#} now, and had {:#} before",
                device.name,
                Size(len_bytes),
                Size(device.len_bytes)
            ),
        ));
    }
    let mut layout = Layout::read(medium, device.sector_len_bytes)
        .map_err(|error| named(error, &format!("reading the partition table of {}", device.name)))?;
    if layout.is_damaged && is_sanitised {
        let what = layout.note.as_deref().unwrap_or("its partition table is damaged");
        return Err(Error::refused(
            Refusal::MediumUnfit,
            format!(
                "{}: {what}, so its file systems cannot be found and sanitised: repair the table, or turn sanitising off",
                device.name
            ),
        ));
    }
    for slot in &layout.slots {
        operation
            .log(&format!("partition {}: bytes {} to {}", slot.number, slot.bytes.start, slot.bytes.end));
    }
    let holder = Holder::Device(device.name.clone());
    let mut parts = Vec::new();
    if is_sanitised {
        parts = survey::look(operation, &layout, &holder)?;
        survey::refuse_unfit(operation, &parts, medium)?;
    }
    let unused = layout.unused(operation, &holder, is_sanitised);
    check_space(operation, work, medium, &unused)?;
    let mut file = work.create_image(operation, image, is_sanitised)?;
    let sparse = work.drive.capabilities().sparse;
    copy_bytes(operation, medium, &mut *file, &unused, &mut layout.gap, sparse)?;
    operation.board.leds.renew(operation.tuning.tool_lease);
    // A full drive must show here, and not in the tools that work on the image next.
    file.sync().and_then(|()| file.close()).map_err(Error::hal(format!("writing {image} on the drive")))?;
    work.image_is_whole(operation)?;
    Ok((layout, parts))
}

/// Gives an I/O error of the medium the step in which it happened.
fn named(error: Error, doing: &str) -> Error {
    match error {
        Error::Hal { source, .. } => Error::Hal { doing: doing.to_owned(), source },
        other => other,
    }
}

/// Refuses a medium that does not fit. On a drive with sparse files, zeros take no space, so if the used blocks of the
/// medium need more than is free, samples show how much of them is content.
fn check_space(
    operation: &Operation<'_>,
    work: &Work<'_>,
    medium: &mut Medium<'_>,
    unused: &[Range<u64>],
) -> Result<()> {
    let len_bytes = medium.len_bytes();
    let capabilities = work.drive.capabilities();
    if len_bytes > capabilities.file_len_max_bytes {
        return Err(Error::refused(
            Refusal::DriveTooSmall,
            format!(
                "the drive's file system ({}) cannot hold a file of {:#}, the size of the medium",
                capabilities.file_system,
                Size(len_bytes)
            ),
        ));
    }
    let free_bytes = operation
        .retry(|| work.drive.space())
        .map_err(Error::hal("reading the free space of the drive"))?
        .free_bytes;
    let too_small = |needed: String| {
        let what =
            format!("the working image takes {needed} on the drive, and {:#} are free", Size(free_bytes));
        Err(Error::refused(Refusal::DriveTooSmall, what))
    };
    if !capabilities.sparse && free_bytes < len_bytes {
        return too_small(format!("{:#}", Size(len_bytes)));
    }
    let unused_bytes = ranges::len_bytes(unused);
    if free_bytes < len_bytes.saturating_sub(unused_bytes) {
        let used = ranges::complement(unused, 0..len_bytes);
        let needed_bytes = least_content_bytes(medium, &used, operation.tuning.chunk_len_bytes)
            .map_err(|error| named(Error::io("the medium")(error), "reading samples of the medium"))?;
        if free_bytes < needed_bytes {
            return too_small(format!("at least {:#}", Size(needed_bytes)));
        }
    }
    operation.log(&format!(
        "the working image takes up to {:#}, {:#} are free",
        Size(len_bytes.saturating_sub(unused_bytes)),
        Size(free_bytes)
    ));
    Ok(())
}

fn copy_bytes(
    operation: &Operation<'_>,
    medium: &mut dyn ReadAt,
    file: &mut dyn VolumeFile,
    unused: &[Range<u64>],
    gap: &mut Gap,
    sparse: bool,
) -> Result<()> {
    let len_bytes = medium.len_bytes();
    let mut buffer = vec![0; operation.tuning.chunk_len_bytes.max(1)];
    let mut progress = operation.progress("copying the medium", Some(len_bytes));
    let skipped = ranges::long(unused);
    let mut at = 0;
    while at < len_bytes {
        let len = len_bytes.saturating_sub(at).min(buffer.len() as u64) as usize;
        let chunk = &mut buffer[..len];
        chunk.fill(0);
        for part in ranges::complement(&skipped, at..at + len as u64) {
            let slice = &mut chunk[(part.start - at) as usize..(part.end - at) as usize];
            medium.read_exact_at(part.start, slice).map_err(|error| {
                named(Error::io("the medium")(error), &format!("reading the medium at byte {}", part.start))
            })?;
        }
        ranges::zero(chunk, at, unused);
        gap.examine(at, chunk);
        write_chunk(operation, file, at, chunk, sparse).map_err(Error::hal("writing the working image"))?;
        at += len as u64;
        progress.advance(len as u64);
    }
    operation.retry(|| file.set_len(len_bytes)).map_err(Error::hal("writing the working image"))?;
    progress.finish();
    Ok(())
}

/// Writes what is not zero, or everything if the drive has no sparse files.
fn write_chunk(
    operation: &Operation<'_>,
    file: &mut dyn VolumeFile,
    at: u64,
    chunk: &[u8],
    sparse: bool,
) -> hal::Result<()> {
    for range in if sparse { ranges::with_content(chunk) } else { vec![0..chunk.len()] } {
        let start = at + range.start as u64;
        hal::io::write_full(&chunk[range], |done, rest| {
            operation.retry(|| file.write_at(start + done, rest))
        })?;
    }
    Ok(())
}
