//! The host backend: directories as volumes, files as disks, and everything that a real host needs besides hardware.
//!
//! [`Tree`] has all file operations of a volume, rooted in a directory. The Linux backend mounts and then uses the same
//! tree, so the tests here, which need no root, test what runs on a board. The Linux backend also shares the clock, the
//! tasks, the records, the LEDs' state, hooks and child processes. Real block devices, mounts, e2fsprogs and LEDs are
//! in `linux`.

mod board;
pub(crate) mod child;
mod clock;
mod devices;
mod file_systems;
mod firmware;
pub(crate) mod hook;
mod leds;
mod records;
mod system;
mod tasks;
mod terminal;
mod tree;
mod volumes;

pub use board::HostBoard;
pub use clock::HostClock;
pub use devices::{HostDevice, HostDevices};
pub use file_systems::HostFileSystems;
pub use firmware::{HostArea, HostFirmware};
pub use leds::RecordingLeds;
pub use records::FileRecords;
pub use system::HostSystem;
pub use tasks::ThreadTasks;
pub use terminal::print;
pub use tree::{Locator, Mount, Tree, TreeFile, TreeVolume};
pub use volumes::Volumes;
