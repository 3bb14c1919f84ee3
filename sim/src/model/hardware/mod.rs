//! The parts of a board as state, and their changes: disks with their caches, file systems in bytes, firmware, LEDs,
//! records, and the effects of faults.
//!
//! How the engine accesses them is in [`crate::board`].

pub(crate) mod apply;
pub(crate) mod claims;
pub mod content;
pub mod defects;
pub mod disk;
pub mod fault;
pub mod faults;
pub mod firmware;
pub mod found;
pub(crate) mod hook_script;
pub mod identity;
pub(crate) mod led_log;
pub(crate) mod machine;
pub mod medium;
pub(crate) mod record_log;
pub mod simfs;
pub(crate) mod storage;
pub mod trigger;
pub(crate) mod volumes;
