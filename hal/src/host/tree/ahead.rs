//! Files of a read-only tree that are opened and read ahead, because they are read next.
//!
//! A medium answers a small read after its latency, so one file after the other leaves it idle. Here the kernel reads the
//! first bytes of many files at a time, while an earlier one is used. The file stays open until [`crate::ReadTree::open`]
//! takes it, so that its path is resolved once.

use super::status::Status;
use crate::RelativePath;
use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};
use std::collections::VecDeque;
use std::fs::File;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// How many files of one tree are open ahead. All media of a board are read at a time, and a process may have 1024 open
/// files by default.
pub(super) const FILES_MAX: usize = 64;
/// How much of a file is read ahead. The kernel itself reads ahead in a longer file. All of them are 8 MiB of page cache.
const LEN_MAX_BYTES: u64 = 128 << 10;

/// The files, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Ahead(Mutex<VecDeque<(RelativePath, File, Status)>>);

impl Ahead {
    /// Whether the file `path` is among them.
    pub(super) fn has(&self, path: &RelativePath) -> bool {
        self.lock().iter().any(|(ahead, ..)| ahead == path)
    }

    /// Adds an open file, and lets the kernel begin to read it. If there are too many, the oldest is closed.
    pub(super) fn add(&self, path: RelativePath, file: File, status: Status) {
        let len_bytes = status.metadata.len_bytes.min(LEN_MAX_BYTES);
        if len_bytes > 0 {
            // Advice only: without it, the file is read when it is used.
            let _ = posix_fadvise(&file, 0, len_bytes as _, PosixFadviseAdvice::POSIX_FADV_WILLNEED);
        }
        let mut files = self.lock();
        if files.len() >= FILES_MAX {
            files.pop_front();
        }
        files.push_back((path, file, status));
    }

    /// Takes the open file `path`.
    pub(super) fn take(&self, path: &RelativePath) -> Option<(File, Status)> {
        let mut files = self.lock();
        let index = files.iter().position(|(ahead, ..)| ahead == path)?;
        files.remove(index).map(|(_, file, status)| (file, status))
    }

    /// Closes all.
    pub(super) fn clear(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<(RelativePath, File, Status)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
