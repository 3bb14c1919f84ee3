//! The running system: which board it is, and the hooks.

use super::memory;
use super::roots::KernelRoots;
use crate::host::{Volumes, hook};
use crate::{Error, Hook, HookEnd, Result, System};
use std::path::PathBuf;
use std::sync::Arc;

/// The system with this `/proc` and `/sys`.
pub struct LinuxSystem {
    proc: PathBuf,
    sys: PathBuf,
    volumes: Arc<Volumes>,
}

impl LinuxSystem {
    /// The system with these directories. Hooks find their volumes in `volumes`.
    pub fn new(roots: &KernelRoots, volumes: Arc<Volumes>) -> Self {
        Self { proc: roots.proc.clone(), sys: roots.sys.clone(), volumes }
    }
}

impl System for LinuxSystem {
    fn compatible(&self) -> Result<Vec<String>> {
        let path = self.proc.join("device-tree/compatible");
        match std::fs::read(&path) {
            Ok(bytes) => Ok(strings(&bytes)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(Error::from_io(error, "reading", path.display().to_string())),
        }
    }

    fn kernel_command_line(&self) -> Result<String> {
        let path = self.proc.join("cmdline");
        let bytes = std::fs::read(&path)
            .map_err(|error| Error::from_io(error, "reading", path.display().to_string()))?;
        Ok(String::from_utf8_lossy(&bytes).trim_end().to_owned())
    }

    fn memory_bytes(&self) -> Option<u64> {
        memory::available_bytes(&self.proc, &self.sys)
    }

    fn run_hook(&self, hook: &Hook) -> Result<HookEnd> {
        hook::run(&self.volumes, hook)
    }
}

/// A string list of a device tree: strings with a NUL after each.
fn strings(bytes: &[u8]) -> Vec<String> {
    bytes
        .split(|byte| *byte == 0)
        .filter(|string| !string.is_empty())
        .map(|string| String::from_utf8_lossy(string).into_owned())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_board_is_read_from_the_device_tree() {
        let proc = tempfile::tempdir().unwrap();
        let roots = KernelRoots { proc: proc.path().to_owned(), ..KernelRoots::default() };
        let system = LinuxSystem::new(&roots, Arc::default());
        assert_eq!(system.compatible().unwrap(), Vec::<String>::new());
        assert!(system.kernel_command_line().is_err());
        std::fs::create_dir(proc.path().join("device-tree")).unwrap();
        std::fs::write(proc.path().join("device-tree/compatible"), b"technologic,imx6q-ts7970\0fsl,imx6q\0")
            .unwrap();
        std::fs::write(proc.path().join("cmdline"), "console=ttymxc0 imx_type=ts7970\n").unwrap();
        assert_eq!(system.compatible().unwrap(), ["technologic,imx6q-ts7970", "fsl,imx6q"]);
        assert_eq!(system.kernel_command_line().unwrap(), "console=ttymxc0 imx_type=ts7970");
    }
}
