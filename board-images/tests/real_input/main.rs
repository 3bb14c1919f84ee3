//! The real binary on real block devices with a real Debian root file system.
//!
//! Media and drive are loop devices. What comes out is judged by other people's tools (tar, xz, e2fsck, md5sum, sfdisk)
//! and by a tree walker of this test's own, never by code of the replicator. Needs root; says so and passes where it
//! cannot run, unless `REPLICATOR_REAL_INPUT=required` is set; with `later` it is skipped anywhere.
//!
//! The root file system comes from debootstrap once, and is kept in `$REPLICATOR_CACHE` or next to the build's output.

// Helpers of a test are tests: what goes wrong in them is to be seen at once.
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
mod looked_into;
mod measured;
mod mke2fs_conf;
mod no_rootfs;
mod overlays;
mod read_only_root;
mod remains;
mod root_names;
mod secrets;
mod tar_times;
mod workshop;
mod zoo;

use replicator_fixtures::{devices, replicator, rootfs, stage, tools, tree};
