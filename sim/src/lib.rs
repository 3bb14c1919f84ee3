//! A simulated board for the replicator engine: deterministic, with caches, power cuts and faults.
//!
//! Build a [`World`] from data, run the engine on its [`Board`](replicator_hal::Board), look at what is left, boot again from
//! what was durable. Same world, same seed, same trace hash.
//!
//! # What is modelled, and what can go wrong there
//!
//! | layer | model | faults |
//! |---|---|---|
//! | tasks, clock | real threads, one baton, virtual time; switches at HAL calls only | hang, power cut before or after a call |
//! | host page cache | dirty and clean pages per device and per file; dropped at last close and by `begin_verify` and `drop_cache` | stale reads while another holder is there; lost or torn at a power cut; a failed sync is final |
//! | device write cache | optional, emptied by sync | lost or torn at a power cut |
//! | media | sparse bytes, copy on write, 512-byte sectors | dropped and misdirected writes, fake capacity, latent errors, flipped bits, read-only, absent, empty, vanishing, there again under another name |
//! | device and file calls | cost by the device's speed | I/O error by range or n-th call, interrupted, short, busy, any failure, a bit that flips on its way |
//! | file systems | live and durable tree over real bytes; ext2/3/4, vfat, exfat profiles | out of space, lies about space, length of files, read-only in mid run, dirty, damaged, scripted checks; un-synced names and data lost, kept, late, mixed or garbage |
//! | LEDs | log of statuses, leases, wave forms | writes that fail |
//!
//! # What is not
//!
//! The bytes of a simulated file system are its own format and not those of ext4 or FAT, so nothing here proves that
//! mkfs, fsck or a kernel understand what a real board writes; loop devices do that. There is no write-back before a
//! sync, no directory of the kernel's own making, no data race inside the engine between two HAL calls. A fake
//! card's own memory is here, but one that holds a whole image is seen by no host before a power cycle. Media are kept in memory, and written to sparse
//! files that common tools open only where [`World::keep`] is asked to.

#![warn(missing_docs)]

pub mod catalogue;
mod claims;
pub mod cli;
mod clock;
pub mod content;
pub mod cores;
pub mod defects;
mod devices;
pub mod digest;
pub mod disk;
pub mod explore;
pub mod faults;
mod file;
mod file_bytes;
mod file_systems;
pub mod firmware;
mod firmware_adapter;
pub mod found;
pub mod fuzz;
mod handle;
mod hook_script;
pub mod identity;
pub mod inspect;
pub mod judge;
mod led_log;
mod leds;
mod machine;
pub mod medium;
pub mod op;
pub mod op_name;
pub mod pages;
pub mod partitions;
pub mod random;
mod record_log;
mod records;
mod remember;
pub mod run;
pub mod scenario;
pub mod scheduler;
pub mod simfs;
mod storage;
mod system;
mod tasks;
mod trace;
pub mod tree;
mod volume;
pub mod world;

pub use file_bytes::FileBytes;
pub use led_log::LedLog;
pub use machine::Recorded;
pub use record_log::RecordLog;
pub use simfs::Survival;
// The old names, until all rooms are in place.
pub use medium::Medium;
pub use scheduler as turnstile;
pub use scheduler::{End, Limits};
pub use trace::{Event, Trace};
pub use world::{RunEnd, RunOutcome, World, WorldBuilder};
