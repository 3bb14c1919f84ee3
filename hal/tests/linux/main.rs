//! The Linux backend on real loop devices, mounts and e2fsprogs.
//!
//! Needs root and loop devices; without them every test says that it is skipped.
#![cfg(feature = "linux")]

mod bench;
mod devices;
mod file_systems;
mod volumes;
