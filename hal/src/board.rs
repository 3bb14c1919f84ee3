//! All of a board in one value.

use crate::{BlockDevices, Clock, FileSystems, Firmware, Leds, Records, System, Tasks};
use std::sync::Arc;

/// Everything the engine may use. Cheap to clone; every task may hold one.
#[derive(Clone)]
pub struct Board {
    /// Media and the drive.
    pub devices: Arc<dyn BlockDevices>,
    /// File systems on them.
    pub file_systems: Arc<dyn FileSystems>,
    /// The two LEDs.
    pub leds: Arc<dyn Leds>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Parallel work.
    pub tasks: Arc<dyn Tasks>,
    /// Which board it is.
    pub system: Arc<dyn System>,
    /// Bootloader, microcontroller, FPGA.
    pub firmware: Arc<dyn Firmware>,
    /// Console, logs, report.
    pub records: Arc<dyn Records>,
}
