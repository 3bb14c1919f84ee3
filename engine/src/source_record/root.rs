//! The part of a record with the names of the golden root file system, which the clone gets.

use crate::formats::partition::{DiskId, Guid, Identity};
use replicator_hal::Uuid;
use serde::{Deserialize, Serialize};

/// The names of the golden root file system.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RootRecord {
    /// The file system's UUID.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    uuid: Option<String>,
    /// Its label.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// The partition table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    partition: Option<PartitionRecord>,
}

/// Numbers are hexadecimal, GUIDs in their usual text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct PartitionRecord {
    table: TableKind,
    number: u32,
    /// The disk's signature or GUID.
    disk: String,
    kind: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    guid: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    name: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum TableKind {
    Mbr,
    Gpt,
}

impl RootRecord {
    /// The record of a captured root file system.
    pub(crate) fn new(uuid: Option<Uuid>, label: Option<String>, identity: Option<&Identity>) -> Self {
        let uuid = uuid.map(|uuid| uuid.to_string());
        Self { uuid, label, partition: identity.map(PartitionRecord::new) }
    }

    /// The file system's UUID.
    pub(crate) fn uuid(&self) -> Option<Uuid> {
        self.uuid.as_deref().and_then(Uuid::parse)
    }

    /// The identity of disk and partition.
    pub(crate) fn identity(&self) -> Option<Identity> {
        self.partition.as_ref().and_then(PartitionRecord::identity)
    }

    /// Whether all fields are valid.
    pub(super) fn is_valid(&self) -> bool {
        self.uuid.is_some() == self.uuid().is_some()
            && self.partition.is_some() == self.identity().is_some_and(|identity| identity.has_valid_number())
    }
}

impl PartitionRecord {
    fn new(identity: &Identity) -> Self {
        let number = identity.number;
        match &identity.disk {
            DiskId::Mbr { signature, kind } => Self {
                table: TableKind::Mbr,
                number,
                disk: format!("{signature:08x}"),
                kind: format!("{kind:02x}"),
                guid: None,
                name: None,
            },
            DiskId::Gpt { disk, partition, kind, name } => Self {
                table: TableKind::Gpt,
                number,
                disk: disk.to_string(),
                kind: kind.to_string(),
                guid: Some(partition.to_string()),
                name: Some(name.clone()),
            },
        }
    }

    fn identity(&self) -> Option<Identity> {
        let disk = match self.table {
            TableKind::Mbr => DiskId::Mbr {
                signature: u32::from_str_radix(&self.disk, 16).ok().filter(|_| self.disk.len() == 8)?,
                kind: u8::from_str_radix(&self.kind, 16).ok().filter(|kind| *kind != 0)?,
            },
            TableKind::Gpt => DiskId::Gpt {
                disk: Guid::parse(&self.disk)?,
                partition: Guid::parse(self.guid.as_deref()?)?,
                kind: Guid::parse(&self.kind)?,
                name: self.name.clone().unwrap_or_default(),
            },
        };
        Some(Identity { disk, number: self.number })
    }
}
