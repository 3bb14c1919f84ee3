//! The host backend as a board.

use super::{
    FileRecords, HostClock, HostDevices, HostFileSystems, HostFirmware, HostSystem, RecordingLeds,
    ThreadTasks, Volumes,
};
use crate::Board;
use std::path::Path;
use std::sync::Arc;

/// A board of files and directories. Register devices and file systems, then take the [`Board`].
pub struct HostBoard {
    /// Disk images.
    pub devices: Arc<HostDevices>,
    /// Directories as file systems.
    pub file_systems: Arc<HostFileSystems>,
    /// Bootloader areas, registers and updaters.
    pub firmware: Arc<HostFirmware>,
    /// The LEDs, which record what they would show.
    pub leds: Arc<RecordingLeds>,
    /// Console and logs.
    pub records: Arc<FileRecords>,
    volumes: Arc<Volumes>,
    clock: Arc<HostClock>,
}

impl HostBoard {
    /// A board that puts its new file systems and its logs below `directory`.
    pub fn new(directory: &Path) -> Self {
        let (devices, volumes) = (Arc::new(HostDevices::default()), Arc::new(Volumes::default()));
        let clock = Arc::new(HostClock::new());
        Self {
            file_systems: Arc::new(HostFileSystems::new(
                devices.clone(),
                volumes.clone(),
                directory.join("file-systems"),
            )),
            firmware: Arc::new(HostFirmware::new(volumes.clone())),
            leds: Arc::new(RecordingLeds::new(clock.clone())),
            records: Arc::new(FileRecords::on_stderr(directory.join("logs"))),
            devices,
            volumes,
            clock,
        }
    }

    /// The board for the engine, with these `compatible` strings and this kernel command line.
    pub fn board(&self, compatible: &[&str], kernel_command_line: &str) -> Board {
        Board {
            devices: self.devices.clone(),
            file_systems: self.file_systems.clone(),
            leds: self.leds.clone(),
            clock: self.clock.clone(),
            tasks: Arc::new(ThreadTasks),
            system: Arc::new(HostSystem {
                compatible: compatible.iter().map(|text| (*text).to_owned()).collect(),
                kernel_command_line: kernel_command_line.to_owned(),
                memory_bytes: None,
                volumes: self.volumes.clone(),
            }),
            firmware: self.firmware.clone(),
            records: self.records.clone(),
        }
    }
}
