//! Block devices: listing them, reading a source, writing and verifying a target.
//!
//! A source has no `write`, so no code path can change the medium that is captured. A target is exclusive, and is read
//! back only after [`Target::begin_verify`], because reads through the page cache show what was written and not what
//! the medium contains. This module does not interpret partition tables; the engine reads and makes them.
//!
//! A device is used in one way at a time: as a source, as a target, or by [`crate::FileSystems`]. A second use is
//! `Busy`. So is the first, if something else on the system uses the device and the kernel shows it: a mount in any
//! mount namespace, swap, a device mapping, an exclusive open of another program. [`BlockDevices::list`],
//! [`BlockDevices::open_shared`] and [`crate::FileSystems::identify`] only read and are allowed at any time.

use crate::LayerMut;
use crate::{DeviceName, Result};
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

/// How a device is attached.
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
    /// Any device on USB.
    Usb,
    /// A loop device.
    Loop,
    /// Any other device.
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

/// A whole block device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockDevice {
    /// The kernel's name.
    pub name: DeviceName,
    /// How it is attached.
    pub kind: DeviceKind,
    /// Path of the device below its controller, such as `soc/2100000.bus/2194000.mmc/mmc_host/mmc0/mmc0:1234`.
    pub controller_path: String,
    /// Identifies this unit among all others of its model: CID or serial number. `None` if the device has none.
    pub identity: Option<String>,
    /// Capacity; 0 if the slot is empty.
    pub len_bytes: u64,
    /// Logical sector size.
    pub sector_len_bytes: u32,
    /// Whether the medium can be removed.
    pub removable: bool,
    /// Whether the device refuses writes. Write protection that a killed run left behind does not count: the next open
    /// removes it.
    pub read_only: bool,
    /// Whether the device has eMMC boot areas.
    pub has_boot_areas: bool,
    /// What uses the device or one of its partitions: a mount point, swap, a device mapping. `None` if no use is known.
    /// Only an exclusive open proves that there is none.
    pub in_use: Option<String>,
    /// The partitions in the kernel's table, by number.
    pub partitions: Vec<Partition>,
}

/// A partition in the kernel's table.
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

/// How the caches were bypassed before a target was read back. A host cannot bypass a cache inside the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum CacheBypass {
    /// Reads bypass the page cache (O_DIRECT).
    Direct,
    /// The page cache was written out and dropped (fsync, BLKFLSBUF, fadvise) before the reads.
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

/// What a device did with a discard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Discarded {
    /// It does not support discards. Nothing changed.
    Unsupported,
    /// It accepted the discard of these bytes. What they read as is not known: zeros, the old bytes, or others. Bytes
    /// outside of the range are unchanged.
    Accepted(Range<u64>),
}

crate::forward::part! {
/// The board's block devices.
#[cfg_attr(feature = "mock", mockall::automock)]
pub trait BlockDevices: Send + Sync {
    /// All whole block devices, in no particular order, without RAM disks, boot areas and devices that are not media.
    ///
    /// # Errors
    /// If the kernel's list cannot be read.
    fn list(&self) -> Result<Vec<BlockDevice>>;

    /// Opens a device or partition for reading, exclusively, and sets it read-only in the kernel while it is open:
    /// nothing changes it until [`Source::close`]. A whole device is claimed with all of its partitions.
    ///
    /// # Errors
    /// `NotFound`; `DeviceGone` for an empty slot; `WrongDevice` if it is not a block device; `Busy` if it or a part of
    /// it is mounted, claimed or open for writing anywhere on the system, or is already a source or target. The detail
    /// names the user if it can be found.
    fn open_source(&self, device: &DeviceName) -> Result<Box<dyn Source>>;

    /// Opens a device for reading while others may use it, this program included: no claim, no write protection. The
    /// result is reliable only for bytes that nobody changes, such as the partition table of a mounted drive.
    ///
    /// # Errors
    /// `NotFound`; `DeviceGone` for an empty slot; `WrongDevice` if it is not a block device.
    fn open_shared(&self, device: &DeviceName) -> Result<Box<dyn Source>>;

    /// Opens a whole device for writing, exclusively. Never creates a file. While the target is open, no file system on
    /// the device can be mounted, formatted, checked or grown.
    ///
    /// # Errors
    /// As [`BlockDevices::open_source`]; `ReadOnly`.
    fn open_target(&self, device: &DeviceName) -> Result<Box<dyn Target>>;

    /// Makes the kernel read the device's partition table again.
    ///
    /// # Errors
    /// `Busy` if a partition is in use.
    fn reread_partitions(&self, device: &DeviceName) -> Result<()>;
}
layer BlockDevicesLayer: Send + Sync;
pointers (& Box Arc);
}

crate::forward::part! {
/// A medium that is captured. It can only be read.
#[cfg_attr(feature = "mock", mockall::automock)]
pub trait Source: Send {
    /// Capacity in bytes.
    fn len_bytes(&self) -> u64;

    /// Reads at `offset_bytes`; may be short; `Ok(0)` only at or past the end.
    ///
    /// # Errors
    /// `Io` for an unreadable sector: a retry returns the same bytes or the same error. `DeviceGone`.
    fn read_at(&mut self, offset_bytes: u64, buffer: &mut [u8]) -> Result<usize>;

    /// Ends the use of the source. Dropping it does the same, but cannot report errors.
    ///
    /// # Errors
    /// If the kernel reports an error on close, or cannot restore the read-write flag.
    fn close(&mut self) -> Result<()>;
}
layer SourceLayer: LayerMut + Send;
pointers (mut Box);
}

crate::forward::part! {
/// A medium that is written: opened exclusively, never created, and verified past the caches.
#[cfg_attr(feature = "mock", mockall::automock)]
pub trait Target: Send {
    /// Capacity in bytes.
    fn len_bytes(&self) -> u64;

    /// Writes at `offset_bytes`; may be short. Offset and length need no alignment.
    ///
    /// # Errors
    /// `NoSpace` past the end of the device; nothing is written there. `Io`; `DeviceGone`.
    fn write_at(&mut self, offset_bytes: u64, data: &[u8]) -> Result<usize>;

    /// Makes the range read as zeros.
    ///
    /// # Errors
    /// As [`Target::write_at`].
    fn zero(&mut self, offset_bytes: u64, len_bytes: u64) -> Result<()>;

    /// The unit of discards in bytes, a power of two: a device may ignore the rest of a range. `None` if the device does
    /// not report that it supports discards. The answer changes nothing and does not reach the device.
    fn discard_unit_bytes(&self) -> Option<u64>;

    /// Reports to the device that the bytes of the range are not needed any more (BLKDISCARD), as one request. Only whole
    /// units of [`Target::discard_unit_bytes`] are discarded, so the range that the device gets may be shorter and may
    /// be empty. The caller limits the length, because the request cannot be interrupted.
    ///
    /// A discard is durable after [`Target::sync`], as a write. It ends a verification.
    ///
    /// # Errors
    /// As [`Target::zero`]. After `Io` the content of the range is not known.
    fn discard(&mut self, offset_bytes: u64, len_bytes: u64) -> Result<Discarded>;

    /// Writes everything to the medium (fsync).
    ///
    /// # Errors
    /// `Io`: what was written since the last successful `sync` counts as lost, also after a later successful `sync`.
    fn sync(&mut self) -> Result<()>;

    /// Makes the following reads come from the medium and not from a cache of the host. Includes a [`Target::sync`]. A
    /// write ends this state.
    ///
    /// # Errors
    /// If the caches cannot be bypassed. The target can then not be verified.
    fn begin_verify(&mut self) -> Result<CacheBypass>;

    /// Reads at `offset_bytes`; may be short; `Ok(0)` only at or past the end. Proves something about the medium only
    /// after [`Target::begin_verify`].
    ///
    /// # Errors
    /// As [`Source::read_at`].
    fn read_at(&mut self, offset_bytes: u64, buffer: &mut [u8]) -> Result<usize>;

    /// Syncs and ends the use of the target. Dropping it closes it too, but cannot report errors.
    ///
    /// # Errors
    /// As [`Target::sync`].
    fn close(&mut self) -> Result<()>;
}
layer TargetLayer: LayerMut + Send;
pointers (mut Box);
}
