//! A simulated board for the replicator engine: deterministic, with caches, power cuts and faults.
//!
//! Build a [`World`] from data, run the engine on its [`Board`](replicator_hal::Board), look at what is left, boot again from
//! what was durable. Same world, same seed, same trace hash.
//!
//! # Rooms
//!
//! | room | what is there |
//! |---|---|
//! | [`model`] | what hardware is: its state and its physics |
//! | [`board`] | the HAL over that model, as the engine sees it, and the world that a board is in |
//! | [`scenario`] | what a user does and what goes wrong, as data; the bytes that it begins with |
//! | [`run`] | runs a scenario and keeps what judges may want to see |
//! | [`judge`] | expectations, an oracle, and a checker per invariant |
//! | [`explore`] | every crash state, every failing call |
//! | [`fuzz`] | scenarios that are made up |
//! | [`cli`] | the program's commands |
//!
//! Each names those above it in this table only; `tests/layers` holds that.
//!
//! # What is modelled, and what can go wrong there
//!
//! | layer | model | faults |
//! |---|---|---|
//! | tasks, clock | real threads, one baton, virtual time; switches at HAL calls only | hang, power cut before or after a call |
//! | host page cache | dirty and clean pages per device and per file; dropped at last close and by `begin_verify` and `drop_cache` | stale reads while another holder is there; lost or torn at a power cut; a failed sync is final |
//! | device write cache | optional, emptied by sync | lost or torn at a power cut |
//! | media | sparse bytes, copy on write, 512-byte sectors | dropped and misdirected writes, fake capacity, latent errors, flipped bits, read-only, absent, empty, disappearing, re-enumerating under another name, resets of a whole hub |
//! | device and file calls | cost by the device's speed | I/O error by range or n-th call, interrupted, short, busy, failing without a reason, a bit that flips on its way |
//! | file systems | live and durable tree over real bytes; ext2/3/4, vfat, exfat profiles | out of space, lies about space, length of files, read-only in mid run, dirty, damaged, scripted checks; unflushed names and data lost, kept, late, mixed or garbage |
//! | LEDs | log of statuses, leases, wave forms | writes that fail |
//!
//! # What is not
//!
//! The bytes of a simulated file system are its own format and not those of ext4 or FAT, so nothing here proves that
//! mkfs, fsck or a kernel understand what a real board writes; loop devices do that. There is no write-back before a
//! sync, no directory of the kernel's own making, no data race inside the engine between two HAL calls. The write-back
//! cache of a fake card is here, but no host can see before a power cycle that one holds a whole image. Media are kept in
//! memory; [`World::keep`] writes them to sparse files that common tools open.

#![warn(missing_docs)]

pub mod board;
pub mod cli;
pub mod explore;
pub mod fuzz;
pub mod judge;
pub mod model;
pub mod run;
pub mod scenario;

pub use board::world::{RunEnd, RunOutcome, World, WorldBuilder};
pub use model::bytes::file_bytes::FileBytes;
pub use model::hardware::led_log::LedLog;
pub use model::hardware::machine::Recorded;
pub use model::hardware::medium::Medium;
pub use model::hardware::record_log::RecordLog;
pub use model::hardware::simfs::Survival;
pub use model::time::cause::{Caused, FaultId};
pub use model::time::scheduler::{End, Limits};
pub use model::time::trace::{Event, Trace};
