//! Who has a block device open: which openers exclude each other, what an opener gets, and the state after the close.

use crate::model::bytes::partitions::read_partitions;
use crate::model::hardware::disk::Disk;
use crate::model::hardware::storage::Storage;
use crate::model::time::op::Op;
use crate::model::time::op_name::OpName;
use replicator_hal::{Access, BlockDevice, DeviceName, Error, ErrorKind, Result};
use std::sync::Arc;

/// As what a disk is opened for writing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// A medium.
    Medium,
    /// A bootloader area: read-only, or with its write protection off.
    Area(Access),
}

/// An open extent of a disk.
#[derive(Debug)]
pub(crate) struct Extent {
    whole: Arc<str>,
    instance: u64,
    /// Start on the disk.
    pub(crate) start_bytes: u64,
    /// Length.
    pub(crate) len_bytes: u64,
    on: Arc<str>,
    /// The name under which it was opened.
    pub(crate) name: String,
}

impl Extent {
    /// A call on these bytes, with the names that faults and traces use.
    pub(crate) fn op(&self, name: OpName, offset_bytes: u64, len_bytes: u64, mutates: bool) -> Op {
        Op {
            name,
            on: Arc::clone(&self.on),
            object: self.name.clone(),
            offset_bytes,
            len_bytes,
            mutates,
            device: Some(Arc::clone(&self.whole)),
        }
    }
}

/// The reason why a device cannot be claimed.
fn held(described: &BlockDevice, disk: &Disk) -> Option<String> {
    if let Some(holder) = &described.in_use {
        return Some(format!("used by {holder}"));
    }
    if disk.identity.held_elsewhere {
        return Some("it is held by something that is in no table of this system".to_owned());
    }
    let used = match disk {
        Disk { target_open: true, .. } => "open for writing already",
        Disk { sources: 1.., .. } => "it is being captured",
        _ => return None,
    };
    Some(used.to_owned())
}

impl Storage {
    /// The call `name` on a device that is not open yet.
    pub(crate) fn op_on(&self, name: OpName, device: &DeviceName) -> Op {
        let found = self.find_device(device).ok();
        let on = found.as_ref().map(|(whole, ..)| Arc::clone(&self.disks[whole].identity.medium));
        Op {
            object: device.to_string(),
            device: found.map(|(whole, ..)| whole),
            ..Op::new(name, on.unwrap_or_else(|| "device".into()))
        }
    }

    /// All present media, by name.
    pub(crate) fn block_devices(&self) -> Result<Vec<BlockDevice>> {
        let disks = self.disks.values().filter(|disk| disk.present && disk.area.is_none());
        disks.map(|disk| self.describe(disk)).collect()
    }

    fn describe(&self, disk: &Disk) -> Result<BlockDevice> {
        let identity = &disk.identity;
        let mounted = self
            .volumes
            .iter()
            .find(|(_, mounted)| mounted.as_ref().is_some_and(|mounted| mounted.device == identity.device))
            .map(|(id, _)| format!("/run/volume-{id}"));
        Ok(BlockDevice {
            name: DeviceName::parse(&*identity.device)?,
            kind: identity.kind,
            controller_path: identity.controller_path.clone(),
            identity: identity.serial.clone(),
            len_bytes: disk.len_bytes(),
            sector_len_bytes: identity.sector_len_bytes,
            removable: identity.removable,
            read_only: disk.read_only || disk.sources > 0,
            has_boot_areas: identity.has_boot_areas,
            in_use: identity.held_by.clone().or(mounted),
            partitions: disk.partitions.clone(),
        })
    }

    fn extent(&self, device: &DeviceName) -> Result<Extent> {
        let (whole, start_bytes, len_bytes) = self.find_device(device)?;
        let disk = &self.disks[&whole];
        let (instance, on) = (disk.instance, Arc::clone(&disk.identity.medium));
        Ok(Extent { whole, instance, start_bytes, len_bytes, on, name: device.to_string() })
    }

    /// Opens a device or a partition for reading, and excludes writers.
    ///
    /// # Errors
    /// `NotFound`, `DeviceGone`; `Busy` if something holds it.
    pub(crate) fn claim_source(&mut self, device: &DeviceName) -> Result<Extent> {
        let extent = self.extent(device)?;
        let described = self.describe(&self.disks[&extent.whole])?;
        let disk = self.disk_mut(&extent.whole, "open-source")?;
        if let Some(holder) = held(&described, disk) {
            return Err(Error::new(ErrorKind::Busy, "opening", device.to_string(), holder));
        }
        disk.sources += 1;
        Ok(extent)
    }

    /// Opens a device or a partition for reading, and excludes no other opener.
    ///
    /// # Errors
    /// `NotFound`, `DeviceGone`.
    pub(crate) fn open_shared(&mut self, device: &DeviceName) -> Result<Extent> {
        let extent = self.extent(device)?;
        self.disk_mut(&extent.whole, "open-shared")?;
        Ok(extent)
    }

    /// Opens a whole disk as a target.
    ///
    /// # Errors
    /// `NotFound`, `DeviceGone`; `WrongDevice` for a partition, and for a medium that is opened as an area; `Busy`;
    /// `ReadOnly`.
    pub(crate) fn claim_target(&mut self, device: &DeviceName, role: Role) -> Result<Extent> {
        let refuse = |kind, detail: &str| Err(Error::new(kind, "opening", device.to_string(), detail));
        let extent = self.extent(device)?;
        if *extent.whole != *device.as_str() {
            return refuse(ErrorKind::WrongDevice, "a partition, not a whole device");
        }
        let described = self.describe(&self.disks[&extent.whole])?;
        let disk = self.disk_mut(&extent.whole, "opening")?;
        if role != Role::Medium && disk.area.is_none() {
            return refuse(ErrorKind::WrongDevice, "not a bootloader area");
        }
        if let Some(holder) = held(&described, disk) {
            return refuse(ErrorKind::Busy, &holder);
        }
        let refuses = disk.read_only && role != Role::Area(Access::ReadOnly);
        if refuses || (disk.area.is_some() && role == Role::Medium) {
            return refuse(ErrorKind::ReadOnly, "the device refuses writes");
        }
        if let Some(area) = disk.area.as_mut().filter(|_| role == Role::Area(Access::ReadWrite)) {
            area.protected = false;
        }
        disk.target_open = true;
        disk.discarded.clear();
        Ok(extent)
    }

    /// A source that excluded writers is closed.
    pub(crate) fn release_source(&mut self, extent: &Extent) {
        if let Some(disk) = self.disk_of(extent) {
            disk.sources = disk.sources.saturating_sub(1);
            disk.closed();
        }
    }

    /// A target is closed; the write protection of an area is on again.
    pub(crate) fn release_target(&mut self, extent: &Extent) {
        if let Some(disk) = self.disk_of(extent) {
            disk.target_open = false;
            disk.closed();
            if let Some(area) = &mut disk.area {
                area.protected = true;
            }
        }
    }

    /// Reads the partition table of a device again, as the kernel does on request.
    ///
    /// # Errors
    /// `NotFound`, `DeviceGone`; `Busy` while a file system of it is mounted.
    pub(crate) fn reread_partitions(&mut self, device: &DeviceName) -> Result<()> {
        let (whole, ..) = self.find_device(device)?;
        if let Some(holder) = self.describe(&self.disks[&whole])?.in_use {
            let detail = format!("used by {holder}");
            return Err(Error::new(ErrorKind::Busy, "reading partitions", device.to_string(), detail));
        }
        let disk = self.disk_mut(&whole, "reread-partitions")?;
        // The kernel reads the table through the page cache.
        let mut seen = disk.clone();
        seen.sync();
        disk.partitions = read_partitions(&whole, &seen.media);
        Ok(())
    }

    /// The disk of an open extent.
    ///
    /// # Errors
    /// `DeviceGone`, also if another device has its name now.
    pub(crate) fn opened(&mut self, extent: &Extent, operation: &str) -> Result<&mut Disk> {
        let disk = self.disk_mut(&extent.whole, operation)?;
        if disk.instance != extent.instance {
            return Err(Error::new(ErrorKind::DeviceGone, operation, &*extent.whole, "the device is gone"));
        }
        Ok(disk)
    }

    /// The disk of an open extent, present or not, unless another device has its name now.
    pub(crate) fn disk_of(&mut self, extent: &Extent) -> Option<&mut Disk> {
        self.disks.get_mut(&extent.whole).filter(|disk| disk.instance == extent.instance)
    }

    fn disk_mut(&mut self, device: &str, operation: &str) -> Result<&mut Disk> {
        let disk = self.disks.get_mut(device).filter(|disk| disk.present);
        disk.ok_or_else(|| Error::new(ErrorKind::DeviceGone, operation, device, "the device is gone"))
    }
}
