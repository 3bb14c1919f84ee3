//! File systems as a whole: what lies in a region, checking, making, growing, mounting it.
//!
//! A [`Region`] is a stretch of bytes on a device or in a file, so that the same calls serve a partition, a medium whose
//! partition table is not yet written, and a partition inside of an image file. The files inside are [`Volume`]'s.
//!
//! A device is open as a source ([`crate::Source`]), open as a target ([`crate::Target`]), or used as a file system: the
//! second to come is `Busy`.
//! Looking ([`FileSystems::identify`], [`FileSystems::used_map`]) is no use, and is allowed at any time.

use crate::{DeviceName, Error, ErrorKind, ExtShape, RelativePath, Result, Volume, VolumeId};
use std::fmt;
use std::ops::Range;

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

/// A family of file systems.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum FileSystemKind {
    /// ext2: no journal.
    Ext2,
    /// ext3: a journal, no extents.
    Ext3,
    /// ext4.
    Ext4,
    /// FAT12, FAT16 or FAT32.
    Vfat,
    /// exFAT.
    Exfat,
    /// btrfs; one of its devices, if it has several.
    Btrfs,
    /// F2FS.
    F2fs,
    /// XFS.
    Xfs,
    /// JFS.
    Jfs,
    /// ReiserFS 3.
    Reiserfs,
    /// bcachefs; one of its devices, if it has several.
    Bcachefs,
    /// A device of a ZFS pool.
    Zfs,
    /// SquashFS, read-only.
    Squashfs,
    /// EROFS, read-only.
    Erofs,
    /// UBI volumes, as flash images hold them.
    Ubi,
    /// UBIFS, the content of a UBI volume.
    Ubifs,
    /// NTFS.
    Ntfs,
    /// HFS+ or HFSX.
    HfsPlus,
    /// ISO 9660.
    Iso9660,
    /// Swap space, or the image of a hibernated system in it.
    Swap,
    /// LUKS encryption, version 1 or 2.
    Luks,
    /// A physical volume of LVM2.
    Lvm,
    /// A member of a Linux RAID (md).
    MdRaid,
    /// Recognised, but none of the above.
    Other(String),
}

impl FileSystemKind {
    /// Whether it is ext2, ext3 or ext4.
    pub fn is_ext(&self) -> bool {
        matches!(self, Self::Ext2 | Self::Ext3 | Self::Ext4)
    }

    /// Whether it keeps owners, modes and symlinks: only such can hold a Linux root file system.
    pub fn is_linux(&self) -> bool {
        match self {
            Self::Btrfs
            | Self::F2fs
            | Self::Xfs
            | Self::Jfs
            | Self::Reiserfs
            | Self::Bcachefs
            | Self::Zfs => true,
            Self::Ubifs => true,
            Self::Other(name) => matches!(name.as_str(), "nilfs2" | "reiser4"),
            kind => kind.is_ext() || kind.is_read_only(),
        }
    }

    /// Whether its files cannot be changed in place: it is made whole from a tree.
    pub fn is_read_only(&self) -> bool {
        match self {
            Self::Squashfs | Self::Erofs => true,
            Self::Other(name) => matches!(name.as_str(), "cramfs" | "romfs"),
            _ => false,
        }
    }

    /// Whether it holds other file systems, which cannot be seen from outside.
    pub fn is_container(&self) -> bool {
        match self {
            Self::Luks | Self::Lvm | Self::MdRaid | Self::Zfs | Self::Ubi => true,
            Self::Other(name) => matches!(name.as_str(), "bcache" | "BitLocker"),
            _ => false,
        }
    }
}

impl fmt::Display for FileSystemKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ext2 => "ext2",
            Self::Ext3 => "ext3",
            Self::Ext4 => "ext4",
            Self::Vfat => "vfat",
            Self::Exfat => "exfat",
            Self::Btrfs => "btrfs",
            Self::F2fs => "f2fs",
            Self::Xfs => "xfs",
            Self::Jfs => "jfs",
            Self::Reiserfs => "reiserfs",
            Self::Bcachefs => "bcachefs",
            Self::Zfs => "ZFS",
            Self::Squashfs => "squashfs",
            Self::Erofs => "erofs",
            Self::Ubi => "UBI",
            Self::Ubifs => "ubifs",
            Self::Ntfs => "ntfs",
            Self::HfsPlus => "hfsplus",
            Self::Iso9660 => "iso9660",
            Self::Swap => "swap",
            Self::Luks => "LUKS",
            Self::Lvm => "LVM",
            Self::MdRaid => "a RAID member",
            Self::Other(name) => name,
        })
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

/// A file-system flavour as board profiles name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Flavour {
    /// ext2.
    Ext2,
    /// ext3.
    Ext3,
    /// ext4 with the features that mkfs has set by default since e2fsprogs 1.43.
    #[default]
    Ext4,
    /// ext4 without `metadata_csum` and `64bit`, for old boot loaders and kernels.
    Ext4Compat,
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

/// Whether a mounted volume may be changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Not one byte of the region changes: a dirty journal is not replayed (`noload`).
    ReadOnly,
    /// Reading and writing.
    ReadWrite,
}

/// Which bytes of a region its file system needs. All others may read as zeros: whatever they hold, no file shows it, no
/// check misses it. That is more than free blocks: ranges can be as short as one free inode, or a removed name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsedMap {
    /// Used ranges relative to the region's start: sorted, not overlapping, within the region.
    pub used: Vec<Range<u64>>,
}

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
    fn can_mount(&self, kind: &FileSystemKind) -> Result<bool> {
        let _ = kind;
        Ok(true)
    }

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
    ) -> Result<Box<dyn Volume>> {
        let _ = (subvolume, access);
        let detail = "this backend has no subvolumes";
        Err(Error::new(ErrorKind::Unsupported, "mounting", region.to_string(), detail))
    }
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
