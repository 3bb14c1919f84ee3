//! Finds out what each partition holds, and whether a capture of it can be sanitised, before any byte is copied.
//!
//! A capture must examine everything that may hold a root file system. So it refuses a partition that cannot be examined
//! (encryption, LVM, a file system that the kernel cannot mount). It also refuses a partition that must hold a Linux file
//! system but shows none: its superblock is damaged, and there may be files. With `sanitise = false` none of this is
//! checked.

use super::layout::{Layout, Slot};
use crate::error::{Error, FaultyPart, Refusal, Result};
use crate::formats::ReadAt;
use crate::operation::Operation;
use replicator_hal::{FileSystem, FileSystemKind, Holder};
use std::fmt;

/// A partition is blank if so many bytes at its start are zeros.
const BLANK_LEN_BYTES: u64 = 1 << 20;

/// A partition and its file system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Part {
    /// Where it is.
    pub(super) slot: Slot,
    /// Its file system, if it is a known one.
    pub(super) file_system: Option<FileSystem>,
}

impl Part {
    /// The family of its file system.
    pub(super) fn kind(&self) -> Option<&FileSystemKind> {
        self.file_system.as_ref().map(|file_system| &file_system.kind)
    }

    /// Whether its label or its name in the partition table is that of a root file system.
    pub(super) fn is_named_root(&self) -> bool {
        let label = self.file_system.as_ref().and_then(|file_system| file_system.label.as_deref());
        [label, self.slot.name.as_deref()].into_iter().flatten().any(|name| {
            let name = name.to_ascii_lowercase();
            name.contains("rootfs")
                || name.starts_with("root")
                || name == "system"
                || name.starts_with("system_")
        })
    }
}

/// For reports: "partition 3, ext4 `data`".
impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.slot)?;
        match &self.file_system {
            None => f.write_str(", no known file system")?,
            Some(FileSystem { kind, label: None, .. }) => write!(f, ", {kind}")?,
            Some(FileSystem { kind, label: Some(label), .. }) => write!(f, ", {kind} `{label}`")?,
        }
        Ok(())
    }
}

/// Finds the file system in every partition of `holder`.
pub(super) fn look(operation: &Operation<'_>, layout: &Layout, holder: &Holder) -> Result<Vec<Part>> {
    let identified = layout.slots.iter().map(|slot| {
        let region = slot.region(holder);
        let file_system = operation
            .retry(|| operation.board.file_systems.identify(&region))
            .map_err(Error::hal(format!("looking for a file system in {region}")))?;
        Ok(Part { slot: slot.clone(), file_system })
    });
    identified.collect()
}

/// Whether files on this kind can be changed and its unused blocks are known afterwards.
pub(super) fn can_be_sanitised(kind: &FileSystemKind) -> bool {
    kind.is_ext() || matches!(kind, FileSystemKind::Btrfs | FileSystemKind::Xfs)
}

/// Refuses a medium whose capture could not be sanitised.
pub(super) fn refuse_unfit(operation: &Operation<'_>, parts: &[Part], medium: &mut dyn ReadAt) -> Result<()> {
    for part in parts {
        if let Some(why) = unfit(operation, part, medium)? {
            return Err(Error::refused(Refusal::Unsanitisable, format!("{part}: {why}")));
        }
    }
    Ok(())
}

/// Refuses a copy that shows other file systems than the medium: a root file system with a misread superblock would not
/// be sanitised.
pub(super) fn refuse_misread(medium: &[Part], copy: &[Part]) -> Result<()> {
    let name = |part: &Part| part.file_system.as_ref().map(|found| (found.kind.clone(), found.uuid.clone()));
    match medium.iter().zip(copy).find(|(medium, copy)| name(medium) != name(copy)) {
        None => Ok(()),
        Some((medium, copy)) => Err(Error::Verify {
            part: FaultyPart::Source,
            what: format!("the copy of partition {} on the drive", medium.slot.number),
            offset_bytes: None,
            detail: format!("the medium shows {medium}, the copy {copy}"),
        }),
    }
}

fn unfit(operation: &Operation<'_>, part: &Part, medium: &mut dyn ReadAt) -> Result<Option<String>> {
    let why = match part.kind() {
        Some(kind) if kind.is_container() => {
            Some("its content cannot be read, so it cannot be sanitised".to_owned())
        }
        Some(kind) if can_be_sanitised(kind) => {
            let can_mount = operation
                .board
                .file_systems
                .can_mount(kind)
                .map_err(Error::hal(format!("finding out whether {kind} can be mounted")))?;
            (!can_mount).then(|| "this kernel cannot mount it, so it cannot be sanitised".to_owned())
        }
        Some(kind) if kind.is_linux() && !kind.is_read_only() => Some(format!("{kind} cannot be sanitised")),
        // An external journal holds blocks of a file system; the other kinds hold no root file system.
        Some(kind) if *kind != FileSystemKind::Other("jbd".to_owned()) => None,
        _ => damaged(part, medium)?,
    };
    Ok(why)
}

/// Why a partition without a known file system may hold a damaged one.
fn damaged(part: &Part, medium: &mut dyn ReadAt) -> Result<Option<String>> {
    let bytes = part.slot.bytes.clone();
    let mut read = |at: u64, len: usize| {
        let mut buffer = vec![0; len];
        let start = bytes.start.saturating_add(at);
        let end = start.checked_add(len as u64).filter(|end| *end <= bytes.end);
        if end.is_some() {
            medium
                .read_exact_at(start, &mut buffer)
                .map_err(|error| Error::io(format!("the medium at byte {start}"))(error))?;
        }
        Ok::<_, Error>(buffer)
    };
    for (log_block_len, block) in [(0, 8193_u64), (1, 16384), (2, 32768)] {
        if is_backup_superblock(&read(block * (1024 << log_block_len), 1024)?, log_block_len) {
            return Ok(Some(
                "its superblock is damaged: a backup superblock shows an ext file system; \
                 e2fsck repairs it"
                    .to_owned(),
            ));
        }
    }
    if is_torn_superblock(&read(1024, 1024)?) {
        return Ok(Some("the superblock of its ext file system is damaged; e2fsck repairs it".to_owned()));
    }
    let len = (bytes.end - bytes.start).min(BLANK_LEN_BYTES);
    let first = read(0, usize::try_from(len).unwrap_or(0))?;
    let is_blank = first.iter().all(|byte| *byte == 0) || first.iter().all(|byte| *byte == 0xff);
    let claims = part.slot.is_linux || part.is_named_root();
    Ok((claims && !is_blank).then(|| {
        "its type or name is that of a Linux file system, but none can be read: it may be damaged".to_owned()
    }))
}

/// Whether this is the copy of a superblock at the start of group 1.
fn is_backup_superblock(block: &[u8], log_block_len: u8) -> bool {
    block[0x38..0x3a] == [0x53, 0xef]
        && block[0x18..0x1c] == [log_block_len, 0, 0, 0]
        && block[0x5a..0x5c] == [1, 0]
}

/// Whether enough of a damaged superblock is left: the block sizes agree with the size of a group, the first inode is the
/// usual one, the size of inodes is possible.
fn is_torn_superblock(superblock: &[u8]) -> bool {
    let le32 = |at: usize| {
        u32::from_le_bytes([superblock[at], superblock[at + 1], superblock[at + 2], superblock[at + 3]])
    };
    let signs = [
        superblock[0x38..0x3a] == [0x53, 0xef],
        le32(0x18) <= 6 && le32(0x18) == le32(0x1c),
        le32(0x20) != 0 && le32(0x20) % 8 == 0 && le32(0x20) <= 8 * 65536,
        le32(0x28) != 0 && le32(0x28) % 8 == 0,
        le32(0x4c) == 1 && le32(0x54) == 11,
        matches!(superblock[0x58..0x5a], [0x80, 0] | [0, 1] | [0, 2] | [0, 4]),
    ];
    signs.into_iter().filter(|sign| *sign).count() >= 4
}

#[cfg(test)]
mod tests;
