//! The parts of a board that decide how long a job takes: speeds of devices, and speeds of a core.
//!
//! All figures are assumptions: typical parts of the class that the name gives, not a measured board. docs/performance.md
//! has their sources. A board that differs by a factor in one of them differs by less than this factor in a job.

use crate::model::hardware::identity::Speed;
use std::time::Duration;

const fn speed(read_mb: u64, write_mb: u64, call_us: u64, sync_ms: u64) -> Speed {
    Speed {
        read_bytes_per_second: read_mb * 1_000_000,
        write_bytes_per_second: write_mb * 1_000_000,
        call_latency: Duration::from_micros(call_us),
        sync_latency: Duration::from_millis(sync_ms),
    }
}

/// SD card of speed class 10, in a slot without UHS modes.
pub(super) const SD: Speed = speed(20, 10, 300, 8);
/// USB 2 stick: the bus gives about 30 MB/s.
pub(super) const USB2_STICK: Speed = speed(30, 15, 400, 10);
/// SATA SSD on a board's controller.
pub(super) const SATA: Speed = speed(250, 200, 60, 1);

/// What one core computes in a second, in bytes of content.
#[derive(Debug, Clone, Copy)]
pub(super) struct Core {
    pub(super) xz_encode: f64,
    pub(super) xz_decode: f64,
    pub(super) zstd_encode: f64,
    pub(super) zstd_decode: f64,
    /// Encoding and decoding zeros.
    pub(super) zeros: f64,
    pub(super) md5: f64,
    pub(super) xxh3: f64,
}

/// A class of boards.
pub(super) struct BoardClass {
    pub(super) name: &'static str,
    pub(super) cores: f64,
    pub(super) core: Core,
    pub(super) emmc: Speed,
}

const MB: f64 = 1e6;

/// The classes of the table.
pub(super) const BOARDS: [BoardClass; 2] = [
    BoardClass {
        name: "2 × Cortex-A9, 1 GHz",
        cores: 2.0,
        core: Core {
            xz_encode: 0.92 * MB,
            xz_decode: 7.0 * MB,
            zstd_encode: 12.0 * MB,
            zstd_decode: 60.0 * MB,
            zeros: 300.0 * MB,
            md5: 90.0 * MB,
            xxh3: 300.0 * MB,
        },
        // eMMC 5.0 at HS52 with 8 bits, DDR off.
        emmc: speed(40, 25, 120, 3),
    },
    BoardClass {
        name: "4 × Cortex-A53, 1.4 GHz",
        cores: 4.0,
        core: Core {
            xz_encode: 1.45 * MB,
            xz_decode: 11.0 * MB,
            zstd_encode: 20.0 * MB,
            zstd_decode: 110.0 * MB,
            zeros: 600.0 * MB,
            md5: 150.0 * MB,
            xxh3: 900.0 * MB,
        },
        // eMMC 5.0 at HS400.
        emmc: speed(150, 60, 120, 3),
    },
];
