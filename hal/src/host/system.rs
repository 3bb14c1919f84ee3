//! A system with given properties.

use super::{Volumes, hook};
use crate::{Hook, HookEnd, Result, System};
use std::sync::Arc;

/// A system with given answers. Hooks are run.
#[derive(Debug, Default)]
pub struct HostSystem {
    /// See [`System::compatible`].
    pub compatible: Vec<String>,
    /// See [`System::kernel_command_line`].
    pub kernel_command_line: String,
    /// See [`System::memory_bytes`].
    pub memory_bytes: Option<u64>,
    /// Where hooks find their volumes.
    pub volumes: Arc<Volumes>,
}

impl System for HostSystem {
    fn compatible(&self) -> Result<Vec<String>> {
        Ok(self.compatible.clone())
    }

    fn kernel_command_line(&self) -> Result<String> {
        Ok(self.kernel_command_line.clone())
    }

    fn memory_bytes(&self) -> Option<u64> {
        self.memory_bytes
    }

    fn run_hook(&self, hook: &Hook) -> Result<HookEnd> {
        hook::run(&self.volumes, hook)
    }
}
