//! Bootloader areas as regular files, registers as a table, and updaters that are run.

use super::{HostDevice, HostDevices, Volumes, hook};
use crate::{
    Access, AreaKind, BlockDevices, BootloaderArea, CacheBypass, DeviceKind, DeviceName, Discarded, Error,
    ErrorKind, Firmware, HookEnd, Result, Target, Updater,
};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A file as a bootloader area.
#[derive(Debug, Clone)]
pub struct HostArea {
    /// The name.
    pub name: DeviceName,
    /// The file with the bytes.
    pub file: PathBuf,
    /// The kind of area.
    pub kind: AreaKind,
    /// Its name in the partition table of the flash.
    pub label: Option<String>,
}

/// The areas, and whether each is write-protected.
type Areas = Arc<Mutex<BTreeMap<DeviceName, (HostArea, bool)>>>;

/// The firmware of a host, as registered.
#[derive(Debug, Default)]
pub struct HostFirmware {
    areas: Areas,
    /// Keeps the exclusive use of an area, as for any device.
    devices: HostDevices,
    registers: Mutex<BTreeMap<u64, u32>>,
    volumes: Arc<Volumes>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl HostFirmware {
    /// No areas and no registers. Updaters find their volumes in `volumes`.
    pub fn new(volumes: Arc<Volumes>) -> Self {
        Self { volumes, ..Self::default() }
    }

    /// Adds an area, write-protected.
    pub fn register_area(&self, area: HostArea) {
        self.devices.register(HostDevice::new(area.name.clone(), &area.file, DeviceKind::Other));
        lock(&self.areas).insert(area.name.clone(), (area, true));
    }

    /// Whether the area is write-protected; `None` if there is no such area.
    pub fn is_protected(&self, area: &DeviceName) -> Option<bool> {
        lock(&self.areas).get(area).map(|(_, protected)| *protected)
    }

    /// Sets the value of a register.
    pub fn set_register(&self, address: u64, value: u32) {
        lock(&self.registers).insert(address, value);
    }
}

impl Firmware for HostFirmware {
    fn bootloader_areas(&self) -> Result<Vec<BootloaderArea>> {
        let areas = lock(&self.areas);
        let describe = |(area, _): &(HostArea, bool)| {
            let len_bytes = std::fs::metadata(&area.file)
                .map_err(|error| Error::from_io(error, "reading the metadata of", area.name.to_string()))?
                .len();
            Ok(BootloaderArea {
                name: area.name.clone(),
                kind: area.kind.clone(),
                controller_path: format!("host/{}", area.name),
                label: area.label.clone(),
                len_bytes,
                read_only: false,
            })
        };
        areas.values().map(describe).collect()
    }

    fn open_bootloader_area(&self, area: &DeviceName, access: Access) -> Result<Box<dyn Target>> {
        let target = self.devices.open_target(area)?;
        if let Some((_, protected)) = lock(&self.areas).get_mut(area) {
            *protected = access == Access::ReadOnly;
        }
        Ok(Box::new(AreaTarget { target, areas: Arc::clone(&self.areas), area: area.clone() }))
    }

    fn register(&self, address: u64) -> Result<u32> {
        let object = || format!("register {address:#x}");
        if address % 4 != 0 {
            return Err(Error::new(ErrorKind::InvalidInput, "reading", object(), "not a multiple of 4"));
        }
        let value = lock(&self.registers).get(&address).copied();
        value.ok_or_else(|| Error::new(ErrorKind::Unsupported, "reading", object(), "no such register"))
    }

    fn run_updater(&self, updater: &Updater) -> Result<HookEnd> {
        hook::run_updater(&self.volumes, updater)
    }
}

/// A target that write-protects its area again when it is closed.
struct AreaTarget {
    target: Box<dyn Target>,
    areas: Areas,
    area: DeviceName,
}

impl AreaTarget {
    fn refuse_if_protected(&self, operation: &str) -> Result<()> {
        if lock(&self.areas).get(&self.area).is_some_and(|(_, protected)| *protected) {
            let detail = "the area is write-protected";
            return Err(Error::new(ErrorKind::ReadOnly, operation, self.area.as_str(), detail));
        }
        Ok(())
    }

    fn protect(&self) {
        if let Some((_, protected)) = lock(&self.areas).get_mut(&self.area) {
            *protected = true;
        }
    }
}

impl Target for AreaTarget {
    fn len_bytes(&self) -> u64 {
        self.target.len_bytes()
    }

    fn write_at(&mut self, offset_bytes: u64, data: &[u8]) -> Result<usize> {
        self.refuse_if_protected("writing")?;
        self.target.write_at(offset_bytes, data)
    }

    fn zero(&mut self, offset_bytes: u64, len_bytes: u64) -> Result<()> {
        self.refuse_if_protected("zeroing")?;
        self.target.zero(offset_bytes, len_bytes)
    }

    fn discard_unit_bytes(&self) -> Option<u64> {
        None
    }

    fn discard(&mut self, _offset_bytes: u64, _len_bytes: u64) -> Result<Discarded> {
        Ok(Discarded::Unsupported)
    }

    fn sync(&mut self) -> Result<()> {
        self.target.sync()
    }

    fn begin_verify(&mut self) -> Result<CacheBypass> {
        self.target.begin_verify()
    }

    fn read_at(&mut self, offset_bytes: u64, buffer: &mut [u8]) -> Result<usize> {
        self.target.read_at(offset_bytes, buffer)
    }

    fn close(&mut self) -> Result<()> {
        let closed = self.target.close();
        self.protect();
        closed
    }
}

impl Drop for AreaTarget {
    fn drop(&mut self) {
        self.protect();
    }
}
