//! Everything that holds bytes: the disks, the file systems mounted on them, and file systems in files on those.
//!
//! A region's bytes are found here, whatever holds them. So a partition, an extent of a medium and a partition in an
//! image file on the drive are the same to the layers above. What calls cost and which fail is not decided here.

use crate::model::hardware::disk::Disk;
use crate::model::hardware::firmware::FirmwareState;
use crate::model::hardware::simfs::{Backing, Outcome, Refusal, SimFs, Survival, refuse};
use crate::model::time::cause::{Caused, FaultId};
use replicator_hal::{
    Access, AreaKind, DeviceName, Error, ErrorKind, FileKind, Holder, Region, Result, Timestamp, VolumeId,
};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Where a region's bytes are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// On a disk.
    Disk {
        /// The whole device's name.
        device: Arc<str>,
        /// Start on it.
        offset_bytes: u64,
    },
    /// In a file on a mounted volume.
    File {
        /// The volume.
        volume: u64,
        /// The file.
        inode: u64,
        /// Start in it.
        offset_bytes: u64,
    },
}

/// An open file of a volume.
#[derive(Debug, Clone)]
pub(crate) struct OpenFile {
    pub(crate) inode: u64,
    pub(crate) writable: bool,
}

/// A mounted file system.
#[derive(Debug, Clone)]
pub(crate) struct Mounted {
    pub(crate) fs: SimFs,
    pub(crate) place: Place,
    pub(crate) region: Region,
    pub(crate) access: Access,
    /// The name for faults and traces: the medium's name, `drive` or `image`.
    pub(crate) on: Arc<str>,
    pub(crate) device: Arc<str>,
    pub(crate) files: BTreeMap<u64, OpenFile>,
    /// Fault: it became read-only.
    pub(crate) flipped: Option<FaultId>,
    /// It was not clean when it was mounted, and its kind has no journal to recover it.
    pub(crate) stays_dirty: bool,
    /// Fault: the free space that it reports.
    pub(crate) reported_free_bytes: Option<u64>,
}

/// All that holds bytes. Cloning is cheap.
#[derive(Debug, Clone, Default)]
pub struct Storage {
    pub(crate) disks: BTreeMap<Arc<str>, Disk>,
    /// `None` while a call works on the volume.
    pub(crate) volumes: BTreeMap<u64, Option<Box<Mounted>>>,
    /// Registers, microcontroller, FPGA: they keep their state over a power cycle, too.
    pub(crate) firmware: FirmwareState,
    next_volume: u64,
    next_handle: u64,
    /// Mounts and files that were dropped instead of closed.
    pub(crate) dropped_guards: u64,
}

/// The bytes of one place, as a file system sees them.
pub(crate) struct Layer<'a> {
    storage: &'a mut Storage,
    place: Place,
    now: Timestamp,
}

impl Backing for Layer<'_> {
    fn read(&mut self, offset_bytes: u64, buffer: &mut [u8]) -> Result<()> {
        self.storage.read(&self.place, offset_bytes, buffer)
    }

    fn write(&mut self, offset_bytes: u64, data: &[u8]) -> Result<()> {
        self.storage.write(&self.place, offset_bytes, data, self.now)
    }

    fn flush(&mut self) -> Result<()> {
        self.storage.flush(&self.place)
    }
}

fn gone(device: &str) -> Error {
    Error::new(ErrorKind::DeviceGone, "accessing", device, "the device is gone")
}

impl Storage {
    /// A device, or the device that a partition is on, with the partition's start and length.
    ///
    /// # Errors
    /// `NotFound`; `DeviceGone` for an empty slot.
    pub(crate) fn find_device(&self, name: &DeviceName) -> Result<(Arc<str>, u64, u64)> {
        for (device, disk) in &self.disks {
            let range = if **device == *name.as_str() {
                Some((0, disk.len_bytes()))
            } else {
                let partition = disk.partitions.iter().find(|partition| partition.name == *name);
                partition.map(|partition| (partition.start_bytes, partition.len_bytes))
            };
            if let Some((start, len)) = range {
                if !disk.present || disk.len_bytes() == 0 {
                    return Err(gone(device));
                }
                return Ok((Arc::clone(device), start, len));
            }
        }
        Err(Error::new(ErrorKind::NotFound, "finding", name.to_string(), "no such device"))
    }

    /// The bytes of a region, and its names for faults and traces.
    ///
    /// # Errors
    /// `NotFound`, `OutOfRange`; `InvalidInput` if a file is not a regular file.
    pub(crate) fn locate(&self, region: &Region) -> Result<(Place, Arc<str>, Arc<str>)> {
        let out_of_range =
            || Error::new(ErrorKind::OutOfRange, "locating", region.to_string(), "outside of what holds it");
        let end = region.offset_bytes.checked_add(region.len_bytes).ok_or_else(out_of_range)?;
        match &region.holder {
            Holder::Device(name) => {
                let (device, start, len) = self.find_device(name)?;
                if end > len {
                    return Err(out_of_range());
                }
                let on = Arc::clone(&self.disks[&device].identity.medium);
                let offset_bytes = start + region.offset_bytes;
                Ok((Place::Disk { device: Arc::clone(&device), offset_bytes }, on, device))
            }
            Holder::File { volume, path } => {
                let mounted = self.volume(volume.0)?;
                let refused = |refusal: Refusal| refusal.into_error("locating", region.to_string());
                let inode = mounted.fs.lookup(path).map_err(refused)?;
                let node = mounted.fs.inode(inode).filter(|node| node.kind == FileKind::File);
                let Some(node) = node else {
                    return Err(Error::new(
                        ErrorKind::InvalidInput,
                        "locating",
                        path.to_string(),
                        "not a regular file",
                    ));
                };
                if end > node.len_bytes {
                    return Err(out_of_range());
                }
                let place = Place::File { volume: volume.0, inode, offset_bytes: region.offset_bytes };
                Ok((place, "image".into(), Arc::clone(&mounted.device)))
            }
        }
    }

    /// A mounted volume.
    ///
    /// # Errors
    /// `NotFound` if it is not mounted any more.
    pub(crate) fn volume(&self, id: u64) -> Result<&Mounted> {
        self.volumes.get(&id).and_then(Option::as_deref).ok_or_else(|| not_mounted(id))
    }

    /// Works on a volume and the bytes below it.
    ///
    /// # Errors
    /// `NotFound` if it is not mounted; `DeviceGone`; those of the work.
    pub(crate) fn with_volume<R>(
        &mut self,
        id: u64,
        now: Timestamp,
        operation: &str,
        object: &str,
        work: impl FnOnce(&mut Mounted, &mut Layer<'_>) -> Outcome<R>,
    ) -> Result<R> {
        let mut mounted = self.volumes.get_mut(&id).and_then(Option::take).ok_or_else(|| not_mounted(id))?;
        let present = self.disks.get(&mounted.device).is_some_and(|disk| disk.present);
        let result = if present {
            let mut layer = Layer { place: mounted.place.clone(), storage: self, now };
            work(&mut mounted, &mut layer).map_err(|refusal| refusal.into_error(operation, object))
        } else {
            Err(Error::new(ErrorKind::DeviceGone, operation, object, "the device is gone"))
        };
        self.volumes.insert(id, Some(mounted));
        result
    }

    /// The bytes of a place, for work on a file system that is not mounted.
    pub(crate) fn layer(&mut self, place: &Place, now: Timestamp) -> Layer<'_> {
        Layer { place: place.clone(), storage: self, now }
    }

    fn read(&mut self, place: &Place, at: u64, buffer: &mut [u8]) -> Result<()> {
        match place {
            Place::Disk { device, offset_bytes } => {
                let disk = self.present_disk(device)?;
                let readable = disk.readable(offset_bytes + at, buffer.len())?;
                if readable < buffer.len() {
                    // The error of the unreadable sector names its fault.
                    disk.readable(offset_bytes + at + readable as u64, buffer.len() - readable)?;
                    return Err(Error::new(ErrorKind::Io, "reading", &**device, "a sector cannot be read"));
                }
                disk.read(offset_bytes + at, buffer);
                Ok(())
            }
            Place::File { volume, inode, offset_bytes } => {
                let start = offset_bytes + at;
                self.with_volume(*volume, Timestamp::default(), "reading", "image file", |mounted, layer| {
                    let len = mounted.fs.read(layer, *inode, start, buffer)?;
                    buffer[len..].fill(0);
                    Ok(())
                })
            }
        }
    }

    fn write(&mut self, place: &Place, at: u64, data: &[u8], now: Timestamp) -> Result<()> {
        match place {
            Place::Disk { device, offset_bytes } => {
                let disk = self.present_disk(device)?;
                if disk.read_only {
                    return Err(Error::new(
                        ErrorKind::ReadOnly,
                        "writing",
                        &**device,
                        "the device refuses writes",
                    ));
                }
                disk.write_through(offset_bytes + at, data);
                Ok(())
            }
            Place::File { volume, inode, offset_bytes } => {
                let start = offset_bytes + at;
                self.with_volume(*volume, now, "writing", "image file", |mounted, layer| {
                    mounted.require_writable()?;
                    let mut done = 0;
                    while done < data.len() {
                        done += mounted.fs.write(layer, *inode, start + done as u64, &data[done..], now)?;
                    }
                    Ok(())
                })
            }
        }
    }

    fn flush(&mut self, place: &Place) -> Result<()> {
        match place {
            Place::Disk { device, .. } => {
                self.present_disk(device)?.flush();
                Ok(())
            }
            Place::File { volume, inode, .. } => {
                self.with_volume(*volume, Timestamp::default(), "syncing", "image file", |mounted, layer| {
                    mounted.require_writable()?;
                    mounted.fs.sync_file(layer, *inode)
                })
            }
        }
    }

    fn present_disk(&mut self, device: &str) -> Result<&mut Disk> {
        self.disks.get_mut(device).filter(|disk| disk.present).ok_or_else(|| gone(device))
    }

    /// Fault: the medium `on` is gone for its openers, and re-enumerates as `device`; `taken_by` may take its old
    /// name.
    pub(crate) fn replug(&mut self, on: &str, device: &str, taken_by: Option<&str>) {
        let Some(old) = self.device_of(on) else { return };
        self.rename_device(&old, device);
        // If it comes back under its old name, no other medium can take that name.
        if *old == *device {
            return;
        }
        if let Some(other) = taken_by.and_then(|medium| self.device_of(medium)) {
            self.rename_device(&other, &old);
        }
    }

    /// Fault: these media disappear for their openers, and each re-enumerates under the name of the next.
    pub(crate) fn reset_hub(&mut self, media: &[&str]) {
        let names: Vec<Arc<str>> = media.iter().filter_map(|medium| self.device_of(medium)).collect();
        // Intermediate names that no device has: all media disappear before the first one comes back.
        let between = |index: usize| format!("re-enumerates-{index}");
        for (index, name) in names.iter().enumerate() {
            self.rename_device(name, &between(index));
        }
        for (index, name) in names.iter().cycle().skip(1).take(names.len()).enumerate() {
            self.rename_device(&between(index), name);
        }
    }

    /// The device name of a medium.
    fn device_of(&self, medium: &str) -> Option<Arc<str>> {
        let disk = self.disks.values().find(|disk| *disk.identity.medium == *medium)?;
        Some(Arc::clone(&disk.identity.device))
    }

    fn rename_device(&mut self, old: &str, new: &str) {
        let Ok(name) = DeviceName::parse(new) else { return };
        let Some(mut disk) = self.disks.remove(old) else { return };
        disk.lose_volatile();
        disk.identity.device = new.into();
        disk.partitions = crate::model::bytes::partitions::read_partitions(new, &disk.media);
        disk.instance += 1;
        disk.sources = 0;
        disk.target_open = false;
        for mounted in self.volumes.values_mut().flatten().filter(|mounted| *mounted.device == *old) {
            mounted.device = "a device that is gone".into();
        }
        self.disks.insert(new.into(), disk);
        for (area, number) in self.boot_areas_of(old) {
            if let Some(found) = self.disks.get_mut(&area).and_then(|disk| disk.area.as_mut()) {
                found.kind = AreaKind::EmmcBoot { device: name.clone(), number };
            }
            self.rename_device(&area, &format!("{new}boot{number}"));
        }
    }

    /// Removes a medium's boot areas together with it.
    pub(crate) fn pull_boot_areas(&mut self, medium: &str) {
        let pulled = self.disks.values().find(|disk| *disk.identity.medium == *medium);
        let areas = pulled.map(|disk| self.boot_areas_of(&disk.identity.device)).unwrap_or_default();
        for (area, _) in areas {
            self.disks.entry(area).and_modify(|disk| disk.present = false);
        }
    }

    /// The boot areas of an eMMC, which are present if it is: names and numbers.
    fn boot_areas_of(&self, emmc: &str) -> Vec<(Arc<str>, u8)> {
        let areas = self.disks.iter().filter_map(|(name, disk)| match &disk.area.as_ref()?.kind {
            AreaKind::EmmcBoot { device, number } if device.as_str() == emmc => {
                Some((Arc::clone(name), *number))
            }
            _ => None,
        });
        areas.collect()
    }

    /// The mounted volume in this extent, if there is one.
    pub(crate) fn mounted_in(&self, place: &Place, len_bytes: u64) -> Option<u64> {
        let overlap =
            |start: u64, other: u64, other_len: u64| start < other + other_len && other < start + len_bytes;
        let hit = |mounted: &Mounted| match (place, &mounted.place) {
            (Place::Disk { device, offset_bytes }, Place::Disk { device: other, offset_bytes: start }) => {
                device == other && overlap(*offset_bytes, *start, mounted.region.len_bytes)
            }
            (
                Place::File { volume, inode, offset_bytes },
                Place::File { volume: other, inode: file, offset_bytes: start },
            ) => volume == other && inode == file && overlap(*offset_bytes, *start, mounted.region.len_bytes),
            _ => false,
        };
        self.volumes.iter().find(|(_, mounted)| mounted.as_deref().is_some_and(hit)).map(|(id, _)| *id)
    }

    pub(crate) fn add_volume(&mut self, mounted: Mounted) -> VolumeId {
        if let Place::File { volume, inode, .. } = mounted.place {
            if let Some(Some(parent)) = self.volumes.get_mut(&volume) {
                parent.fs.opened(inode);
            }
        }
        self.next_volume += 1;
        self.volumes.insert(self.next_volume, Some(Box::new(mounted)));
        VolumeId(self.next_volume)
    }

    pub(crate) fn remove_volume(&mut self, id: u64) {
        if let Some(Some(mounted)) = self.volumes.remove(&id) {
            if let Place::File { volume, inode, .. } = mounted.place {
                if let Some(Some(parent)) = self.volumes.get_mut(&volume) {
                    parent.fs.closed(inode);
                }
            }
        }
    }

    pub(crate) fn open_file(&mut self, volume: u64, file: OpenFile) -> u64 {
        self.next_handle += 1;
        if let Some(Some(mounted)) = self.volumes.get_mut(&volume) {
            mounted.fs.opened(file.inode);
            mounted.files.insert(self.next_handle, file);
        }
        self.next_handle
    }

    pub(crate) fn close_file(&mut self, volume: u64, handle: u64) {
        if let Some(Some(mounted)) = self.volumes.get_mut(&volume) {
            if let Some(file) = mounted.files.remove(&handle) {
                mounted.fs.closed(file.inode);
            }
        }
    }

    /// Whether a power cut now would leave the same under every policy.
    pub(crate) fn is_synced(&self) -> bool {
        let written = self.volumes.values().flatten().filter(|mounted| mounted.access == Access::ReadWrite);
        self.disks.values().all(Disk::is_synced)
            && written.into_iter().all(|mounted| !mounted.fs.has_unsynced())
    }

    /// What a power cut leaves: the innermost file systems first, the disks last.
    pub(crate) fn crash(&mut self, survival: Survival) {
        let volumes: Vec<u64> = self.volumes.keys().rev().copied().collect();
        for id in volumes {
            let work = |mounted: &mut Mounted, layer: &mut Layer<'_>| match mounted.access {
                Access::ReadOnly => Ok(()),
                Access::ReadWrite => mounted.fs.crash(layer, survival, &mounted.region.to_string()),
            };
            // A volume that cannot be written any more at a power cut is lost; there is nothing else to do.
            if self.with_volume(id, Timestamp::default(), "losing power", "volume", work).is_err() {
                continue;
            }
        }
        self.volumes.clear();
        for disk in self.disks.values_mut() {
            disk.crash(survival);
            disk.sources = 0;
            disk.target_open = false;
            disk.partitions =
                crate::model::bytes::partitions::read_partitions(&disk.identity.device, &disk.media);
        }
        self.dropped_guards = 0;
    }
}

impl Mounted {
    /// Refuses changes of a read-only volume.
    ///
    /// # Errors
    /// `ReadOnly`.
    pub(crate) fn require_writable(&self) -> Outcome<()> {
        match (self.access, self.flipped) {
            (_, Some(fault)) => {
                let detail = "the file system went read-only after an error";
                let error = Error::new(ErrorKind::ReadOnly, "writing", &*self.on, detail);
                Err(Refusal::Below(error.injected_by(fault)))
            }
            (Access::ReadOnly, None) => refuse(ErrorKind::ReadOnly, "the file system is read-only"),
            (Access::ReadWrite, None) => Ok(()),
        }
    }
}

fn not_mounted(id: u64) -> Error {
    Error::new(ErrorKind::NotFound, "finding", format!("volume {id}"), "it is not mounted")
}
