//! The environment of a test: the files that `ci/qemu` prepared, and a directory of its own. One test runs at a time.

use super::machine::Kind;
use super::tools;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// An emulated board uses all cores.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
/// Programs that the test needs in addition to those of the test on real devices.
const PROGRAMS: [&str; 7] =
    ["qemu-system-x86_64", "qemu-system-arm", "qemu-system-aarch64", "fdtput", "fdtget", "sgdisk", "debugfs"];

/// A directory for media and drives of one kind of board.
pub(crate) struct Stage {
    name: &'static str,
    /// The board.
    pub(crate) kind: Kind,
    directory: tempfile::TempDir,
    started: Instant,
    _turn: MutexGuard<'static, ()>,
}

impl Stage {
    /// A stage for the test `name`. If this system cannot run it, prints the reason and returns `None`.
    pub(crate) fn new(name: &'static str, kind: Kind) -> Option<Self> {
        if std::env::var("REPLICATOR_QEMU").as_deref() == Ok("later") {
            skip("tested separately");
            return None;
        }
        if matches!(kind, Kind::VirtArm64Newer) && prepared("newer/absent").exists() {
            print_skipped("no package mirror had a QEMU with an eMMC");
            return None;
        }
        if let Some(obstacle) = obstacle(kind) {
            skip(&obstacle);
            return None;
        }
        let turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        std::fs::create_dir_all(prepared("work")).unwrap();
        std::fs::create_dir_all(prepared("logs")).unwrap();
        let directory = tempfile::Builder::new().prefix(name).tempdir_in(prepared("work")).unwrap();
        let stage = Self { name, kind, directory, started: Instant::now(), _turn: turn };
        stage.print("begins");
        Some(stage)
    }

    /// A path on the stage.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The console log of a boot.
    pub(crate) fn console(&self, boot: &str) -> PathBuf {
        prepared("logs").join(format!("{}-{boot}.log", self.name))
    }

    /// A file that `ci/qemu` made for this kind of board.
    pub(crate) fn drive_file(&self, name: &str) -> PathBuf {
        prepared("drive").join(self.kind.table()).join(name)
    }

    /// A file of Debian that `ci/qemu` fetched for this kind of board.
    pub(crate) fn debian(&self, name: &str) -> PathBuf {
        prepared("debian").join(self.kind.debian_architecture()).join(name)
    }

    /// Prints a line with the time.
    pub(crate) fn print(&self, what: &str) {
        let seconds = self.started.elapsed().as_secs();
        let line = format!("[{seconds:4} s] {}: {what}\n", self.name);
        std::io::stderr().write_all(line.as_bytes()).unwrap();
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.print(if std::thread::panicking() { "FAILED" } else { "ends" });
    }
}

/// A path in `target/qemu`.
pub(crate) fn prepared(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/qemu").join(name)
}

fn obstacle(kind: Kind) -> Option<String> {
    if let Some(obstacle) = tools::obstacle() {
        return Some(obstacle);
    }
    let missing: Vec<_> = PROGRAMS.into_iter().filter(|name| !tools::is_installed(name)).collect();
    if !missing.is_empty() {
        return Some(format!("needs {}", missing.join(", ")));
    }
    if kind == Kind::VirtArm64Newer && !kind.program().exists() {
        return Some(format!("{} is missing; `ci/qemu` fetches it", kind.program().display()));
    }
    let drive = prepared("drive").join(kind.table()).join("drive.img");
    (!drive.exists()).then(|| format!("{} is missing; `ci/qemu` makes it", drive.display()))
}

/// Reports that a test is skipped; fails if the test is required.
fn skip(why: &str) {
    assert_ne!(std::env::var("REPLICATOR_QEMU").as_deref(), Ok("required"), "cannot run: {why}");
    print_skipped(why);
}

fn print_skipped(why: &str) {
    // Directly to standard error, because the test harness hides the output of a test that passes.
    std::io::stderr().write_all(format!("skipped: QEMU: {why}\n").as_bytes()).unwrap();
}

/// Copies a file with its holes.
#[track_caller]
pub(crate) fn copy(from: &Path, to: &Path) {
    let status = Command::new("cp").arg("--sparse=always").args([from, to]).status().unwrap();
    assert!(status.success(), "cp {} {}", from.display(), to.display());
}
