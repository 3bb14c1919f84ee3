//! Writes all of a disk image but its start, which is held back.
//!
//! Data is written. Zeros are written only where the medium does not seem to hold zeros already. Where they are left out, the
//! comparison proves that the medium holds them, unless the block map of the image leaves them out, too.

use super::clearing::Clearing;
use super::fitted;
use super::image_map::MapCheck;
use super::preflight::Checked;
use crate::error::{Error, FaultyPart, Result};
use crate::formats::block_map::BlockMap;
use crate::formats::{within, zeros};
use crate::operation::Operation;
use crate::ranges;
use crate::verify::{Announced, Expected, Extents, ImageReader, Verified, Written};
use replicator_hal::{self as hal, ReadTree, Target};
use std::ops::Range;

/// Shorter runs of zeros are written as data: a gap in a write costs more than it saves.
const PIECE_LEN_BYTES: u64 = 64 << 10;

/// How many ranges are left to the map at most. Each adds an extent to the comparison: 0.5 MiB of memory.
const UNREAD_MAX: usize = 1 << 14;

/// What was written, and the start that is not written yet.
pub(super) struct Body {
    pub(super) written: Written,
    pub(super) held_back: Vec<u8>,
    /// How many bytes were written.
    pub(super) written_bytes: u64,
    /// Zeros of the image that its block map leaves out, in order: neither written nor compared.
    pub(super) unread: Vec<Range<u64>>,
    /// Remarks about the image's partitions.
    pub(super) notes: Vec<String>,
}

/// A medium that is written from front to back.
struct Writer<'a> {
    operation: &'a Operation<'a>,
    target: &'a mut dyn Target,
    clearing: &'a Clearing,
    map: Option<&'a BlockMap>,
    extents: Extents,
    written_bytes: u64,
    unread: Vec<Range<u64>>,
}

impl Writer<'_> {
    /// Writes the parts of `chunk` that the medium does not seem to hold.
    fn place(&mut self, offset_bytes: u64, chunk: &[u8]) -> Result<()> {
        let end_bytes = offset_bytes + chunk.len() as u64;
        if !self.clearing.has(&(offset_bytes..end_bytes)) {
            return self.write(offset_bytes, chunk);
        }
        for (range, is_zeros) in zeros::parts(chunk, offset_bytes, PIECE_LEN_BYTES) {
            let (at, part) = (offset_bytes + range.start as u64, &chunk[range]);
            match is_zeros {
                true => self.leave(at, part)?,
                false => self.write(at, part)?,
            }
        }
        Ok(())
    }

    /// Leaves out zeros, piece by piece, because a map may leave out only some of them.
    fn leave(&mut self, mut at: u64, mut zeros: &[u8]) -> Result<()> {
        while !zeros.is_empty() {
            let (piece, rest) = zeros.split_at(within(zeros.len(), PIECE_LEN_BYTES - at % PIECE_LEN_BYTES));
            let range = at..at + piece.len() as u64;
            at = range.end;
            zeros = rest;
            let is_unused = self.map.is_some_and(|map| map.leaves_out(&range));
            let is_left = is_unused && ranges::append(&mut self.unread, range.clone(), UNREAD_MAX)
                || self.extents.add_left(range.start, piece);
            if !is_left {
                self.write(range.start, piece)?;
            }
        }
        Ok(())
    }

    fn write(&mut self, offset_bytes: u64, part: &[u8]) -> Result<()> {
        if part.is_empty() {
            return Ok(());
        }
        write_at(self.operation, self.target, offset_bytes, part)?;
        self.extents.add(offset_bytes, part);
        self.written_bytes += part.len() as u64;
        Ok(())
    }
}

/// Writes `bytes`, and retries after a transient error.
pub(super) fn write_at(
    operation: &Operation<'_>,
    target: &mut dyn Target,
    offset_bytes: u64,
    bytes: &[u8],
) -> Result<()> {
    let label = operation.label();
    operation
        .retry(|| hal::io::write_target(target, offset_bytes, bytes))
        .map_err(Error::hal(format!("writing {label} at byte {offset_bytes}")))
}

/// Writes all but the start, and verifies the image at the same time.
pub(super) fn write(
    operation: &Operation<'_>,
    drive: &dyn ReadTree,
    checked: &Checked,
    target: &mut dyn Target,
    clearing: &Clearing,
) -> Result<(Body, Verified)> {
    let file_name = checked.image.name.to_string();
    let medium_len_bytes = target.len_bytes();
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
    let extents = Extents::new(operation.tuning.chunk_len_bytes, checked.content_len_bytes);
    let map = checked.map.as_ref().map(|found| &found.map);
    let mut map_check = checked.map.as_ref().map(|map| MapCheck::new(map, &file_name));
    let mut writer =
        Writer { operation, target, clearing, map, extents, written_bytes: 0, unread: Vec::new() };
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
        if let Some(check) = &mut map_check {
            check.pass(offset_bytes, &buffer[..len])?;
        }
        let kept = fitted::keep(&checked.disk, &file_name, offset_bytes, &buffer[..len], medium_len_bytes)?;
        let chunk = &mut buffer[..kept];
        fitted::overlay(&checked.disk.patches, offset_bytes, chunk);
        if held_left > 0 {
            held_back.extend_from_slice(chunk);
        } else {
            writer.place(offset_bytes, chunk)?;
        }
        offset_bytes += len as u64;
    }
    drop(content);
    map_check.map_or(Ok(()), MapCheck::finish)?;
    let image = image.finish()?;
    let len_bytes = image.content_len_bytes();
    let mut notes = Vec::new();
    if let Some(mut places) = unseen {
        places.end(len_bytes);
        let checked_places = places.check(len_bytes, medium_len_bytes);
        notes = checked_places.map_err(|unfit| Error::Verify {
            part: FaultyPart::Image,
            what: file_name.clone(),
            offset_bytes: None,
            detail: format!("it {}", unfit.what),
        })?;
    }
    for (offset_bytes, bytes) in fitted::behind(&checked.disk.patches, len_bytes) {
        writer.write(offset_bytes, bytes)?;
    }
    let written_bytes = writer.written_bytes + held_back.len() as u64;
    let unread = writer.unread;
    Ok((Body { written: writer.extents.finish(), held_back, written_bytes, unread, notes }, image))
}
