//! The replicator engine: captures a board's media to a drive, and writes images from a drive to a board's media.
//!
//! A whole run, on files and directories instead of a board (`examples/capture_and_write.rs`):
//!
//! ```
#![doc = include_str!("../examples/capture_and_write.rs")]
//! ```
//!
//! It reaches hardware only through `replicator_hal`. This crate has the order of steps, the decisions and the formats.
//! Devices, file systems, time, and threads that make HAL calls are in the HAL.
//!
//! # The public interface
//!
//! A program gives [`boot::run`] a [`Board`](replicator_hal::Board) and a [`boot::Request`], and gets a
//! [`report::Report`]. The parts of a request are in [`drive`], [`profile`], [`tuning`] and [`memory`], the files that a drive may
//! hold in [`names`], [`options`] and [`sanitise_rules`], and the errors in [`error`]. [`capture`], [`context`] and
//! [`media`] are public for tests that run a capture without a drive, and [`formats`] for programs that read or make
//! images and archives.
//!
//! All other modules are private.

pub mod boot;
pub mod capture;
pub mod context;
pub mod drive;
pub mod error;
pub mod formats;
pub mod media;
pub mod memory;
pub mod names;
pub mod options;
pub mod profile;
pub mod report;
pub mod sanitise_rules;
pub mod tuning;

mod drive_file;
mod drive_request;
mod expand;
mod firmware;
mod from_toml;
mod fstab;
mod jobs;
mod lease;
mod operation;
mod plan;
mod printable;
mod provision;
mod ranges;
mod root_names;
mod shell;
mod sidecars;
mod size;
mod source_record;
mod table;
mod verify;
mod write;

pub use error::{Error, Refusal, Result};
