//! The Linux backend: real block devices, mounts, e2fsprogs, the LED class and GPIO lines.
//!
//! [`LinuxBoard`] combines the parts. Files on mounted volumes, clock, tasks, records and hooks are those of
//! [`crate::host`]. `/dev`, `/sys` and `/proc` are found through [`KernelRoots`], so that tests can replace them.
//!
//! `unsafe` is only in `allocator.rs`, `file_extents.rs`, `ioctl.rs`, `loop_device.rs` and `registers.rs`.

mod allocator;
mod areas;
mod board;
mod btrfs_map;
mod btrfs_tree;
mod byte_range;
mod claim;
mod devices;
mod direct;
mod exfat_map;
mod ext_bitmap;
mod ext_checksum;
mod ext_inode;
mod ext_layout;
mod ext_spare;
mod fat_map;
mod file_extents;
mod file_systems;
mod firmware;
mod force_ro;
mod gpio_lines;
mod holders;
mod ioctl;
mod isolation;
mod led_class;
mod led_fallback;
mod led_lines;
mod leds;
mod loop_device;
mod make_ext;
mod memory;
mod mount;
mod namespaces;
mod node;
mod patience;
mod ranges;
mod region_device;
mod registers;
mod roots;
mod run_lock;
mod source;
mod superblock;
mod swap_map;
mod sysfs;
mod system;
mod target;
#[cfg(test)]
mod test_images;
mod tools;
mod usage;
mod used_map;
mod write_back;
mod write_protection;
mod xfs_map;

pub use allocator::return_freed_buffers;
pub use board::{LedConfig, LinuxBoard, LinuxBoardConfig};
pub use devices::LinuxDevices;
pub use file_systems::{FileSystemsConfig, LinuxFileSystems};
pub use firmware::LinuxFirmware;
pub use isolation::isolate_mounts;
pub use led_fallback::LedSource;
pub use leds::LedThread;
pub use roots::KernelRoots;
pub use system::LinuxSystem;
pub use tools::Tools;
