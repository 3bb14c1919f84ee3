//! A simulated board for the replicator engine: deterministic, with caches, power cuts and faults.
//!
//! Build a [`World`] from data, run the engine on its [`Board`](replicator_hal::Board), inspect what is left, and
//! boot again from what was durable. The same world and the same seed give the same trace hash.
//!
//! # Modules
//!
//! | module | content |
//! |---|---|
//! | [`model`] | the hardware: state and physics |
//! | [`board`] | the HAL over that model, as the engine sees it, and the world that a board is part of |
//! | [`scenario`] | what a user does and what fails, as data; the bytes at the beginning |
//! | [`run`] | runs a scenario and collects the evidence for the judges |
//! | [`judge`] | expectations, an oracle, and a checker per invariant |
//! | [`explore`] | every crash state, every failing call |
//! | [`fuzz`] | generated scenarios |
//! | [`cli`] | the program's commands |
//!
//! Each module imports only modules above it in this table; `tests/layers` checks that.
//!
//! # What is modelled, and what can go wrong there
//!
//! | layer | model | faults |
//! |---|---|---|
//! | tasks, clock | fibres of one thread, of which one runs at a time; virtual time; task switches at HAL calls only | hang, power cut before or after a call |
//! | host page cache | dirty and clean pages per device and per file; dropped at last close and by `begin_verify` and `drop_cache` | stale reads while another process holds the device open; lost or torn at a power cut; a failed sync is final |
//! | device write cache | optional, emptied by sync | lost or torn at a power cut |
//! | media | sparse bytes, copy on write, 512-byte sectors | dropped and misdirected writes, fake capacity, latent errors, flipped bits, read-only, absent, empty, disappearing, re-enumerating under another name, resets of a whole hub |
//! | device and file calls | cost by the device's speed | I/O error by range or n-th call, interrupted, short, busy, failing without a reason, a bit that flips in transfer |
//! | file systems | live and durable tree over real bytes; ext2/3/4, vfat, exfat profiles | out of space, wrong free space, limited file length, read-only in mid run, dirty, damaged, scripted checks; unflushed names and data lost, kept, late, mixed or garbage |
//! | LEDs | log of statuses, leases, wave forms | writes that fail |
//!
//! # What is not modelled
//!
//! The bytes of a simulated file system have their own format, not that of ext4 or FAT. So nothing here proves that
//! mkfs, fsck or a kernel can read what a real board writes; the tests on loop devices do that. There is no
//! write-back before a sync, no directory that the kernel makes by itself, and no data race inside the engine between
//! two HAL calls. The write-back cache of a fake card is modelled, but a cache that holds a whole image cannot be
//! detected by a host before a power cycle. Media are kept in memory; [`World::keep`] writes them to sparse files
//! that common tools open.

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
