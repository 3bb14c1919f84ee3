//! The bytes of a region that its file system needs, for every supported kind.
//!
//! The result is exact or `None`, see [`crate::UsedMap`].

use super::byte_range::ReadAt;
use super::{btrfs_map, exfat_map, ext_spare, fat_map, superblock, swap_map, xfs_map};
use crate::{FileSystemKind, Result, UsedMap};

/// The bytes of the region that must be kept; `None` if that cannot be proven.
///
/// # Errors
/// If the region cannot be read.
pub(super) fn used_map(region: &mut dyn ReadAt) -> Result<Option<UsedMap>> {
    match superblock::identify(region)?.map(|found| found.kind) {
        Some(kind) if kind.is_ext() => ext_spare::used_map(region),
        Some(FileSystemKind::Btrfs) => btrfs_map::used_map(region),
        Some(FileSystemKind::Vfat) => fat_map::used_map(region),
        Some(FileSystemKind::Exfat) => exfat_map::used_map(region),
        Some(FileSystemKind::Xfs) => xfs_map::used_map(region),
        Some(FileSystemKind::Swap) => swap_map::used_map(region),
        _ => Ok(None),
    }
}
