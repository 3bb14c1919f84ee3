//! The host backend: directories as volumes, files as disks, and everything a real host needs besides hardware.
//!
//! [`Tree`] is the heart: all file operations of a volume, rooted in a directory. The Linux backend mounts and then
//! uses the same tree, so what is tested here without root is what runs on a board; it shares the clock, the tasks, the
//! records, hooks and [`child`] too. Real block devices, mounts, e2fsprogs and LEDs are not here.

pub mod child;
mod clock;
pub mod hook;
mod records;
mod tasks;
mod tree;
mod volumes;

pub use clock::HostClock;
pub use records::FileRecords;
pub use tasks::ThreadTasks;
pub use tree::{Mount, Tree, TreeFile, TreeVolume};
pub use volumes::Volumes;
