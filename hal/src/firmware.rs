//! What boots the board and what sits beside its processor: bootloader areas, registers that tell the board's revision,
//! and the programs that update microcontrollers and FPGAs.
//!
//! A bootloader area is no medium: it is not in [`crate::BlockDevices::list`], and it is written through a target of its
//! own, because its write protection has to be lifted and must come back whatever happens. Which file belongs where is a
//! board's profile's matter.

use crate::{Access, DeviceName, HookEnd, RelativePath, Result, Target, VolumeId};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Flash that the processor's boot ROM reads a bootloader from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BootloaderArea {
    /// The kernel's name, such as `mmcblk0boot0` or `mtdblock0`.
    pub name: DeviceName,
    /// What kind of area it is.
    pub kind: AreaKind,
    /// Path of the device below its controller, as [`crate::BlockDevice::controller_path`].
    pub controller_path: String,
    /// Its name in the device tree or the partition table of the flash, where it has one.
    pub label: Option<String>,
    /// Capacity.
    pub len_bytes: u64,
    /// Whether it refuses writes in a way that opening it does not lift.
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

/// A program that updates a microcontroller or an FPGA.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Updater {
    /// The program.
    pub program: UpdaterProgram,
    /// Its arguments.
    pub arguments: Vec<Argument>,
    /// It is killed after this time.
    pub timeout: Duration,
}

/// Where an updater comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UpdaterProgram {
    /// A file on a mounted volume; must be resolved, not a symlink.
    File {
        /// The volume.
        volume: VolumeId,
        /// The file.
        path: RelativePath,
    },
    /// A program of the running system, by its name alone.
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

/// The command as people write it.
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

    /// Opens an area, exclusively. For writing, its write protection is lifted (`force_ro` of an eMMC's boot area), and is
    /// back when the target is closed or dropped, and when the program is interrupted. For reading it stays as it is, and
    /// the target refuses writes with `ReadOnly`.
    ///
    /// # Errors
    /// `NotFound`; `WrongDevice` if it is no bootloader area; `Busy`; `ReadOnly` if its protection cannot be lifted.
    fn open_bootloader_area(&self, area: &DeviceName, access: Access) -> Result<Box<dyn Target>>;

    /// Reads a 32-bit register at a physical address.
    ///
    /// # Errors
    /// `InvalidInput` for an address that is no multiple of 4; `Unsupported` where registers cannot be read.
    fn register(&self, address: u64) -> Result<u32>;

    /// Runs an updater to its end, with no way to ask anybody anything.
    ///
    /// # Errors
    /// As [`crate::System::run_hook`]: `NotFound` if the program or a file is not there or a volume is not mounted;
    /// `ToolFailed` if it cannot be started; `TimedOut` if it had to be killed. An exit status is no error, and no proof
    /// that anything was updated.
    fn run_updater(&self, updater: &Updater) -> Result<HookEnd>;
}
layer FirmwareLayer: Send + Sync;
pointers (& Box Arc);
}
