//! A region as a block device for mount(2) and the file-system tools.
//!
//! A region that is exactly a kernel device or partition is used directly. Any other region gets a loop device. Both
//! end with a call that can fail.

use super::claim::release;
use super::ioctl;
use super::loop_device::{Backing, LoopDevice};
use super::node::{self, OpenMode, medium_len_bytes, open_node};
use super::roots::KernelRoots;
use super::run_lock::RunLock;
use super::sysfs;
use super::write_protection::{self, WriteProtection};
use crate::host::{TreeFile, Volumes, print};
use crate::{Access, DeviceName, Error, ErrorKind, Holder, Region, Result};
use std::fs::File;
use std::os::fd::AsFd;
use std::path::PathBuf;

/// A region's block device.
pub(super) struct RegionDevice {
    roots: KernelRoots,
    device: DeviceName,
    attached: Option<Attached>,
    /// Whether a device that is used directly was read-only in the kernel before we set that; `None` for a loop device,
    /// and once closed.
    read_only_before: Option<bool>,
    protection: WriteProtection,
    /// The lock of a device that is used directly. It excludes other runs, for which the kernel would mount the device
    /// too.
    run_lock: Option<RunLock>,
}

struct Attached {
    // Detached before its backing is closed, in this order.
    loop_device: LoopDevice,
    backing: BackingFile,
    read_only: bool,
}

enum BackingFile {
    Image(TreeFile),
    Device(File),
}

/// The kernel device or partition that is exactly this region; `None` if there is none.
fn exact_device(roots: &KernelRoots, region: &Region) -> Result<Option<DeviceName>> {
    let Holder::Device(device) = &region.holder else { return Ok(None) };
    let file = open_node(roots, device, OpenMode::Read)?;
    let len_bytes = medium_len_bytes(&file, device)?;
    check_bounds(region, len_bytes)?;
    if region.offset_bytes == 0 && region.len_bytes == len_bytes {
        return Ok(Some(device.clone()));
    }
    let exact = sysfs::partitions(&roots.class_block(device)).into_iter().find(|partition| {
        (partition.start_bytes, partition.len_bytes) == (region.offset_bytes, region.len_bytes)
    });
    Ok(exact.map(|partition| partition.name))
}

fn check_bounds(region: &Region, len_bytes: u64) -> Result<()> {
    let end = region.offset_bytes.checked_add(region.len_bytes);
    if end.is_some_and(|end| end <= len_bytes) {
        return Ok(());
    }
    let detail = format!("the region ends past the end at {len_bytes}");
    Err(Error::new(ErrorKind::OutOfRange, "opening", region.to_string(), detail))
}

/// Opens a region for reading: a file, and the start of the region in it.
pub(super) fn open_bytes(roots: &KernelRoots, volumes: &Volumes, region: &Region) -> Result<(File, u64)> {
    let failed = |error| Error::from_io(error, "opening", region.to_string());
    match &region.holder {
        Holder::Device(device) => {
            // A partition has a page cache of its own: the whole device does not show what was written through the
            // partition.
            let exact = exact_device(roots, region)?;
            let offset_bytes = if exact.is_some() { 0 } else { region.offset_bytes };
            let file = open_node(roots, exact.as_ref().unwrap_or(device), OpenMode::Read)?;
            ioctl::drop_clean_pages(&file).map_err(failed)?;
            Ok((file, offset_bytes))
        }
        Holder::File { volume, path } => {
            let file = volumes.tree(*volume)?.open_file(path, Access::ReadOnly)?;
            let file = File::from(file.as_fd()?.try_clone_to_owned().map_err(failed)?);
            check_bounds(region, file.metadata().map_err(failed)?.len())?;
            Ok((file, region.offset_bytes))
        }
    }
}

impl RegionDevice {
    /// Creates the device of the region.
    ///
    /// # Errors
    /// `Busy` if it is mounted or in use; `ReadOnly` for write access if the device is read-only; `OutOfRange`.
    pub(super) fn open(
        roots: &KernelRoots,
        protection: &WriteProtection,
        volumes: &Volumes,
        region: &Region,
        access: Access,
    ) -> Result<Self> {
        let (read_only_before, protection) = (None, protection.clone());
        if let Some(device) = exact_device(roots, region)? {
            let mut opened = Self {
                roots: roots.clone(),
                device,
                attached: None,
                read_only_before,
                protection,
                run_lock: None,
            };
            opened.claim_directly(access)?;
            return Ok(opened);
        }
        let attached = attach(roots, volumes, region, access)?;
        let device = attached.loop_device.device().clone();
        let attached = Some(attached);
        let opened =
            Self { roots: roots.clone(), device, attached, read_only_before, protection, run_lock: None };
        opened.set_access(access)?;
        Ok(opened)
    }

    /// The exclusive open is only a test: mount(2) and the tools claim the device themselves.
    fn claim_directly(&mut self, access: Access) -> Result<()> {
        self.run_lock = RunLock::take(&self.roots, &self.device)?;
        write_protection::recover(&self.roots, &self.device)?;
        let file = match open_node(&self.roots, &self.device, OpenMode::Exclusive) {
            Err(error) if error.kind() == ErrorKind::ReadOnly && access == Access::ReadOnly => {
                open_node(&self.roots, &self.device, OpenMode::ExclusiveRead)?
            }
            other => other?,
        };
        let failed = |error| Error::from_io(error, "opening", self.device.as_str());
        let before = ioctl::is_read_only(&file).map_err(failed)?;
        if access == Access::ReadWrite {
            if before {
                return Err(node::refused(&self.device));
            }
        } else {
            self.protection.protect(&self.roots, &self.device, &file)?;
        }
        self.read_only_before = Some(before);
        release(&self.roots, &self.device, file)
    }

    /// The device's name.
    pub(super) fn device(&self) -> &DeviceName {
        &self.device
    }

    /// The device's node.
    pub(super) fn node(&self) -> PathBuf {
        self.roots.node(&self.device)
    }

    /// Sets or clears the read-only flag of the device.
    ///
    /// # Errors
    /// `ReadOnly` if it cannot be written.
    pub(super) fn set_access(&self, access: Access) -> Result<()> {
        let read_only = access == Access::ReadOnly;
        if let Some(attached) = &self.attached {
            return match (attached.read_only, access) {
                (true, Access::ReadWrite) => Err(node::refused(&self.device)),
                (true, Access::ReadOnly) => Ok(()),
                (false, _) => attached.loop_device.set_read_only(read_only),
            };
        }
        if !read_only && self.read_only_before == Some(true) {
            return Err(node::refused(&self.device));
        }
        let file = open_node(&self.roots, &self.device, OpenMode::Read)?;
        if read_only {
            self.protection.protect(&self.roots, &self.device, &file)
        } else {
            self.protection.release(&self.device, &file)
        }
    }

    /// Releases the device. After `Ok` all writes are on its medium.
    ///
    /// # Errors
    /// `Io` if the last writes failed; `Busy` if a loop device cannot be detached.
    pub(super) fn close(&mut self) -> Result<()> {
        if let Some(mut attached) = self.attached.take() {
            let detached = attached.loop_device.detach();
            let synced = if attached.read_only { Ok(()) } else { attached.backing.sync() };
            return detached.and(synced);
        }
        let result = match self.read_only_before.take() {
            Some(false) => self.set_access(Access::ReadWrite),
            Some(true) | None => Ok(()),
        };
        self.run_lock = None;
        result
    }
}

impl Drop for RegionDevice {
    fn drop(&mut self) {
        if let Err(error) = self.close() {
            print(error);
        }
    }
}

impl BackingFile {
    /// The flush of a loop device reaches only the cache of its backing file.
    fn sync(&mut self) -> Result<()> {
        use crate::VolumeFile;
        match self {
            Self::Image(file) => file.sync(),
            Self::Device(file) => {
                file.sync_all().map_err(|error| Error::from_io(error, "syncing", "the backing device"))
            }
        }
    }
}

fn attach(roots: &KernelRoots, volumes: &Volumes, region: &Region, access: Access) -> Result<Attached> {
    let (backing, read_only, sector_len_bytes) = match &region.holder {
        Holder::Device(device) => {
            // Exclusive while the loop device exists, so that nobody can mount its backing.
            let (file, protected) = match open_node(roots, device, OpenMode::Exclusive) {
                Err(error) if error.kind() == ErrorKind::ReadOnly && access == Access::ReadOnly => {
                    (open_node(roots, device, OpenMode::ExclusiveRead)?, true)
                }
                other => (other?, false),
            };
            let failed = |error| Error::from_io(error, "opening", device.as_str());
            let sector = ioctl::sector_len_bytes(&file).map_err(failed)?;
            let read_only = protected || ioctl::is_read_only(&file).map_err(failed)?;
            if read_only && access == Access::ReadWrite {
                return Err(node::refused(device));
            }
            (BackingFile::Device(file), read_only, sector)
        }
        Holder::File { volume, path } => {
            let tree = volumes.tree(*volume)?;
            // Written to only for write access; but a later remount must be possible.
            let read_only = access == Access::ReadOnly && tree.access() == Some(Access::ReadOnly);
            let opened = if read_only { Access::ReadOnly } else { Access::ReadWrite };
            let file = tree.open_file(path, opened)?;
            check_bounds(region, crate::VolumeFile::len_bytes(&file)?)?;
            // Images have sectors of 512 bytes, the unit of their partition tables.
            (BackingFile::Image(file), read_only, 512)
        }
    };
    let file = match &backing {
        BackingFile::Image(file) => file.as_fd()?,
        BackingFile::Device(file) => file.as_fd(),
    };
    let loop_device = LoopDevice::attach(
        roots,
        &Backing {
            file,
            offset_bytes: region.offset_bytes,
            len_bytes: region.len_bytes,
            sector_len_bytes,
            read_only,
        },
    )?;
    Ok(Attached { loop_device, backing, read_only })
}
