//! The replicator engine: captures a board's media to a drive, and writes images from a drive to a board's media.
//!
//! It reaches the world only through `replicator_hal`. What lives here: the order of steps, the decisions, the formats.
//! What does not: devices, file systems, time, threads that make HAL calls.

pub mod boot;
pub mod capture;
mod companions;
pub mod context;
pub mod drive;
pub mod drive_file;
pub mod drive_request;
pub mod error;
pub mod expand;
pub mod firmware;
pub mod formats;
mod from_toml;
pub mod fstab;
mod jobs;
mod lease;
pub mod media;
pub mod names;
pub mod operation;
pub mod options;
pub mod plan;
mod printable;
pub mod profile;
pub mod provision;
pub mod report;
pub mod root_names;
pub mod sanitise_rules;
mod shell;
mod size;
mod table;
pub mod tuning;
pub mod write;

pub use error::{Error, Refusal, Result};
