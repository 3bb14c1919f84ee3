//! The board's block devices by `/dev` and `/sys`: the door to [`Source`] and [`Target`].
//!
//! Nothing is ever created under `/dev`: every open is without `O_CREAT`, and what is opened must be a block device.

use super::areas;
use super::force_ro::{ForceReadOnly, OpenAreas};
use super::holders;
use super::ioctl;
use super::patience::Patience;
use super::roots::KernelRoots;
use super::source::{self, BlockSource};
use super::sysfs;
use super::target::{BlockTarget, UseAs};
use super::write_protection::{self, WriteProtection};
use crate::{Access, BlockDevice, BlockDevices, DeviceName, Error, ErrorKind, Result, Source, Target};
use nix::libc;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// For who looks at a device that a writer has closed, and for copies of a claim that was let go.
const PATIENCE: Patience = Patience { total: Duration::from_secs(2), interval: Duration::from_millis(20) };

/// The block devices of a Linux system.
#[derive(Debug, Default)]
pub struct LinuxDevices {
    roots: KernelRoots,
    protection: WriteProtection,
    open_areas: Arc<OpenAreas>,
}

/// How long an interrupted program waits for a bootloader that is being written.
const AREA_PATIENCE: Duration = Duration::from_secs(30);

/// How a node is opened.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum OpenMode {
    /// Reading.
    Read,
    /// Reading, as the only one.
    ExclusiveRead,
    /// Reading and writing, as the only one: fails while the device or a part of it is mounted or held.
    Exclusive,
}

impl LinuxDevices {
    /// The devices that the kernel shows below `roots`.
    pub fn new(roots: KernelRoots) -> Self {
        Self { roots, protection: WriteProtection::default(), open_areas: Arc::default() }
    }

    /// Puts write protection as it was, for a program that is about to end without closing what is open: sources become
    /// writable, which the kernel would otherwise refuse until they are plugged in anew, and bootloader areas protected. A
    /// bootloader that is being written is waited for, for a while.
    ///
    /// # Errors
    /// The first device for which it fails; the others are done.
    pub fn end_write_protection(&self) -> Result<()> {
        let areas = self.open_areas.end(AREA_PATIENCE);
        self.protection.release_all(&self.roots).and(areas)
    }

    pub(super) fn roots(&self) -> &KernelRoots {
        &self.roots
    }

    pub(super) fn protection(&self) -> &WriteProtection {
        &self.protection
    }

    /// Opens a bootloader area; for writing, with its protection lifted.
    pub(super) fn open_bootloader_area(&self, area: &DeviceName, access: Access) -> Result<Box<dyn Target>> {
        let directory = self.roots.class_block(area);
        if areas::kind(area.as_str()).is_none() {
            let detail = "not a bootloader area";
            return Err(Error::new(ErrorKind::WrongDevice, "opening", area.as_str(), detail));
        }
        if !directory.exists() {
            return Err(Error::new(ErrorKind::NotFound, "opening", area.as_str(), "no such area"));
        }
        let use_as = match access {
            Access::ReadOnly => UseAs::AreaToLookAt,
            Access::ReadWrite => {
                UseAs::Area(ForceReadOnly::lift(directory.join("force_ro"), &self.open_areas)?)
            }
        };
        Ok(Box::new(BlockTarget::open(&self.roots, area, use_as)?))
    }

    /// The kernel's name of the block device at `path`, which may be a symlink such as those in `/dev/disk/by-id`.
    ///
    /// # Errors
    /// `NotFound`; `WrongDevice` if it is no block device.
    pub fn by_path(&self, path: &Path) -> Result<DeviceName> {
        let object = path.display().to_string();
        let metadata =
            std::fs::metadata(path).map_err(|error| Error::from_io(error, "looking at", object.as_str()))?;
        if !metadata.file_type().is_block_device() {
            return Err(not_a_block_device(&object));
        }
        let (major, minor) = (libc::major(metadata.rdev()), libc::minor(metadata.rdev()));
        let link = self.roots.sys.join(format!("dev/block/{major}:{minor}"));
        let directory = std::fs::canonicalize(&link)
            .map_err(|error| Error::from_io(error, "looking up", object.as_str()))?;
        match directory.file_name().and_then(|name| name.to_str()) {
            Some(name) => Ok(DeviceName::new(name)),
            None => Err(Error::new(ErrorKind::NotFound, "looking up", object, "the kernel gives it no name")),
        }
    }
}

impl BlockDevices for LinuxDevices {
    fn list(&self) -> Result<Vec<BlockDevice>> {
        sysfs::list(&self.roots)
    }

    fn open_source(&self, device: &DeviceName) -> Result<Box<dyn Source>> {
        let use_as = source::UseAs::Medium;
        Ok(Box::new(BlockSource::open(&self.roots, &self.protection, device, use_as)?))
    }

    fn open_shared(&self, device: &DeviceName) -> Result<Box<dyn Source>> {
        let use_as = source::UseAs::Shared;
        Ok(Box::new(BlockSource::open(&self.roots, &self.protection, device, use_as)?))
    }

    fn open_target(&self, device: &DeviceName) -> Result<Box<dyn Target>> {
        Ok(Box::new(BlockTarget::open(&self.roots, device, UseAs::Medium)?))
    }

    fn reread_partitions(&self, device: &DeviceName) -> Result<()> {
        let file = open_node(&self.roots, device, OpenMode::Read)?;
        let Err(error) = PATIENCE.while_busy(is_busy, || ioctl::reread_partitions(&file)) else {
            return Ok(());
        };
        // A device that cannot have partitions (a loop device without partscan) has none to read again.
        if error.raw_os_error() == Some(libc::EINVAL)
            && sysfs::partitions(&self.roots.class_block(device)).is_empty()
        {
            return Ok(());
        }
        Err(Error::from_io(error, "reading the partition table of", device.as_str()))
    }
}

fn not_a_block_device(object: &str) -> Error {
    Error::new(ErrorKind::WrongDevice, "opening", object, "not a block device")
}

/// Opens the node of `device`, which must be a block device with a medium in it.
pub(super) fn open_node(roots: &KernelRoots, device: &DeviceName, mode: OpenMode) -> Result<File> {
    let node = roots.node(device)?;
    let object = device.as_str();
    // Looked at before opening, because opening a character device can act on it (a watchdog, a tape).
    let before = std::fs::metadata(&node).map_err(|error| Error::from_io(error, "opening", object))?;
    if !before.file_type().is_block_device() {
        return Err(not_a_block_device(object));
    }
    let file = open_patiently(&node, mode).map_err(|error| {
        // The kernel looks at its write protection first, which the holder may have set.
        let is_held = || {
            mode == OpenMode::Exclusive && open(&node, OpenMode::ExclusiveRead).is_err_and(|e| is_busy(&e))
        };
        if is_busy(&error) || is_held() { holders::busy(roots, device) } else { open_error(&error, device) }
    })?;
    let opened = file.metadata().map_err(|error| Error::from_io(error, "opening", object))?;
    if !opened.file_type().is_block_device() || opened.rdev() != before.rdev() {
        return Err(not_a_block_device(object));
    }
    Ok(file)
}

fn open_patiently(node: &Path, mode: OpenMode) -> std::io::Result<File> {
    PATIENCE.while_busy(is_busy, || open(node, mode))
}

fn open(node: &Path, mode: OpenMode) -> std::io::Result<File> {
    let exclusive = if mode == OpenMode::Read { 0 } else { libc::O_EXCL };
    OpenOptions::new().read(true).write(mode == OpenMode::Exclusive).custom_flags(exclusive).open(node)
}

fn is_busy(error: &std::io::Error) -> bool {
    error.raw_os_error() == Some(libc::EBUSY)
}

/// An error of opening: an empty slot and a write-protected card have numbers of their own there.
fn open_error(error: &std::io::Error, device: &DeviceName) -> Error {
    let kind = match error.raw_os_error() {
        // ENXIO, ENODEV, ENOMEDIUM are `DeviceGone` anywhere. A write-protected device refuses with EROFS or EACCES;
        // root is never refused for permissions.
        Some(libc::EACCES) if nix::unistd::geteuid().is_root() => ErrorKind::ReadOnly,
        Some(errno) => ErrorKind::from_errno(errno),
        None => ErrorKind::Other,
    };
    if kind == ErrorKind::ReadOnly {
        return write_protection::refused(device);
    }
    Error::new(kind, "opening", device.as_str(), error.to_string())
}

/// Length of an opened device; an empty slot is an error.
pub(super) fn medium_len_bytes(file: &File, device: &DeviceName) -> Result<u64> {
    let object = device.as_str();
    match ioctl::len_bytes(file).map_err(|error| Error::from_io(error, "measuring", object))? {
        0 => Err(Error::new(ErrorKind::DeviceGone, "opening", object, "no medium in it")),
        len => Ok(len),
    }
}

/// Wraps an error of reading or writing. A device that was pulled out answers EIO like a bad sector; only sysfs tells.
pub(super) fn io_error(
    roots: &KernelRoots,
    device: &DeviceName,
    error: std::io::Error,
    operation: &str,
    offset_bytes: u64,
) -> Error {
    let error = Error::from_io(error, operation, format!("{device} at {offset_bytes}"));
    if error.kind() == ErrorKind::Io && !roots.class_block(device).exists() {
        return Error::new(ErrorKind::DeviceGone, operation, device.as_str(), "the device is gone");
    }
    error
}
