//! A board: one object for each part.

use crate::{BlockDevices, Clock, FileSystems, Firmware, Leds, Records, System, Tasks};
use std::sync::Arc;

/// All parts of a board. Cheap to clone; each task may have one.
#[derive(Clone)]
pub struct Board {
    /// Media and the drive.
    pub devices: Arc<dyn BlockDevices>,
    /// The file systems on them.
    pub file_systems: Arc<dyn FileSystems>,
    /// The two LEDs.
    pub leds: Arc<dyn Leds>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Parallel tasks.
    pub tasks: Arc<dyn Tasks>,
    /// The running system.
    pub system: Arc<dyn System>,
    /// Bootloader, microcontroller, FPGA.
    pub firmware: Arc<dyn Firmware>,
    /// Console, logs, report.
    pub records: Arc<dyn Records>,
}
