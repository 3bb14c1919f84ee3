//! The directories of a tree that were used last, which stay open.
//!
//! An open directory is the same directory until it is renamed or removed, so its path need not be resolved again. Every
//! call that can change what a path means (rename, removal of a directory, a program that works on the volume) makes the
//! tree forget what it concerns. Nothing else changes a mounted volume: its file system is mounted for this process only.

use crate::RelativePath;
use std::fs::File;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The number of directories that stay open for one tree. A walk uses those from the root to the current one.
const OPEN_MAX: usize = 32;

/// The open directories, the one that was used last at the end.
#[derive(Debug, Default)]
pub(super) struct Directories(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// Changes whenever something is forgotten.
    generation: u64,
    open: Vec<(RelativePath, Arc<File>)>,
}

/// What is open for a path.
pub(super) enum Found {
    /// The directory itself.
    Itself(Arc<File>),
    /// The nearest directory above it that is open, with the path between; `None` if only the root is.
    Above(Option<(Arc<File>, RelativePath)>, Ticket),
}

/// Permits to keep a directory that was opened after this was made.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ticket(u64);

impl Directories {
    /// Looks for the directory `path`, which is not the root.
    pub(super) fn find(&self, path: &RelativePath) -> Found {
        let mut state = self.lock();
        if let Some(index) = state.open.iter().rposition(|(open, _)| open == path) {
            let found = state.open.remove(index);
            let directory = found.1.clone();
            state.open.push(found);
            return Found::Itself(directory);
        }
        let above = state
            .open
            .iter()
            .filter(|(open, _)| path.starts_with(open))
            .max_by_key(|(open, _)| open.as_bytes().len())
            .and_then(|(open, directory)| {
                let rest = RelativePath::parse(&path.as_bytes()[open.as_bytes().len() + 1..]).ok()?;
                Some((directory.clone(), rest))
            });
        Found::Above(above, Ticket(state.generation))
    }

    /// Keeps a directory that was opened with the `ticket`, unless something was forgotten meanwhile.
    pub(super) fn keep(&self, path: &RelativePath, directory: &Arc<File>, ticket: Ticket) {
        let mut state = self.lock();
        if state.generation != ticket.0 || state.open.iter().any(|(open, _)| open == path) {
            return;
        }
        if state.open.len() >= OPEN_MAX {
            state.open.remove(0);
        }
        state.open.push((path.clone(), directory.clone()));
    }

    /// Forgets a directory that was removed, and all below it.
    pub(super) fn forget(&self, path: &RelativePath) {
        let mut state = self.lock();
        state.generation += 1;
        state.open.retain(|(open, _)| !open.starts_with(path));
    }

    /// Forgets all.
    pub(super) fn forget_all(&self) {
        let mut state = self.lock();
        state.generation += 1;
        state.open.clear();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> RelativePath {
        RelativePath::parse(text).unwrap()
    }

    fn some_directory() -> Arc<File> {
        Arc::new(File::open("/").unwrap())
    }

    /// What is found for `text`: itself, or the path from the directory above it.
    fn found(directories: &Directories, text: &str) -> Result<(), Option<String>> {
        match directories.find(&path(text)) {
            Found::Itself(_) => Ok(()),
            Found::Above(above, _) => Err(above.map(|(_, rest)| rest.to_string())),
        }
    }

    fn keep(directories: &Directories, text: &str) {
        if let Found::Above(_, ticket) = directories.find(&path(text)) {
            directories.keep(&path(text), &some_directory(), ticket);
        }
    }

    #[test]
    fn the_nearest_directory_above_is_found() {
        let directories = Directories::default();
        for text in ["a", "a/b", "ab", "a/b/c/d"] {
            keep(&directories, text);
        }
        assert_eq!(found(&directories, "a/b"), Ok(()));
        assert_eq!(found(&directories, "a/b/c"), Err(Some("c".into())));
        assert_eq!(found(&directories, "a/x/y"), Err(Some("x/y".into())));
        assert_eq!(found(&directories, "abc"), Err(None));
    }

    #[test]
    fn a_removed_directory_is_forgotten_with_all_below_it() {
        let directories = Directories::default();
        for text in ["a", "a/b", "a/b/c", "a/bc"] {
            keep(&directories, text);
        }
        directories.forget(&path("a/b"));
        assert_eq!(found(&directories, "a/b/c"), Err(Some("b/c".into())));
        assert_eq!(found(&directories, "a/bc"), Ok(()));
        directories.forget_all();
        assert_eq!(found(&directories, "a"), Err(None));
    }

    #[test]
    fn a_directory_that_was_opened_before_something_was_forgotten_is_not_kept() {
        let directories = Directories::default();
        let Found::Above(_, ticket) = directories.find(&path("a")) else { panic!("nothing is open") };
        directories.forget(&path("elsewhere"));
        directories.keep(&path("a"), &some_directory(), ticket);
        assert_eq!(found(&directories, "a"), Err(None));
    }

    #[test]
    fn the_number_of_open_directories_is_bounded_and_the_last_used_stay() {
        let directories = Directories::default();
        for number in 0..OPEN_MAX {
            keep(&directories, &format!("d{number}"));
        }
        assert_eq!(found(&directories, "d0"), Ok(()));
        keep(&directories, "one-more");
        assert_eq!(directories.lock().open.len(), OPEN_MAX);
        assert_eq!((found(&directories, "d0"), found(&directories, "d1")), (Ok(()), Err(None)));
    }
}
