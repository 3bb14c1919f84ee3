//! The replicator engine: captures a board's media to a drive, and writes images from a drive to a board's media.
//!
//! It reaches the world only through `replicator_hal`. What lives here: the order of steps, the decisions, the formats.
//! What does not: devices, file systems, time, threads that make HAL calls.

pub mod formats;
pub mod names;
pub mod options;
pub mod sanitise_rules;
