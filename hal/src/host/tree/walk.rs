//! The way from the root to a name, without following a symlink.

use super::directories::Found;
use super::status::{self, Status};
use super::{OpenRoot, Tree};
use crate::{Error, ErrorKind, RelativePath, Result};
use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat, openat2};
use nix::sys::stat::Mode;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Longest path of a system call, with its NUL (`PATH_MAX`).
const PATH_LEN_MAX_BYTES: usize = 4096;

/// A name in an open directory. The last component of a path, or `.` for the root.
pub(super) struct Place<'a> {
    directory: Arc<File>,
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
        proc_path(&*self.directory).join(std::ffi::OsStr::from_bytes(self.name))
    }

    /// Status of the entry itself.
    pub(super) fn status(&self) -> io::Result<Status> {
        status::of_entry(self)
    }
}

/// The path of an open directory in `/proc`.
pub(super) fn proc_path(directory: &impl AsFd) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", directory.as_fd().as_raw_fd()))
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

    /// The open directory `path`.
    pub(super) fn directory(&self, root: &OpenRoot<'_>, path: &RelativePath) -> io::Result<Arc<File>> {
        if path.is_root() {
            return Ok(root.directory.clone());
        }
        let (above, ticket) = match root.directories.find(path) {
            Found::Itself(directory) => return Ok(directory),
            Found::Above(above, ticket) => (above, ticket),
        };
        let opened = match &above {
            Some((directory, rest)) => self.open_directory(root, directory, rest)?,
            None => self.open_directory(root, &root.directory, path)?,
        };
        let opened = Arc::new(opened);
        root.directories.keep(path, &opened, ticket);
        Ok(opened)
    }

    /// Opens the directory `path` below the directory `start` as a path (`O_PATH`).
    fn open_directory(&self, root: &OpenRoot<'_>, start: &File, path: &RelativePath) -> io::Result<File> {
        if self.has_no_openat2.load(Ordering::Relaxed) || path.as_bytes().len() >= PATH_LEN_MAX_BYTES {
            return step_by_step(root, start, path);
        }
        let how = OpenHow::new().flags(OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC).resolve(
            ResolveFlag::RESOLVE_BENEATH
                | ResolveFlag::RESOLVE_NO_SYMLINKS
                | ResolveFlag::RESOLVE_NO_MAGICLINKS
                | ResolveFlag::RESOLVE_NO_XDEV,
        );
        match openat2(start, path.as_bytes(), how) {
            // Kernels before 5.6, and sandboxes that do not have the call.
            Err(Errno::ENOSYS | Errno::EPERM) => {
                self.has_no_openat2.store(true, Ordering::Relaxed);
                step_by_step(root, start, path)
            }
            // A concurrent rename prevented the check; see openat2(2).
            Err(Errno::EAGAIN) => step_by_step(root, start, path),
            other => Ok(File::from(other?)),
        }
    }
}

/// The same as one `openat2`, one component at a time, without a limit on the length of the path.
fn step_by_step(root: &OpenRoot<'_>, start: &File, path: &RelativePath) -> io::Result<File> {
    let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let mut directory: Option<File> = None;
    for component in path.components() {
        let next = File::from(openat(directory.as_ref().unwrap_or(start), component, flags, Mode::empty())?);
        let status = next.metadata()?;
        if status.is_symlink() {
            return Err(Errno::ELOOP.into());
        }
        if !status.is_dir() {
            return Err(Errno::ENOTDIR.into());
        }
        if status.dev() != root.device {
            return Err(Errno::EXDEV.into());
        }
        directory = Some(next);
    }
    directory.ok_or_else(|| Errno::ENOENT.into())
}

/// A HAL error about `path`.
pub(super) fn failed(error: impl Into<io::Error>, operation: &str, path: &RelativePath) -> Error {
    Error::from_io(error.into(), operation, path.to_string())
}
