//! Where a test plays: a directory of its own, one test at a time.

use super::tools;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Each test keeps both cores busy; two at a time would only time out.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// A directory for media, mount points and logs.
pub(crate) struct Stage {
    directory: PathBuf,
    /// Of a whole stage; a part of one has neither.
    _owned: Option<(tempfile::TempDir, MutexGuard<'static, ()>)>,
}

impl Stage {
    /// A stage, or `None` and a line that says why this system has none.
    pub(crate) fn new() -> Option<Self> {
        Self::below(Path::new(env!("CARGO_TARGET_TMPDIR")))
    }

    /// As [`Stage::new`], in memory where that can be had: media there take no time of a disk.
    pub(crate) fn in_memory() -> Option<Self> {
        let memory = Path::new("/dev/shm");
        if memory.is_dir() { Self::below(memory) } else { Self::new() }
    }

    fn below(directory: &Path) -> Option<Self> {
        if std::env::var("REPLICATOR_REAL_INPUT").as_deref() == Ok("later") {
            skip("has its own turn later");
            return None;
        }
        if let Some(obstacle) = tools::obstacle() {
            skip(&obstacle);
            return None;
        }
        let turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        let owned = tempfile::Builder::new().prefix("real-input-").tempdir_in(directory).unwrap();
        Some(Self { directory: owned.path().to_owned(), _owned: Some((owned, turn)) })
    }

    /// A part of the stage with paths of its own, for work that goes on beside other work.
    pub(crate) fn part(&self, name: &str) -> Self {
        let directory = self.path(name);
        std::fs::create_dir_all(&directory).unwrap();
        Self { directory, _owned: None }
    }

    /// A path on the stage.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }
}

/// Says that a test is skipped; fails it where it must not be.
pub(crate) fn skip(why: &str) {
    assert_ne!(std::env::var("REPLICATOR_REAL_INPUT").as_deref(), Ok("required"), "cannot run: {why}");
    // Past the test harness, which shows nothing of a test that passes.
    let line = format!("skipped: real input: {why}\n");
    std::io::stderr().write_all(line.as_bytes()).unwrap();
}
