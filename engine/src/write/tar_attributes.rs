//! Computes where ext stores the attributes of a file: behind its inode, in an attribute block, or in separate inodes.

use crate::formats::tar::Entry;
use replicator_hal::{EXT_INODE_LEN_BYTES, Xattr};

/// Bytes for attributes behind an inode of 256 bytes: the inode itself takes 128 and 32, a magic and an end four each.
const INSIDE_LEN_BYTES: u64 = EXT_INODE_LEN_BYTES - 128 - 32 - 8;
/// Head and end of a block of attributes.
const BLOCK_FRAME_LEN_BYTES: u64 = 32 + 4;
/// Length of an attribute without its name and value.
const ATTRIBUTE_LEN_BYTES: u64 = 16;
/// The kernel stores a value in an inode if it is longer than a block without this: the head and one small attribute.
const LARGE_VALUE_FRAME_LEN_BYTES: u64 = 56;

/// The space that the attributes of one file take outside of its inode.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Outside {
    /// Whether they take an attribute block, which files with the same attributes share.
    pub(super) block: bool,
    /// The number of values in separate inodes.
    pub(super) inodes: u64,
    /// The blocks of those.
    pub(super) blocks: u64,
}

/// The space for the attributes of `entry` with blocks of `block_len_bytes`; `None` if they do not fit. If `large`,
/// values may be in separate inodes.
pub(super) fn outside(entry: &Entry, block_len_bytes: u64, large: bool) -> Option<Outside> {
    let mut inside_left = INSIDE_LEN_BYTES;
    let mut block_left = block_len_bytes - BLOCK_FRAME_LEN_BYTES;
    let mut outside = Outside::default();
    for xattr in &entry.xattrs {
        let head = ATTRIBUTE_LEN_BYTES + round_up(stored_name_len(xattr)?);
        let value = round_up(xattr.value.len() as u64);
        let is_large = large && value > block_len_bytes.saturating_sub(LARGE_VALUE_FRAME_LEN_BYTES);
        if !is_large && take(&mut inside_left, head + value) {
            continue;
        }
        if !is_large && take(&mut block_left, head + value) {
            outside.block = true;
            continue;
        }
        if !large {
            return None;
        }
        if !take(&mut inside_left, head) {
            if !take(&mut block_left, head) {
                return None;
            }
            outside.block = true;
        }
        outside.inodes += 1;
        outside.blocks += value.div_ceil(block_len_bytes);
    }
    Some(outside)
}

/// The stored length of a name: the namespace is stored as a number. `None` for a namespace that ext does not have.
pub(super) fn stored_name_len(xattr: &Xattr) -> Option<u64> {
    let name = &xattr.name[..];
    if matches!(name, b"system.posix_acl_access" | b"system.posix_acl_default") {
        return Some(0);
    }
    let namespaces: [&[u8]; 3] = [b"user.", b"trusted.", b"security."];
    let rest = namespaces.into_iter().find_map(|namespace| name.strip_prefix(namespace))?;
    (!rest.is_empty()).then_some(rest.len() as u64)
}

fn take(left: &mut u64, len_bytes: u64) -> bool {
    let fits = *left >= len_bytes;
    if fits {
        *left -= len_bytes;
    }
    fits
}

fn round_up(len_bytes: u64) -> u64 {
    len_bytes.next_multiple_of(4)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::tar::EntryKind;

    fn taken(xattrs: &[(&str, usize)], block_len_bytes: u64, large: bool) -> Option<(bool, u64, u64)> {
        let xattrs = xattrs.iter().map(|(name, len)| Xattr { name: (*name).into(), value: vec![1; *len] });
        let entry = Entry { xattrs: xattrs.collect(), ..Entry::plain("", EntryKind::Directory) };
        outside(&entry, block_len_bytes, large).map(|found| (found.block, found.inodes, found.blocks))
    }

    #[test]
    fn attributes_go_where_ext4_puts_them() {
        let acl = "system.posix_acl_access";
        for (xattrs, block, large, expected) in [
            (&[][..], 4096, false, Some((false, 0, 0))),
            (&[("security.selinux", 33)], 4096, false, Some((false, 0, 0))),
            (&[("security.selinux", 64)], 4096, false, Some((false, 0, 0))),
            (&[("security.selinux", 65)], 4096, false, Some((true, 0, 0))),
            (&[(acl, 44), ("security.capability", 20)], 4096, false, Some((true, 0, 0))),
            (&[("user.a", 4040)], 4096, false, Some((true, 0, 0))),
            (&[("user.a", 4041)], 4096, false, None),
            (&[("user.a", 968)], 1024, false, Some((true, 0, 0))),
            (&[("user.a", 969)], 1024, false, None),
            (&[("user.a", 60_000)], 4096, true, Some((false, 1, 15))),
            (&[("user.a", 3000), ("user.b", 3000)], 4096, false, None),
            (&[("user.a", 3000), ("user.b", 3000)], 4096, true, Some((true, 1, 1))),
            (&[("btrfs.compression", 3)], 4096, true, None),
            (&[("user.", 3)], 4096, true, None),
        ] {
            assert_eq!(taken(xattrs, block, large), expected, "{xattrs:?} {block} {large}");
        }
    }
}
