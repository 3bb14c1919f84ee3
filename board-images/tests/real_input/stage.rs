//! Where a test plays: a directory of its own, one test at a time.

use super::tools;
use std::io::Write;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Each test keeps both cores busy; two at a time would only time out.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// A directory for media, mount points and logs.
pub(crate) struct Stage {
    directory: tempfile::TempDir,
    _turn: MutexGuard<'static, ()>,
}

impl Stage {
    /// A stage, or `None` and a line that says why this system has none.
    pub(crate) fn new() -> Option<Self> {
        if std::env::var("REPLICATOR_REAL_INPUT").as_deref() == Ok("later") {
            skip("has its own turn later");
            return None;
        }
        if let Some(obstacle) = tools::obstacle() {
            skip(&obstacle);
            return None;
        }
        let turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        let directory =
            tempfile::Builder::new().prefix("real-input-").tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        Some(Self { directory, _turn: turn })
    }

    /// A path on the stage.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }
}

/// Says that a test is skipped; fails it where it must not be.
pub(crate) fn skip(why: &str) {
    assert_ne!(std::env::var("REPLICATOR_REAL_INPUT").as_deref(), Ok("required"), "cannot run: {why}");
    // Past the test harness, which shows nothing of a test that passes.
    let line = format!("skipped: real input: {why}\n");
    std::io::stderr().write_all(line.as_bytes()).unwrap();
}
