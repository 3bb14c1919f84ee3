//! Gives the space of packed files back to the drive while the root file system in a working image is packed as a tarball,
//! so that image and packed file need not both fit on the drive.
//!
//! The file system in the image is mounted read-only. It says where the data of a file is, and these ranges of the image
//! are punched once they are packed. The kernel's memory may still hold the old data, but nothing is read twice: the entry
//! of a second name has no data. If a later file has data in a range that was packed (two files share blocks, in a file
//! system that is damaged or made for reading only), the capture fails.
//!
//! As for a disk image, what is given back is in the packed file, or was overwritten before (see [`super::wipe`]).

use super::give_back;
use crate::error::{Error, Result};
use crate::operation::Operation;
use crate::ranges;
use crate::size::Size;
use replicator_hal::{self as hal, FileExtent, Region, RelativePath, Volume, VolumeFile};
use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;

/// The largest block of an ext drive. A part of a block cannot be given back.
const BLOCK_LEN_BYTES: u64 = 4096;
/// How many ranges are collected before they are given back.
const WAITING_MAX: usize = 4096;
/// How many ranges that were packed are remembered. More are not given back.
const PACKED_MAX: usize = 32 * 1024;

/// Gives back what was packed.
pub(super) struct GiveBackFiles<'a> {
    operation: &'a Operation<'a>,
    /// The working image, open for writing.
    image: Box<dyn VolumeFile>,
    path: RelativePath,
    /// Where the file system is in the image.
    start_bytes: u64,
    /// All that was packed, as ranges of the image.
    packed: RangeSet,
    /// What was packed and not given back yet.
    waiting: Vec<Range<u64>>,
    waiting_bytes: u64,
    step_len_bytes: u64,
    given_bytes: u64,
    is_over: bool,
}

/// The data of a file that is not packed yet: its extents in the image, from front to back.
#[derive(Default)]
pub(super) struct Unpacked(VecDeque<FileExtent>);

impl<'a> GiveBackFiles<'a> {
    /// `None` if the drive has room for `packed_bytes` beside the working image `path`, whose `region` is packed, or if its
    /// file system cannot give space back. The ranges in `zeros` hold zeros and are given back at once.
    pub(super) fn new(
        operation: &'a Operation<'a>,
        drive: &dyn Volume,
        path: &RelativePath,
        region: &Region,
        packed_bytes: u64,
        zeros: &[Range<u64>],
    ) -> Result<Option<Self>> {
        if !give_back::is_needed(operation, drive, packed_bytes)? {
            return Ok(None);
        }
        let mut image = operation
            .retry(|| drive.open_write(path))
            .map_err(Error::hal(format!("opening {path} on the drive")))?;
        give_back::zeros(operation, &mut *image, zeros).map_err(Error::hal(giving_back(path)))?;
        Ok(Some(Self {
            operation,
            image,
            path: path.clone(),
            start_bytes: region.offset_bytes,
            packed: RangeSet::default(),
            waiting: Vec::new(),
            waiting_bytes: 0,
            step_len_bytes: give_back::step_len_bytes(operation),
            given_bytes: 0,
            is_over: false,
        }))
    }

    /// Finds the data of the open `file`, before it is read.
    ///
    /// # Errors
    /// `Corrupt` if some of it was packed for another file, so that it may be given back already.
    pub(super) fn find(&self, path: &RelativePath, file: &dyn VolumeFile) -> Result<Unpacked> {
        let doing = || format!("packing /{path}");
        let mut extents = self.operation.retry(|| file.extents()).map_err(Error::hal(doing()))?;
        for extent in &mut extents {
            extent.place = extent.place.start + self.start_bytes..extent.place.end + self.start_bytes;
        }
        if let Some(extent) = extents.iter().find(|extent| self.packed.overlaps(&extent.place)) {
            let start = extent.place.start;
            let detail =
                format!("its blocks at byte {start} of the working image belong to another file, too");
            let error = hal::Error::new(hal::ErrorKind::Corrupt, "reading", path.to_string(), detail);
            return Err(Error::hal(doing())(error));
        }
        let places: Vec<Range<u64>> = extents.iter().map(|extent| extent.place.clone()).collect();
        // Of a file that uses a block twice, nothing is given back.
        let is_simple = ranges::len_bytes(&places) == ranges::len_bytes(&ranges::joined(places));
        Ok(if is_simple { Unpacked(extents.into()) } else { Unpacked::default() })
    }

    /// The data of a file up to `end_bytes` of it is packed.
    pub(super) fn packed_to(&mut self, unpacked: &mut Unpacked, end_bytes: u64) -> Result<()> {
        if self.is_over {
            return Ok(());
        }
        while let Some(packed) = unpacked.take(end_bytes) {
            self.waiting_bytes += packed.end - packed.start;
            self.packed.add(packed.clone());
            self.waiting.push(packed);
        }
        if self.packed.len() > PACKED_MAX {
            self.operation
                .log("the packed files are in too many places to give back more of the working image");
            self.is_over = true;
        }
        if self.waiting_bytes < self.step_len_bytes && self.waiting.len() < WAITING_MAX {
            return Ok(());
        }
        self.waiting_bytes = 0;
        let waiting = std::mem::take(&mut self.waiting);
        self.give(waiting).map_err(Error::hal(giving_back(&self.path)))
    }

    fn give(&mut self, packed: Vec<Range<u64>>) -> hal::Result<()> {
        let (operation, image) = (self.operation, &mut self.image);
        for range in ranges::joined(packed) {
            let range = whole_blocks(&range);
            let len_bytes = range.end - range.start;
            if len_bytes == 0 {
                continue;
            }
            // First, because an error does not tell what was given back.
            self.given_bytes += len_bytes;
            if !operation.retry(|| image.punch(range.start, len_bytes))? {
                operation.log("the drive's file system cannot give back space of the working image");
                self.given_bytes -= len_bytes;
                self.is_over = true;
                return Ok(());
            }
        }
        operation.renew(operation.tuning.io_lease);
        Ok(())
    }

    /// Whether the working image is still complete.
    pub(super) fn is_complete(&self) -> bool {
        self.given_bytes == 0
    }

    /// Closes the working image, and logs how much was given back.
    pub(super) fn finish(mut self) -> Result<()> {
        if !self.is_complete() {
            let given = Size(self.given_bytes);
            self.operation.log(&format!("{given:#} of the working image were given back to the drive"));
        }
        self.image.close().map_err(Error::hal(format!("closing {} on the drive", self.path)))
    }
}

impl Unpacked {
    /// Takes a range of the image that holds data before `end_bytes` of the file; `None` if there is no more.
    fn take(&mut self, end_bytes: u64) -> Option<Range<u64>> {
        let extent = self.0.front_mut().filter(|extent| extent.offset_bytes < end_bytes)?;
        let len_bytes = end_bytes - extent.offset_bytes;
        if len_bytes >= extent.place.end - extent.place.start {
            return self.0.pop_front().map(|extent| extent.place);
        }
        let start = extent.place.start;
        extent.place.start += len_bytes;
        extent.offset_bytes += len_bytes;
        Some(start..start + len_bytes)
    }
}

fn giving_back(path: &RelativePath) -> String {
    format!("giving back blocks of {path} on the drive")
}

/// The whole blocks in `range`; empty if there are none.
fn whole_blocks(range: &Range<u64>) -> Range<u64> {
    let start = range.start.div_ceil(BLOCK_LEN_BYTES) * BLOCK_LEN_BYTES;
    start..(range.end / BLOCK_LEN_BYTES * BLOCK_LEN_BYTES).max(start)
}

/// Ranges in any order, joined where they meet: ends by starts.
#[derive(Default)]
struct RangeSet(BTreeMap<u64, u64>);

impl RangeSet {
    fn add(&mut self, range: Range<u64>) {
        let (mut start, mut end) = (range.start, range.end);
        while let Some((other_start, other_end)) = self.before(end + 1).filter(|(_, other)| *other >= start) {
            self.0.remove(&other_start);
            (start, end) = (start.min(other_start), end.max(other_end));
        }
        self.0.insert(start, end);
    }

    fn overlaps(&self, range: &Range<u64>) -> bool {
        self.before(range.end).is_some_and(|(_, end)| end > range.start)
    }

    /// The last range that begins before `at`.
    fn before(&self, at: u64) -> Option<(u64, u64)> {
        self.0.range(..at).next_back().map(|(start, end)| (*start, *end))
    }

    fn len(&self) -> usize {
        self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_part_of_a_block_is_not_given_back() {
        assert_eq!(whole_blocks(&(1..3 * 4096 - 1)), 4096..2 * 4096);
        assert_eq!(whole_blocks(&(4096..2 * 4096)), 4096..2 * 4096);
        assert!(whole_blocks(&(1..4096)).is_empty());
    }

    #[test]
    fn data_is_taken_up_to_what_was_packed() {
        let extent = |offset_bytes, place| FileExtent { offset_bytes, place };
        let mut unpacked =
            Unpacked(VecDeque::from([extent(0, 50..60), extent(10, 20..30), extent(40, 70..80)]));
        assert_eq!(unpacked.take(4), Some(50..54));
        assert_eq!(unpacked.take(4), None);
        assert_eq!(
            (unpacked.take(15), unpacked.take(15), unpacked.take(15)),
            (Some(54..60), Some(20..25), None)
        );
        assert_eq!(
            (unpacked.take(99), unpacked.take(99), unpacked.take(99)),
            (Some(25..30), Some(70..80), None)
        );
    }

    proptest! {
        #[test]
        fn added_ranges_are_found_again(added in prop::collection::vec((0_u64..60, 1_u64..8), 0..20), start in 0_u64..64, len in 1_u64..6) {
            let mut set = RangeSet::default();
            for (start, len) in &added {
                set.add(*start..start + len);
            }
            let is_in = |byte: u64| added.iter().any(|(start, len)| (*start..start + len).contains(&byte));
            prop_assert_eq!(set.overlaps(&(start..start + len)), (start..start + len).any(is_in));
            let starts: Vec<u64> = set.0.keys().copied().collect();
            let ends: Vec<u64> = set.0.values().copied().collect();
            prop_assert!(ends.iter().zip(starts.iter().skip(1)).all(|(end, next)| end < next));
            for byte in 0..80 {
                prop_assert_eq!(set.overlaps(&(byte..byte + 1)), is_in(byte));
            }
        }
    }
}
