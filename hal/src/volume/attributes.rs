//! Setting owner, mode, times, extended attributes and flags. They are read by [`ReadTree`](crate::ReadTree).

use super::{Owner, Xattr};
use crate::{InodeFlags, RelativePath, Result, Timestamp};
use std::sync::Arc;

crate::forward::part! {
/// Sets attributes of a file, a directory or another entry.
pub trait SetAttributes: Send + Sync {
    /// Sets owner and group of the entry itself. The kernel then clears setuid and capabilities, so set mode and
    /// attributes after the owner.
    ///
    /// # Errors
    /// `Unsupported`, `PermissionDenied`, `ReadOnly`.
    fn set_owner(&self, path: &RelativePath, owner: Owner) -> Result<()>;

    /// Sets the 12 permission bits of a file, directory or node. Symlinks have none.
    ///
    /// # Errors
    /// As [`SetAttributes::set_owner`]; `SymlinkInPath` if it is a symlink.
    fn set_mode(&self, path: &RelativePath, mode: u32) -> Result<()>;

    /// Sets access and modification time of the entry itself, with the precision of the file system.
    ///
    /// # Errors
    /// As [`SetAttributes::set_owner`].
    fn set_modified(&self, path: &RelativePath, modified: Timestamp) -> Result<()>;

    /// Sets one extended attribute of the entry itself.
    ///
    /// # Errors
    /// As [`SetAttributes::set_owner`]; `NoSpace` if it does not fit.
    fn set_xattr(&self, path: &RelativePath, xattr: &Xattr) -> Result<()>;

    /// Sets exactly these inode flags. An immutable or append-only file refuses every other change with
    /// `PermissionDenied`, and so does its directory for its name; only its flags can be changed. So set them last.
    ///
    /// # Errors
    /// As [`SetAttributes::set_owner`]; `Unsupported` if the file system does not have one of them; then nothing is
    /// changed.
    fn set_flags(&self, path: &RelativePath, flags: InodeFlags) -> Result<()>;
}
layer SetAttributesLayer: Send + Sync;
pointers (& Box Arc);
}
