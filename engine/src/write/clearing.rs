//! Discards the part of a medium that a disk image will cover, and examines whether it reads as zeros then.
//!
//! The standards of SD, eMMC, ATA and NVMe leave open what discarded bytes read as, and some devices ignore a discard.
//! So a discard proves nothing. Its result only decides which zeros of the image are worth leaving out of the write.

use crate::error::{Error, Result};
use crate::formats::{within, zeros};
use crate::operation::Operation;
use crate::ranges;
use replicator_hal::{self as hal, Discarded, ErrorKind, Target};
use std::ops::Range;

/// Longest range of one discard. On a slow card one request must end within the lease.
const STEP_LEN_BYTES: u64 = 256 << 20;
/// How many places are read after the discard.
const PLACES: u64 = 64;
/// How much is read at a place.
const PLACE_LEN_BYTES: usize = 4096;

/// A medium after [`clear`].
#[derive(Debug, Default)]
pub(super) struct Clearing {
    /// The medium was discarded up to this byte, and every place that was read there holds zeros; 0 if it was not
    /// discarded, or holds other bytes.
    pub(super) end_bytes: u64,
    /// Remarks for the result.
    pub(super) notes: Vec<String>,
}

impl Clearing {
    /// Whether these bytes seem to be zeros.
    pub(super) fn has(&self, range: &Range<u64>) -> bool {
        range.end <= self.end_bytes
    }
}

/// Discards the first `len_bytes` of the medium, if it supports that. An I/O error of a discard is not an error of the
/// medium: every byte is written then.
///
/// # Errors
/// Those of the medium, except as above.
pub(super) fn clear(operation: &Operation<'_>, target: &mut dyn Target, len_bytes: u64) -> Result<Clearing> {
    let Some(unit_bytes) = target.discard_unit_bytes() else { return Ok(Clearing::default()) };
    let label = operation.label();
    let len_bytes = len_bytes.min(target.len_bytes());
    let end_bytes = match discard(operation, target, len_bytes, unit_bytes) {
        Ok(end_bytes) => end_bytes,
        Err(error) if matches!(error.kind(), ErrorKind::Io | ErrorKind::Other) => {
            operation.log(&error.to_string());
            let note = "the medium failed to discard its old content, so every byte was written".to_owned();
            return Ok(Clearing { end_bytes: 0, notes: vec![note] });
        }
        Err(error) => return Err(Error::hal(format!("discarding the old content of {label}"))(error)),
    };
    if end_bytes == 0 {
        operation.log("the medium does not support discards, so every byte is written");
        return Ok(Clearing::default());
    }
    target.begin_verify().map_err(Error::hal(format!("flushing {label}")))?;
    if let Some(at_bytes) = first_not_zero(operation, target, &[0..end_bytes])? {
        operation.log(&format!("the discarded medium holds other bytes than zeros at byte {at_bytes}"));
        return Ok(Clearing::default());
    }
    Ok(Clearing { end_bytes, notes: Vec::new() })
}

/// Discards step by step. Returns where the discarded range ends; 0 if the device refuses.
fn discard(
    operation: &Operation<'_>,
    target: &mut dyn Target,
    len_bytes: u64,
    unit_bytes: u64,
) -> hal::Result<u64> {
    operation.short_step("discarding the old content");
    let mut progress = operation.progress("discarding", Some(len_bytes));
    let step_bytes = STEP_LEN_BYTES.max(unit_bytes);
    let mut at_bytes = 0;
    while at_bytes < len_bytes {
        let wanted = step_bytes.min(len_bytes - at_bytes);
        match operation.retry(|| target.discard(at_bytes, wanted))? {
            Discarded::Unsupported => return Ok(0),
            Discarded::Accepted(range) if range.start == at_bytes && !range.is_empty() => {
                progress.advance(range.end - range.start);
                at_bytes = range.end;
            }
            // The rest is less than a unit.
            Discarded::Accepted(_) => break,
        }
    }
    progress.finish();
    Ok(at_bytes)
}

/// Reads places in `ranges` that are spread evenly. Returns the first that holds other bytes than zeros, or cannot be read.
///
/// # Errors
/// `DeviceGone` and other errors of the medium that are not of one place.
pub(super) fn first_not_zero(
    operation: &Operation<'_>,
    target: &mut dyn Target,
    ranges: &[Range<u64>],
) -> Result<Option<u64>> {
    let place_len = PLACE_LEN_BYTES as u64;
    let len_bytes = ranges::len_bytes(ranges);
    let distance = (len_bytes / PLACES / place_len * place_len).max(place_len);
    let mut buffer = [0; PLACE_LEN_BYTES];
    // How far behind the start of the next range the next place is.
    let mut ahead = 0;
    for range in ranges {
        let mut at_bytes = range.start + ahead;
        while at_bytes < range.end {
            let len = within(PLACE_LEN_BYTES, range.end - at_bytes);
            let found = operation.retry(|| hal::io::read_target(target, at_bytes, &mut buffer[..len]));
            match found {
                Ok(len) if zeros::only_zeros(&buffer[..len]) => {}
                Ok(_) => return Ok(Some(at_bytes)),
                Err(error) if error.kind() == ErrorKind::Io => return Ok(Some(at_bytes)),
                Err(error) => {
                    let doing = format!("reading {} at byte {at_bytes}", operation.label());
                    return Err(Error::hal(doing)(error));
                }
            }
            at_bytes += distance;
        }
        ahead = at_bytes - range.end;
    }
    Ok(None)
}
