//! The way from the root to a name, without following a symlink.

use super::{OpenRoot, Tree};
use crate::{Error, ErrorKind, FileKind, RelativePath, Result};
use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat, openat2};
use nix::sys::stat::Mode;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::PathBuf;

/// Longest path of a system call, with its NUL (`PATH_MAX`).
const PATH_LEN_MAX_BYTES: usize = 4096;

/// A name in an open directory. The last component of a path, or `.` for the root.
pub(super) struct Place<'a> {
    directory: OwnedFd,
    /// The name.
    pub(super) name: &'a [u8],
}

impl AsFd for Place<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.directory.as_fd()
    }
}

impl Place<'_> {
    /// A path for calls that take only paths. Only its last component is looked up by name.
    pub(super) fn proc_path(&self) -> PathBuf {
        proc_path(&self.directory).join(std::ffi::OsStr::from_bytes(self.name))
    }

    /// Status of the entry itself.
    ///
    /// Through an `O_PATH` descriptor and std, because the plain `fstatat` of a 32-bit host fails on files of 2 GiB and
    /// more.
    pub(super) fn status(&self) -> io::Result<std::fs::Metadata> {
        let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        File::from(openat(&self.directory, self.name, flags, Mode::empty())?).metadata()
    }
}

/// The path of an open directory in `/proc`.
pub(super) fn proc_path(directory: &impl AsFd) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", directory.as_fd().as_raw_fd()))
}

/// The type of an entry, by its status.
pub(super) fn file_kind(file_type: std::fs::FileType) -> FileKind {
    if file_type.is_file() {
        FileKind::File
    } else if file_type.is_dir() {
        FileKind::Directory
    } else if file_type.is_symlink() {
        FileKind::Symlink
    } else if file_type.is_char_device() {
        FileKind::CharDevice
    } else if file_type.is_block_device() {
        FileKind::BlockDevice
    } else if file_type.is_fifo() {
        FileKind::Fifo
    } else {
        FileKind::Socket
    }
}

impl Tree {
    /// Opens the parent directory of `path`.
    pub(super) fn place<'a>(
        &self,
        root: &OpenRoot<'_>,
        path: &'a RelativePath,
        operation: &str,
    ) -> Result<Place<'a>> {
        let (parent, name) = match (path.parent(), path.file_name()) {
            (Some(parent), Some(name)) => (parent, name),
            _ => (RelativePath::root(), &b"."[..]),
        };
        let directory = self.directory(root, &parent).map_err(|error| failed(error, operation, path))?;
        Ok(Place { directory, name })
    }

    /// As [`Tree::place`], for a name that is created, renamed or removed. The root has none.
    pub(super) fn named_place<'a>(
        &self,
        root: &OpenRoot<'_>,
        path: &'a RelativePath,
        operation: &str,
    ) -> Result<Place<'a>> {
        if path.is_root() {
            let detail = "not possible for the root of a volume";
            return Err(Error::new(ErrorKind::InvalidInput, operation, path.to_string(), detail));
        }
        self.place(root, path, operation)
    }

    /// Opens the directory `path` as a path (`O_PATH`).
    pub(super) fn directory(&self, root: &OpenRoot<'_>, path: &RelativePath) -> io::Result<OwnedFd> {
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        if path.is_root() {
            return Ok(openat(&*root.directory, c".", flags, Mode::empty())?);
        }
        if path.as_bytes().len() >= PATH_LEN_MAX_BYTES {
            return step_by_step(root, path);
        }
        let how = OpenHow::new().flags(flags).resolve(
            ResolveFlag::RESOLVE_BENEATH
                | ResolveFlag::RESOLVE_NO_SYMLINKS
                | ResolveFlag::RESOLVE_NO_MAGICLINKS
                | ResolveFlag::RESOLVE_NO_XDEV,
        );
        match openat2(&*root.directory, path.as_bytes(), how) {
            // Kernels before 5.6, and sandboxes that do not have the call.
            Err(Errno::ENOSYS | Errno::EPERM) => step_by_step(root, path),
            // A concurrent rename prevented the check; see openat2(2).
            Err(Errno::EAGAIN) => step_by_step(root, path),
            other => Ok(other?),
        }
    }
}

/// The same as one `openat2`, one component at a time, without a limit on the length of the path.
fn step_by_step(root: &OpenRoot<'_>, path: &RelativePath) -> io::Result<OwnedFd> {
    let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let volume = root.directory.metadata()?.dev();
    let mut directory = File::from(openat(&*root.directory, c".", flags, Mode::empty())?);
    for component in path.components() {
        let next = File::from(openat(&directory, component, flags, Mode::empty())?);
        let status = next.metadata()?;
        if status.is_symlink() {
            return Err(Errno::ELOOP.into());
        }
        if !status.is_dir() {
            return Err(Errno::ENOTDIR.into());
        }
        if status.dev() != volume {
            return Err(Errno::EXDEV.into());
        }
        directory = next;
    }
    Ok(directory.into())
}

/// A HAL error about `path`.
pub(super) fn failed(error: impl Into<io::Error>, operation: &str, path: &RelativePath) -> Error {
    Error::from_io(error.into(), operation, path.to_string())
}
