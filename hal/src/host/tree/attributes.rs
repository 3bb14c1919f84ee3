//! Attributes: kind, mode, owner, times, extended attributes.

use super::file::MODE_MASK;
use super::walk::failed;
use super::{OpenRoot, Tree};
use crate::{Error, ErrorKind, FileKind, Metadata, Owner, RelativePath, Result, Timestamp, Xattr};
use nix::errno::Errno;
use nix::fcntl::AtFlags;
use nix::sys::stat::{FchmodatFlags, Mode, fchmodat};
use nix::unistd::{Gid, Uid, fchownat};
use rustix::fs::{Timespec, Timestamps, utimensat};
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use xattr::XAttrs;

impl Tree {
    /// See [`crate::ReadTree::metadata`].
    ///
    /// # Errors
    /// As there.
    pub fn metadata(&self, path: &RelativePath) -> Result<Metadata> {
        let operation = "reading the metadata of";
        let root = self.reading(operation, path)?;
        let place = self.place(&root, path, operation)?;
        Ok(place.status().map_err(|error| failed(error, operation, path))?.metadata)
    }

    /// See [`crate::SetAttributes::set_owner`].
    ///
    /// # Errors
    /// As there; `InvalidInput` for the number that means "no change" to the kernel.
    pub fn set_owner(&self, path: &RelativePath, owner: Owner) -> Result<()> {
        let operation = "setting the owner of";
        let root = self.writing(operation, path)?;
        self.needs_unix(&root, operation, path)?;
        let (uid, gid) = owner_of(owner, operation, path)?;
        let place = self.place(&root, path, operation)?;
        fchownat(&place, place.name, Some(uid), Some(gid), AtFlags::AT_SYMLINK_NOFOLLOW)
            .map_err(|errno| failed(errno, operation, path))
    }

    /// See [`crate::SetAttributes::set_mode`].
    ///
    /// The C library makes the call: with `fchmodat2` on kernels from 6.6, else through `/proc/self/fd`.
    ///
    /// # Errors
    /// As there.
    pub fn set_mode(&self, path: &RelativePath, mode: u32) -> Result<()> {
        let operation = "setting the mode of";
        let root = self.writing(operation, path)?;
        self.needs_unix(&root, operation, path)?;
        let place = self.place(&root, path, operation)?;
        let status = place.status().map_err(|error| failed(error, operation, path))?;
        if status.metadata.kind == FileKind::Symlink {
            return Err(failed(Errno::ELOOP, operation, path));
        }
        let mode = Mode::from_bits_truncate(mode & MODE_MASK);
        fchmodat(&place, place.name, mode, FchmodatFlags::NoFollowSymlink)
            .map_err(|errno| failed(errno, operation, path))
    }

    /// See [`crate::SetAttributes::set_modified`].
    ///
    /// # Errors
    /// As there; `OutOfRange` for 1,000,000,000 nanoseconds or more.
    pub fn set_modified(&self, path: &RelativePath, modified: Timestamp) -> Result<()> {
        let operation = "setting the time of";
        let root = self.writing(operation, path)?;
        let times = time_of(modified, operation, path)?;
        let place = self.place(&root, path, operation)?;
        // With rustix, because the plain `utimensat` of a 32-bit host ends in the year 2038.
        utimensat(&place, place.name, &times, rustix::fs::AtFlags::SYMLINK_NOFOLLOW)
            .map_err(|errno| failed(io::Error::from(errno), operation, path))
    }

    /// See [`crate::ReadTree::xattrs`]. A file system without attributes has none.
    ///
    /// # Errors
    /// As there.
    pub fn xattrs(&self, path: &RelativePath) -> Result<Vec<Xattr>> {
        let operation = "reading the attributes of";
        let root = self.reading(operation, path)?;
        let place = self.place(&root, path, operation)?;
        let proc_path = place.proc_path();
        xattrs_by(xattr::list(&proc_path), |name| xattr::get(&proc_path, name))
            .map_err(|error| failed(error, operation, path))
    }

    /// See [`crate::SetAttributes::set_xattr`].
    ///
    /// # Errors
    /// As there.
    pub fn set_xattr(&self, path: &RelativePath, xattr: &Xattr) -> Result<()> {
        let operation = "setting an attribute of";
        let root = self.writing(operation, path)?;
        let place = self.place(&root, path, operation)?;
        match xattr::set(place.proc_path(), OsStr::from_bytes(&xattr.name), &xattr.value) {
            // Longer than any file system stores, see xattr(7). The kernel checks the length before it looks up the
            // file.
            Err(error) if error.raw_os_error() == Some(nix::libc::E2BIG) => {
                self.metadata(path)?;
                Err(Error::caused_by(ErrorKind::NoSpace, operation, path.to_string(), error))
            }
            ended => ended.map_err(|error| failed(error, operation, path)),
        }
    }

    /// Whether the file system stores owners and modes.
    pub(super) fn holds_modes(&self, root: &OpenRoot<'_>) -> bool {
        self.capabilities_by(root).unix
    }

    /// Refuses what FAT cannot store.
    pub(super) fn needs_unix(&self, root: &OpenRoot<'_>, operation: &str, path: &RelativePath) -> Result<()> {
        if self.holds_modes(root) {
            return Ok(());
        }
        Err(no_modes(operation, path))
    }
}

/// The error for what FAT cannot store.
pub(super) fn no_modes(operation: &str, path: &RelativePath) -> Error {
    let detail = "the file system has no links, nodes, owners and modes";
    Error::new(ErrorKind::Unsupported, operation, path.to_string(), detail)
}

/// The attributes with the names of a listing, sorted. A file system without attributes has none.
pub(super) fn xattrs_by(
    names: io::Result<XAttrs>,
    value_of: impl Fn(&OsStr) -> io::Result<Option<Vec<u8>>>,
) -> io::Result<Vec<Xattr>> {
    let names = match names {
        Err(error) if error.kind() == io::ErrorKind::Unsupported => return Ok(Vec::new()),
        names => names?,
    };
    let mut found = Vec::new();
    for name in names {
        // Removed since it was listed, or a name without a value, such as one of a security module.
        if let Some(value) = value_of(&name)? {
            found.push(Xattr { name: name.into_vec(), value });
        }
    }
    found.sort();
    Ok(found)
}

/// Owner and group for a system call.
///
/// # Errors
/// `InvalidInput` for the number that means "no change" to the kernel.
pub(super) fn owner_of(owner: Owner, operation: &str, path: &RelativePath) -> Result<(Uid, Gid)> {
    if owner.uid == u32::MAX || owner.gid == u32::MAX {
        let detail = "4294967295 is not a user or group";
        return Err(Error::new(ErrorKind::InvalidInput, operation, path.to_string(), detail));
    }
    Ok((Uid::from_raw(owner.uid), Gid::from_raw(owner.gid)))
}

/// The time for a system call, as the time of access and of modification.
///
/// # Errors
/// `OutOfRange` for 1,000,000,000 nanoseconds or more.
pub(super) fn time_of(time: Timestamp, operation: &str, path: &RelativePath) -> Result<Timestamps> {
    if time.nanos >= 1_000_000_000 {
        return Err(Error::new(ErrorKind::OutOfRange, operation, path.to_string(), "not a valid time"));
    }
    let time = Timespec { tv_sec: time.seconds, tv_nsec: time.nanos.into() };
    Ok(Timestamps { last_access: time, last_modification: time })
}
