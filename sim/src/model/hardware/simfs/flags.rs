//! Inode flags, and the operations that the two locking flags refuse.

use super::{Inode, Outcome, SimFs, refuse};
use replicator_hal::{ErrorKind, FileKind, InodeFlags, RelativePath};

/// Flags that ext2, ext3 and ext4 do not have.
const NOT_EXT: InodeFlags =
    InodeFlags::NO_COMPRESS.with(InodeFlags::NO_COPY_ON_WRITE).with(InodeFlags::DIRECT_ACCESS);

impl Inode {
    /// Whether one of these flags is set.
    fn has(&self, flags: InodeFlags) -> bool {
        !InodeFlags::from_bits(self.flags).both(flags).is_empty()
    }
}

impl SimFs {
    /// The inode flags of a file.
    ///
    /// # Errors
    /// If the file does not exist.
    pub fn flags(&self, inode: u64) -> Outcome<InodeFlags> {
        Ok(InodeFlags::from_bits(self.live_inode(inode)?.flags))
    }

    /// Sets them.
    ///
    /// # Errors
    /// `Unsupported` for flags that the kind does not have, and on anything but files and directories; those of
    /// [`SimFs::lookup`].
    pub fn set_flags(&mut self, path: &RelativePath, flags: InodeFlags) -> Outcome<()> {
        let inode = self.lookup(path)?;
        let node = self.live_inode(inode)?;
        let has_flags = matches!(node.kind, FileKind::File | FileKind::Directory);
        if !flags.is_empty()
            && (!has_flags || !self.superblock.kind.unix() || !flags.both(NOT_EXT).is_empty())
        {
            return refuse(ErrorKind::Unsupported, "the file system has no such flags there");
        }
        if node.flags != flags.bits() {
            self.change(inode)?.flags = flags.bits();
        }
        Ok(())
    }

    /// Refuses a change of a file or directory that is immutable or append-only.
    ///
    /// # Errors
    /// `PermissionDenied`.
    pub fn refuse_locked(&self, inode: u64) -> Outcome<()> {
        if self.live_inode(inode)?.has(InodeFlags::LOCKS) {
            return refuse(ErrorKind::PermissionDenied, "it is immutable or append-only");
        }
        Ok(())
    }

    /// Refuses a new name in an immutable directory.
    ///
    /// # Errors
    /// `PermissionDenied`.
    pub(super) fn refuse_immutable(&self, directory: u64) -> Outcome<()> {
        if self.live_inode(directory)?.has(InodeFlags::IMMUTABLE) {
            return refuse(ErrorKind::PermissionDenied, "its directory is immutable");
        }
        Ok(())
    }
}
