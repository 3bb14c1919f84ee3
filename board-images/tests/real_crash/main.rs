//! Power cuts on real file systems: compares the assumptions of the simulation about crashes with the kernel.
//!
//! The real binary captures and writes on loop devices. At many moments it is stopped, and the files behind the devices are
//! copied without the page cache, so that unflushed data is missing, as after a power cut. The real binary boots again from
//! each copy. Some runs are also killed, and the next boot starts from the result.
//!
//! Verified for every cut: no byte of the source has changed; no file has a valid name before it is complete; a medium with a
//! partition table is unchanged or completely written; the next boot captures or writes as the drive requests, and its result
//! is that of an undisturbed run; e2fsck finds no error after it; and the simulation leaves the same class of drive.
//!
//! Not verified: torn or reordered requests inside of the device, because a copy is taken while no request is in flight; the
//! loss of a write-back cache, because a loop device has none. The simulation covers both. The moments differ from run to
//! run, and are printed to standard error.
//!
//! It needs the same programs as the real-input test, and uses the same `REPLICATOR_REAL_INPUT`.

// Helpers are test code: a panic in them is a failed test.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod capture;
mod copy;
mod drive;
mod golden;
mod recorder;
mod simulated;
mod workers;
mod write;

use replicator_fixtures::{devices, replicator, rootfs, stage, tools, tree};

use std::io::Write;
use std::time::Instant;

/// Prints directly to standard error, because the test harness hides the output of a test that passes.
fn print(line: &str) {
    std::io::stderr().write_all(format!("real crash: {line}\n").as_bytes()).unwrap();
}

/// The result of `work`, and its time in seconds.
fn timed<R>(work: impl FnOnce() -> R) -> (R, u64) {
    let started = Instant::now();
    (work(), started.elapsed().as_secs())
}
