//! Hashes of media that are cheap for one snapshot after another, because pages that two of them share are hashed once.

use crate::pages::{Page, Pages};
use crate::random::{FOLD_START, fold};
use crate::runner::Snapshot;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

type Stored = Arc<BTreeMap<u64, Arc<Page>>>;

/// Remembers the hashes of pages by their place in memory, and keeps the pages so that the places stay theirs.
#[derive(Default)]
pub(super) struct PageHasher {
    pages: HashMap<*const Page, (Arc<Page>, u64)>,
    media: HashMap<*const BTreeMap<u64, Arc<Page>>, (Stored, u64)>,
}

impl PageHasher {
    /// A hash over all media.
    pub(super) fn snapshot(&mut self, snapshot: &Snapshot) -> u64 {
        snapshot.media.iter().fold(FOLD_START, |hash, (name, pages)| {
            fold(fold(hash, name.as_bytes()), &self.medium(pages).to_le_bytes())
        })
    }

    /// A hash over one medium.
    pub(super) fn medium(&mut self, pages: &Pages) -> u64 {
        let stored = pages.stored();
        if let Some((_, hash)) = self.media.get(&Arc::as_ptr(stored)) {
            return *hash;
        }
        let mut hash = pages.len_bytes();
        for (number, page) in stored.iter() {
            let page_hash =
                self.pages.entry(Arc::as_ptr(page)).or_insert_with(|| (Arc::clone(page), of(page))).1;
            // A page of zeros counts as one that was never written.
            if page_hash != 0 {
                hash = (hash ^ page_hash ^ number.rotate_left(40))
                    .wrapping_mul(0x9e37_79b9_7f4a_7c15)
                    .rotate_left(29);
            }
        }
        self.media.insert(Arc::as_ptr(stored), (Arc::clone(stored), hash));
        hash
    }
}

/// 0 for a page of zeros.
fn of(page: &Page) -> u64 {
    if page.iter().all(|byte| *byte == 0) {
        return 0;
    }
    let words = page
        .chunks_exact(8)
        .map(|word| word.iter().rev().fold(0, |value, byte| (value << 8) | u64::from(*byte)));
    words
        .fold(FOLD_START, |hash, word: u64| (hash ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29))
        | 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_bytes_have_equal_hashes_however_they_are_stored() {
        let mut hasher = PageHasher::default();
        let mut one = Pages::zeros(20_000);
        one.write(5000, b"hello");
        let mut other = Pages::zeros(20_000);
        other.write(0, &[0; 20_000]);
        assert_ne!(hasher.medium(&one), hasher.medium(&other));
        other.write(5000, b"hello");
        assert_eq!(hasher.medium(&one), hasher.medium(&other));
        one.write(12_000, b"hello");
        assert_ne!(hasher.medium(&one), hasher.medium(&other));
    }
}
