//! Writes a disk image: everything but its start, verify, then the start, verify again.
//!
//! The decoded data is hashed during the write. The medium is read back past the caches and compared by hashes of
//! extents. The start of the image, which holds the partition table, is written last, so that an unverified medium does
//! not look bootable. If the GPT is moved, the changed table is written and read back.

use super::fitted;
use super::preflight::Checked;
use crate::error::{Error, FaultyPart, Result};
use crate::formats::within;
use crate::operation::Operation;
use crate::report::Done;
use crate::table;
use crate::verify::{Announced, Expected, Extents, ImageReader, Kept, Verified, Written};
use replicator_hal::{self as hal, ReadTree, Target};

/// What was written, and the start that is not written yet.
struct Body {
    written: Written,
    held_back: Vec<u8>,
    /// Remarks about the image's partitions.
    notes: Vec<String>,
}

/// Writes and verifies. The medium looks bootable only when this returns `Ok`.
///
/// # Errors
/// Errors of drive, codec and medium; `Verify`; `Digest`.
pub(super) fn write(
    operation: &Operation<'_>,
    drive: &dyn ReadTree,
    checked: &Checked,
    target: &mut dyn Target,
) -> Result<Done> {
    let (body, image) = write_body(operation, drive, checked, target)?;
    let label = operation.label();
    operation.step("flushing");
    // The kernel writes its cache in any order, and the start must be written last.
    target.sync().map_err(Error::hal(format!("flushing {label}")))?;
    table::reserve_at(operation, target, 0, body.held_back.len(), label)?;
    let bypass = target.begin_verify().map_err(Error::hal(format!("flushing {label}")))?;
    let kept = body.written.compare(operation, target, "verifying")?;
    operation.short_step("writing the partition table");
    let kept = commit(operation, checked, target, &body, &image, kept)?;
    Ok(Done::written(&image, kept, bypass, body.notes))
}

/// Writes all but the start, and verifies the image at the same time.
fn write_body(
    operation: &Operation<'_>,
    drive: &dyn ReadTree,
    checked: &Checked,
    target: &mut dyn Target,
) -> Result<(Body, Verified)> {
    let file_name = checked.image.name.to_string();
    let label = operation.label();
    let mut image = ImageReader::open(operation, drive, checked.image.source())?;
    let expected = Announced {
        len_bytes: checked.content_len_bytes,
        digests: &checked.image.content,
        // Only for the report, if no sidecar needs it. The digest of the file, checked before, identifies the image, too.
        md5: checked.image.file.is_empty(),
        again: false,
    };
    let mut content = image.content("writing", Expected::Announced(expected))?;
    let mut held_back = Vec::new();
    let mut unseen = checked.disk.unseen.clone();
    let mut extents = Extents::new(operation.tuning.chunk_len_bytes, checked.content_len_bytes);
    let mut buffer = vec![0; operation.tuning.chunk_len_bytes];
    let mut offset_bytes = 0;
    loop {
        let held_left = operation.tuning.held_back_len_bytes.saturating_sub(offset_bytes);
        let wanted = if held_left > 0 { within(buffer.len(), held_left) } else { buffer.len() };
        let len = content.read_chunk(&mut buffer[..wanted])?;
        if len == 0 {
            break;
        }
        if let Some(places) = &mut unseen {
            places.pass(offset_bytes, &buffer[..len]);
        }
        let kept = fitted::keep(&checked.disk, &file_name, offset_bytes, &buffer[..len], target.len_bytes())?;
        let chunk = &mut buffer[..kept];
        fitted::overlay(&checked.disk.patches, offset_bytes, chunk);
        let chunk = &*chunk;
        if held_left > 0 {
            held_back.extend_from_slice(chunk);
        } else if !chunk.is_empty() {
            operation
                .retry(|| hal::io::write_target(target, offset_bytes, chunk))
                .map_err(Error::hal(format!("writing {label} at byte {offset_bytes}")))?;
            extents.add(offset_bytes, chunk);
        }
        offset_bytes += len as u64;
    }
    drop(content);
    let image = image.finish()?;
    let len_bytes = image.content_len_bytes();
    let mut notes = Vec::new();
    if let Some(mut places) = unseen {
        places.end(len_bytes);
        let checked_places = places.check(len_bytes, target.len_bytes());
        notes = checked_places.map_err(|unfit| Error::Verify {
            part: FaultyPart::Image,
            what: file_name,
            offset_bytes: None,
            detail: format!("it {}", unfit.what),
        })?;
    }
    for (offset_bytes, bytes) in fitted::behind(&checked.disk.patches, len_bytes) {
        operation
            .retry(|| hal::io::write_target(target, offset_bytes, bytes))
            .map_err(Error::hal(format!("writing {label} at byte {offset_bytes}")))?;
        extents.add_at(offset_bytes, bytes);
    }
    Ok((Body { written: extents.finish(), held_back, notes }, image))
}

/// Writes the held-back start, each part verified before the next: the first sector last. Without it there is no
/// partition table, and a sector is written completely or not at all, so no power cut leaves a table without the rest.
///
/// It takes the proofs that the image is verified and that the medium holds the rest of it. It returns the proof that the
/// medium holds the start, too.
///
/// A fake card may have returned the end of the image, which was written last, from its write-back cache. By now that
/// cache holds most of the start, so the end is read once more before the first sector is written. On a card that wraps
/// around, the start would overwrite other data of the image. The placeholder at the start was written before the
/// comparison, so the comparison finds such a card.
fn commit(
    operation: &Operation<'_>,
    checked: &Checked,
    target: &mut dyn Target,
    body: &Body,
    _image: &Verified,
    mut kept: Kept,
) -> Result<Kept> {
    let label = operation.label();
    let doing = || format!("writing the start of {label}");
    let sector_len = usize::try_from(checked.device.sector_len_bytes).unwrap_or(usize::MAX);
    let (first_sector, rest) = body.held_back.split_at(sector_len.min(body.held_back.len()));
    for (offset_bytes, part) in [(first_sector.len() as u64, rest), (0, first_sector)] {
        if part.is_empty() {
            continue;
        }
        operation.retry(|| hal::io::write_target(target, offset_bytes, part)).map_err(Error::hal(doing()))?;
        target.begin_verify().map_err(Error::hal(doing()))?;
        kept = kept.and(Written::of(offset_bytes, part).compare(operation, target, "verifying the start")?);
        if offset_bytes > 0 {
            body.written.compare_end(operation, target, operation.tuning.held_back_len_bytes)?;
        }
    }
    Ok(kept)
}
