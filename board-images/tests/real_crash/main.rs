//! Power cuts on real file systems: what the simulation assumes of crashes, held against the kernel.
//!
//! The real binary captures and writes on loop devices. At many moments it is frozen and the files behind the devices are
//! copied past the kernel's page cache, so that what was not written back is missing, as after a power cut. From each copy
//! the real binary boots again. Some runs are also killed for good, and what is left is booted from.
//!
//! What is verified of every cut: the source is unchanged byte for byte; no file has a valid name before it is whole; a
//! medium with a partition table is the old one or whole; e2fsck finds nothing after the next boot; the next boot takes
//! the way that the drive asks for and comes to the undisturbed end; and the simulation knows this kind of drive.
//!
//! What is not: requests inside of the device are not torn or reordered, because a copy is taken while none is on its way;
//! a drive's or card's own cache is not lost, because a loop device has none. Those are the simulation's matter. Which
//! moments are met differs from run to run, and is told on standard error.
//!
//! Needs what the real-input test needs, and obeys the same `REPLICATOR_REAL_INPUT`.

// Helpers of a test are tests: what goes wrong in them is to be seen at once.
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

/// Past the test harness, which shows nothing of a test that passes: what was met is worth knowing each time.
fn tell(line: &str) {
    std::io::stderr().write_all(format!("real crash: {line}\n").as_bytes()).unwrap();
}

/// What `work` gives, and the seconds it took.
fn timed<R>(work: impl FnOnce() -> R) -> (R, u64) {
    let started = Instant::now();
    (work(), started.elapsed().as_secs())
}
