//! The properties of a block device, apart from its content: names, bus, speed, and its behaviour towards a host.

use crate::model::time::op_name::Cost;
use replicator_hal::{CacheBypass, DeviceKind};
use serde::{Deserialize, Serialize};
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

/// What a device does with a discard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Discard {
    /// It does not support it.
    #[default]
    Unsupported,
    /// It reports support, and refuses every discard as unsupported.
    Refused,
    /// The bytes read as zeros.
    Zeros,
    /// The bytes stay as they are.
    Nothing,
    /// The bytes read as 0xff, as erased flash does.
    Ones,
    /// The bytes read as zeros, but in each MiB some pages stay as they are.
    Partly,
}

/// The pages of each MiB that stay as they are if a device discards [`Discard::Partly`]. They do not lie at a multiple of
/// a larger power of two.
const KEPT_PAGES: std::ops::Range<u64> = 137..139;

impl Discard {
    /// The unit of discards; `None` if the device reports no support.
    pub fn unit_bytes(self) -> Option<u64> {
        (self != Self::Unsupported).then_some(4096)
    }

    /// The byte with which a page is filled; `None` if it stays as it is.
    pub(crate) fn fill_of(self, page: u64) -> Option<u8> {
        match self {
            Self::Zeros => Some(0),
            Self::Ones => Some(0xff),
            Self::Partly => (!KEPT_PAGES.contains(&(page % 256))).then_some(0),
            Self::Unsupported | Self::Refused | Self::Nothing => None,
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
    /// What it does with a discard.
    pub discard: Discard,
    /// What uses the device from outside of the replicator, such as the running system.
    pub held_by: Option<String>,
    /// The device is held by something that is in no table of this system: a mount in another mount namespace, a
    /// program that opened it exclusively. Only an attempt to claim the device shows it.
    pub held_elsewhere: bool,
}
