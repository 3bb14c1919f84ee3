//! The replicator engine: captures a board's media to a drive, and writes images from a drive to a board's media.
//!
//! A whole run, on files and directories instead of a board (`examples/capture_and_write.rs`):
//!
//! ```
#![doc = include_str!("../examples/capture_and_write.rs")]
//! ```
//!
//! It reaches the world only through `replicator_hal`. What lives here: the order of steps, the decisions, the formats.
//! What does not: devices, file systems, time, threads that make HAL calls.
//!
//! # The public face
//!
//! A program gives [`boot::run`] a [`Board`](replicator_hal::Board) and a [`boot::Request`], and gets a [`report::Report`].
//! What a request is made of is in [`drive`], [`profile`] and [`tuning`]; what a drive says is in [`options`] and
//! [`sanitise_rules`]; what can go wrong is in [`error`]. [`capture`], [`context`] and [`media`] are public for tests that run
//! a capture without a drive, and [`formats`] for everybody who reads or makes images, records and archives.
//!
//! All other modules are private.

pub mod boot;
pub mod capture;
pub mod context;
pub mod drive;
pub mod error;
pub mod formats;
pub mod media;
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
mod root_names;
mod shell;
mod sidecars;
mod size;
mod source_record;
mod table;
mod verify;
mod write;

pub use error::{Error, Refusal, Result};
