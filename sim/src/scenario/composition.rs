//! A medium partition by partition, as it stands in a scenario: what each one holds, and what is special about it.
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
//! The same keys describe what an image file on the drive shows (`[[drive.file.partition]]`). Layout and bytes are made in
//! `content`.

use super::schema::{FileSystemDamage, Size};
use crate::model::hardware::simfs::Kind;
use replicator_hal::InodeFlags;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Kinds of partition tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scheme {
    /// MBR with primary partitions.
    #[default]
    Mbr,
    /// MBR whose second entry is an extended partition with the rest of the partitions in it.
    Logical,
    /// GPT.
    Gpt,
    /// No table: the only "partition" fills the medium.
    None,
}

/// What lies before the first partition, apart from the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Gap {
    /// Zeros before an only partition, else stamped: what lies before an only one counts as a bootloader.
    #[default]
    Usual,
    /// Sectors that name their medium, number and generation.
    Stamped,
    /// A bootloader at 8 KiB, of which every sector has its mark; zeros around it.
    Bootloader,
    /// Zeros.
    Zeros,
}

/// What a partition holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Holds {
    /// FAT, for boot loaders.
    Boot,
    /// A golden root file system.
    Rootfs,
    /// Data of the product.
    Data,
    /// A file system without any file, but for those that are listed.
    Empty,
    /// A swap area as `mkswap` makes it, with old pages behind its header.
    Swap,
    /// A LUKS header and ciphertext.
    Luks,
    /// An LVM physical volume.
    Lvm,
    /// Stamped sectors: no file system that anybody knows.
    Raw,
    /// Zeros.
    Blank,
}

/// One partition of a composed medium.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PartitionSpec {
    /// What it holds.
    pub holds: Holds,
    /// Number as the kernel counts; one more than the one before if left out.
    pub number: Option<u32>,
    /// Start on the medium; where the one before ends if left out.
    pub start: Option<Size>,
    /// Length; up to the end of the medium if left out, which only the last one may.
    pub len: Option<Size>,
    /// Kind of file system; ext4, and vfat for `boot`, if left out.
    pub file_system: Option<Kind>,
    /// Label of the file system or swap area.
    pub label: Option<String>,
    /// UUID of the file system or swap area; made of its place if left out.
    pub uuid: Option<String>,
    /// Type in the table: two hex digits (MBR) or a GUID (GPT); what it holds decides if left out.
    #[serde(rename = "type")]
    pub part_type: Option<String>,
    /// Name in the table (GPT).
    pub part_name: Option<String>,
    /// GUID in the table (GPT); made of its number if left out.
    pub part_uuid: Option<String>,
    /// Text of `/etc/fstab` in a root file system.
    pub fstab: Option<String>,
    /// `/var/log` of a root file system is a symlink with this text.
    pub var_log_link: Option<String>,
    /// A data partition holds what sanitising removes, at the places below its mount point in the first root file system's
    /// fstab; without a mount point it holds a key that no rule names.
    #[serde(default)]
    pub secrets: bool,
    /// Left without a clean unmount.
    #[serde(default)]
    pub dirty: bool,
    /// The file system is damaged.
    pub damage: Option<FileSystemDamage>,
    /// More files in it.
    #[serde(default, rename = "file")]
    pub files: Vec<PartFile>,
}

impl PartitionSpec {
    /// A partition with nothing special about it.
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

/// One more file in a partition. Without any of `text`, `link`, `directory`, `secret`, `len` it is an empty file.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PartFile {
    /// Where it is.
    pub path: String,
    /// A regular file with this text.
    pub text: Option<String>,
    /// A symlink with this text.
    pub link: Option<String>,
    /// A directory.
    pub directory: bool,
    /// A regular file of this length.
    pub len: Option<Size>,
    /// A regular file whose content carries the mark of secrets.
    pub secret: bool,
    /// A swap file of `len` bytes, as `mkswap` makes it, with memory in it. Sanitising clears that.
    pub swap: bool,
    /// What sanitising has to make of it; `removed` for a secret and `kept` for all else if left out.
    pub fate: Option<FateSpec>,
    /// It was removed before the scenario begins: its bytes lie in free blocks.
    pub deleted: bool,
    /// So many of it, with a number behind each path.
    pub count: Option<u32>,
    /// Permission bits, such as `0o600`.
    pub mode: Option<u32>,
    /// User and group.
    pub owner: Option<(u32, u32)>,
    /// Last change, in seconds since 1970.
    pub modified: Option<i64>,
    /// Inode flags, by the letters of `lsattr`: of `i`, `a`, `d`, `A`, `S`.
    pub flags: Option<String>,
    /// Extended attributes.
    pub xattrs: BTreeMap<String, String>,
}

impl PartFile {
    /// Its inode flags.
    ///
    /// # Errors
    /// With the letter that is none.
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

/// What sanitising has to make of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FateSpec {
    /// It stays as it is.
    Kept,
    /// It goes.
    Removed,
    /// Its content goes.
    Emptied,
}
