//! Whole file systems: identifying, checking, making, growing and mounting the file system in a region.
//!
//! A [`Region`] is a range of bytes on a device or in a file. So the same calls serve a partition, a medium whose
//! partition table is not yet written, and a partition inside an image file. The files of a mounted file system are in
//! [`Volume`].
//!
//! A device is used in one way at a time: open as a source ([`crate::Source`]), open as a target ([`crate::Target`]),
//! or by a call on its file system. A second use is `Busy`. [`FileSystems::identify`] and [`FileSystems::used_map`]
//! only read and are allowed at any time.

use crate::{Access, DeviceName, ExtShape, FileSystemKind, Flavour, RelativePath, Result, Volume, VolumeId};
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

/// The object that contains a region.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Holder {
    /// A block device or partition.
    Device(DeviceName),
    /// A regular file on a mounted volume, such as a working image.
    File {
        /// The mounted volume.
        volume: VolumeId,
        /// The file on it; must be resolved, not a symlink.
        path: RelativePath,
    },
}

/// A range of bytes that contains, or will contain, one file system.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Region {
    /// The device or file.
    pub holder: Holder,
    /// Where the region starts in it.
    pub offset_bytes: u64,
    /// Its length.
    pub len_bytes: u64,
}

impl fmt::Display for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.holder {
            Holder::Device(device) => write!(f, "{device}")?,
            Holder::File { path, .. } => write!(f, "{path}")?,
        }
        if self.offset_bytes != 0 {
            write!(f, " at {}", self.offset_bytes)?;
        }
        Ok(())
    }
}

/// What [`FileSystems::identify`] found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileSystem {
    /// The kind.
    pub kind: FileSystemKind,
    /// The volume label, if there is one.
    pub label: Option<String>,
    /// The UUID or serial number in its usual text form.
    pub uuid: Option<String>,
    /// Length of the file system in the region; `None` if its superblock does not have it.
    pub len_bytes: Option<u64>,
    /// Whether it was not unmounted cleanly: its journal has to be replayed, or it is marked as dirty. Until
    /// [`FileSystems::fsck`], its files may be old or inconsistent when it is mounted read-only.
    pub needs_recovery: bool,
}

/// Parameters of [`FileSystems::format`].
///
/// Write `Format { flavour, ..Format::default() }`: more fields may be added.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Format {
    /// The flavour.
    pub flavour: Flavour,
    /// The volume label; at most 16 bytes.
    pub label: Option<String>,
    /// The UUID; `None` for a random one.
    pub uuid: Option<Uuid>,
    /// The shape; `None` for the default shape of its length.
    pub shape: Option<ExtShape>,
}

/// The 16 bytes of a UUID, in the order of its text form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Uuid(pub [u8; 16]);

impl Uuid {
    /// Parses the usual text form, in upper or lower case; `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let groups: Vec<&str> = text.split('-').collect();
        if groups.iter().map(|group| group.len()).ne([8, 4, 4, 4, 12]) {
            return None;
        }
        let mut bytes = [0; 16];
        let digits: Vec<u32> =
            groups.concat().chars().map(|digit| digit.to_digit(16)).collect::<Option<_>>()?;
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            // Two digits make one byte.
            *byte = (pair[0] << 4 | pair[1]) as u8;
        }
        Some(Self(bytes))
    }
}

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, byte) in self.0.iter().enumerate() {
            let dash = if matches!(index, 4 | 6 | 8 | 10) { "-" } else { "" };
            write!(f, "{dash}{byte:02x}")?;
        }
        Ok(())
    }
}

/// Result of a check that left the file system without errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FsckOutcome {
    /// No errors were found (exit status 0).
    Clean,
    /// Errors were found and repaired (exit status 1, 2 or 3 of e2fsck, see e2fsck(8)).
    Repaired,
}

/// Result of a check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fsck {
    /// Whether there were errors.
    pub outcome: FsckOutcome,
    /// Output of the tool, for the log.
    pub output: String,
}

/// The bytes of a region that its file system needs. All others may be replaced by zeros: no file changes, and a check
/// still finds the file system clean. They are more than the free blocks: an unused range can be as short as one free
/// inode or a removed name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsedMap {
    /// Used ranges relative to the region's start: sorted, not overlapping, within the region.
    pub used: Vec<Range<u64>>,
}

crate::forward::part! {
/// Operations on whole file systems. Each call that is `Busy` for a device that is open as a target follows the rule at
/// [`BlockDevices::open_target`].
///
/// [`BlockDevices::open_target`]: crate::BlockDevices::open_target
#[cfg_attr(feature = "mock", mockall::automock)]
pub trait FileSystems: Send + Sync {
    /// Identifies the file system by the bytes of the region. Mounts nothing and changes nothing.
    ///
    /// `Ok(None)` if there is no known file system.
    ///
    /// # Errors
    /// If the region cannot be read.
    fn identify(&self, region: &Region) -> Result<Option<FileSystem>>;

    /// Checks the file system, and repairs what can be repaired without asking the user.
    ///
    /// # Errors
    /// `Corrupt` if errors are left; `ToolFailed` if the check itself failed; `TimedOut` if it took longer than the
    /// backend allows; `Unsupported` if there is no tool for this kind; `Busy` if it is mounted or its device is open
    /// as a target; `ReadOnly`.
    fn fsck(&self, region: &Region) -> Result<Fsck>;

    /// Makes a new file system in the region. Its old content is lost.
    ///
    /// # Errors
    /// `ToolFailed`; `NoSpace` if the region is too small; `Busy` if it is mounted or its device is open as a target;
    /// `ReadOnly`.
    fn format(&self, region: &Region, format: &Format) -> Result<()>;

    /// Grows the unmounted file system until it fills the region. Its files are kept.
    ///
    /// # Errors
    /// `Unsupported` if this kind cannot grow; `Corrupt`; `ToolFailed`; `Busy` if it is mounted or its device is open as a
    /// target; `ReadOnly`.
    fn grow(&self, region: &Region) -> Result<()>;

    /// The bytes that must be kept. `Ok(None)` if that cannot be proven, for example if the journal is dirty or the
    /// swap space contains a hibernated system: then every byte counts as used.
    ///
    /// # Errors
    /// If the region cannot be read.
    fn used_map(&self, region: &Region) -> Result<Option<UsedMap>>;

    /// Whether this backend can mount file systems of this kind. A backend that cannot find that out returns true; the
    /// mount then fails.
    ///
    /// # Errors
    /// If the kernel's list cannot be read.
    fn can_mount(&self, kind: &FileSystemKind) -> Result<bool>;

    /// Mounts the region's file system.
    ///
    /// # Errors
    /// `Busy` if it is mounted already or its device is open as a target; `Corrupt`; `Unsupported` for an unknown file
    /// system; `ReadOnly` if `access` is read-write and the device is read-only.
    fn mount(&self, region: &Region, access: Access) -> Result<Box<dyn Volume>>;

    /// Mounts one subvolume of the region's btrfs, by its path from the top level. [`FileSystems::mount`] mounts the
    /// top level itself, in which subvolumes are directories.
    ///
    /// # Errors
    /// As [`FileSystems::mount`]; `NotFound` if there is no such subvolume; `Unsupported` for other file systems, and
    /// by backends without btrfs.
    fn mount_subvolume(
        &self,
        region: &Region,
        subvolume: &RelativePath,
        access: Access,
    ) -> Result<Box<dyn Volume>>;
}
layer FileSystemsLayer: Send + Sync;
pointers (& Box Arc);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_printed_uuid_is_parsed_again() {
        let text = "01234567-89ab-cdef-0123-456789abcdef";
        let uuid = Uuid::parse(text).unwrap();
        assert_eq!((uuid.0[0], uuid.0[15], uuid.to_string().as_str()), (0x01, 0xef, text));
        assert_eq!(Uuid::parse(&text.to_uppercase()), Some(uuid));
        for bad in [
            "",
            "ABCD-1234",
            "0123456789abcdef0123456789abcdef",
            &text[1..],
            "01234567-89ab-cdef-0123-456789abcdeé",
            "0123456x-89ab-cdef-0123-456789abcdef",
            "{01234567-89ab-cdef-0123-456789abcdef}",
        ] {
            assert_eq!(Uuid::parse(bad), None, "{bad:?}");
        }
    }
}
