//! The host backend: directories as volumes, files as disks, and everything a real host needs besides hardware.
//!
//! [`Tree`] is the heart: all file operations of a volume, rooted in a directory. The Linux backend mounts and then
//! uses the same tree, so what is tested here without root is what runs on a board. Real block devices, mounts,
//! e2fsprogs and LEDs are not here.

mod tree;

pub use tree::{Mount, Tree, TreeFile, TreeVolume};
