//! The Linux backend on real loop devices, mounts and e2fsprogs.
//!
//! Needs root and loop devices; without them every test says that it is skipped.
#![cfg(feature = "linux")]
// All of it is test code, but not inside of a test function.
#![allow(clippy::unwrap_used)]

mod bench;
mod board;
#[cfg(feature = "contract")]
mod contract;
mod devices;
mod file_systems;
#[cfg(feature = "contract")]
mod firmware;
mod volumes;
