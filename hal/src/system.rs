//! The system on which the engine runs: which board it is, and the hooks on a drive.

use crate::{RelativePath, Result, VolumeId};
use std::sync::Arc;
use std::time::Duration;

/// A program on the drive that runs before or after sanitising.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hook {
    /// Volume with the program.
    pub program_volume: VolumeId,
    /// The program.
    pub program: RelativePath,
    /// Volume on which it works: its working directory, and `REPLICATOR_ROOT` in its environment.
    pub tree: VolumeId,
    /// More environment variables, name and value.
    pub environment: Vec<(String, String)>,
    /// The program is killed after this time.
    pub timeout: Duration,
}

/// How a hook ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HookEnd {
    /// Exit status; `None` if a signal ended it.
    pub exit_status: Option<i32>,
    /// Its output, for the log. The middle of a long output is left out, see [`HookEnd::OUTPUT_LEN_MAX_BYTES`].
    pub output: String,
}

impl HookEnd {
    /// Longest output that is returned, whatever the program prints.
    pub const OUTPUT_LEN_MAX_BYTES: usize = 512 * 1024;
}

crate::forward::part! {
/// The system.
#[cfg_attr(feature = "mock", mockall::automock)]
pub trait System: Send + Sync {
    /// The `compatible` strings of the device tree, most specific first; empty without a device tree.
    ///
    /// # Errors
    /// If there is a device tree and it cannot be read.
    fn compatible(&self) -> Result<Vec<String>>;

    /// The kernel's command line.
    ///
    /// # Errors
    /// If it cannot be read.
    fn kernel_command_line(&self) -> Result<String>;

    /// The memory that programs on this system may use, in bytes: all of it, or less in a control group with a limit.
    /// `None` if it is not known.
    fn memory_bytes(&self) -> Option<u64>;

    /// Runs a hook to its end.
    ///
    /// # Errors
    /// `NotFound` if the program does not exist or a volume is not mounted; `ToolFailed` if it cannot be started;
    /// `TimedOut` if it had to be killed. An exit status is not an error.
    fn run_hook(&self, hook: &Hook) -> Result<HookEnd>;
}
layer SystemLayer: Send + Sync;
pointers (& Box Arc);
}
