//! What a copy of an entry cannot have: encryption, signatures, and names that ignore case.

use super::Tree;
use super::status::Status;
use super::walk::failed;
use crate::{FileKind, RelativePath, Result};
use rustix::fs::{Mode, OFlags, StatxAttributes, ioctl_getflags, openat};
use rustix::io::Errno;
use std::io;

/// `FS_CASEFOLD_FL` of `linux/fs.h`.
const CASEFOLD: u32 = 0x4000_0000;

impl Tree {
    /// See [`crate::ReadTree::not_copyable`].
    ///
    /// # Errors
    /// As there.
    pub fn not_copyable(&self, path: &RelativePath) -> Result<Option<&'static str>> {
        let operation = "checking the attributes of";
        let root = self.reading(operation, path)?;
        let place = self.place(&root, path, operation)?;
        let fail = |errno: Errno| failed(io::Error::from(errno), operation, path);
        let status = place.status().map_err(|error| failed(error, operation, path))?;
        let why = by_attributes(&status);
        if why.is_some() || status.attributes.is_none() || status.metadata.kind != FileKind::Directory {
            return Ok(why);
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let directory = openat(&place, place.name, flags, Mode::empty()).map_err(fail)?;
        match ioctl_getflags(&directory) {
            Ok(flags) if flags.bits() & CASEFOLD != 0 => Ok(Some("ignores case in names (casefold)")),
            Ok(_) => Ok(None),
            // A file system without flags.
            Err(Errno::NOTTY | Errno::OPNOTSUPP | Errno::INVAL | Errno::NOSYS) => Ok(None),
            Err(errno) => Err(fail(errno)),
        }
    }
}

/// Why a copy of a file with this status would differ, as far as its attributes say. Kernels before 4.11 have none.
pub(super) fn by_attributes(status: &Status) -> Option<&'static str> {
    let attributes = status.attributes?;
    if attributes.contains(StatxAttributes::ENCRYPTED) {
        Some("is encrypted by its file system (fscrypt)")
    } else if attributes.contains(StatxAttributes::VERITY) {
        Some("is signed by its file system (fs-verity)")
    } else {
        None
    }
}
