//! File systems as a whole: what lies in a region, checking, making, growing, mounting it.
//!
//! A [`Region`] is a stretch of bytes on a device or in a file, so that the same calls serve a partition, a medium whose
//! partition table is not yet written, and a partition inside of an image file. The files inside are [`Volume`]'s.
//!
//! A device is open as a source ([`crate::Source`]), open as a target ([`crate::Target`]), or used as a file system: the
//! second to come is `Busy`.
//! Looking ([`FileSystems::identify`], [`FileSystems::used_map`]) is no use, and is allowed at any time.

use crate::{Access, DeviceName, ExtShape, FileSystemKind, Flavour, RelativePath, Result, Volume, VolumeId};
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

/// What holds a region's bytes.
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

/// A stretch of bytes that holds, or will hold, one file system.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Region {
    /// What holds the bytes.
    pub holder: Holder,
    /// Where the region starts in its holder.
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
    /// The family.
    pub kind: FileSystemKind,
    /// The volume label, if there is one.
    pub label: Option<String>,
    /// The UUID or serial number in its usual text form.
    pub uuid: Option<String>,
    /// How many bytes of the region the file system spans; `None` if it does not say.
    pub len_bytes: Option<u64>,
    /// Whether it was not unmounted cleanly: a journal waits to be replayed, or a dirty mark is set. Until
    /// [`FileSystems::fsck`], a read-only view of it may be old or inconsistent.
    pub needs_recovery: bool,
}

/// How [`FileSystems::format`] makes a file system.
///
/// Written as `Format { flavour, ..Format::default() }`, because what can be asked for grows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Format {
    /// The flavour.
    pub flavour: Flavour,
    /// The volume label; at most 16 bytes.
    pub label: Option<String>,
    /// The UUID; a fresh one if it is left out.
    pub uuid: Option<Uuid>,
    /// Its shape; `None` for the usual one of its length.
    pub shape: Option<ExtShape>,
}

/// A UUID by its 16 bytes, in the order of its text form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Uuid(pub [u8; 16]);

impl Uuid {
    /// Reads the usual text form, in either case; `None` for anything else.
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

/// How a check ended. A file system that could not be repaired is an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FsckOutcome {
    /// Nothing was wrong (exit 0).
    Clean,
    /// Something was wrong and is repaired (exit 1, 2 or 3 of e2fsck, see e2fsck(8)).
    Repaired,
}

/// Result of a check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fsck {
    /// How it ended.
    pub outcome: FsckOutcome,
    /// What the tool printed, for the log.
    pub output: String,
}

/// Which bytes of a region its file system needs. All others may read as zeros: whatever they hold, no file shows it, no
/// check misses it. That is more than free blocks: ranges can be as short as one free inode, or a removed name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsedMap {
    /// Used ranges relative to the region's start: sorted, not overlapping, within the region.
    pub used: Vec<Range<u64>>,
}

crate::forward::part! {
/// What can be done to file systems as a whole. See the rule of the two uses of a device at [`BlockDevices::open_target`]
/// and with each call that is `Busy` for it.
///
/// [`BlockDevices::open_target`]: crate::BlockDevices::open_target
#[cfg_attr(feature = "mock", mockall::automock)]
pub trait FileSystems: Send + Sync {
    /// Looks at the region's bytes only; nothing is mounted and nothing changes.
    ///
    /// `Ok(None)` if no known file system is there.
    ///
    /// # Errors
    /// If the region cannot be read.
    fn identify(&self, region: &Region) -> Result<Option<FileSystem>>;

    /// Checks the file system and repairs what can be repaired without asking.
    ///
    /// # Errors
    /// `Corrupt` if damage is left; `ToolFailed` if the check itself failed; `TimedOut` if it took longer than the
    /// backend allows; `Unsupported` if there is no tool for it; `Busy` if it is mounted or its device is open as a
    /// target; `ReadOnly`.
    fn fsck(&self, region: &Region) -> Result<Fsck>;

    /// Makes a new file system in the region. What was there is lost.
    ///
    /// # Errors
    /// `ToolFailed`; `NoSpace` if the region is too small; `Busy` if it is mounted or its device is open as a target;
    /// `ReadOnly`.
    fn format(&self, region: &Region, format: &Format) -> Result<()>;

    /// Grows the unmounted file system until it fills the region. Its files stay.
    ///
    /// # Errors
    /// `Unsupported` if this kind cannot grow; `Corrupt`; `ToolFailed`; `Busy` if it is mounted or its device is open as a
    /// target; `ReadOnly`.
    fn grow(&self, region: &Region) -> Result<()>;

    /// The bytes that must be kept. `Ok(None)` if that cannot be proven, for example because the journal is dirty or swap
    /// space holds a hibernated system: then every byte counts as used.
    ///
    /// # Errors
    /// If the region cannot be read.
    fn used_map(&self, region: &Region) -> Result<Option<UsedMap>>;

    /// Whether this backend can mount file systems of this kind. A backend that cannot tell says yes: mounting tells.
    ///
    /// # Errors
    /// If the system does not answer.
    fn can_mount(&self, kind: &FileSystemKind) -> Result<bool>;

    /// Mounts the region's file system.
    ///
    /// # Errors
    /// `Busy` if it is mounted already or its device is open as a target; `Corrupt`; `Unsupported` for an unknown file
    /// system; `ReadOnly` if write access is asked for on a device that refuses it.
    fn mount(&self, region: &Region, access: Access) -> Result<Box<dyn Volume>>;

    /// Mounts one subvolume of the region's btrfs, by its path from the top level; [`FileSystems::mount`] gives the top
    /// level itself, in which subvolumes are directories.
    ///
    /// # Errors
    /// As [`FileSystems::mount`]; `NotFound` if there is no such subvolume; `Unsupported` for other file systems and by
    /// backends without btrfs.
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
    fn a_uuid_is_read_as_it_is_printed() {
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
