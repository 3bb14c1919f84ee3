//! The properties of a block device, apart from its content: names, bus, speed, and its behaviour towards a host.

use crate::model::time::op_name::Cost;
use replicator_hal::{CacheBypass, DeviceKind};
use std::sync::Arc;
use std::time::Duration;

/// How fast a device is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Speed {
    /// Sequential reading.
    pub read_bytes_per_second: u64,
    /// Sequential writing.
    pub write_bytes_per_second: u64,
    /// Time for any call.
    pub call_latency: Duration,
    /// Time for a sync, beside the data.
    pub sync_latency: Duration,
}

impl Speed {
    /// Typical of the bus a device is on.
    pub fn of(kind: DeviceKind) -> Self {
        let (read_mb, write_mb, call_us, sync_ms) = match kind {
            DeviceKind::Sd => (20, 10, 300, 8),
            DeviceKind::Emmc => (80, 30, 120, 3),
            DeviceKind::Sata | DeviceKind::Nvme => (250, 150, 60, 1),
            _ => (30, 15, 400, 10),
        };
        Self {
            read_bytes_per_second: read_mb * 1_000_000,
            write_bytes_per_second: write_mb * 1_000_000,
            call_latency: Duration::from_micros(call_us),
            sync_latency: Duration::from_millis(sync_ms),
        }
    }

    /// How long a call of this class with so many bytes takes.
    pub(crate) fn time_of(self, class: Cost, len_bytes: u64) -> Duration {
        let transfer = |rate: u64| {
            let nanos = u128::from(len_bytes) * 1_000_000_000 / u128::from(rate.max(1));
            Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
        };
        match class {
            Cost::Call => self.call_latency / 4,
            Cost::Read => self.call_latency + transfer(self.read_bytes_per_second),
            Cost::Write => self.call_latency + transfer(self.write_bytes_per_second),
            Cost::Flush => self.sync_latency,
            Cost::FileSystem => self.sync_latency * 4,
        }
    }
}

/// The properties of a device, apart from its content.
#[derive(Debug, Clone)]
pub struct Identity {
    /// The kernel's name.
    pub device: Arc<str>,
    /// The medium's name in scenarios, such as `emmc` or `drive`.
    pub medium: Arc<str>,
    /// The bus.
    pub kind: DeviceKind,
    /// Path below its controller.
    pub controller_path: String,
    /// CID or serial number.
    pub serial: Option<String>,
    /// Logical sector size.
    pub sector_len_bytes: u32,
    /// Whether it can be removed.
    pub removable: bool,
    /// Whether it has boot areas.
    pub has_boot_areas: bool,
    /// How fast it is.
    pub speed: Speed,
    /// How a read-back gets past the caches.
    pub bypass: CacheBypass,
    /// Another process (udev, a desktop) holds the device open, so that closing it drops no page.
    pub another_holder: bool,
    /// The device has a write cache of its own, which a power cut empties.
    pub write_cache: bool,
    /// What uses the device from outside of the replicator, such as the running system.
    pub held_by: Option<String>,
    /// The device is held by something that is in no table of this system: a mount in another mount namespace, a
    /// program that opened it exclusively. Only an attempt to claim the device shows it.
    pub held_elsewhere: bool,
}
