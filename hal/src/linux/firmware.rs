//! Bootloader areas in sysfs, registers through `/dev/mem`, and updaters as programs.

use super::devices::LinuxDevices;
use super::{areas, registers};
use crate::host::{Volumes, hook};
use crate::{Access, BootloaderArea, DeviceName, Firmware, HookEnd, Result, Target, Updater};
use std::sync::Arc;

/// The firmware of a Linux system.
pub struct LinuxFirmware {
    devices: Arc<LinuxDevices>,
    volumes: Arc<Volumes>,
}

impl LinuxFirmware {
    /// The firmware of the system of `devices`. Updaters find their volumes in `volumes`.
    pub fn new(devices: Arc<LinuxDevices>, volumes: Arc<Volumes>) -> Self {
        Self { devices, volumes }
    }
}

impl Firmware for LinuxFirmware {
    fn bootloader_areas(&self) -> Result<Vec<BootloaderArea>> {
        areas::list(self.devices.roots())
    }

    fn open_bootloader_area(&self, area: &DeviceName, access: Access) -> Result<Box<dyn Target>> {
        self.devices.open_bootloader_area(area, access)
    }

    fn register(&self, address: u64) -> Result<u32> {
        registers::read(self.devices.roots(), address)
    }

    fn run_updater(&self, updater: &Updater) -> Result<HookEnd> {
        hook::run_updater(&self.volumes, updater)
    }
}
