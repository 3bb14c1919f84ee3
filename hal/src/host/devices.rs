//! Regular files as block devices.
//!
//! A device is registered with the file that contains its bytes, and with the partitions that the "kernel" has read.
//! Files never grow. Which devices are in use is known in this process only.

mod handle;

use crate::{
    BlockDevice, BlockDevices, DeviceKind, DeviceName, Error, ErrorKind, Partition, Result, Source, Target,
};
use handle::Handle;
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io;
use std::ops::Range;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A disk image as a device of the host backend.
#[derive(Debug, Clone)]
pub struct HostDevice {
    /// The name.
    pub name: DeviceName,
    /// The file with the bytes. A device without its file is an empty slot.
    pub file: PathBuf,
    /// How it is attached.
    pub kind: DeviceKind,
    /// See [`BlockDevice::controller_path`].
    pub controller_path: String,
    /// See [`BlockDevice::identity`].
    pub identity: Option<String>,
    /// Whether the medium can be removed.
    pub removable: bool,
    /// Whether it refuses writes.
    pub read_only: bool,
    /// Whether it has eMMC boot areas.
    pub has_boot_areas: bool,
    /// The partitions in the kernel's table.
    pub partitions: Vec<Partition>,
}

impl HostDevice {
    /// A device called `name` over `file`, removable only if it is on USB or an SD card.
    pub fn new(name: DeviceName, file: impl Into<PathBuf>, kind: DeviceKind) -> Self {
        Self {
            controller_path: format!("host/{name}"),
            name,
            file: file.into(),
            kind,
            identity: None,
            removable: matches!(kind, DeviceKind::Sd | DeviceKind::Usb),
            read_only: false,
            has_boot_areas: kind == DeviceKind::Emmc,
            partitions: Vec::new(),
        }
    }
}

/// Files as block devices.
#[derive(Debug, Default)]
pub struct HostDevices {
    table: Arc<Mutex<BTreeMap<DeviceName, Entry>>>,
}

#[derive(Debug)]
struct Entry {
    device: HostDevice,
    uses: Uses,
}

/// The current use of a device.
#[derive(Debug, Default)]
struct Uses {
    source: bool,
    target: bool,
    mounts: usize,
}

/// A way to use a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Use {
    Source,
    Target,
    Mount,
    /// Only reads; keeps no other use away.
    Look,
}

/// Keeps a device in use until it is dropped.
#[derive(Debug)]
pub(super) struct Claim {
    table: Arc<Mutex<BTreeMap<DeviceName, Entry>>>,
    name: DeviceName,
    used: Use,
}

impl Drop for Claim {
    fn drop(&mut self) {
        if let Some(entry) = lock(&self.table).get_mut(&self.name) {
            match self.used {
                Use::Source => entry.uses.source = false,
                Use::Target => entry.uses.target = false,
                Use::Mount => entry.uses.mounts -= 1,
                Use::Look => {}
            }
        }
    }
}

fn lock(table: &Mutex<BTreeMap<DeviceName, Entry>>) -> MutexGuard<'_, BTreeMap<DeviceName, Entry>> {
    table.lock().unwrap_or_else(PoisonError::into_inner)
}

impl HostDevices {
    /// Adds a device. Replaces one of the same name.
    pub fn register(&self, device: HostDevice) {
        lock(&self.table).insert(device.name.clone(), Entry { device, uses: Uses::default() });
    }

    /// Claims a device, or the device of a partition, for a file system on it. File systems on different partitions may
    /// be mounted together.
    ///
    /// # Errors
    /// `NotFound`; `Busy` if it is open as a target or source; `ReadOnly` for write access if it refuses writes.
    pub(super) fn claim_file_system(
        &self,
        name: &DeviceName,
        writes: bool,
        operation: &str,
    ) -> Result<Claim> {
        let mut table = lock(&self.table);
        let (entry, _) = find(&mut table, name, operation)?;
        if entry.uses.target {
            return Err(error(ErrorKind::Busy, operation, name, "it is open as a target"));
        }
        if writes && entry.device.read_only {
            return Err(error(ErrorKind::ReadOnly, operation, name, "the device refuses writes"));
        }
        if entry.uses.source {
            return Err(error(ErrorKind::Busy, operation, name, "it is open as a source"));
        }
        entry.uses.mounts += 1;
        Ok(self.claim(entry, Use::Mount))
    }

    fn claim(&self, entry: &Entry, used: Use) -> Claim {
        Claim { table: self.table.clone(), name: entry.device.name.clone(), used }
    }
}

fn error(kind: ErrorKind, operation: &str, name: &DeviceName, detail: &str) -> Error {
    Error::new(kind, operation, name.to_string(), detail)
}

fn refuse_if_used(uses: &Uses, name: &DeviceName) -> Result<()> {
    let used = match uses {
        Uses { target: true, .. } => "it is open as a target",
        Uses { mounts: 1.., .. } => "it is mounted",
        Uses { source: true, .. } => "it is open as a source",
        Uses { .. } => return Ok(()),
    };
    Err(error(ErrorKind::Busy, "opening", name, used))
}

/// The device called `name`, or the device with the partition `name` and the range of that partition.
fn find<'a>(
    table: &'a mut BTreeMap<DeviceName, Entry>,
    name: &DeviceName,
    operation: &str,
) -> Result<(&'a mut Entry, Option<Range<u64>>)> {
    for (device_name, entry) in table.iter_mut() {
        if device_name == name {
            return Ok((entry, None));
        }
        let partition = entry.device.partitions.iter().find(|partition| partition.name == *name);
        if let Some(range) =
            partition.map(|found| found.start_bytes..found.start_bytes.saturating_add(found.len_bytes))
        {
            return Ok((entry, Some(range)));
        }
    }
    Err(error(ErrorKind::NotFound, operation, name, "no such device"))
}

/// Opens the file of a device and finds its length. Nothing is created or truncated, and no symlink is followed.
fn open_file(device: &HostDevice, name: &DeviceName, writes: bool) -> Result<(File, u64)> {
    let operation = "opening";
    let opened = OpenOptions::new()
        .read(true)
        .write(writes)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(&device.file);
    let file = match opened {
        Ok(file) => file,
        Err(missing) if missing.kind() == io::ErrorKind::NotFound => {
            return Err(error(ErrorKind::DeviceGone, operation, name, "the slot is empty"));
        }
        Err(other) => return Err(Error::from_io(other, operation, name.to_string())),
    };
    let status = file.metadata().map_err(|failed| Error::from_io(failed, operation, name.to_string()))?;
    if !status.is_file() {
        return Err(error(ErrorKind::WrongDevice, operation, name, "it is not a regular file"));
    }
    Ok((file, status.len()))
}

fn within(range: Option<Range<u64>>, len_bytes: u64) -> Range<u64> {
    let range = range.unwrap_or(0..len_bytes);
    range.start.min(len_bytes)..range.end.min(len_bytes)
}

impl BlockDevices for HostDevices {
    fn list(&self) -> Result<Vec<BlockDevice>> {
        let describe = |entry: &Entry| {
            let device = &entry.device;
            let len_bytes = match std::fs::metadata(&device.file) {
                Ok(status) => status.len(),
                Err(missing) if missing.kind() == io::ErrorKind::NotFound => 0,
                Err(other) => {
                    return Err(Error::from_io(other, "reading the metadata of", device.name.to_string()));
                }
            };
            let in_use = match &entry.uses {
                Uses { mounts: 1.., .. } => Some("mounted".to_owned()),
                Uses { target: true, .. } => Some("open for writing".to_owned()),
                _ => None,
            };
            Ok(BlockDevice {
                name: device.name.clone(),
                kind: device.kind,
                controller_path: device.controller_path.clone(),
                identity: device.identity.clone(),
                len_bytes,
                sector_len_bytes: 512,
                removable: device.removable,
                read_only: device.read_only,
                has_boot_areas: device.has_boot_areas,
                in_use,
                partitions: device.partitions.clone(),
            })
        };
        lock(&self.table).values().map(describe).collect()
    }

    fn open_source(&self, name: &DeviceName) -> Result<Box<dyn Source>> {
        let mut table = lock(&self.table);
        let (entry, range) = find(&mut table, name, "opening")?;
        refuse_if_used(&entry.uses, name)?;
        let (file, len_bytes) = open_file(&entry.device, name, false)?;
        entry.uses.source = true;
        let claim = self.claim(entry, Use::Source);
        Ok(Box::new(Handle::new(file, within(range, len_bytes), name.clone(), claim)))
    }

    fn open_shared(&self, name: &DeviceName) -> Result<Box<dyn Source>> {
        let mut table = lock(&self.table);
        let (entry, range) = find(&mut table, name, "opening")?;
        let (file, len_bytes) = open_file(&entry.device, name, false)?;
        let claim = self.claim(entry, Use::Look);
        Ok(Box::new(Handle::new(file, within(range, len_bytes), name.clone(), claim)))
    }

    fn open_target(&self, name: &DeviceName) -> Result<Box<dyn Target>> {
        let mut table = lock(&self.table);
        let (entry, range) = find(&mut table, name, "opening")?;
        let refuse = |kind, detail| Err(error(kind, "opening", name, detail));
        if range.is_some() {
            return refuse(ErrorKind::WrongDevice, "it is not a whole device");
        }
        if entry.device.read_only {
            return refuse(ErrorKind::ReadOnly, "the device refuses writes");
        }
        refuse_if_used(&entry.uses, name)?;
        let (file, len_bytes) = open_file(&entry.device, name, true)?;
        entry.uses.target = true;
        let claim = self.claim(entry, Use::Target);
        Ok(Box::new(Handle::new(file, 0..len_bytes, name.clone(), claim)))
    }

    /// Does nothing: partitions are registered, not read.
    fn reread_partitions(&self, name: &DeviceName) -> Result<()> {
        let mut table = lock(&self.table);
        let (entry, _) = find(&mut table, name, "reading the partitions of")?;
        if entry.uses.mounts > 0 {
            return Err(error(ErrorKind::Busy, "reading the partitions of", name, "it is mounted"));
        }
        Ok(())
    }
}
