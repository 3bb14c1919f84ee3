//! The kernel's names of devices, parsed at the input: from sysfs, a command line, a scenario.
//!
//! A [`DeviceName`] is one plain name, so a backend can join it to `/dev` without another check.

use crate::{Error, ErrorKind};
use std::fmt;
use std::str::FromStr;

/// The kernel's name of a block device or partition, such as `mmcblk0` or `sda1`: unique on a board until it reboots.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeviceName(String);

/// Why text is not a valid [`DeviceName`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not the name of a device: {reason}")]
pub struct InvalidDeviceName {
    text: String,
    reason: &'static str,
}

impl DeviceName {
    /// A device called `name`, without `/dev/`.
    ///
    /// # Errors
    /// If `name` is empty, `.`, `..`, or contains a slash or a NUL byte.
    pub fn parse(name: impl Into<String>) -> Result<Self, InvalidDeviceName> {
        let name = name.into();
        let reason = match name.as_str() {
            "" => "it is empty",
            "." | ".." => "it is a directory",
            text if text.contains('/') => "it contains a slash",
            text if text.contains('\0') => "it contains a NUL byte",
            _ => return Ok(Self(name)),
        };
        Err(InvalidDeviceName { text: name, reason })
    }

    /// The kernel's name of a partition of this device. A `p` is inserted if the device's name ends in a digit
    /// (`disk_name` in the kernel's `block/partitions/core.c`).
    #[must_use]
    pub fn partition(&self, number: u32) -> Self {
        let between = if self.0.ends_with(|last: char| last.is_ascii_digit()) { "p" } else { "" };
        Self(format!("{}{between}{number}", self.0))
    }

    /// The name without `/dev/`.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for DeviceName {
    type Err = InvalidDeviceName;

    fn from_str(text: &str) -> Result<Self, InvalidDeviceName> {
        Self::parse(text)
    }
}

impl From<InvalidDeviceName> for Error {
    fn from(error: InvalidDeviceName) -> Self {
        Self::caused_by(ErrorKind::InvalidInput, "looking for", "a device", error)
    }
}

impl fmt::Display for DeviceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_name_is_one_plain_name() {
        for good in ["sda", "mmcblk0p1", "nvme0n1", "cciss!c0d0"] {
            assert_eq!(DeviceName::parse(good).unwrap().as_str(), good);
        }
        for bad in ["", ".", "..", "/dev/sda", "../sda", "mapper/root", "sda\0"] {
            let error = Error::from(DeviceName::parse(bad).unwrap_err());
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{bad:?}");
            assert!(error.to_string().contains(&format!("{bad:?}")), "{error}");
        }
    }

    #[test]
    fn partitions_are_named_as_the_kernel_names_them() {
        let name = |device: &str, number| DeviceName::parse(device).unwrap().partition(number).to_string();
        assert_eq!(
            [name("sda", 1), name("mmcblk0", 2), name("loop7", 12)],
            ["sda1", "mmcblk0p2", "loop7p12"]
        );
    }
}
