//! A medium as data: identity, length and content. Worlds are built from such data.

use crate::model::hardware::content::{Content, FileSystemContent, PartitionContent};
use crate::model::hardware::identity::{Discard, Identity, Speed};
use replicator_hal::{AreaKind, CacheBypass, DeviceKind};

/// A medium or the drive.
#[derive(Debug, Clone)]
pub struct Medium {
    /// The device.
    pub identity: Identity,
    /// Its length; 0 for an empty slot.
    pub len_bytes: u64,
    /// What is on it.
    pub content: Content,
    /// The device refuses writes.
    pub read_only: bool,
    /// Set for a bootloader area, which is not a medium.
    pub area: Option<AreaKind>,
}

impl Medium {
    /// A medium called `name` in scenarios, with the kernel's name `device`.
    pub fn new(name: &str, device: &str, kind: DeviceKind, len_bytes: u64) -> Self {
        let identity = Identity {
            device: device.into(),
            medium: name.into(),
            kind,
            controller_path: format!("soc/{name}-controller/{device}"),
            serial: Some(format!("serial-of-{name}")),
            sector_len_bytes: 512,
            removable: matches!(kind, DeviceKind::Sd | DeviceKind::Usb),
            has_boot_areas: kind == DeviceKind::Emmc,
            speed: Speed::of(kind),
            bypass: CacheBypass::Direct,
            another_holder: false,
            write_cache: false,
            discard: Discard::default(),
            held_by: None,
            held_elsewhere: false,
        };
        Self { identity, len_bytes, content: Content::Zeros, read_only: false, area: None }
    }

    /// The drive: `sda` on USB, with one partition from the first 32 KiB on.
    pub fn drive(len_bytes: u64, file_system: FileSystemContent) -> Self {
        let start_bytes = 32_768;
        let mbr_type = if file_system.kind.unix() { 0x83 } else { 0x0c };
        let partition = PartitionContent {
            mbr_type,
            start_bytes,
            len_bytes: len_bytes.saturating_sub(start_bytes),
            file_system: Some(file_system),
        };
        Self::new("drive", "sda", DeviceKind::Usb, len_bytes)
            .content(Content::Partitions("drive".to_owned(), vec![partition]))
    }

    /// The same with this content.
    #[must_use]
    pub fn content(mut self, content: Content) -> Self {
        self.content = content;
        self
    }

    /// The same with a changed identity.
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(&mut Identity)) -> Self {
        change(&mut self.identity);
        self
    }
}
