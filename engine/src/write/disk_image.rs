//! Writes a disk image: everything but its start, verify, then the start, verify again.
//!
//! Where the medium can be discarded, zeros of the image are not written but proven. The decoded data is hashed during the
//! write. The medium is read back past the caches and compared by hashes of extents. The start of the image, which holds the
//! partition table, is written last, so that an unverified medium does not look bootable. If the GPT is moved, the changed
//! table is written and read back.

use super::clearing::{self, Clearing};
use super::disk_body::{self, Body};
use super::preflight::Checked;
use crate::error::{Error, Result};
use crate::formats::within;
use crate::operation::Operation;
use crate::options::WriteExtent;
use crate::ranges;
use crate::report::{Done, WrittenBytes};
use crate::table;
use crate::verify::{Compared, Kept, Verified, Written};
use replicator_hal::{self as hal, CacheBypass, ReadTree, Target};
use std::ops::Range;

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
    let clearing = match (checked.extent, checked.content_len_bytes) {
        (WriteExtent::Used, Some(len_bytes)) => clearing::clear(operation, target, len_bytes)?,
        _ => Clearing::default(),
    };
    let (mut body, image) = disk_body::write(operation, drive, checked, target, &clearing)?;
    let mut notes = std::mem::take(&mut body.notes);
    notes.extend(clearing.notes);
    let (kept, bypass, bytes) = compare(operation, target, &mut body, &mut notes)?;
    operation.short_step("writing the partition table");
    let kept = commit(operation, checked, target, &body, &image, kept)?;
    Ok(Done::written(&image, kept, bypass, notes).with_bytes(bytes))
}

/// Compares the medium with what was written. If it does not hold zeros that were left out because it seemed to hold them,
/// they are written, with all that the map leaves out, and everything is compared again.
fn compare(
    operation: &Operation<'_>,
    target: &mut dyn Target,
    body: &mut Body,
    notes: &mut Vec<String>,
) -> Result<(Kept, CacheBypass, WrittenBytes)> {
    let bypass = bypass_caches(operation, target, body)?;
    let (zeros, unread) = (body.written.left_bytes(), ranges::len_bytes(&body.unread));
    let bytes = WrittenBytes { written: body.written_bytes, zeros, unread };
    let compared = body.written.compare_left(operation, target, "verifying")?;
    // On a fake card that wraps around, these places hold other data of the image now.
    let not_zero = clearing::first_not_zero(operation, target, &body.unread)?;
    let not_zeros = match (compared, not_zero) {
        (Compared::Kept(kept), None) => return Ok((kept, bypass, bytes)),
        (Compared::Kept(_), Some(at_bytes)) => {
            operation.log(&format!("byte {at_bytes}, which the block map leaves out, is not zero any more"));
            Vec::new()
        }
        (Compared::NotZeros(ranges), _) => ranges,
    };
    operation.short_step("writing zeros where the discarded medium may not hold them");
    zero(operation, target, &not_zeros)?;
    zero(operation, target, &body.unread)?;
    body.written.add_zeros(&body.unread);
    let late = ranges::len_bytes(&not_zeros);
    let bytes = WrittenBytes { written: bytes.written + late + unread, zeros: zeros - late, unread: 0 };
    notes.push(
        "the discarded medium did not hold zeros everywhere: they were written, and all was compared again"
            .into(),
    );
    // The zeros may have overwritten other data of a card that wraps around, and the placeholder. So both come again.
    let bypass = bypass_caches(operation, target, body)?;
    let kept = body.written.compare(operation, target, "verifying again")?;
    Ok((kept, bypass, bytes))
}

/// Writes zeros. The zeroing of the HAL is a discard on some devices, so it is not used.
fn zero(operation: &Operation<'_>, target: &mut dyn Target, ranges: &[Range<u64>]) -> Result<()> {
    let zeros = vec![0; operation.tuning.chunk_len_bytes];
    let mut progress = operation.progress("zeroing", Some(ranges::len_bytes(ranges)));
    for range in ranges {
        let mut at_bytes = range.start;
        while at_bytes < range.end {
            let part = &zeros[..within(zeros.len(), range.end - at_bytes)];
            disk_body::write_at(operation, target, at_bytes, part)?;
            at_bytes += part.len() as u64;
            progress.advance(part.len() as u64);
        }
    }
    progress.finish();
    Ok(())
}

/// Prepares the comparison: all is on the medium, with a placeholder at the start.
fn bypass_caches(operation: &Operation<'_>, target: &mut dyn Target, body: &Body) -> Result<CacheBypass> {
    let label = operation.label();
    operation.step("flushing");
    // The kernel writes its cache in any order, and the start must be written last.
    target.sync().map_err(Error::hal(format!("flushing {label}")))?;
    table::reserve_at(operation, target, 0, body.held_back.len(), label)?;
    target.begin_verify().map_err(Error::hal(format!("flushing {label}")))
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
