//! The directories `/dev`, `/sys`, `/proc` and `/run`, or replacements in tests.

use crate::DeviceName;
use std::path::{Path, PathBuf};

/// The directories in which the backend finds devices.
#[derive(Debug, Clone)]
pub struct KernelRoots {
    /// `/dev`.
    pub dev: PathBuf,
    /// `/sys`.
    pub sys: PathBuf,
    /// `/proc`.
    pub proc: PathBuf,
    /// `/run`, in which a run leaves records for the next one.
    pub run: PathBuf,
}

impl Default for KernelRoots {
    fn default() -> Self {
        Self { dev: "/dev".into(), sys: "/sys".into(), proc: "/proc".into(), run: "/run".into() }
    }
}

impl KernelRoots {
    /// The path of the node of `device`.
    pub(super) fn node(&self, device: &DeviceName) -> PathBuf {
        self.dev.join(device.as_str())
    }

    /// The directory of a block device or partition in `/sys/class/block`.
    pub(super) fn class_block(&self, device: &DeviceName) -> PathBuf {
        self.sys.join("class/block").join(device.as_str())
    }
}

/// The content of a small attribute file without the newline at its end; `None` if it does not exist or cannot be read,
/// which for an attribute means that the device does not have the property.
pub(super) fn attribute(directory: &Path, name: &str) -> Option<String> {
    let bytes = std::fs::read(directory.join(name)).ok()?;
    let text = String::from_utf8_lossy(&bytes);
    let text = text.trim_matches(|character: char| character.is_whitespace() || character == '\0');
    (!text.is_empty()).then(|| text.to_owned())
}

/// A numeric attribute.
pub(super) fn number(directory: &Path, name: &str) -> Option<u64> {
    attribute(directory, name)?.parse().ok()
}
