//! The Linux backend on real loop devices, mounts and e2fsprogs.
//!
//! Needs root and loop devices; without them every test says that it is skipped.
#![cfg(all(feature = "linux", feature = "contract"))]
// All of it is test code, but not inside of a test function.
#![allow(clippy::unwrap_used)]

mod board;
mod contract;
mod devices;
mod file_systems;
mod firmware;
mod volumes;
