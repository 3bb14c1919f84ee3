//! The Linux backend on real loop devices, mounts and e2fsprogs.
//!
//! Needs root and loop devices; without them every test prints that it is skipped.
#![cfg(all(feature = "linux", feature = "contract"))]
// All of it is test code, but outside test functions.
#![allow(clippy::unwrap_used)]

mod board;
mod contract;
mod devices;
mod file_systems;
mod firmware;
mod volumes;
