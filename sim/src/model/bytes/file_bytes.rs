//! The content of a file that was found on a medium: read on first access, with a cache of what judges derived from
//! it.
//!
//! Judges look at many snapshots that differ in a page or two. A file that is equal in two snapshots is one object,
//! so that it is read, decoded and judged once. What judges derive is not defined here.

use crate::model::bytes::pages::Pages;
use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::ops::{Deref, Range};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// Bytes of a file, as those of a slice. Cloning is cheap.
#[derive(Clone, Default)]
pub struct FileBytes(Arc<Inner>);

/// Derived values: for each type of question, a map from questions to answers.
type Known = HashMap<TypeId, Box<dyn Any + Send>>;

#[derive(Default)]
struct Inner {
    pages: Pages,
    /// Start in the file, and range on the medium; the rest are holes.
    pieces: Vec<(usize, Range<u64>)>,
    len: usize,
    bytes: OnceLock<Vec<u8>>,
    known: Mutex<Known>,
}

impl FileBytes {
    /// A file of `len` bytes, made of pieces: the start in the file, and the range on the medium.
    pub(crate) fn new(pages: &Pages, pieces: Vec<(usize, Range<u64>)>, len: usize) -> Self {
        Self(Arc::new(Inner { pages: pages.clone(), pieces, len, ..Inner::default() }))
    }

    /// The length, for which nothing is read.
    pub fn len(&self) -> usize {
        self.0.len
    }

    /// Whether there are no bytes; nothing is read.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All bytes.
    pub fn as_slice(&self) -> &[u8] {
        self
    }

    /// Whether both are the same pages in memory. If not, the bytes must be compared.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        let (one, other) = (&*self.0, &*other.0);
        std::ptr::eq(one, other)
            // A file without pieces can only be compared by its bytes.
            || !one.pieces.is_empty()
                && one.len == other.len
                && one.pieces == other.pieces
                && one.pieces.iter().all(|(_, range)| one.pages.is_shared_in(&other.pages, range.clone()))
    }

    /// Calls `find` once for each question and caches the answer. The answer must depend on the bytes and the
    /// question only. Each caller has its own type of questions.
    pub(crate) fn cached<Q: Eq + Hash + Send + 'static, T: Clone + Send + 'static>(
        &self,
        question: Q,
        find: impl FnOnce(&Self) -> T,
    ) -> T {
        let kind = TypeId::of::<(Q, T)>();
        let known = || self.0.known.lock().unwrap_or_else(PoisonError::into_inner);
        let answers =
            |known: &Known| known.get(&kind)?.downcast_ref::<HashMap<Q, T>>()?.get(&question).cloned();
        if let Some(value) = answers(&known()) {
            return value;
        }
        let value = find(self);
        let mut known = known();
        let answers = known.entry(kind).or_insert_with(|| Box::<HashMap<Q, T>>::default());
        if let Some(answers) = answers.downcast_mut::<HashMap<Q, T>>() {
            answers.insert(question, value.clone());
        }
        value
    }
}

impl Deref for FileBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.0.bytes.get_or_init(|| {
            let mut bytes = vec![0; self.0.len];
            for (start, range) in &self.0.pieces {
                let end = (start + (range.end - range.start) as usize).min(bytes.len());
                if let Some(piece) = bytes.get_mut(*start..end) {
                    self.0.pages.read(range.start, piece);
                }
            }
            bytes
        })
    }
}

impl From<Vec<u8>> for FileBytes {
    fn from(bytes: Vec<u8>) -> Self {
        let len = bytes.len();
        Self(Arc::new(Inner { len, bytes: bytes.into(), ..Inner::default() }))
    }
}

impl PartialEq for FileBytes {
    fn eq(&self, other: &Self) -> bool {
        self.is_same(other) || **self == **other
    }
}

impl Eq for FileBytes {}

impl PartialEq<Vec<u8>> for FileBytes {
    fn eq(&self, other: &Vec<u8>) -> bool {
        **self == **other
    }
}

impl fmt::Debug for FileBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_read_with_their_holes_and_the_same_pages_are_the_same_file() {
        let mut pages = Pages::zeros(1 << 16);
        pages.write(8192, b"abcd");
        pages.write(20_480, b"efgh");
        let pieces = || vec![(0, 8192..8196), (6, 20_480..20_484)];
        let file = FileBytes::new(&pages, pieces(), 9);
        assert_eq!(&*file, b"abcd\0\0efg");
        pages.write(40_960, b"elsewhere");
        assert!(file.is_same(&FileBytes::new(&pages, pieces(), 9)));
        pages.write(20_480, b"E");
        let changed = FileBytes::new(&pages, pieces(), 9);
        assert!(!file.is_same(&changed) && file != changed);
        let unread = FileBytes::new(&pages, pieces(), 9);
        assert_eq!((unread.len(), unread.is_empty()), (9, false));
        assert!(unread.0.bytes.get().is_none(), "read for its length");
        assert_eq!(FileBytes::from(b"abcd\0\0Efg".to_vec()), changed);
    }

    #[test]
    fn answers_are_cached_by_question() {
        #[derive(PartialEq, Eq, Hash)]
        struct One(u64);
        #[derive(PartialEq, Eq, Hash)]
        struct Two(u64);
        let file = FileBytes::from(vec![1, 2, 3]);
        let asked = std::cell::Cell::new(0);
        let len = |file: &FileBytes| {
            asked.set(asked.get() + 1);
            file.len()
        };
        let one = |key| file.cached(One(key), len);
        assert_eq!([one(1), one(1), one(2), file.cached(Two(1), len)], [3; 4]);
        assert_eq!(asked.get(), 3);
    }
}
