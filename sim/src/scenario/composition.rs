//! A medium partition by partition, as a scenario describes it: the content of each, and its special properties.
//!
//! ```toml
//! [media.emmc]
//! scheme = "gpt"
//! gap = "bootloader"
//! [[media.emmc.partition]]
//! holds = "rootfs"
//! len = "2 MiB"
//! uuid = "0f0e0d0c-0b0a-0908-0706-050403020100"
//! fstab = "LABEL=data /var ext4 defaults 0 2"
//! [[media.emmc.partition]]
//! holds = "data"
//! label = "data"
//! secrets = true
//! ```
//!
//! The same keys describe the content of an image file on the drive (`[[drive.file.partition]]`). Layout and bytes
//! are made in `content`.

use super::schema::{FileSystemDamage, Size};
use crate::model::hardware::simfs::Kind;
use replicator_hal::InodeFlags;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Kinds of partition tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scheme {
    /// MBR with primary partitions.
    #[default]
    Mbr,
    /// MBR whose second entry is an extended partition with the remaining partitions.
    Logical,
    /// GPT.
    Gpt,
    /// No table: the only "partition" fills the medium.
    None,
}

/// The bytes before the first partition, apart from the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Gap {
    /// Zeros before a single partition, stamped before several: bytes before a single one count as a bootloader.
    #[default]
    Usual,
    /// Sectors that name their medium, number and generation.
    Stamped,
    /// A bootloader at 8 KiB with a mark in every sector; zeros around it.
    Bootloader,
    /// Zeros.
    Zeros,
}

/// Content of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Holds {
    /// FAT, for boot loaders.
    Boot,
    /// A golden root file system.
    Rootfs,
    /// Data of the product.
    Data,
    /// A file system without files, apart from those listed.
    Empty,
    /// A swap area as `mkswap` makes it, with old pages behind its header.
    Swap,
    /// A LUKS header and ciphertext.
    Luks,
    /// An LVM physical volume.
    Lvm,
    /// Stamped sectors: not a known file system.
    Raw,
    /// Zeros.
    Blank,
}

/// One partition of a composed medium.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PartitionSpec {
    /// Its content.
    pub holds: Holds,
    /// Number as the kernel counts; by default the previous one plus 1.
    pub number: Option<u32>,
    /// Start on the medium; by default the end of the previous one.
    pub start: Option<Size>,
    /// Length; the last partition may omit it, and then reaches to the end of the medium.
    pub len: Option<Size>,
    /// Kind of file system; by default ext4, and vfat for `boot`.
    pub file_system: Option<Kind>,
    /// Label of the file system or swap area.
    pub label: Option<String>,
    /// UUID of the file system or swap area; by default derived from its place.
    pub uuid: Option<String>,
    /// Type in the table: two hex digits (MBR) or a GUID (GPT); by default the one of its content.
    #[serde(rename = "type")]
    pub part_type: Option<String>,
    /// Name in the table (GPT).
    pub part_name: Option<String>,
    /// GUID in the table (GPT); by default derived from its number.
    pub part_uuid: Option<String>,
    /// Text of `/etc/fstab` in a root file system.
    pub fstab: Option<String>,
    /// `/var/log` of a root file system is a symlink with this text.
    pub var_log_link: Option<String>,
    /// A data partition holds what sanitising removes, below its mount point in the fstab of the first root file
    /// system; without a mount point it holds a key that no rule names.
    #[serde(default)]
    pub secrets: bool,
    /// Left without a clean unmount.
    #[serde(default)]
    pub dirty: bool,
    /// The file system is damaged.
    pub damage: Option<FileSystemDamage>,
    /// Further files in it.
    #[serde(default, rename = "file")]
    pub files: Vec<PartFile>,
}

impl PartitionSpec {
    /// A partition without special properties.
    pub fn new(holds: Holds) -> Self {
        Self {
            holds,
            number: None,
            start: None,
            len: None,
            file_system: None,
            label: None,
            uuid: None,
            part_type: None,
            part_name: None,
            part_uuid: None,
            fstab: None,
            var_log_link: None,
            secrets: false,
            dirty: false,
            damage: None,
            files: Vec::new(),
        }
    }

    /// Kind of its file system; `None` if it has none.
    pub fn kind(&self) -> Option<Kind> {
        let usual = match self.holds {
            Holds::Boot => Kind::Vfat,
            Holds::Rootfs | Holds::Data | Holds::Empty => Kind::Ext4,
            Holds::Swap | Holds::Luks | Holds::Lvm | Holds::Raw | Holds::Blank => return None,
        };
        Some(self.file_system.unwrap_or(usual))
    }
}

/// A further file in a partition. Without any of `text`, `link`, `directory`, `secret`, `len` it is an empty file.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PartFile {
    /// Its path.
    pub path: String,
    /// A regular file with this text.
    pub text: Option<String>,
    /// A symlink with this text.
    pub link: Option<String>,
    /// A directory.
    pub directory: bool,
    /// A regular file of this length.
    pub len: Option<Size>,
    /// A regular file whose content has the marker of secrets.
    pub secret: bool,
    /// A swap file of `len` bytes, as `mkswap` makes it, with swapped pages in it. Sanitising clears those.
    pub swap: bool,
    /// What sanitising must do with it; by default `removed` for a secret and `kept` for all else.
    pub fate: Option<FateSpec>,
    /// It was removed before the scenario begins: its bytes are in free blocks.
    pub deleted: bool,
    /// So many such files, with a number appended to each path.
    pub count: Option<u32>,
    /// Permission bits, such as `0o600`.
    pub mode: Option<u32>,
    /// User and group.
    pub owner: Option<(u32, u32)>,
    /// Last change, in seconds since 1970.
    pub modified: Option<i64>,
    /// Inode flags, as letters of `lsattr`: `i`, `a`, `d`, `A`, `S`.
    pub flags: Option<String>,
    /// Extended attributes.
    pub xattrs: BTreeMap<String, String>,
}

impl PartFile {
    /// Its inode flags.
    ///
    /// # Errors
    /// The unknown letter.
    pub fn inode_flags(&self) -> Result<InodeFlags, char> {
        let letters = self.flags.iter().flat_map(|text| text.chars());
        letters.into_iter().try_fold(InodeFlags::none(), |flags, letter| {
            Ok(flags.with(match letter {
                'i' => InodeFlags::IMMUTABLE,
                'a' => InodeFlags::APPEND_ONLY,
                'd' => InodeFlags::NO_DUMP,
                'A' => InodeFlags::NO_ACCESS_TIME,
                'S' => InodeFlags::SYNC,
                other => return Err(other),
            }))
        })
    }
}

/// What sanitising must do with a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FateSpec {
    /// It stays unchanged.
    Kept,
    /// It is removed.
    Removed,
    /// Its content is removed.
    Emptied,
}
