//! The boot binary on emulated boards: QEMU with Debian's kernels, our initramfs, a drive on USB and real disk controllers.
//!
//! A golden root file system is captured from one medium, written to blank ones, and the clone boots. Power is cut by
//! killing QEMU, the drive is pulled by its monitor, LEDs are read from outside at the GPIO controller. What is left on
//! drive and media is judged by other people's tools on the host. Emulation is in software only.
//!
//! `ci/qemu` puts what is needed into `target/qemu` and runs this; by itself, the test says what is missing and passes,
//! unless `REPLICATOR_QEMU=required` is set; with `later` it is skipped anywhere. Consoles are kept in `target/qemu/logs`.

// Helpers of a test are tests: what goes wrong in them is to be seen at once.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod console;
mod drive;
mod emmc;
mod failures;
mod golden;
mod keyboard;
mod leds;
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
