//! Firmware of the board: bootloader areas, registers with the board's revision, and the programs that update
//! microcontrollers and FPGAs.
//!
//! A bootloader area is not a medium: [`crate::BlockDevices::list`] does not return it. It has an open call of its own,
//! because its write protection is removed for the time of the write and must be set again in all cases. The board's
//! profile states which file belongs to which area.

use crate::{Access, DeviceName, HookEnd, RelativePath, Result, Target, VolumeId};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Flash from which the processor's boot ROM reads a bootloader.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BootloaderArea {
    /// The kernel's name, such as `mmcblk0boot0` or `mtdblock0`.
    pub name: DeviceName,
    /// Its kind.
    pub kind: AreaKind,
    /// Path of the device below its controller, as [`crate::BlockDevice::controller_path`].
    pub controller_path: String,
    /// Its name in the device tree or in the partition table of the flash, if it has one.
    pub label: Option<String>,
    /// Capacity.
    pub len_bytes: u64,
    /// Whether it is write-protected in a way that opening it does not remove.
    pub read_only: bool,
}

/// What kind of bootloader area it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AreaKind {
    /// A boot area of an eMMC.
    EmmcBoot {
        /// The eMMC, such as `mmcblk0`.
        device: DeviceName,
        /// 0 or 1.
        number: u8,
    },
    /// A flash chip or a partition of one.
    Flash,
}

/// A program that updates the firmware of a microcontroller or FPGA.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Updater {
    /// The program.
    pub program: UpdaterProgram,
    /// Its arguments.
    pub arguments: Vec<Argument>,
    /// The program is killed after this time.
    pub timeout: Duration,
}

/// Where the program is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UpdaterProgram {
    /// A file on a mounted volume; must be resolved, not a symlink.
    File {
        /// The volume.
        volume: VolumeId,
        /// The file.
        path: RelativePath,
    },
    /// A program of the running system, by its name without a directory.
    System(String),
}

/// An argument of an updater.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Argument {
    /// Text.
    Text(String),
    /// The absolute path of a file on a mounted volume; must be resolved, not a symlink.
    File {
        /// The volume.
        volume: VolumeId,
        /// The file.
        path: RelativePath,
    },
}

/// The command line, for logs.
impl fmt::Display for Updater {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.program {
            UpdaterProgram::File { path, .. } => write!(f, "{path}")?,
            UpdaterProgram::System(name) => write!(f, "{name}")?,
        }
        self.arguments.iter().try_for_each(|argument| match argument {
            Argument::Text(text) => write!(f, " {text}"),
            Argument::File { path, .. } => write!(f, " {path}"),
        })
    }
}

crate::forward::part! {
/// Bootloader areas, registers and updaters.
#[cfg_attr(feature = "mock", mockall::automock)]
pub trait Firmware: Send + Sync {
    /// All bootloader areas, in no particular order.
    ///
    /// # Errors
    /// If the kernel's list cannot be read.
    fn bootloader_areas(&self) -> Result<Vec<BootloaderArea>>;

    /// Opens an area exclusively. For `ReadWrite` its write protection is removed (`force_ro` of an eMMC's boot area);
    /// it is set again when the target is closed or dropped, and when the program is interrupted. For `ReadOnly` the
    /// write protection stays, and the target refuses writes with `ReadOnly`.
    ///
    /// # Errors
    /// `NotFound`; `WrongDevice` if it is not a bootloader area; `Busy`; `ReadOnly` if its protection cannot be
    /// removed.
    fn open_bootloader_area(&self, area: &DeviceName, access: Access) -> Result<Box<dyn Target>>;

    /// Reads a 32-bit register at a physical address.
    ///
    /// # Errors
    /// `InvalidInput` for an address that is not a multiple of 4; `Unsupported` if registers cannot be read.
    fn register(&self, address: u64) -> Result<u32>;

    /// Runs an updater to its end, without a terminal and without input.
    ///
    /// # Errors
    /// As [`crate::System::run_hook`]: `NotFound` if the program or a file does not exist or a volume is not mounted;
    /// `ToolFailed` if it cannot be started; `TimedOut` if it had to be killed. An exit status is not an error, and
    /// does not prove that anything was updated.
    fn run_updater(&self, updater: &Updater) -> Result<HookEnd>;
}
layer FirmwareLayer: Send + Sync;
pointers (& Box Arc);
}
