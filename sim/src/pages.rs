//! The bytes of a medium: sparse, copy on write.
//!
//! A page that was never written takes no memory and reads as zeros. Cloning costs nothing until one side is written,
//! so a snapshot before every operation of a run is cheap. Caches, faults and the meaning of the bytes live above.

use crate::random::{FOLD_START, fold};
use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

/// Length of a page, the unit of copy on write and of the host's page cache.
pub const PAGE_LEN: usize = 4096;
/// Length of a sector, the unit that a power cut writes whole or not at all.
pub const SECTOR_LEN: usize = 512;

/// One page.
pub type Page = [u8; PAGE_LEN];

/// Sparse bytes of a fixed length.
#[derive(Debug, Clone, Default)]
pub struct Pages {
    len_bytes: u64,
    pages: Arc<BTreeMap<u64, Arc<Page>>>,
}

impl Pages {
    /// `len_bytes` zeros.
    pub fn zeros(len_bytes: u64) -> Self {
        Self { len_bytes, pages: Arc::default() }
    }

    /// Length in bytes.
    pub fn len_bytes(&self) -> u64 {
        self.len_bytes
    }

    /// Fills `buffer` from `offset_bytes`; what lies past the end reads as zeros.
    pub fn read(&self, offset_bytes: u64, buffer: &mut [u8]) {
        for_each_piece(offset_bytes, buffer.len(), |page, start, piece| {
            let target = &mut buffer[piece];
            match self.pages.get(&page) {
                Some(bytes) => target.copy_from_slice(&bytes[start..start + target.len()]),
                None => target.fill(0),
            }
        });
    }

    /// Writes `data` at `offset_bytes`; what lies past the end is dropped.
    pub fn write(&mut self, offset_bytes: u64, data: &[u8]) {
        let room = self.len_bytes.saturating_sub(offset_bytes);
        let data = &data[..data.len().min(usize::try_from(room).unwrap_or(usize::MAX))];
        if data.is_empty() {
            return;
        }
        let pages = Arc::make_mut(&mut self.pages);
        for_each_piece(offset_bytes, data.len(), |page, start, piece| {
            let source = &data[piece];
            let bytes = pages.entry(page).or_insert_with(|| Arc::new([0; PAGE_LEN]));
            Arc::make_mut(bytes)[start..start + source.len()].copy_from_slice(source);
        });
    }

    /// A copy of a whole range.
    pub fn bytes(&self, offset_bytes: u64, len: usize) -> Vec<u8> {
        let mut buffer = vec![0; len];
        self.read(offset_bytes, &mut buffer);
        buffer
    }

    /// A copy of all bytes.
    pub fn to_vec(&self) -> Vec<u8> {
        self.bytes(0, usize::try_from(self.len_bytes).unwrap_or(usize::MAX))
    }

    /// A hash of length and content; a page of zeros counts as one that was never written.
    pub fn hash(&self) -> u64 {
        let mut hash = fold(FOLD_START, &self.len_bytes.to_le_bytes());
        for (number, page) in self.pages.iter().filter(|(_, page)| page.iter().any(|byte| *byte != 0)) {
            hash = fold(hash, &number.to_le_bytes());
            for word in page.chunks_exact(8) {
                let word = word.iter().rev().fold(0, |value, byte| (value << 8) | u64::from(*byte));
                hash = (hash ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
            }
        }
        hash
    }

    /// Whether both are the same pages in memory, so that nothing need be compared.
    pub(crate) fn is_shared_with(&self, other: &Self) -> bool {
        self.len_bytes == other.len_bytes && Arc::ptr_eq(&self.pages, &other.pages)
    }

    /// The pages that are stored.
    pub(crate) fn stored(&self) -> &Arc<BTreeMap<u64, Arc<Page>>> {
        &self.pages
    }

    /// Writes the bytes to a sparse file that common tools can open.
    ///
    /// # Errors
    /// Those of creating and writing the file.
    pub fn dump(&self, path: &Path) -> io::Result<()> {
        let file = File::create(path)?;
        file.set_len(self.len_bytes)?;
        for (number, page) in self.pages.iter().filter(|(_, page)| page.iter().any(|byte| *byte != 0)) {
            let start = number * PAGE_LEN as u64;
            let len = self.len_bytes.saturating_sub(start).min(PAGE_LEN as u64) as usize;
            file.write_all_at(&page[..len], start)?;
        }
        file.sync_all()
    }
}

impl PartialEq for Pages {
    /// Equal length and bytes, whatever is stored sparsely.
    fn eq(&self, other: &Self) -> bool {
        if self.is_shared_with(other) {
            return true;
        }
        let zeros = [0; PAGE_LEN];
        let covers = |one: &Self, two: &Self| {
            one.pages.iter().all(|(number, page)| match two.pages.get(number) {
                Some(same) => Arc::ptr_eq(page, same) || page == same,
                None => **page == zeros,
            })
        };
        self.len_bytes == other.len_bytes && covers(self, other) && covers(other, self)
    }
}

impl Eq for Pages {}

impl From<&[u8]> for Pages {
    fn from(bytes: &[u8]) -> Self {
        let mut pages = Self::zeros(bytes.len() as u64);
        pages.write(0, bytes);
        pages
    }
}

/// Cuts a range at page borders: calls `visit(page number, start in page, range in the caller's buffer)`.
pub(crate) fn for_each_piece(
    offset_bytes: u64,
    len: usize,
    mut visit: impl FnMut(u64, usize, std::ops::Range<usize>),
) {
    let mut done = 0;
    while done < len {
        let at = offset_bytes + done as u64;
        let start = (at % PAGE_LEN as u64) as usize;
        let piece = (PAGE_LEN - start).min(len - done);
        visit(at / PAGE_LEN as u64, start, done..done + piece);
        done += piece;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_across_pages_read_back_and_clones_stay_apart() {
        let mut pages = Pages::zeros(10_000);
        let data: Vec<u8> = (0..6000).map(|number| (number % 251) as u8).collect();
        pages.write(3000, &data);
        let before = pages.clone();
        assert_eq!(pages.bytes(3000, 6000), data);
        pages.write(3000, &[9]);
        assert_eq!(before.bytes(3000, 1), data[..1]);
        assert_ne!(before, pages);
        assert_ne!(before.hash(), pages.hash());
    }

    #[test]
    fn nothing_is_written_past_the_end() {
        let mut pages = Pages::zeros(5000);
        pages.write(4998, b"abcdef");
        assert_eq!(pages.bytes(4998, 4), b"ab\0\0");
        pages.write(9000, b"x");
        assert_eq!(pages.len_bytes(), 5000);
    }

    #[test]
    fn written_zeros_equal_holes() {
        let mut pages = Pages::zeros(9000);
        pages.write(0, &[0; 9000]);
        assert_eq!(pages, Pages::zeros(9000));
        assert_eq!(pages.hash(), Pages::zeros(9000).hash());
    }

    #[test]
    fn a_dump_has_the_same_bytes() {
        let directory = tempfile::tempdir().unwrap();
        let mut pages = Pages::zeros(1 << 20);
        pages.write(70_000, b"hello");
        let path = directory.path().join("sd.img");
        pages.dump(&path).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), pages.to_vec());
    }
}
