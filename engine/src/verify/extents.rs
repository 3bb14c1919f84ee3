//! Hashes of the extents that were written to a medium, and the comparison with what it holds afterwards.

use super::kept::Kept;
use crate::error::{Error, FaultyPart, Result};
use crate::formats::within;
use crate::operation::{Operation, Progress};
use replicator_hal::{self as hal, Target};
use xxhash_rust::xxh3::Xxh3;

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
    hash: Xxh3,
    offset_bytes: u64,
    len_bytes: u64,
}

/// All that was written.
pub(crate) struct Written {
    extents: Vec<Extent>,
    /// How much is read back at once.
    piece_len_bytes: usize,
}

impl Extents {
    /// For an image that is written in chunks of this length.
    pub(crate) fn new(chunk_len_bytes: usize, image_len_bytes: Option<u64>) -> Self {
        let needed = image_len_bytes.unwrap_or(0).div_ceil(EXTENTS_MAX);
        Self {
            chunk_len_bytes,
            extent_len_bytes: needed.max(1).next_multiple_of((chunk_len_bytes as u64).max(1)),
            done: Vec::new(),
            hash: Xxh3::new(),
            offset_bytes: 0,
            len_bytes: 0,
        }
    }

    /// Adds data that follows the data added before.
    pub(crate) fn add(&mut self, offset_bytes: u64, chunk: &[u8]) {
        if self.len_bytes == 0 {
            self.offset_bytes = offset_bytes;
        }
        self.hash.update(chunk);
        self.len_bytes += chunk.len() as u64;
        if self.len_bytes >= self.extent_len_bytes {
            self.close();
        }
    }

    /// Adds data at another place.
    pub(crate) fn add_at(&mut self, offset_bytes: u64, bytes: &[u8]) {
        if self.len_bytes > 0 {
            self.close();
        }
        self.add(offset_bytes, bytes);
        if self.len_bytes > 0 {
            self.close();
        }
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
        Written { extents: self.done, piece_len_bytes: self.chunk_len_bytes }
    }
}

impl Written {
    /// Only these bytes, which are read back at once.
    pub(crate) fn of(offset_bytes: u64, bytes: &[u8]) -> Self {
        let mut extents = Extents::new(bytes.len(), None);
        extents.add_at(offset_bytes, bytes);
        extents.finish()
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
        self.compare_part(operation, target, &self.extents, doing).map(|()| Kept(()))
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
        self.compare_part(operation, target, last(&self.extents, len_bytes), "verifying")
    }

    fn compare_part(
        &self,
        operation: &Operation<'_>,
        target: &mut dyn Target,
        extents: &[Extent],
        doing: &str,
    ) -> Result<()> {
        let total = extents.iter().map(|extent| extent.len_bytes).sum();
        let mut progress = operation.progress(doing, Some(total));
        let mut buffer = vec![0; self.piece_len_bytes];
        for extent in extents {
            compare_extent(operation, target, extent, &mut buffer, &mut progress)?;
        }
        progress.finish();
        Ok(())
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
        only_zeros = only_zeros && found.iter().all(|byte| *byte == 0);
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
