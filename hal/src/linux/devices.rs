//! The board's block devices, from `/dev` and `/sys`. Opens [`Source`]s and [`Target`]s.

use super::areas;
use super::force_ro::{ForceReadOnly, OpenAreas};
use super::ioctl;
use super::node::{self, OpenMode, PATIENCE, not_a_block_device, open_node};
use super::roots::KernelRoots;
use super::source::{self, BlockSource};
use super::sysfs;
use super::target::{BlockTarget, UseAs};
use super::write_protection::{self, WriteProtection};
use crate::{Access, BlockDevice, BlockDevices, DeviceName, Error, ErrorKind, Result, Source, Target};
use nix::libc;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// The block devices of a Linux system.
#[derive(Debug, Default)]
pub struct LinuxDevices {
    roots: KernelRoots,
    protection: WriteProtection,
    open_areas: Arc<OpenAreas>,
}

/// How long an interrupted program waits until a bootloader is written.
const AREA_PATIENCE: Duration = Duration::from_secs(30);

impl LinuxDevices {
    /// The devices below `roots`.
    pub fn new(roots: KernelRoots) -> Self {
        Self { roots, protection: WriteProtection::default(), open_areas: Arc::default() }
    }

    /// Restores the write protection of all open devices, for a program that is about to end without closing them.
    /// Sources become writable, which the kernel would otherwise refuse until they are plugged in again. Bootloader
    /// areas become write-protected; one that is being written is waited for, for a limited time.
    ///
    /// # Errors
    /// The error of the first device for which it fails; the others are restored.
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

    /// Opens a bootloader area. For writing its protection is removed.
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
            Access::ReadOnly => UseAs::AreaReadOnly,
            Access::ReadWrite => {
                UseAs::Area(ForceReadOnly::lift(directory.join("force_ro"), &self.open_areas)?)
            }
        };
        Ok(Box::new(BlockTarget::open(&self.roots, area, use_as)?))
    }

    /// The kernel's name of the block device at `path`, which may be a symlink, such as one in `/dev/disk/by-id`.
    ///
    /// # Errors
    /// `NotFound`; `WrongDevice` if it is not a block device.
    pub fn by_path(&self, path: &Path) -> Result<DeviceName> {
        let object = path.display().to_string();
        let metadata = std::fs::metadata(path)
            .map_err(|error| Error::from_io(error, "reading the metadata of", object.as_str()))?;
        if !metadata.file_type().is_block_device() {
            return Err(not_a_block_device(&object));
        }
        let (major, minor) = (libc::major(metadata.rdev()), libc::minor(metadata.rdev()));
        let link = self.roots.sys.join(format!("dev/block/{major}:{minor}"));
        let directory = std::fs::canonicalize(&link)
            .map_err(|error| Error::from_io(error, "looking up", object.as_str()))?;
        match directory.file_name().and_then(|name| name.to_str()) {
            Some(name) => Ok(DeviceName::parse(name)?),
            None => Err(Error::new(ErrorKind::NotFound, "looking up", object, "it has no name in sysfs")),
        }
    }
}

impl BlockDevices for LinuxDevices {
    fn list(&self) -> Result<Vec<BlockDevice>> {
        let mut devices = sysfs::list(&self.roots)?;
        for device in devices.iter_mut().filter(|device| device.read_only) {
            // Write protection that a killed run left behind is removed at the next open.
            device.read_only = !write_protection::is_left_behind(&self.roots, &device.name);
        }
        Ok(devices)
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
        let Err(error) = PATIENCE.while_busy(node::is_busy, || ioctl::reread_partitions(&file)) else {
            return Ok(());
        };
        // A device that cannot have partitions (a loop device without partscan) has nothing to read again.
        if error.raw_os_error() == Some(libc::EINVAL)
            && sysfs::partitions(&self.roots.class_block(device)).is_empty()
        {
            return Ok(());
        }
        Err(Error::from_io(error, "reading the partition table of", device.as_str()))
    }
}
