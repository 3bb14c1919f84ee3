//! The real binary on real block devices with a real Debian root file system.
//!
//! Media and drive are loop devices. Independent tools (tar, xz, e2fsck, md5sum, sfdisk) and a tree walker of this test check the
//! results, never code of the replicator. The test needs root. If it cannot run, it prints the reason and passes, unless
//! `REPLICATOR_REAL_INPUT=required` is set; with `later` it is always skipped.
//!
//! debootstrap makes the root file system once; it is kept in `$REPLICATOR_CACHE` or in the build directory.

// Helpers are test code: a panic in them is a failed test.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod archives;
mod clone;
mod dialects;
mod encrypted;
mod failures;
mod flags;
mod foreign;
mod held;
mod host_keys;
mod images;
mod images_inside;
mod least_size;
mod maps;
mod measured;
mod memory;
mod mke2fs_conf;
mod no_rootfs;
mod overlays;
mod read_only_root;
mod remains;
mod root_names;
mod secrets;
mod several_file_systems;
mod small_drive;
mod tar_times;
mod workshop;
mod zoo;

use replicator_fixtures::{devices, memory_group, replicator, rootfs, stage, tools, tree};
