//! The boot binary on emulated boards: QEMU with Debian's kernels, our initramfs, a drive on USB and standard disk controllers.
//!
//! A golden root file system is captured from one medium and written to blank ones, and the clone boots. Power is cut by
//! killing QEMU, the drive is unplugged through its monitor, the LEDs are read at the GPIO controller. Independent tools on the
//! host check drive and media afterwards. Emulation is in software only.
//!
//! `ci/qemu` prepares `target/qemu` and runs this test. Without it, the test prints what is missing and passes, unless
//! `REPLICATOR_QEMU=required` is set; with `later` it is always skipped. Console logs are in `target/qemu/logs`.

// Helpers are test code: a panic in them is a failed test.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod console;
mod drive;
mod emmc;
mod failures;
mod golden;
mod keyboard;
mod leds;
mod little_memory;
mod machine;
mod media;
mod power;
mod q35;
mod qmp;
mod qtest;
mod run;
mod sabrelite;
mod stage;
mod virt;

use replicator_fixtures::{devices, tools, tree};
