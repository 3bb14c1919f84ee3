//! The replicator engine: captures a board's media to a drive, and writes images from a drive to a board's media.
//!
//! It reaches the world only through `replicator_hal`. What lives here: the order of steps, the decisions, the formats.
//! What does not: devices, file systems, time, threads that make HAL calls.

pub mod drive_file;
pub mod error;
pub mod formats;
pub mod media;
pub mod names;
pub mod operation;
pub mod options;
pub mod profile;
pub mod report;
pub mod tuning;

pub use error::{Error, Refusal, Result};
pub mod sanitise_rules;
