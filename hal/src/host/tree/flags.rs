//! Inode flags of files and directories.

use super::walk::failed;
use super::{OpenRoot, Tree};
use crate::{Error, ErrorKind, FileKind, InodeFlags, RelativePath, Result};
use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::Mode;
use rustix::fs::{IFlags, ioctl_getflags, ioctl_setflags};
use std::io;
use std::os::fd::{AsFd, OwnedFd};

impl Tree {
    /// See [`crate::ReadTree::flags`].
    ///
    /// # Errors
    /// As there.
    pub fn flags(&self, path: &RelativePath) -> Result<InodeFlags> {
        let operation = "reading the flags of";
        let root = self.reading(operation, path)?;
        let Some(open) = self.open_for_flags(&root, path, operation)? else {
            return Ok(InodeFlags::none());
        };
        of_open(&open).map_err(|error| failed(error, operation, path))
    }

    /// See [`crate::SetAttributes::set_flags`].
    ///
    /// # Errors
    /// As there.
    pub fn set_flags(&self, path: &RelativePath, flags: InodeFlags) -> Result<()> {
        let operation = "setting the flags of";
        let root = self.writing(operation, path)?;
        let fail = |errno| match errno {
            errno if has_none(errno) => unsupported(operation, path),
            errno => failed(io::Error::from(errno), operation, path),
        };
        let Some(open) = self.open_for_flags(&root, path, operation)? else {
            return if flags.is_empty() { Ok(()) } else { Err(unsupported(operation, path)) };
        };
        let before = match ioctl_getflags(&open) {
            Ok(before) => before,
            Err(errno) if has_none(errno) && flags.is_empty() => return Ok(()),
            Err(errno) => return Err(fail(errno)),
        };
        let own = before.bits() & !InodeFlags::ALL.bits();
        let wanted = IFlags::from_bits_retain(own | flags.bits());
        if wanted == before {
            return Ok(());
        }
        ioctl_setflags(&open, wanted).map_err(fail)?;
        // Some file systems ignore unknown flags without an error.
        let after = ioctl_getflags(&open).map_err(fail)?;
        if InodeFlags::from_bits(after.bits()) == flags {
            return Ok(());
        }
        ioctl_setflags(&open, before).map_err(fail)?;
        Err(unsupported(operation, path))
    }

    /// Opens a file or directory; `None` for everything else, which has no flags and is never opened.
    fn open_for_flags(
        &self,
        root: &OpenRoot<'_>,
        path: &RelativePath,
        operation: &str,
    ) -> Result<Option<OwnedFd>> {
        let place = self.place(root, path, operation)?;
        let status = place.status().map_err(|error| failed(error, operation, path))?;
        if !matches!(status.metadata.kind, FileKind::File | FileKind::Directory) {
            return Ok(None);
        }
        let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
        match openat(&place, place.name, flags, Mode::empty()) {
            Ok(open) => Ok(Some(open)),
            // An encrypted file without its key cannot be opened, not even for its flags.
            Err(Errno::ENOKEY) => Ok(None),
            Err(errno) => Err(failed(errno, operation, path)),
        }
    }
}

/// The flags of an open file or directory.
pub(super) fn of_open(open: &impl AsFd) -> io::Result<InodeFlags> {
    match ioctl_getflags(open) {
        Ok(flags) => Ok(InodeFlags::from_bits(flags.bits())),
        Err(errno) if has_none(errno) => Ok(InodeFlags::none()),
        Err(errno) => Err(errno.into()),
    }
}

/// Whether the error means that the file system does not have such a flag, or no flags at all.
fn has_none(errno: rustix::io::Errno) -> bool {
    let none = [Errno::ENOTTY, Errno::EOPNOTSUPP, Errno::EINVAL, Errno::ENOSYS];
    none.contains(&Errno::from_raw(errno.raw_os_error()))
}

fn unsupported(operation: &str, path: &RelativePath) -> Error {
    Error::new(
        ErrorKind::Unsupported,
        operation,
        path.to_string(),
        "the file system does not have such flags",
    )
}
