//! The bytes of a medium: sparse, copy on write.
//!
//! A page that was never written takes no memory and reads as zeros. A clone shares all pages; the first write to one
//! side copies one chunk of the page table. So a snapshot before every operation of a run is cheap. Hashes are cached
//! with the pages: pages that two snapshots share are hashed once. Caches, faults and the meaning of the bytes are in
//! the layers above.

use crate::model::bytes::digest::FOLD_START;
use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::ops::{Deref, Range};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use xxhash_rust::xxh3::xxh3_64;

/// Length of a page, the unit of copy on write and of the host's page cache.
pub const PAGE_LEN: usize = 4096;
/// Length of a sector, the unit that a power cut writes whole or not at all.
pub const SECTOR_LEN: usize = 512;
/// Pages of a chunk, the unit of copy on write of the table of pages.
const CHUNK_PAGES: usize = 64;

/// One page, and its hash after the first request for it.
#[derive(Debug, Clone)]
pub struct Page {
    bytes: [u8; PAGE_LEN],
    hash: OnceLock<u64>,
}

impl Default for Page {
    /// Zeros.
    fn default() -> Self {
        Self { bytes: [0; PAGE_LEN], hash: OnceLock::new() }
    }
}

impl From<[u8; PAGE_LEN]> for Page {
    fn from(bytes: [u8; PAGE_LEN]) -> Self {
        Self { bytes, hash: OnceLock::new() }
    }
}

impl Deref for Page {
    type Target = [u8; PAGE_LEN];

    fn deref(&self) -> &Self::Target {
        &self.bytes
    }
}

impl Page {
    /// The bytes, for changing.
    pub fn bytes_mut(&mut self) -> &mut [u8; PAGE_LEN] {
        self.hash = OnceLock::new();
        &mut self.bytes
    }

    /// 0 for a page of zeros, and only for that.
    fn hash(&self) -> u64 {
        *self.hash.get_or_init(|| {
            if self.bytes == [0; PAGE_LEN] {
                return 0;
            }
            xxh3_64(&self.bytes) | 1
        })
    }
}

fn mixed(hash: u64, word: u64) -> u64 {
    (hash ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29)
}

/// Neighbouring pages.
#[derive(Debug, Clone)]
struct Chunk {
    pages: [Option<Arc<Page>>; CHUNK_PAGES],
    hash: OnceLock<u64>,
}

impl Default for Chunk {
    fn default() -> Self {
        Self { pages: std::array::from_fn(|_| None), hash: OnceLock::new() }
    }
}

impl Chunk {
    /// 0 if all bytes are zeros.
    fn hash(&self) -> u64 {
        *self.hash.get_or_init(|| {
            let hashes = self.pages.iter().enumerate();
            let hashes =
                hashes.map(|(index, page)| (index as u64, page.as_ref().map_or(0, |page| page.hash())));
            // A page of zeros and a page that was never written have the same hash.
            hashes.filter(|(_, hash)| *hash != 0).fold(0, |sum, (index, hash)| mixed(mixed(sum, hash), index))
        })
    }

    fn same(one: &Self, other: &Self) -> bool {
        one.pages.iter().zip(&other.pages).all(|pair| match pair {
            (Some(one), Some(other)) => Arc::ptr_eq(one, other) || one.bytes == other.bytes,
            (Some(page), None) | (None, Some(page)) => page.bytes == [0; PAGE_LEN],
            (None, None) => true,
        })
    }
}

/// Chunk and place in it of a page.
fn place(page: u64) -> (u64, usize) {
    (page / CHUNK_PAGES as u64, (page % CHUNK_PAGES as u64) as usize)
}

/// Sparse bytes of a fixed length.
#[derive(Debug, Clone, Default)]
pub struct Pages {
    len_bytes: u64,
    chunks: Arc<BTreeMap<u64, Arc<Chunk>>>,
}

impl Pages {
    /// `len_bytes` zeros.
    pub fn zeros(len_bytes: u64) -> Self {
        Self { len_bytes, chunks: Arc::default() }
    }

    /// Length in bytes.
    pub fn len_bytes(&self) -> u64 {
        self.len_bytes
    }

    fn page(&self, page: u64) -> Option<&Arc<Page>> {
        let (chunk, index) = place(page);
        self.chunks.get(&chunk)?.pages[index].as_ref()
    }

    /// The slot of a page that is about to change.
    fn page_mut(&mut self, page: u64) -> &mut Option<Arc<Page>> {
        let (chunk, index) = place(page);
        let chunk = Arc::make_mut(Arc::make_mut(&mut self.chunks).entry(chunk).or_default());
        chunk.hash = OnceLock::new();
        &mut chunk.pages[index]
    }

    /// Fills `buffer` from `offset_bytes`; reads past the end give zeros.
    pub fn read(&self, offset_bytes: u64, buffer: &mut [u8]) {
        for_each_piece(offset_bytes, buffer.len(), |page, start, piece| {
            let target = &mut buffer[piece];
            match self.page(page) {
                Some(bytes) => target.copy_from_slice(&bytes[start..start + target.len()]),
                None => target.fill(0),
            }
        });
    }

    /// Writes `data` at `offset_bytes`; bytes past the end are dropped.
    pub fn write(&mut self, offset_bytes: u64, data: &[u8]) {
        let room = self.len_bytes.saturating_sub(offset_bytes);
        let data = &data[..data.len().min(usize::try_from(room).unwrap_or(usize::MAX))];
        for_each_piece(offset_bytes, data.len(), |page, start, piece| {
            let source = &data[piece];
            if let Ok(bytes) = <&[u8; PAGE_LEN]>::try_from(source) {
                // The whole page is replaced, so the old bytes are not copied first. Most pages of most media are zeros.
                *self.page_mut(page) = (*bytes != [0; PAGE_LEN]).then(|| Arc::new(Page::from(*bytes)));
                return;
            }
            let page = Arc::make_mut(self.page_mut(page).get_or_insert_default());
            page.bytes_mut()[start..start + source.len()].copy_from_slice(source);
        });
    }

    /// Puts a whole page in place without a copy. A page that reaches past the end is written up to the end.
    pub(crate) fn put(&mut self, page: u64, bytes: &Arc<Page>) {
        let start_bytes = page * PAGE_LEN as u64;
        if start_bytes + PAGE_LEN as u64 <= self.len_bytes {
            *self.page_mut(page) = Some(Arc::clone(bytes));
        } else {
            self.write(start_bytes, &bytes[..]);
        }
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

    /// The first match of `find` in a page plus the `overlap` bytes behind it, with its offset.
    pub(crate) fn find<T>(
        &self,
        overlap: usize,
        find: impl Fn(&[u8]) -> Option<(usize, T)>,
    ) -> Option<(u64, T)> {
        let mut window = vec![0; PAGE_LEN + overlap];
        for (number, chunk) in self.chunks.iter() {
            for (index, page) in chunk.pages.iter().enumerate() {
                let Some(page) = page else { continue };
                let start = (number * CHUNK_PAGES as u64 + index as u64) * PAGE_LEN as u64;
                window[..PAGE_LEN].copy_from_slice(&page[..]);
                self.read(start + PAGE_LEN as u64, &mut window[PAGE_LEN..]);
                if let Some((at, found)) = find(&window) {
                    return Some((start + at as u64, found));
                }
            }
        }
        None
    }

    /// A hash of length and content; a page of zeros and a page that was never written have the same hash.
    pub fn hash(&self) -> u64 {
        let hashes = self.chunks.iter().map(|(number, chunk)| (*number, chunk.hash()));
        hashes
            .filter(|(_, hash)| *hash != 0)
            .fold(mixed(FOLD_START, self.len_bytes), |sum, (number, hash)| mixed(mixed(sum, hash), number))
    }

    /// Whether both are the same pages in memory. If not, the bytes must be compared.
    pub(crate) fn is_shared_with(&self, other: &Self) -> bool {
        self.len_bytes == other.len_bytes && Arc::ptr_eq(&self.chunks, &other.chunks)
    }

    /// Whether both have the same pages in memory in this range.
    pub(crate) fn is_shared_in(&self, other: &Self, range: Range<u64>) -> bool {
        let same = |page: u64| match (self.page(page), other.page(page)) {
            (Some(one), Some(other)) => Arc::ptr_eq(one, other),
            (one, other) => one.is_none() && other.is_none(),
        };
        let pages = range.start / PAGE_LEN as u64..range.end.div_ceil(PAGE_LEN as u64);
        self.is_shared_with(other) || pages.into_iter().all(same)
    }

    /// Addresses in memory of the stored pages.
    #[cfg(test)]
    pub(crate) fn places(&self) -> impl Iterator<Item = *const Page> + '_ {
        self.chunks.values().flat_map(|chunk| chunk.pages.iter().flatten().map(Arc::as_ptr))
    }

    /// Writes the bytes to a sparse file that common tools can open.
    ///
    /// # Errors
    /// Those of creating and writing the file.
    pub fn dump(&self, path: &Path) -> io::Result<()> {
        let file = File::create(path)?;
        file.set_len(self.len_bytes)?;
        for (number, chunk) in self.chunks.iter() {
            let pages = chunk.pages.iter().enumerate();
            let pages = pages.filter_map(|(index, page)| Some((index as u64, page.as_ref()?)));
            for (index, page) in pages.filter(|(_, page)| page.hash() != 0) {
                let start = (number * CHUNK_PAGES as u64 + index) * PAGE_LEN as u64;
                let len = self.len_bytes.saturating_sub(start).min(PAGE_LEN as u64) as usize;
                file.write_all_at(&page[..len], start)?;
            }
        }
        file.sync_all()
    }
}

impl PartialEq for Pages {
    /// Equal length and bytes; it does not matter which zeros are stored.
    fn eq(&self, other: &Self) -> bool {
        if self.is_shared_with(other) {
            return true;
        }
        let nothing = Chunk::default();
        let covers = |one: &Self, two: &Self| {
            one.chunks.iter().all(|(number, chunk)| match two.chunks.get(number) {
                Some(same) => Arc::ptr_eq(chunk, same) || Chunk::same(chunk, same),
                None => Chunk::same(chunk, &nothing),
            })
        };
        let missing = |one: &Self, two: &Self| {
            one.chunks
                .iter()
                .filter(|(number, _)| !two.chunks.contains_key(number))
                .all(|(_, chunk)| Chunk::same(chunk, &nothing))
        };
        self.len_bytes == other.len_bytes && covers(self, other) && missing(other, self)
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
    fn a_page_of_zeros_takes_no_memory() {
        let mut pages = Pages::zeros(3 * PAGE_LEN as u64);
        pages.write(0, &[7; 2 * PAGE_LEN]);
        pages.write(0, &[0; PAGE_LEN]);
        pages.write(2 * PAGE_LEN as u64, &[0; PAGE_LEN]);
        assert_eq!(pages.places().count(), 1);
        let wanted = [[0; PAGE_LEN], [7; PAGE_LEN], [0; PAGE_LEN]].concat();
        assert_eq!(pages.to_vec(), wanted);
    }

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
    fn equal_bytes_have_equal_hashes_however_they_came() {
        let mut one = Pages::zeros(1 << 20);
        one.write(500_000, b"hello");
        let mut other = Pages::zeros(1 << 20);
        other.write(0, &[7; 1 << 20]);
        assert_ne!(one.hash(), other.hash());
        let before = other.clone();
        other.write(0, &[0; 1 << 20]);
        other.write(500_000, b"hello");
        assert_eq!((one.hash(), &one), (other.hash(), &other));
        // The same page at another offset gives another hash.
        let mut moved = Pages::zeros(1 << 20);
        moved.write(500_000 + PAGE_LEN as u64, b"hello");
        assert_ne!(one.hash(), moved.hash());
        assert_eq!(before.bytes(500_000, 5), [7; 5]);
    }

    #[test]
    fn a_page_that_is_put_in_is_not_copied_and_stays_what_it_was() {
        let mut page = Page::default();
        page.bytes_mut().fill(3);
        let page = Arc::new(page);
        let mut pages = Pages::zeros(2 * PAGE_LEN as u64 + 100);
        pages.put(1, &page);
        pages.put(2, &page);
        let copy = pages.clone();
        assert!(Arc::ptr_eq(pages.page(1).unwrap(), &page));
        pages.write(PAGE_LEN as u64, &[4]);
        assert_eq!((page[0], copy.bytes(PAGE_LEN as u64, 1)[0]), (3, 3));
        assert_eq!(pages.bytes(2 * PAGE_LEN as u64, 200), [[3; 100], [0; 100]].concat());
        assert!(copy.is_shared_in(&pages, 0..PAGE_LEN as u64) && !copy.is_shared_in(&pages, 4000..5000));
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
