//! Identifies the file system or container in a range of bytes by its first bytes.
//!
//! Pure: no device, no file. Backends use it for [`crate::FileSystems::identify`], the engine uses it for images that
//! it reads as a stream. Containers (LUKS, LVM, RAID) are tested before file systems: every formatter overwrites the
//! header of a container, but a container may leave the signature of an older file system in place. This module does
//! not choose a kernel driver or tool.

mod ext;
pub mod fat;
mod others;

use crate::{FileSystem, FileSystemKind};

/// This many bytes from the start of a region contain every signature of [`by_head`] but that of ZFS.
pub const HEAD_LEN_BYTES: usize = 0x1_1000;

/// [`raid_by_tail`] needs this many bytes before the end of a region, or all bytes of a shorter region.
pub const TAIL_LEN_BYTES: usize = 128 * 1024;

/// Identifies the content that begins with `head`, which should be the first [`HEAD_LEN_BYTES`] of a region. A shorter
/// `head` is extended by zeros. `None` if the content is unknown.
///
/// The label of FAT is the one in the boot sector; exFAT has none there. See [`fat::root_directory`] for the other
/// label.
pub fn by_head(head: &[u8]) -> Option<FileSystem> {
    let mut padded = vec![0; HEAD_LEN_BYTES];
    let len = head.len().min(HEAD_LEN_BYTES);
    padded[..len].copy_from_slice(&head[..len]);
    others::container(&padded)
        .or_else(|| ext::identify(&padded[1024..2048]))
        .or_else(|| fat::identify(&padded))
        .or_else(|| others::file_system(&padded))
        .or_else(|| others::zfs(head))
}

/// Finds a member of a Linux RAID whose superblock is at the end (versions 0.90 and 1.0), by the last
/// [`TAIL_LEN_BYTES`] of a region that is `len_bytes` long. Such a member begins with the file system inside the RAID.
pub fn raid_by_tail(tail: &[u8], len_bytes: u64) -> Option<FileSystem> {
    let start = len_bytes.checked_sub(tail.len() as u64)?;
    // See Linux's Documentation/admin-guide/md.rst and md_p.h.
    let old = (len_bytes & !0xffff).checked_sub(0x1_0000);
    let new = (len_bytes / 512).checked_sub(16).map(|sectors| (sectors & !7) * 512);
    [old, new].into_iter().flatten().find_map(|at| {
        let at = usize::try_from(at.checked_sub(start)?).ok()?;
        others::raid(tail.get(at..at.checked_add(256)?)?)
    })
}

/// A result with nothing but the kind.
fn bare(kind: FileSystemKind) -> FileSystem {
    FileSystem { kind, label: None, uuid: None, len_bytes: None, needs_recovery: false }
}

/// The text before the first NUL, without blanks at the end; `None` if that is empty.
fn text(bytes: &[u8]) -> Option<String> {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    let text = String::from_utf8_lossy(&bytes[..end]);
    let text = text.trim_end();
    (!text.is_empty()).then(|| text.to_owned())
}

/// UTF-16, little-endian, up to the first NUL.
fn utf16_text(bytes: &[u8]) -> Option<String> {
    let units: Vec<u16> =
        bytes.chunks_exact(2).map(|unit| le16(unit, 0)).take_while(|unit| *unit != 0).collect();
    let text = String::from_utf16_lossy(&units);
    (!text.is_empty()).then_some(text)
}

fn uuid(bytes: &[u8]) -> Option<String> {
    if bytes.iter().all(|byte| *byte == 0) {
        return None;
    }
    let mut text = String::with_capacity(36);
    for (index, byte) in bytes.iter().enumerate() {
        if matches!(index, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        text.push_str(&format!("{byte:02x}"));
    }
    Some(text)
}

/// Little-endian u16 at `at`; 0 past the end.
pub(crate) fn le16(bytes: &[u8], at: usize) -> u16 {
    bytes.get(at..at + 2).map_or(0, |bytes| u16::from_le_bytes([bytes[0], bytes[1]]))
}

/// Little-endian u32 at `at`; 0 past the end.
pub(crate) fn le32(bytes: &[u8], at: usize) -> u32 {
    u32::from(le16(bytes, at)) | u32::from(le16(bytes, at + 2)) << 16
}

/// Little-endian u64 at `at`; 0 past the end.
pub(crate) fn le64(bytes: &[u8], at: usize) -> u64 {
    u64::from(le32(bytes, at)) | u64::from(le32(bytes, at + 4)) << 32
}

/// Big-endian u32 at `at`; 0 past the end.
fn be32(bytes: &[u8], at: usize) -> u32 {
    le32(bytes, at).swap_bytes()
}

/// Big-endian u64 at `at`; 0 past the end.
fn be64(bytes: &[u8], at: usize) -> u64 {
    le64(bytes, at).swap_bytes()
}

#[cfg(test)]
mod tests;
