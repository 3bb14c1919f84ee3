//! The hardware abstraction layer of the replicator. All access of the engine to the board goes through it.
//!
//! A complete small backend is in `examples/directory_backend.rs`; it passes the contract suite. This is a wrapper over
//! an existing backend:
//!
//! ```
//! use replicator_hal::{BlockDevice, BlockDevices, BlockDevicesLayer, Layer, Layered, Result};
//! use std::sync::Arc;
//!
//! /// Only devices that cannot be removed.
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
//! The engine gets a [`Board`]: block devices, file systems, LEDs, a clock, tasks, the running system, firmware and
//! records. Each part is one small object-safe trait in a file of its own. So a backend can be written from this
//! documentation alone, and each trait can be mocked alone (feature `mock`).
//!
//! This crate contains the traits, their types, one error type, and helpers that every caller needs (whole reads and
//! writes over short ones). The backends for real hosts have features: `host` (files as disks, directories as volumes,
//! no root needed) and `linux` (`/dev`, mounts, e2fsprogs, LEDs). The suite that every backend must pass has the
//! feature `contract`. Decisions about images, formats and the order of steps are in the engine.
//!
//! # Rules for every backend
//!
//! * Every method may block. No method panics, whatever the hardware or the kernel does. An error has an [`ErrorKind`] for
//!   the engine, and text that names the operation and the object.
//! * After a successful `sync` the data is on the medium as far as the kernel can know; that is more than a `flush`. After
//!   a failed `sync` the data counts as lost, whatever a later `sync` returns.
//! * Reads and writes may be short. Only `Ok(0)` from a read means the end. See [`io`].
//! * A backend never creates a file under `/dev`, and no path leaves its volume.

#![warn(missing_docs)]
// In a trait that `part!` defines, the code that mockall generates counts as code of this crate.
#![cfg_attr(feature = "mock", allow(unreachable_pub))]
// These macros panic when the terminal is closed. `host::print` ignores the error instead.
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
    BlockDevice, BlockDevices, BlockDevicesLayer, CacheBypass, DeviceKind, Discarded, Partition, Source,
    SourceLayer, Target, TargetLayer,
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
    Access, Capabilities, DirectoryEntry, FileExtent, FileKind, Metadata, NodeKind, Owner, ReadTree,
    ReadTreeLayer, SetAttributes, SetAttributesLayer, Space, Volume, VolumeFile, VolumeFileLayer, VolumeId,
    VolumeLayer, WriteTree, WriteTreeLayer, Xattr,
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
