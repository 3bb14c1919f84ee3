//! Follows an archive in which each directory comes before its content, all of its content at once, and names in the order
//! of their bytes: as of a capture, or of `tar --sort=name`.
//!
//! In such an archive no name comes twice, and what came before an entry need not be kept: only the directories above it.
//! The list of digests of a capture, which is the last entry, is the only exception.

use replicator_hal::RelativePath;

/// The list of digests that a capture adds to an archive as its last entry.
pub(crate) const DIGEST_LIST: &str = "md5sums.txt";

/// The entry is not in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NotInOrder;

/// The directories above the current entry, each with a `D` of the caller.
#[derive(Debug)]
pub(crate) struct InOrder<D> {
    /// The root first.
    open: Vec<Open<D>>,
    has_begun: bool,
    has_digest_list: bool,
    /// Whether the entry out of order came, after which no other one may come.
    is_at_end: bool,
}

#[derive(Debug)]
struct Open<D> {
    path: RelativePath,
    /// The name of its last entry so far.
    last: Vec<u8>,
    children: u64,
    data: D,
}

/// A directory after its last entry.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Closed<D> {
    /// Its path.
    pub(crate) path: RelativePath,
    /// How many entries it has.
    pub(crate) children: u64,
    /// What the caller gave for it.
    pub(crate) data: D,
}

impl<D> InOrder<D> {
    /// Before the first entry; `root` is for the root directory.
    pub(crate) fn new(root: D) -> Self {
        let root = Open { path: RelativePath::root(), last: Vec::new(), children: 0, data: root };
        Self { open: vec![root], has_begun: false, has_digest_list: false, is_at_end: false }
    }

    /// Goes on to the entry at `path`. Gives the directories that end before it to `closed`, the deepest first.
    ///
    /// # Errors
    /// If it is not in order.
    pub(crate) fn go_to(
        &mut self,
        path: &RelativePath,
        mut closed: impl FnMut(Closed<D>),
    ) -> Result<(), NotInOrder> {
        if self.is_at_end {
            return Err(NotInOrder);
        }
        let has_begun = std::mem::replace(&mut self.has_begun, true);
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            // The root.
            return if has_begun { Err(NotInOrder) } else { Ok(()) };
        };
        if !self.open.iter().any(|directory| directory.path == parent) {
            return Err(NotInOrder);
        }
        while self.open.last().is_some_and(|directory| directory.path != parent) {
            self.close().into_iter().for_each(&mut closed);
        }
        let Some(directory) = self.open.last_mut() else { return Err(NotInOrder) };
        let is_list = parent.is_root() && name == DIGEST_LIST.as_bytes();
        if name <= &directory.last[..] {
            if !is_list || self.has_digest_list {
                return Err(NotInOrder);
            }
            self.is_at_end = true;
        }
        self.has_digest_list |= is_list;
        directory.last = name.to_vec();
        directory.children += 1;
        Ok(())
    }

    /// The entry to which it went last is a directory.
    pub(crate) fn open(&mut self, path: RelativePath, data: D) {
        if !path.is_root() {
            self.open.push(Open { path, last: Vec::new(), children: 0, data });
        } else if let Some(root) = self.open.first_mut() {
            root.data = data;
        }
    }

    /// The innermost open directory: that of the entry to which it went last, if this is no directory itself.
    pub(crate) fn innermost(&mut self) -> Option<&mut D> {
        self.open.last_mut().map(|directory| &mut directory.data)
    }

    /// Ends the innermost directory; `None` after the root.
    pub(crate) fn close(&mut self) -> Option<Closed<D>> {
        let Open { path, children, data, .. } = self.open.pop()?;
        Some(Closed { path, children, data })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is closed, in order, with the number of entries; and at which entry the order ends. `/` behind a path makes it a
    /// directory.
    fn followed(entries: &str) -> (String, Option<String>) {
        let mut order = InOrder::new(());
        let mut closed = Vec::new();
        for text in entries.split_whitespace() {
            let path = RelativePath::parse(text).unwrap();
            let mut shown = |one: Closed<()>| closed.push(format!("{}={}", one.path, one.children));
            if order.go_to(&path, &mut shown).is_err() {
                return (closed.join(" "), Some(text.to_owned()));
            }
            if text.ends_with('/') {
                order.open(path, ());
            }
        }
        while let Some(one) = order.close() {
            closed.push(format!("{}={}", one.path, one.children));
        }
        (closed.join(" "), None)
    }

    #[test]
    fn directories_are_closed_after_their_last_entry() {
        for (entries, closed) in [
            ("", "/=0"),
            ("/", "/=0"),
            ("/ a b", "/=2"),
            ("a/ a/b/ a/b/c a/d e", "a/b=1 a=2 /=2"),
            // `a-b` sorts before `a/b` as a text.
            ("a/ a/b a-b/", "a=1 a-b=0 /=2"),
            ("/ etc/ usr/ usr/x md5sums.txt", "etc=0 usr=1 /=3"),
            ("/ etc/ md5sums.txt usr/", "etc=0 usr=0 /=3"),
        ] {
            let (found, end) = followed(entries);
            assert_eq!((found.as_str(), end), (closed, None), "{entries}");
        }
    }

    #[test]
    fn an_entry_that_is_not_in_order_is_found() {
        for (entries, at) in [
            ("b a", "a"),
            ("a a", "a"),
            ("a/ a/", "a/"),
            ("a/ b a/x", "a/x"),
            ("a/b", "a/b"),
            ("a a/b", "a/b"),
            ("a /", "/"),
            ("/ /", "/"),
            ("a/ a/c a/b", "a/b"),
            // The list comes once, and it is the last entry.
            ("usr/ md5sums.txt x", "x"),
            ("md5sums.txt usr/ md5sums.txt", "md5sums.txt"),
            ("usr/ usr/x usr/md5sums.txt", "usr/md5sums.txt"),
        ] {
            assert_eq!(followed(entries).1.as_deref(), Some(at), "{entries}");
        }
    }
}
