//! The identity of a medium with one partition, beside that of its file system: disk signature or GUIDs, and the
//! partition's number, type and name. Kernels and boot loaders find a clone with the same identity by the same
//! `PARTUUID`.

use super::gpt::{self, Gpt};
use super::guid::Guid;
use super::{Partition, Scheme, mbr, u32_at};

/// Number of entries in a GPT that is made here.
const GPT_NUMBER_MAX: u32 = 128;
/// The slots of an MBR; logical partitions have higher numbers.
const MBR_NUMBER_MAX: u32 = 4;
/// Linux, in an MBR.
const MBR_LINUX: u8 = 0x83;

/// The identity of a medium with one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The disk: its signature, or its GUID.
    pub disk: DiskId,
    /// The partition's number, from 1.
    pub number: u32,
}

/// The identities of the disk and of its one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DiskId {
    /// An MBR.
    Mbr {
        /// The disk signature; 0 for none.
        signature: u32,
        /// The partition's type.
        kind: u8,
    },
    /// A GPT.
    Gpt {
        /// The disk.
        disk: Guid,
        /// The partition.
        partition: Guid,
        /// The partition's type.
        kind: Guid,
        /// The partition's name, at most 36 UTF-16 units.
        name: String,
    },
}

impl Identity {
    /// A new identity from random bytes: partition 1, of the type for Linux file systems.
    pub fn fresh(scheme: Scheme, random: [u8; 32]) -> Self {
        let disk = match scheme {
            Scheme::Mbr => DiskId::Mbr {
                // 0 means "none": kernels form no PARTUUID from it.
                signature: u32_at(&random, 0).max(1),
                kind: MBR_LINUX,
            },
            Scheme::Gpt => {
                let (mut disk, mut partition) = ([0; 16], [0; 16]);
                disk.copy_from_slice(&random[..16]);
                partition.copy_from_slice(&random[16..]);
                DiskId::Gpt {
                    disk: Guid::random(disk),
                    partition: Guid::random(partition),
                    kind: gpt::LINUX_FILE_SYSTEM,
                    name: "rootfs".to_owned(),
                }
            }
        };
        Self { disk, number: 1 }
    }

    /// The scheme of the table.
    pub fn scheme(&self) -> Scheme {
        match self.disk {
            DiskId::Mbr { .. } => Scheme::Mbr,
            DiskId::Gpt { .. } => Scheme::Gpt,
        }
    }

    /// The partition's `PARTUUID`; `None` on a disk without a signature.
    pub fn partuuid(&self) -> Option<String> {
        match &self.disk {
            DiskId::Mbr { signature: 0, .. } => None,
            DiskId::Mbr { signature, .. } => Some(format!("{signature:08x}-{:02x}", self.number)),
            DiskId::Gpt { partition, .. } => Some(partition.to_string()),
        }
    }

    /// Whether a new table with one partition can have this number.
    pub fn has_valid_number(&self) -> bool {
        let most = match self.scheme() {
            Scheme::Mbr => MBR_NUMBER_MAX,
            Scheme::Gpt => GPT_NUMBER_MAX,
        };
        (1..=most).contains(&self.number)
    }

    /// The identity of a medium whose MBR has this one partition.
    pub(super) fn of_mbr(signature: u32, partition: &Partition, entries: &[mbr::Entry; 4]) -> Option<Self> {
        let entry = entries.get((partition.number as usize).checked_sub(1)?)?;
        Some(Self { disk: DiskId::Mbr { signature, kind: entry.kind }, number: partition.number })
    }

    /// The identity of a medium whose GPT has this one partition.
    pub(super) fn of_gpt(table: &Gpt, partition: &Partition) -> Option<Self> {
        let found = Self { disk: table.disk_id(partition.number)?, number: partition.number };
        found.has_valid_number().then_some(found)
    }
}
