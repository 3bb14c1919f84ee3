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
mod devices;
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
mod replicator;
mod root_names;
mod rootfs;
mod secrets;
// Some of it serves the real-crash test only.
#[allow(dead_code)]
mod stage;
mod tar_times;
mod tools;
mod tree;
mod workshop;
mod zoo;
