//! Hashes of the extents that a medium must hold, and the comparison with what it holds.
//!
//! Most extents were written. Of others only zeros are expected that the medium had before, see [`Extents::add_left`]; they
//! are compared like all others. Ranges that were never added are not read.

use super::kept::Kept;
use crate::error::{Error, FaultyPart, Result};
use crate::formats::{within, zeros};
use crate::operation::{Operation, Progress};
use crate::ranges;
use replicator_hal::{self as hal, ErrorKind, Target};
use std::ops::Range;
use xxhash_rust::xxh3::Xxh3;

/// How many ranges of zeros that were not written are kept at most: 1 MiB of memory.
const LEFT_MAX: usize = 1 << 16;
/// How many hashes of an image are kept at most: 2 MiB of memory.
const EXTENTS_MAX: u64 = 1 << 16;

/// The expected content of one extent of the medium.
struct Extent {
    offset_bytes: u64,
    len_bytes: u64,
    hash: u128,
}

/// Hashes the written data from front to back, extent by extent.
pub(crate) struct Extents {
    chunk_len_bytes: usize,
    extent_len_bytes: u64,
    done: Vec<Extent>,
    left: Vec<Range<u64>>,
    hash: Xxh3,
    offset_bytes: u64,
    len_bytes: u64,
}

/// All that was written.
pub(crate) struct Written {
    extents: Vec<Extent>,
    /// Ranges that must hold zeros and were not written, in order.
    left: Vec<Range<u64>>,
    /// How much is read back at once.
    piece_len_bytes: usize,
    /// Length of an extent.
    extent_len_bytes: u64,
}

impl Extents {
    /// For an image that is written in chunks of this length.
    pub(crate) fn new(chunk_len_bytes: usize, image_len_bytes: Option<u64>) -> Self {
        let needed = image_len_bytes.unwrap_or(0).div_ceil(EXTENTS_MAX);
        Self {
            chunk_len_bytes,
            extent_len_bytes: needed.max(1).next_multiple_of((chunk_len_bytes as u64).max(1)),
            done: Vec::new(),
            left: Vec::new(),
            hash: Xxh3::new(),
            offset_bytes: 0,
            len_bytes: 0,
        }
    }

    /// Adds data that lies behind the data added before.
    pub(crate) fn add(&mut self, offset_bytes: u64, chunk: &[u8]) {
        if self.len_bytes > 0 && self.offset_bytes + self.len_bytes != offset_bytes {
            self.close();
        }
        if self.len_bytes == 0 {
            self.offset_bytes = offset_bytes;
        }
        self.hash.update(chunk);
        self.len_bytes += chunk.len() as u64;
        if self.len_bytes >= self.extent_len_bytes {
            self.close();
        }
    }

    /// Adds `zeros` that are not written, because the medium seems to hold them. `false` if they must be written: there are
    /// too many of such ranges. Then nothing was added.
    #[must_use]
    pub(crate) fn add_left(&mut self, offset_bytes: u64, zeros: &[u8]) -> bool {
        let range = offset_bytes..offset_bytes + zeros.len() as u64;
        let is_added = ranges::append(&mut self.left, range, LEFT_MAX);
        if is_added {
            self.add(offset_bytes, zeros);
        }
        is_added
    }

    fn close(&mut self) {
        let hash = self.hash.digest128();
        self.done.push(Extent { offset_bytes: self.offset_bytes, len_bytes: self.len_bytes, hash });
        self.hash.reset();
        self.len_bytes = 0;
    }

    /// All of it.
    pub(crate) fn finish(mut self) -> Written {
        if self.len_bytes > 0 {
            self.close();
        }
        Written {
            extents: self.done,
            left: self.left,
            piece_len_bytes: self.chunk_len_bytes,
            extent_len_bytes: self.extent_len_bytes,
        }
    }
}

/// The result of a comparison.
pub(crate) enum Compared {
    /// The medium holds everything.
    Kept(Kept),
    /// These ranges were not written, and the medium does not hold zeros there, or not in their neighbourhood.
    NotZeros(Vec<Range<u64>>),
}

impl Written {
    /// Only these bytes, which are read back at once.
    pub(crate) fn of(offset_bytes: u64, bytes: &[u8]) -> Self {
        let mut extents = Extents::new(bytes.len(), None);
        extents.add(offset_bytes, bytes);
        extents.finish()
    }

    /// Adds ranges of zeros that were not added before.
    pub(crate) fn add_zeros(&mut self, ranges: &[Range<u64>]) {
        let zeros = vec![0; self.piece_len_bytes];
        for range in ranges {
            let mut extents = Extents::new(self.piece_len_bytes, None);
            extents.extent_len_bytes = self.extent_len_bytes;
            let mut at_bytes = range.start;
            while at_bytes < range.end {
                let part = &zeros[..within(zeros.len(), range.end - at_bytes)];
                extents.add(at_bytes, part);
                at_bytes += part.len() as u64;
            }
            self.extents.extend(extents.finish().extents);
        }
        self.extents.sort_by_key(|extent| extent.offset_bytes);
    }

    /// Compares all of it with the medium, as progress of `doing`. The caller has bypassed the caches.
    ///
    /// # Errors
    /// [`Error::Verify`]; those of the medium.
    pub(crate) fn compare(
        &self,
        operation: &Operation<'_>,
        target: &mut dyn Target,
        doing: &str,
    ) -> Result<Kept> {
        self.compare_part(operation, target, &self.extents, doing, &[]).map(|_| Kept(()))
    }

    /// The same, but an extent that differs or cannot be read is no error yet if zeros in it were not written.
    ///
    /// # Errors
    /// As [`Written::compare`].
    pub(crate) fn compare_left(
        &self,
        operation: &Operation<'_>,
        target: &mut dyn Target,
        doing: &str,
    ) -> Result<Compared> {
        let not_zeros = self.compare_part(operation, target, &self.extents, doing, &self.left)?;
        Ok(if not_zeros.is_empty() { Compared::Kept(Kept(())) } else { Compared::NotZeros(not_zeros) })
    }

    /// How many bytes must be zeros and were not written.
    pub(crate) fn left_bytes(&self) -> u64 {
        ranges::len_bytes(&self.left)
    }

    /// Compares the last extents once more, `len_bytes` of them or a little more. That proves nothing of the others.
    ///
    /// # Errors
    /// [`Error::Verify`]; those of the medium.
    pub(crate) fn compare_end(
        &self,
        operation: &Operation<'_>,
        target: &mut dyn Target,
        len_bytes: u64,
    ) -> Result<()> {
        self.compare_part(operation, target, last(&self.extents, len_bytes), "verifying", &[]).map(drop)
    }

    fn compare_part(
        &self,
        operation: &Operation<'_>,
        target: &mut dyn Target,
        extents: &[Extent],
        doing: &str,
        left: &[Range<u64>],
    ) -> Result<Vec<Range<u64>>> {
        let total = extents.iter().map(|extent| extent.len_bytes).sum();
        let mut progress = operation.progress(doing, Some(total));
        let mut buffer = vec![0; self.piece_len_bytes];
        let mut not_zeros = Vec::new();
        for extent in extents {
            let result = compare_extent(operation, target, extent, &mut buffer, &mut progress);
            let Err(error) = result else { continue };
            let left = ranges::clip(left, extent.offset_bytes..extent.offset_bytes + extent.len_bytes);
            if left.is_empty() || !is_of_bytes(&error) {
                return Err(error);
            }
            operation.log(&error.to_string());
            not_zeros.extend(left);
        }
        progress.finish();
        Ok(not_zeros)
    }
}

/// Whether bytes of the medium are wrong or cannot be read, and writing them may help.
fn is_of_bytes(error: &Error) -> bool {
    match error {
        Error::Verify { .. } => true,
        Error::Hal { source, .. } => source.kind() == ErrorKind::Io,
        _ => false,
    }
}

fn compare_extent(
    operation: &Operation<'_>,
    target: &mut dyn Target,
    extent: &Extent,
    buffer: &mut [u8],
    progress: &mut Progress<'_>,
) -> Result<()> {
    let label = operation.label();
    let (mut hash, mut done_bytes, mut only_zeros) = (Xxh3::new(), 0, true);
    let differs = |detail: &str| {
        let (what, offset_bytes) = (label.to_owned(), Some(extent.offset_bytes));
        Err(Error::Verify { part: FaultyPart::Medium, what, offset_bytes, detail: detail.to_owned() })
    };
    while done_bytes < extent.len_bytes {
        let offset_bytes = extent.offset_bytes + done_bytes;
        let wanted = within(buffer.len(), extent.len_bytes - done_bytes);
        let found = &mut buffer[..wanted];
        let len = operation
            .retry(|| hal::io::read_target(target, offset_bytes, found))
            .map_err(Error::hal(format!("reading {label} back at byte {offset_bytes}")))?;
        if len < wanted {
            return differs("the medium ends there");
        }
        hash.update(found);
        only_zeros = only_zeros && zeros::only_zeros(found);
        done_bytes += len as u64;
        progress.advance(len as u64);
    }
    match (hash.digest128() == extent.hash, only_zeros) {
        (true, _) => Ok(()),
        (false, true) => differs("it reads as zeros"),
        (false, false) => differs("it reads other bytes than were written"),
    }
}

/// The last extents, `len_bytes` of them or a little more.
fn last(extents: &[Extent], len_bytes: u64) -> &[Extent] {
    let mut left_bytes = len_bytes;
    let mut start = extents.len();
    while start > 0 && left_bytes > 0 {
        start -= 1;
        left_bytes = left_bytes.saturating_sub(extents[start].len_bytes);
    }
    &extents[start..]
}

#[cfg(test)]
mod tests {
    use super::*;
    use xxhash_rust::xxh3::xxh3_128;

    #[test]
    fn the_last_extents_cover_the_given_length() {
        let extent = |number: u64| Extent { offset_bytes: number * 100, len_bytes: 100, hash: 0 };
        let all: Vec<Extent> = (0..5).map(extent).collect();
        let first = |len_bytes| last(&all, len_bytes).first().map(|extent| extent.offset_bytes);
        assert_eq!([0, 1, 100, 101].map(first), [None, Some(400), Some(400), Some(300)]);
        assert_eq!([500, 501, u64::MAX].map(first), [Some(0); 3]);
        assert!(last(&[], 1).is_empty());
    }

    #[test]
    fn extents_cover_everything_and_their_number_is_bounded() {
        let chunk = [7; 1024];
        for chunks in [0, 1, 2, 3, 64, 65] {
            let mut extents = Extents::new(chunk.len(), None);
            extents.extent_len_bytes = 2048;
            let start_bytes = 100;
            for number in 0..chunks {
                extents.add(start_bytes + number * 1024, &chunk);
            }
            extents.add(start_bytes + chunks * 1024, &chunk[..3]);
            let mut offset_bytes = start_bytes;
            for extent in extents.finish().extents {
                assert_eq!(extent.offset_bytes, offset_bytes);
                let content = vec![7; extent.len_bytes as usize];
                assert_eq!(extent.hash, xxh3_128(&content));
                offset_bytes += extent.len_bytes;
            }
            assert_eq!(offset_bytes, start_bytes + chunks * 1024 + 3);
        }
        for image_len_bytes in [1_u64 << 40, (1 << 40) + 1, u64::MAX >> 8] {
            let extents = Extents::new(1 << 20, Some(image_len_bytes));
            assert!(image_len_bytes.div_ceil(extents.extent_len_bytes) <= EXTENTS_MAX);
            assert_eq!(extents.extent_len_bytes % (1 << 20), 0);
        }
        assert_eq!(Extents::new(1 << 20, Some(64 << 30)).extent_len_bytes, 1 << 20);
    }
}
