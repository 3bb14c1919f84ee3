//! Sizes and times that users cannot set: fixed in production, smaller on a simulated board.

use crate::formats::codec::{Limits, XzSettings, ZstdSettings};
use crate::memory::Memory;
use crate::options::Settings;
use std::time::Duration;

/// Sizes and times of a run.
#[derive(Debug, Clone)]
pub struct Tuning {
    /// How much is read, hashed, written and compared at once.
    pub chunk_len_bytes: usize,
    /// How much of a disk image's start is written last, so that an unverified medium does not look bootable.
    pub held_back_len_bytes: u64,
    /// How much of a medium's start and end is zeroed first, so that no old partition table is left.
    pub wiped_len_bytes: u64,
    /// How long an operation may go on without progress before the LEDs show failure.
    pub io_lease: Duration,
    /// The same for external tools and syncs, which report no progress.
    pub tool_lease: Duration,
    /// How long the drive may take to appear.
    pub drive_wait: Duration,
    /// Pause between two searches for the drive.
    pub drive_poll: Duration,
    /// How often a call is retried after a transient I/O error.
    pub retries: u32,
    /// Pause before such a retry.
    pub retry_pause: Duration,
    /// Interval of progress lines on the console.
    pub progress_interval: Duration,
    /// How images are compressed, unless the drive's options change it.
    pub xz: XzSettings,
    /// The same for zstd.
    pub zstd: ZstdSettings,
    /// Limits of decoders.
    pub limits: Limits,
    /// The memory for workers and buffers.
    pub memory: Memory,
    /// How many workers the drive's settings allow; `None` for as many as the board has cores.
    pub threads: Option<usize>,
    /// How many entries a tarball may have.
    pub tar_entries_max: u64,
    /// How much memory the list of a tarball's entries may take. It is kept until they are verified.
    pub tar_memory_bytes: u64,
    /// The same for an archive whose entries are in order: if its list would take more, it is verified without one.
    pub tar_list_bytes: u64,
}

impl Tuning {
    /// The same with the timeouts and limits of the drive's settings, for a board with `memory_bytes`, if they are known.
    #[must_use]
    pub fn with_settings(&self, settings: &Settings, memory_bytes: Option<u64>) -> Self {
        let (timeouts, limits) = (&settings.timeouts, &settings.limits);
        let mut tuning = self.clone();
        tuning.memory = Memory::new(memory_bytes, limits.memory_mib);
        tuning.threads = limits.threads;
        tuning.limits.memory_bytes = tuning.memory.dictionary_bytes(tuning.limits.memory_bytes);
        tuning.tar_list_bytes = tuning.memory.list_within_budget_bytes(tuning.tar_list_bytes);
        tuning.tar_memory_bytes = tuning.memory.list_bytes(tuning.tar_memory_bytes);
        if let Some(seconds) = timeouts.io_seconds {
            tuning.io_lease = Duration::from_secs(seconds);
        }
        if let Some(seconds) = timeouts.tool_seconds {
            tuning.tool_lease = Duration::from_secs(seconds);
        }
        tuning
    }
}

impl Default for Tuning {
    fn default() -> Self {
        Self {
            chunk_len_bytes: 1 << 20,
            held_back_len_bytes: 1 << 20,
            wiped_len_bytes: 1 << 20,
            io_lease: Duration::from_secs(120),
            tool_lease: Duration::from_secs(30 * 60),
            drive_wait: Duration::from_secs(30),
            drive_poll: Duration::from_millis(250),
            retries: 2,
            retry_pause: Duration::from_millis(100),
            progress_interval: Duration::from_secs(5),
            xz: XzSettings::default(),
            zstd: ZstdSettings::default(),
            limits: Limits::default(),
            memory: Memory::default(),
            threads: None,
            tar_entries_max: 1_000_000,
            tar_memory_bytes: 128 << 20,
            tar_list_bytes: 128 << 20,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::{CaptureSettings, Settings};

    /// The options are in a lower layer than the formats, so they repeat these numbers.
    #[test]
    fn the_defaults_and_limits_of_the_options_are_those_of_the_encoders() {
        let options = CaptureSettings::default();
        assert_eq!(options.xz_preset, XzSettings::default().preset);
        assert_eq!(options.zstd_level, ZstdSettings::default().level);
        for level in 0..30 {
            let is_accepted = Settings::parse(&format!("capture.zstd_level = {level}")).is_ok();
            assert_eq!(is_accepted, ZstdSettings::LEVELS.contains(&level), "{level}");
        }
    }
}
