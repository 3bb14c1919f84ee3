//! Reads, writes and compares ranges of a bootloader area: reads bypass the caches, writes are synced.

use crate::error::{Error, Result};
use crate::operation::Operation;
use crate::verify::Installed;
use replicator_hal::{self as hal, CacheBypass, DeviceName, Target};
use std::ops::Range;

/// Length of a piece that is compared and restored: it divides the erase blocks of common flash.
const PIECE_LEN_BYTES: usize = 4096;

/// What was read from the start of an area.
pub(super) struct Found {
    pub(super) content: Vec<u8>,
    pub(super) bypass: CacheBypass,
}

/// Reads the first `len_bytes` of the area, past the caches.
///
/// # Errors
/// Those of the target, a short area included.
pub(super) fn read(
    operation: &Operation<'_>,
    target: &mut dyn Target,
    len_bytes: u64,
    doing: &str,
) -> Result<Found> {
    let bypass = target.begin_verify().map_err(Error::hal(doing))?;
    let mut content = vec![0; usize::try_from(len_bytes).unwrap_or(usize::MAX)];
    let mut progress = operation.progress(doing, Some(len_bytes));
    for (index, piece) in content.chunks_mut(operation.tuning.chunk_len_bytes).enumerate() {
        let at = (index * operation.tuning.chunk_len_bytes) as u64;
        read_piece(operation, target, at, piece).map_err(Error::hal(doing))?;
        progress.advance(piece.len() as u64);
    }
    progress.finish();
    Ok(Found { content, bypass })
}

fn read_piece(
    operation: &Operation<'_>,
    target: &mut dyn Target,
    at: u64,
    piece: &mut [u8],
) -> hal::Result<()> {
    let len = operation.retry(|| hal::io::read_target(target, at, piece))?;
    if len < piece.len() {
        let object = format!("byte {}", at + len as u64);
        return Err(hal::Error::new(hal::ErrorKind::OutOfRange, "reading", object, "the area ends early"));
    }
    Ok(())
}

/// Writes `content` at `offset_bytes`, and makes it durable.
///
/// # Errors
/// Those of the target.
pub(super) fn write(
    operation: &Operation<'_>,
    target: &mut dyn Target,
    offset_bytes: u64,
    content: &[u8],
    doing: &str,
) -> Result<()> {
    let mut progress = operation.progress(doing, Some(content.len() as u64));
    for (index, piece) in content.chunks(operation.tuning.chunk_len_bytes).enumerate() {
        let at = offset_bytes + (index * operation.tuning.chunk_len_bytes) as u64;
        operation.retry(|| hal::io::write_target(target, at, piece)).map_err(Error::hal(doing))?;
        progress.advance(piece.len() as u64);
    }
    target.sync().map_err(Error::hal(doing))?;
    progress.finish();
    Ok(())
}

/// The ranges of the area that differ from `wanted` or cannot be read.
///
/// # Errors
/// If the caches cannot be bypassed.
pub(super) fn different(
    operation: &Operation<'_>,
    target: &mut dyn Target,
    wanted: &[u8],
) -> Result<Vec<Range<usize>>> {
    target.begin_verify().map_err(Error::hal("comparing the area with the old bootloader"))?;
    let mut different: Vec<Range<usize>> = Vec::new();
    let mut found = [0; PIECE_LEN_BYTES];
    for (index, piece) in wanted.chunks(PIECE_LEN_BYTES).enumerate() {
        let start = index * PIECE_LEN_BYTES;
        let found = &mut found[..piece.len()];
        let same = read_piece(operation, target, start as u64, found).is_ok() && *found == *piece;
        match different.last_mut() {
            _ if same => {}
            Some(last) if last.end == start => last.end = start + piece.len(),
            _ => different.push(start..start + piece.len()),
        }
    }
    Ok(different)
}

/// Compares what was read from the start of `area` with what it must hold.
///
/// # Errors
/// [`Error::Verify`] with the first byte that differs, and `detail`.
pub(super) fn compare(area: &DeviceName, wanted: &[u8], found: &Found, detail: &str) -> Result<Installed> {
    Installed::read_back(area, wanted, &found.content, found.bypass, detail)
}
