//! Owner, mode, times and extended attributes of the live tree.

use super::{Outcome, SimFs, XATTR_LEN_MAX, XATTRS_LEN_MAX, refuse};
use replicator_hal::{ErrorKind, FileKind, Owner, Timestamp, Xattr};

impl SimFs {
    /// Sets owner and group; as in the kernel, that clears setuid, setgid and file capabilities.
    ///
    /// # Errors
    /// `Unsupported`; if the file does not exist.
    pub fn set_owner(&mut self, inode: u64, owner: Owner) -> Outcome<()> {
        self.require_unix()?;
        self.refuse_locked(inode)?;
        let node = self.change(inode)?;
        node.owner = owner;
        if node.kind == FileKind::File {
            node.mode &= if node.mode & 0o010 == 0 { !0o4000 } else { !0o6000 };
            node.xattrs.remove(b"security.capability".as_slice());
        }
        Ok(())
    }

    /// Sets the permission bits.
    ///
    /// # Errors
    /// As [`SimFs::set_owner`]; `SymlinkInPath` for a symlink.
    pub fn set_mode(&mut self, inode: u64, mode: u32) -> Outcome<()> {
        self.require_unix()?;
        self.refuse_locked(inode)?;
        let node = self.change(inode)?;
        if node.kind == FileKind::Symlink {
            return refuse(ErrorKind::SymlinkInPath, "a symlink has no mode");
        }
        node.mode = mode & 0o7777;
        Ok(())
    }

    /// Sets the modification time.
    ///
    /// # Errors
    /// If the file does not exist.
    pub fn set_modified(&mut self, inode: u64, modified: Timestamp) -> Outcome<()> {
        if modified.nanos >= 1_000_000_000 {
            return refuse(ErrorKind::InvalidInput, "a second has 1,000,000,000 nanoseconds");
        }
        self.refuse_locked(inode)?;
        let rounded = self.superblock.kind.round_time(modified);
        self.change(inode)?.modified = rounded;
        Ok(())
    }

    /// All attributes, sorted by name.
    ///
    /// # Errors
    /// If the file does not exist.
    pub fn xattrs(&self, inode: u64) -> Outcome<Vec<Xattr>> {
        let node = self.live_inode(inode)?;
        let copy = |(name, value): (&Vec<u8>, &Vec<u8>)| Xattr { name: name.clone(), value: value.clone() };
        Ok(node.xattrs.iter().map(copy).collect())
    }

    /// Sets one attribute.
    ///
    /// # Errors
    /// `Unsupported`, also for a namespace that Linux does not have; `NoSpace` if it does not fit; `PermissionDenied`
    /// for `user.*` on anything but files and directories.
    pub fn set_xattr(&mut self, inode: u64, xattr: &Xattr) -> Outcome<()> {
        self.require_unix()?;
        let known = [&b"user."[..], b"security.", b"trusted.", b"system.posix_acl_"];
        if !known.iter().any(|prefix| xattr.name.starts_with(prefix)) {
            return refuse(ErrorKind::Unsupported, "Linux has no such namespace of attributes");
        }
        self.refuse_locked(inode)?;
        let node = self.change(inode)?;
        // The kernel checks this first.
        if xattr.value.len() > XATTR_LEN_MAX {
            return refuse(ErrorKind::NoSpace, "the attribute is longer than the kernel allows");
        }
        let plain = matches!(node.kind, FileKind::File | FileKind::Directory);
        if xattr.name.starts_with(b"user.") && !plain {
            return refuse(ErrorKind::PermissionDenied, "user attributes are for files and directories");
        }
        let others: usize = node
            .xattrs
            .iter()
            .filter(|(name, _)| **name != xattr.name)
            .map(|(name, value)| name.len() + value.len())
            .sum();
        if others + xattr.name.len() + xattr.value.len() > XATTRS_LEN_MAX {
            return refuse(ErrorKind::NoSpace, "no room for the attribute");
        }
        node.xattrs.insert(xattr.name.clone(), xattr.value.clone());
        Ok(())
    }
}
