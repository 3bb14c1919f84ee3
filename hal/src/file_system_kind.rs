//! The kinds of file systems that can be identified, and the flavours that can be made.

use std::fmt;

/// A kind of file system.
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
    /// UBI volumes, as in flash images.
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
    /// Identified, but none of the above.
    Other(String),
}

impl FileSystemKind {
    /// Whether it is ext2, ext3 or ext4.
    pub fn is_ext(&self) -> bool {
        matches!(self, Self::Ext2 | Self::Ext3 | Self::Ext4)
    }

    /// Whether it stores owners, modes and symlinks. Only such a file system can contain a Linux root file system.
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

    /// Whether its files cannot be changed: the whole file system is made from a tree.
    pub fn is_read_only(&self) -> bool {
        match self {
            Self::Squashfs | Self::Erofs => true,
            Self::Other(name) => matches!(name.as_str(), "cramfs" | "romfs"),
            _ => false,
        }
    }

    /// Whether it contains other file systems that cannot be identified from outside.
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

/// A flavour of ext, as in board profiles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Flavour {
    /// ext2.
    Ext2,
    /// ext3.
    Ext3,
    /// ext4 with the default features of mkfs since e2fsprogs 1.43.
    #[default]
    Ext4,
    /// ext4 without `metadata_csum` and `64bit`, for old boot loaders and kernels.
    Ext4Compat,
}
