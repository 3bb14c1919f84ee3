//! Finds deleted data in the partitions of a sanitised image: free blocks, journals, memory in swap space.
//!
//! A clean file system has a map of the blocks that it does not use. Partitions without such a map are reported.

use super::layout::{self, Layout, Slot};
use super::survey;
use super::work::Work;
use crate::error::{Error, Result};
use crate::formats::swap::{HEAD_LEN_BYTES, Header};
use crate::operation::Operation;
use crate::ranges;
use replicator_hal::{self as hal, ErrorKind, FileSystemKind, Holder, RelativePath};
use std::ops::Range;

/// The unused bytes of the sanitised working image `image`, as ranges of the whole.
pub(super) fn find(
    operation: &Operation<'_>,
    work: &Work<'_>,
    layout: &Layout,
    image: &RelativePath,
    notes: &mut Vec<String>,
) -> Result<Vec<Range<u64>>> {
    if layout.overlaps() {
        notes.push("partitions overlap, so the image also has what was deleted on them".to_owned());
        return Ok(Vec::new());
    }
    let holder = Holder::File { volume: work.drive.id(), path: image.clone() };
    let mut unused = Vec::new();
    for part in survey::look(operation, layout, &holder)? {
        let slot = &part.slot;
        let Some(found) = &part.file_system else { continue };
        if found.kind == FileSystemKind::Swap && found.needs_recovery {
            make_plain(operation, work, image, slot)?;
        }
        let mut ranges = layout::unused_of(operation, &slot.region(&holder))?;
        if ranges.is_none() && found.kind.is_ext() {
            ranges = after_check(operation, slot, &holder)?;
        }
        match ranges {
            Some(ranges) => {
                unused.extend(ranges::shift(ranges, slot.bytes.start));
                if found.kind == FileSystemKind::Swap {
                    notes.push(format!("{part}: content cleared"));
                }
            }
            None if found.kind.is_read_only() || found.kind.is_container() => {}
            None => notes
                .push(format!("{part}: what was deleted on it may be in the image and stay on the drive")),
        }
    }
    Ok(unused)
}

/// Checks a file system that was not unmounted: the check replays the journal in the image, so that the map can be read.
fn after_check(operation: &Operation<'_>, slot: &Slot, holder: &Holder) -> Result<Option<Vec<Range<u64>>>> {
    let region = slot.region(holder);
    operation.step(&format!("checking the file system of partition {} in the image", slot.number));
    match operation.board.file_systems.fsck(&region) {
        Ok(fsck) => fsck.output.lines().for_each(|line| operation.log(line)),
        Err(error)
            if matches!(
                error.kind(),
                ErrorKind::Corrupt | ErrorKind::ToolFailed | ErrorKind::Unsupported
            ) =>
        {
            operation.log(&format!("it stays as it is: {error}"));
            return Ok(None);
        }
        Err(error) => return Err(Error::hal(format!("checking {region}"))(error)),
    }
    layout::unused_of(operation, &region)
}

/// Removes the hibernated system from swap space: a clone must not resume with the memory of the golden unit.
fn make_plain(operation: &Operation<'_>, work: &Work<'_>, image: &RelativePath, slot: &Slot) -> Result<()> {
    let doing = || format!("clearing swap space in {image}");
    let mut file = operation.retry(|| work.drive.open_write(image)).map_err(Error::hal(doing()))?;
    let start = slot.bytes.start;
    let mut head = vec![0; HEAD_LEN_BYTES];
    let len = hal::io::read_full(&mut head, |at, rest| operation.retry(|| file.read_at(start + at, rest)))
        .map_err(Error::hal(doing()))?;
    if let Some(header) = Header::find(&head[..len], slot.bytes.end - start) {
        let (at, end) = header.plain_end();
        operation.log(&format!("partition {} holds a hibernated system, which is removed", slot.number));
        hal::io::write_full(&end, |done, rest| operation.retry(|| file.write_at(start + at + done, rest)))
            .map_err(Error::hal(doing()))?;
    }
    file.sync().and_then(|()| file.close()).map_err(Error::hal(doing()))
}
