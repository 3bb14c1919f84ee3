//! Block devices: finding them, reading a source, writing and verifying a target.
//!
//! A source has no `write`, so that no code path can change the medium it captures. A target is exclusive and is read
//! back only after [`Target::begin_verify`], because verification through a page cache lies. Partition tables are bytes
//! to this module; who reads and makes them is the engine.
//!
//! A device is open as a source, open as a target, or used as a file system ([`crate::FileSystems`]): one of them, and once.
//! The second to come is `Busy`, and so is the first if something else on the system holds the device, where the kernel
//! can tell: a mount in any mount namespace, swap, a mapping, another program's claim. What only looks
//! ([`BlockDevices::list`], [`BlockDevices::open_shared`], [`crate::FileSystems::identify`]) is allowed at any time.

use crate::LayerMut;
use crate::{DeviceName, Result};
use std::fmt;
use std::sync::Arc;

/// What a device is attached by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum DeviceKind {
    /// A removable SD card.
    Sd,
    /// A soldered eMMC.
    Emmc,
    /// A disk on SATA.
    Sata,
    /// A disk on NVMe.
    Nvme,
    /// Anything on USB.
    Usb,
    /// A loop device.
    Loop,
    /// Anything else.
    Other,
}

impl fmt::Display for DeviceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sd => "SD",
            Self::Emmc => "eMMC",
            Self::Sata => "SATA",
            Self::Nvme => "NVMe",
            Self::Usb => "USB",
            Self::Loop => "loop",
            Self::Other => "other",
        })
    }
}

/// A whole block device as found on the board.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockDevice {
    /// The kernel's name.
    pub name: DeviceName,
    /// What it is attached by.
    pub kind: DeviceKind,
    /// Path of the device below its controller, such as `soc/2100000.bus/2194000.mmc/mmc_host/mmc0/mmc0:1234`.
    pub controller_path: String,
    /// What tells this very unit from all others of its model: CID or serial number. `None` if the device has none.
    pub identity: Option<String>,
    /// Capacity; 0 if the slot is empty.
    pub len_bytes: u64,
    /// Logical sector size.
    pub sector_len_bytes: u32,
    /// Whether the medium can be taken out.
    pub removable: bool,
    /// Whether the device refuses writes. Write protection that a run left behind when it was killed does not count:
    /// opening the device takes it back.
    pub read_only: bool,
    /// Whether the device has eMMC boot areas.
    pub has_boot_areas: bool,
    /// What holds the device or one of its partitions: a mount point, swap, a mapping. `None` if nothing is known to; only
    /// opening it exclusively proves that nothing does.
    pub in_use: Option<String>,
    /// The partitions that the kernel knows, by number.
    pub partitions: Vec<Partition>,
}

/// A partition as the kernel sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partition {
    /// The kernel's name.
    pub name: DeviceName,
    /// Number in the partition table, from 1.
    pub number: u32,
    /// Start on the whole device.
    pub start_bytes: u64,
    /// Length.
    pub len_bytes: u64,
}

/// How a target's read-back got past the caches. No host can see past a cache inside of the device itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum CacheBypass {
    /// Reads go to the device and not through the page cache (O_DIRECT).
    Direct,
    /// The page cache was written out and dropped (flush, BLKFLSBUF, fadvise) before reading.
    Dropped,
}

impl fmt::Display for CacheBypass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Direct => "direct reads",
            Self::Dropped => "page cache dropped",
        })
    }
}

crate::forward::part! {
/// The board's block devices.
#[cfg_attr(feature = "mock", mockall::automock)]
pub trait BlockDevices: Send + Sync {
    /// All whole block devices, in no particular order. RAM disks, boot areas and devices that are no media are left out.
    ///
    /// # Errors
    /// If the kernel's list cannot be read.
    fn list(&self) -> Result<Vec<BlockDevice>>;

    /// Opens a device or partition for reading, exclusively, and sets it read-only in the kernel for as long as it is
    /// open: nothing changes it from here to [`Source::close`]. A whole device is claimed with all of its partitions.
    ///
    /// # Errors
    /// `NotFound`; `DeviceGone` for an empty slot; `WrongDevice` if it is no block device; `Busy` if it or a part of it is
    /// mounted, held or open for writing anywhere on the system, or is a source or target already; the detail says by what,
    /// as far as that can be known.
    fn open_source(&self, device: &DeviceName) -> Result<Box<dyn Source>>;

    /// Opens a device for a look beside those who use it, the replicator itself included: no claim, no write protection.
    /// Only what nobody changes may be believed, such as the partition table of a drive that is mounted.
    ///
    /// # Errors
    /// `NotFound`; `DeviceGone` for an empty slot; `WrongDevice` if it is no block device.
    fn open_shared(&self, device: &DeviceName) -> Result<Box<dyn Source>>;

    /// Opens a whole device for writing, exclusively. Never creates a file. As long as the target is open, nothing on the
    /// device can be mounted, formatted, checked or grown.
    ///
    /// # Errors
    /// As [`BlockDevices::open_source`]; `ReadOnly`.
    fn open_target(&self, device: &DeviceName) -> Result<Box<dyn Target>>;

    /// Makes the kernel read the device's partition table again, after it was written.
    ///
    /// # Errors
    /// `Busy` if a partition is in use.
    fn reread_partitions(&self, device: &DeviceName) -> Result<()>;
}
layer BlockDevicesLayer: Send + Sync;
pointers (& Box Arc);
}

crate::forward::part! {
/// A medium that is captured: it can only be read.
#[cfg_attr(feature = "mock", mockall::automock)]
pub trait Source: Send {
    /// Capacity in bytes.
    fn len_bytes(&self) -> u64;

    /// Reads at `offset_bytes`; may be short; `Ok(0)` only at or past the end.
    ///
    /// # Errors
    /// `Io` for an unreadable sector: a retry gives the same bytes or the same error. `DeviceGone`.
    fn read_at(&mut self, offset_bytes: u64, buffer: &mut [u8]) -> Result<usize>;

    /// Ends the use of the source. Dropping does the same, but cannot tell of errors.
    ///
    /// # Errors
    /// If the kernel reports one on close or cannot restore the read-write flag.
    fn close(&mut self) -> Result<()>;
}
layer SourceLayer: LayerMut + Send;
pointers (mut Box);
}

crate::forward::part! {
/// A medium that is written: exclusive, never created, verified past the caches.
#[cfg_attr(feature = "mock", mockall::automock)]
pub trait Target: Send {
    /// Capacity in bytes.
    fn len_bytes(&self) -> u64;

    /// Writes at `offset_bytes`; may be short. Offset and length need no alignment.
    ///
    /// # Errors
    /// `NoSpace` past the end of the device (nothing beyond it is ever written); `Io`; `DeviceGone`.
    fn write_at(&mut self, offset_bytes: u64, data: &[u8]) -> Result<usize>;

    /// Makes the range read as zeros.
    ///
    /// # Errors
    /// As [`Target::write_at`].
    fn zero(&mut self, offset_bytes: u64, len_bytes: u64) -> Result<()>;

    /// Brings everything written so far onto the medium.
    ///
    /// # Errors
    /// `Io`: what was written since the last successful `sync` counts as lost, for good.
    fn sync(&mut self) -> Result<()>;

    /// Makes the reads that follow come from the medium and not from a cache of the host. Includes a [`Target::sync`].
    /// Writing ends this state.
    ///
    /// # Errors
    /// If no way past the caches works: the target then cannot be verified.
    fn begin_verify(&mut self) -> Result<CacheBypass>;

    /// Reads at `offset_bytes`; may be short; `Ok(0)` only at or past the end. Says something about the medium only
    /// after [`Target::begin_verify`].
    ///
    /// # Errors
    /// As [`Source::read_at`].
    fn read_at(&mut self, offset_bytes: u64, buffer: &mut [u8]) -> Result<usize>;

    /// Syncs and ends the use of the target. Dropping closes it too, but cannot tell of errors.
    ///
    /// # Errors
    /// As [`Target::sync`].
    fn close(&mut self) -> Result<()>;
}
layer TargetLayer: LayerMut + Send;
pointers (mut Box);
}
