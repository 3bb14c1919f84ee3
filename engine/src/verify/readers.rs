//! Compares the entries of a manifest with several readers, so that a medium has more than one request at a time.
//!
//! Each reader takes the next few entries, in the order of the manifest. If entries differ, the first of them in that order
//! is reported, whichever reader finds one first. A simulated board has one reader, in the task of the caller, so that its
//! calls have one order.

use super::tree::{ExpectedFile, Manifest};
use crate::error::{Error, Result};
use crate::operation::Operation;
use replicator_hal::{RelativePath, Task, TaskEnd};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// How many readers a board with threads has, unless the settings allow fewer: enough to keep a medium with a command queue
/// busy.
const READERS: usize = 4;
/// How many entries a reader takes at a time. It has twice as many: those that it compares, and the next ones.
const TAKEN_AT_ONCE: usize = 8;

/// A reader of some of the entries.
pub(super) trait Reader: Send {
    /// Announces to the medium which files are compared next.
    fn announce(&mut self, entries: &[(&RelativePath, &ExpectedFile)]);

    /// Compares one entry with the medium.
    ///
    /// # Errors
    /// If it differs, and those of the medium.
    fn compare(&mut self, path: &RelativePath, expected: &ExpectedFile) -> Result<()>;
}

/// The number of readers for `operation`. Together they use one buffer of a chunk.
pub(super) fn number(operation: &Operation<'_>) -> usize {
    operation.readers(READERS)
}

/// The entries that no reader has taken, and the first failure.
struct Queue<I> {
    entries: I,
    /// How many were taken.
    taken: usize,
    compared: usize,
    failure: Option<(usize, Error)>,
}

impl<I: Iterator> Queue<I> {
    /// The next entries, and the number of the first one; none after a failure.
    fn take(&mut self) -> (usize, Vec<I::Item>) {
        let first = self.taken;
        let count = if self.failure.is_some() { 0 } else { TAKEN_AT_ONCE };
        let entries: Vec<_> = self.entries.by_ref().take(count).collect();
        self.taken += entries.len();
        (first, entries)
    }

    /// Keeps the failure of an entry, unless an earlier one has failed.
    fn failed(&mut self, number: usize, error: Error) {
        if self.failure.as_ref().is_none_or(|(earlier, _)| number < *earlier) {
            self.failure = Some((number, error));
        }
    }
}

/// Compares all entries of `manifest`, and returns the readers.
///
/// # Errors
/// The first in the order of the manifest.
pub(super) fn compare_all<R: Reader>(
    operation: &Operation<'_>,
    manifest: &Manifest,
    mut readers: Vec<R>,
) -> Result<Vec<R>> {
    let entries = manifest.iter();
    let queue = Mutex::new(Queue { entries, taken: 0, compared: 0, failure: None });
    match &mut readers[..] {
        [reader] => run(reader, &queue),
        readers => {
            let tasks = readers.iter_mut().enumerate().map(|(number, reader)| Task {
                name: format!("{} reader {number}", operation.label()),
                body: Box::new(|| run(reader, &queue)),
            });
            for end in operation.board.tasks.run(tasks.collect()) {
                if let TaskEnd::Panicked(message) = end {
                    return Err(Error::Internal { detail: format!("a reader of the medium: {message}") });
                }
            }
        }
    }
    let queue = queue.into_inner().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, error)) = queue.failure {
        return Err(error);
    }
    if queue.compared != manifest.len() {
        let detail = format!("{} of {} files were compared", queue.compared, manifest.len());
        return Err(Error::Internal { detail });
    }
    Ok(readers)
}

fn lock<T>(queue: &Mutex<T>) -> MutexGuard<'_, T> {
    queue.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Compares entries until none is left, or one before them has failed.
///
/// While some are compared, the next ones are announced already. After a failure no more are taken, but those that are taken
/// are compared, because one of them may be before the one that failed.
fn run<'m>(
    reader: &mut impl Reader,
    queue: &Mutex<Queue<impl Iterator<Item = (&'m RelativePath, &'m ExpectedFile)>>>,
) {
    let take = |reader: &mut _| {
        let (first, entries) = lock(queue).take();
        Reader::announce(reader, &entries);
        (first, entries)
    };
    let (mut first, mut entries) = take(reader);
    while !entries.is_empty() {
        let next = take(reader);
        let compared = entries.len();
        for (index, (path, expected)) in entries.into_iter().enumerate() {
            if let Err(error) = reader.compare(path, expected) {
                lock(queue).failed(first + index, error);
                return;
            }
        }
        lock(queue).compared += compared;
        (first, entries) = next;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::tar::Entry;
    use crate::tuning::Tuning;
    use replicator_hal::host::HostBoard;
    use std::collections::VecDeque;
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// Fails for some names, and counts.
    struct Counting<'a> {
        compared: &'a AtomicUsize,
        fails_at: &'a [usize],
        announced: VecDeque<String>,
    }

    impl Reader for Counting<'_> {
        fn announce(&mut self, entries: &[(&RelativePath, &ExpectedFile)]) {
            self.announced.extend(entries.iter().map(|(path, _)| path.to_string()));
        }

        fn compare(&mut self, path: &RelativePath, _: &ExpectedFile) -> Result<()> {
            assert_eq!(self.announced.pop_front(), Some(path.to_string()));
            self.compared.fetch_add(1, Ordering::SeqCst);
            std::thread::yield_now();
            match self.fails_at.iter().any(|number| path.to_string() == format!("{number:04}")) {
                true => Err(Error::Internal { detail: path.to_string() }),
                false => Ok(()),
            }
        }
    }

    fn manifest(files: usize) -> Manifest {
        let file = |number: usize| {
            let path = RelativePath::parse(format!("{number:04}")).unwrap();
            (path, ExpectedFile { entry: Entry::sketched("file"), hash: 0 })
        };
        (0..files).map(file).collect()
    }

    /// How many entries were compared, and the error.
    fn compared(files: usize, readers: usize, fails_at: &[usize]) -> (usize, Option<String>) {
        let directory = tempfile::tempdir().unwrap();
        let board = HostBoard::new(directory.path()).board(&[], "");
        let tuning = Tuning::default();
        let operation = Operation::new(&board, &tuning, "sd", "sd");
        let count = AtomicUsize::new(0);
        let readers = (0..readers)
            .map(|_| Counting { compared: &count, fails_at, announced: VecDeque::new() })
            .collect();
        let ended = compare_all(&operation, &manifest(files), readers);
        (count.load(Ordering::SeqCst), ended.err().map(|error| error.to_string()))
    }

    #[test]
    fn every_entry_is_compared_once() {
        for (files, readers) in [(0, 1), (0, 4), (1, 4), (16, 4), (17, 4), (1000, 1), (1000, 4)] {
            assert_eq!(compared(files, readers, &[]), (files, None), "{files} files, {readers} readers");
        }
    }

    #[test]
    fn the_first_entry_that_differs_is_reported_whoever_finds_one_first() {
        for _ in 0..50 {
            let (count, error) = compared(1000, 4, &[40, 41, 60, 999]);
            assert!(error.as_ref().unwrap().contains("0040"), "{error:?}");
            assert!(count < 1000, "the readers go on after a failure");
        }
    }
}
