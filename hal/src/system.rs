//! The system the engine runs on: which board it is, and programs that a drive brings along.

use crate::{RelativePath, Result, VolumeId};
use std::sync::Arc;
use std::time::Duration;

/// A program on the drive that runs before or after sanitising.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hook {
    /// Volume that holds the program.
    pub program_volume: VolumeId,
    /// The program.
    pub program: RelativePath,
    /// Volume it works on: its working directory, and `REPLICATOR_ROOT` in its environment.
    pub tree: VolumeId,
    /// Further environment, name and value.
    pub environment: Vec<(String, String)>,
    /// It is killed after this time.
    pub timeout: Duration,
}

/// How a hook ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HookEnd {
    /// Exit status; `None` if a signal ended it.
    pub exit_status: Option<i32>,
    /// What it printed, for the log; of much output the middle is left out, see [`HookEnd::OUTPUT_LEN_MAX_BYTES`].
    pub output: String,
}

impl HookEnd {
    /// No output is longer, whatever the program prints.
    pub const OUTPUT_LEN_MAX_BYTES: usize = 512 * 1024;
}

crate::forward::part! {
/// The system.
#[cfg_attr(feature = "mock", mockall::automock)]
pub trait System: Send + Sync {
    /// The `compatible` strings of the device tree, most specific first; empty where there is no device tree.
    ///
    /// # Errors
    /// If the device tree is there and cannot be read.
    fn compatible(&self) -> Result<Vec<String>>;

    /// The kernel's command line.
    ///
    /// # Errors
    /// If it cannot be read.
    fn kernel_command_line(&self) -> Result<String>;

    /// Runs a hook to its end.
    ///
    /// # Errors
    /// `NotFound` if the program is not there or a volume is not mounted; `ToolFailed` if it cannot be started; `TimedOut`
    /// if it had to be killed. An exit status is no error.
    fn run_hook(&self, hook: &Hook) -> Result<HookEnd>;
}
layer SystemLayer: Send + Sync;
pointers (& Box Arc);
}
