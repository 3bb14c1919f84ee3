//! The hardware abstraction layer of the replicator: the only way from the engine to the world.
//!
//! A backend on a directory of files, complete and held to the contract, is `examples/directory_backend.rs`. What it takes
//! to wrap one that is there:
//!
//! ```
//! use replicator_hal::{BlockDevice, BlockDevices, BlockDevicesLayer, Layer, Layered, Result};
//! use std::sync::Arc;
//!
//! /// Devices without those that can be taken out.
//! struct Soldered(Arc<dyn BlockDevices>);
//!
//! impl Layer for Soldered {
//!     type Below = dyn BlockDevices;
//!
//!     fn below(&self) -> &Self::Below {
//!         &*self.0
//!     }
//! }
//!
//! impl BlockDevicesLayer for Soldered {
//!     fn list(&self) -> Result<Vec<BlockDevice>> {
//!         let mut devices = self.0.list()?;
//!         devices.retain(|device| !device.removable);
//!         Ok(devices)
//!     }
//! }
//!
//! fn soldered(devices: Arc<dyn BlockDevices>) -> Arc<dyn BlockDevices> {
//!     Arc::new(Layered(Soldered(devices)))
//! }
//! ```
//!
//! The engine sees a [`Board`]: block devices, file systems, LEDs, a clock, tasks, the system it runs on, its
//! firmware and the records it leaves. Each is one small object-safe trait in a file of its own, so that a backend can be written from
//! these pages alone and each trait can be mocked alone (feature `mock`).
//!
//! What lives here: the traits, the types they speak, one error type, and helpers that every caller needs (whole reads
//! and writes over short ones). Backends for real hosts live behind features: `host` (files as disks, directories as
//! volumes, no root) and `linux` (`/dev`, mounts, e2fsprogs, LEDs). The suite that every backend must pass is behind
//! `contract`. What does not live here: any decision about images, formats or order of steps.
//!
//! # Rules for every backend
//!
//! * Every method may block; none may panic on what the world does. Errors carry an [`ErrorKind`] the engine can react
//!   to, and text that names the operation and the object.
//! * `sync` is not `flush`: when it returns `Ok`, the data is on the medium as far as the kernel can tell. After a
//!   failed `sync` the data counts as lost, whatever a later `sync` says.
//! * Reads and writes may be short; only `Ok(0)` from a read means the end. See [`io`].
//! * Nothing is ever created under `/dev`, and no path leaves the volume it was given to.

#![warn(missing_docs)]
// What mockall makes of a trait counts as code of this crate when the trait is defined by `part!`.
#![cfg_attr(feature = "mock", allow(unreachable_pub))]
// A terminal can go away, and these panic then: `host::print` does not.
#![cfg_attr(not(test), warn(clippy::print_stdout, clippy::print_stderr))]

mod block;
mod board;
mod clock;
#[cfg(feature = "contract")]
pub mod contract;
mod device_name;
mod error;
mod ext_shape;
mod file_system_kind;
mod filesystem;
mod firmware;
mod flags;
mod forward;
#[cfg(feature = "host")]
pub mod host;
pub mod io;
mod led_place;
mod led_state;
mod leds;
#[cfg(feature = "linux")]
pub mod linux;
mod path;
mod records;
pub mod signature;
mod system;
mod tasks;
mod volume;

pub use block::{
    BlockDevice, BlockDevices, BlockDevicesLayer, CacheBypass, DeviceKind, Partition, Source, SourceLayer,
    Target, TargetLayer,
};
pub use board::Board;
pub use clock::{Clock, ClockLayer, Timestamp};
pub use device_name::{DeviceName, InvalidDeviceName};
pub use error::{Error, ErrorKind, Result};
pub use ext_shape::{EXT_INODE_LEN_BYTES, EXT_JOURNAL_BLOCKS_MIN, ExtRoom, ExtShape, pointer_blocks};
pub use file_system_kind::{FileSystemKind, Flavour};
pub use filesystem::{
    FileSystem, FileSystems, FileSystemsLayer, Format, Fsck, FsckOutcome, Holder, Region, UsedMap, Uuid,
};
pub use firmware::{AreaKind, Argument, BootloaderArea, Firmware, FirmwareLayer, Updater, UpdaterProgram};
pub use flags::InodeFlags;
pub use forward::{Layer, LayerMut, Layered};
pub use led_place::{GpioChip, GpioLine, InvalidLedPlace, LedName};
pub use led_state::LedState;
pub use leds::{Led, Leds, LedsLayer, Status, level};
pub use path::{InvalidPath, RelativePath};
pub use records::{Records, RecordsLayer};
pub use system::{Hook, HookEnd, System, SystemLayer};
pub use tasks::{Compute, Task, TaskEnd, Tasks};
pub use volume::{
    Access, Capabilities, DirectoryEntry, FileKind, Metadata, NodeKind, Owner, ReadTree, ReadTreeLayer,
    SetAttributes, SetAttributesLayer, Space, Volume, VolumeFile, VolumeFileLayer, VolumeId, VolumeLayer,
    WriteTree, WriteTreeLayer, Xattr,
};

#[cfg(feature = "mock")]
pub use block::{MockBlockDevices, MockSource, MockTarget};
#[cfg(feature = "mock")]
pub use clock::MockClock;
#[cfg(feature = "mock")]
pub use filesystem::MockFileSystems;
#[cfg(feature = "mock")]
pub use firmware::MockFirmware;
#[cfg(feature = "mock")]
pub use leds::MockLeds;
#[cfg(feature = "mock")]
pub use records::MockRecords;
#[cfg(feature = "mock")]
pub use system::MockSystem;
#[cfg(feature = "mock")]
pub use tasks::MockTasks;
#[cfg(feature = "mock")]
pub use volume::{MockVolume, MockVolumeFile};
