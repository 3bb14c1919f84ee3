//! Open regular files.

use super::status::{self, Status};
use super::walk::{Place, failed};
use super::{Locator, OpenRoot, Tree};
use crate::{
    Access, Error, ErrorKind, FileExtent, FileKind, InodeFlags, Metadata, Owner, RelativePath, Result,
    Timestamp, VolumeFile, Xattr,
};
use nix::errno::Errno;
use nix::fcntl::{OFlag, PosixFadviseAdvice, openat, posix_fadvise};
use nix::sys::stat::{Mode, fchmod};
use nix::unistd::{UnlinkatFlags, Whence, close, lseek64, unlinkat};
use rustix::fs::{FallocateFlags, fallocate};
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The permission bits of a mode: nine, setuid, setgid, sticky.
pub(super) const MODE_MASK: u32 = 0o7777;

/// The operation in errors.
const OPENING: &str = "opening";

/// Counts the open files of a tree.
#[derive(Debug, Default)]
pub(super) struct OpenFiles {
    all: AtomicUsize,
    writers: AtomicUsize,
    /// How often the access of the tree was changed.
    changes: AtomicUsize,
}

impl OpenFiles {
    pub(super) fn all(&self) -> usize {
        self.all.load(Ordering::SeqCst)
    }

    pub(super) fn writers(&self) -> usize {
        self.writers.load(Ordering::SeqCst)
    }

    /// Notes that the access of the tree changes. From then on a file in it may not be as it was when it was opened.
    pub(super) fn access_changes(&self) {
        self.changes.fetch_add(1, Ordering::SeqCst);
    }
}

/// One count in [`OpenFiles`]; dropping it decrements.
#[derive(Debug)]
struct OpenCount {
    open_files: Arc<OpenFiles>,
    writes: bool,
}

impl OpenCount {
    fn new(open_files: &Arc<OpenFiles>, writes: bool) -> Self {
        open_files.all.fetch_add(1, Ordering::SeqCst);
        if writes {
            open_files.writers.fetch_add(1, Ordering::SeqCst);
        }
        Self { open_files: open_files.clone(), writes }
    }
}

impl Drop for OpenCount {
    fn drop(&mut self) {
        if self.writes {
            self.open_files.writers.fetch_sub(1, Ordering::SeqCst);
        }
        self.open_files.all.fetch_sub(1, Ordering::SeqCst);
    }
}

/// An open regular file of a [`Tree`].
#[derive(Debug)]
pub struct TreeFile {
    /// The file, and the count that keeps its volume busy, dropped in this order; `None` once closed.
    open: Option<(File, OpenCount)>,
    /// Whether the file system stores owners and modes.
    pub(super) holds_modes: bool,
    locator: Option<Locator>,
    /// Its status when it was opened in a read-only tree, and the number of changes of the tree's access until then.
    found: Option<(Status, usize)>,
    pub(super) path: RelativePath,
}

impl Tree {
    /// Opens an existing regular file; see [`crate::ReadTree::open`] and [`crate::WriteTree::open_write`].
    ///
    /// # Errors
    /// As there.
    pub fn open_file(&self, path: &RelativePath, access: Access) -> Result<TreeFile> {
        let root = match access {
            Access::ReadOnly => self.reading(OPENING, path)?,
            Access::ReadWrite => self.writing(OPENING, path)?,
        };
        let (file, status) = match root.ahead.take(path) {
            Some(opened) => opened,
            None => self.open_regular(&root, path, access)?,
        };
        let mut file = self.counted(&root, file, access == Access::ReadWrite, path);
        if root.access == Access::ReadOnly {
            file.found = Some((status, self.open_files.changes.load(Ordering::SeqCst)));
        }
        Ok(file)
    }

    /// See [`crate::ReadTree::read_ahead`]. In a tree that can be changed nothing is opened ahead.
    pub fn read_ahead(&self, paths: &[RelativePath]) {
        for path in paths {
            let Ok(root) = self.reading(OPENING, path) else { return };
            if root.access != Access::ReadOnly {
                return;
            }
            if root.ahead.has(path) {
                continue;
            }
            // An error is found again when the file is opened.
            if let Ok((file, status)) = self.open_regular(&root, path, Access::ReadOnly) {
                root.ahead.add(path.clone(), file, status);
            }
        }
    }

    fn open_regular(
        &self,
        root: &OpenRoot<'_>,
        path: &RelativePath,
        access: Access,
    ) -> Result<(File, Status)> {
        let operation = OPENING;
        let place = self.place(root, path, operation)?;
        let mode = match access {
            Access::ReadOnly => OFlag::O_RDONLY,
            Access::ReadWrite => OFlag::O_RDWR,
        };
        let check_name = || {
            let status = place.status().map_err(|error| failed(error, operation, path))?;
            check_regular(status.metadata.kind, operation, path)
        };
        // Checked before the open, because opening a device can have side effects, except on a mount without devices; and
        // after it, because the name may have been replaced in between. With O_NONBLOCK a fifo cannot block the open.
        if root.has_devices {
            check_name()?;
        }
        let flags = mode
            | OFlag::O_NOFOLLOW
            | OFlag::O_NONBLOCK
            | OFlag::O_NOCTTY
            | OFlag::O_CLOEXEC
            | OFlag::O_LARGEFILE;
        let file = openat(&place, place.name, flags, Mode::empty())
            .map(File::from)
            .map_err(|errno| check_name().err().unwrap_or_else(|| failed(errno, operation, path)))?;
        let status = status::of_open(&file).map_err(|error| failed(error, operation, path))?;
        check_regular(status.metadata.kind, operation, path)?;
        Ok((file, status))
    }

    /// See [`crate::WriteTree::create_new`].
    ///
    /// # Errors
    /// As there.
    pub fn create_file(&self, path: &RelativePath, mode: u32) -> Result<TreeFile> {
        let operation = "creating";
        let root = self.writing(operation, path)?;
        let place = self.named_place(&root, path, operation)?;
        let flags = OFlag::O_RDWR
            | OFlag::O_CREAT
            | OFlag::O_EXCL
            | OFlag::O_NOFOLLOW
            | OFlag::O_CLOEXEC
            | OFlag::O_LARGEFILE;
        let file = openat(&place, place.name, flags, Mode::from_bits_truncate(0o600))
            .map(File::from)
            .map_err(|errno| failed(errno, operation, path))?;
        // The umask clears bits of the mode that open gets; the mode of chmod is exact. FAT has no modes.
        if self.holds_modes(&root) {
            if let Err(errno) = fchmod(&file, Mode::from_bits_truncate(mode & MODE_MASK)) {
                return Err(undo_create(&place, errno, path));
            }
        }
        Ok(self.counted(&root, file, true, path))
    }

    fn counted(&self, root: &OpenRoot<'_>, file: File, writes: bool, path: &RelativePath) -> TreeFile {
        let count = OpenCount::new(&self.open_files, writes);
        TreeFile {
            open: Some((file, count)),
            holds_modes: self.holds_modes(root),
            locator: self.locator,
            found: None,
            path: path.clone(),
        }
    }
}

/// Removes a file whose mode could not be set. The error also reports if that failed.
fn undo_create(place: &Place<'_>, errno: Errno, path: &RelativePath) -> Error {
    let error = failed(errno, "setting the mode of", path);
    match unlinkat(place, place.name, UnlinkatFlags::NoRemoveDir) {
        Ok(()) => error,
        Err(unlink) => {
            let detail = format!("{errno}; and it could not be removed: {unlink}");
            Error::new(error.kind(), "setting the mode of", path.to_string(), detail).with_source(error)
        }
    }
}

fn check_regular(kind: FileKind, operation: &str, path: &RelativePath) -> Result<()> {
    let (error, detail) = match kind {
        FileKind::File => return Ok(()),
        FileKind::Directory => (ErrorKind::IsADirectory, "it is a directory"),
        FileKind::Symlink => (ErrorKind::SymlinkInPath, "it is a symlink"),
        FileKind::CharDevice | FileKind::BlockDevice => {
            (ErrorKind::InvalidInput, "it is a device, which is never opened")
        }
        FileKind::Fifo | FileKind::Socket => (ErrorKind::InvalidInput, "it is not a regular file"),
    };
    Err(Error::new(error, operation, path.to_string(), detail))
}

impl TreeFile {
    /// The open file, for calls that this type does not have, such as attaching a loop device.
    ///
    /// # Errors
    /// `InvalidInput` once closed.
    pub fn as_fd(&self) -> Result<BorrowedFd<'_>> {
        self.file("using").map(AsFd::as_fd)
    }

    pub(super) fn file(&self, operation: &str) -> Result<&File> {
        self.open.as_ref().map(|(file, _)| file).ok_or_else(|| {
            Error::new(ErrorKind::InvalidInput, operation, self.path.to_string(), "the file is closed")
        })
    }

    pub(super) fn writable(&self, operation: &str) -> Result<&File> {
        let file = self.file(operation)?;
        if self.open.as_ref().is_some_and(|(_, count)| count.writes) {
            return Ok(file);
        }
        let detail = "it is open for reading only";
        Err(Error::new(ErrorKind::ReadOnly, operation, self.path.to_string(), detail))
    }

    /// The status from when the file was opened, if it cannot have changed.
    pub(super) fn unchanged(&self) -> Option<&Status> {
        let (status, changes) = self.found.as_ref()?;
        let (_, count) = self.open.as_ref()?;
        (count.open_files.changes.load(Ordering::SeqCst) == *changes).then_some(status)
    }

    pub(super) fn failed(&self, error: impl Into<io::Error>, operation: &str) -> Error {
        failed(error, operation, &self.path)
    }
}

/// The next data or hole, by `whence`; `None` past the last data.
fn seek(file: &File, offset_bytes: u64, whence: Whence) -> nix::Result<Option<u64>> {
    let Ok(offset) = i64::try_from(offset_bytes) else { return Ok(None) };
    match lseek64(file, offset, whence) {
        Ok(found) => Ok(u64::try_from(found).ok()),
        Err(Errno::ENXIO) => Ok(None),
        Err(errno) => Err(errno),
    }
}

impl VolumeFile for TreeFile {
    fn len_bytes(&self) -> Result<u64> {
        let operation = "reading the length of";
        Ok(self.found_status(operation)?.metadata.len_bytes)
    }

    fn metadata(&self) -> Result<Metadata> {
        self.found_metadata()
    }

    fn not_copyable(&self) -> Result<Option<&'static str>> {
        self.found_not_copyable()
    }

    fn xattrs(&self) -> Result<Vec<Xattr>> {
        self.found_xattrs()
    }

    fn flags(&self) -> Result<InodeFlags> {
        self.found_flags()
    }

    fn set_owner(&mut self, owner: Owner) -> Result<()> {
        self.change_owner(owner)
    }

    fn set_mode(&mut self, mode: u32) -> Result<()> {
        self.change_mode(mode)
    }

    fn set_modified(&mut self, modified: Timestamp) -> Result<()> {
        self.change_modified(modified)
    }

    fn set_xattr(&mut self, xattr: &Xattr) -> Result<()> {
        self.change_xattr(xattr)
    }

    fn read_at(&mut self, offset_bytes: u64, buffer: &mut [u8]) -> Result<usize> {
        let file = self.file("reading")?;
        // The kernel refuses offsets past i64::MAX; no file is that long.
        if i64::try_from(offset_bytes).is_err() {
            return Ok(0);
        }
        file.read_at(buffer, offset_bytes).map_err(|error| self.failed(error, "reading"))
    }

    fn write_at(&mut self, offset_bytes: u64, data: &[u8]) -> Result<usize> {
        let file = self.writable("writing")?;
        let end = offset_bytes.checked_add(data.len() as u64);
        if end.is_none_or(|end| i64::try_from(end).is_err()) {
            return Err(self.failed(Errno::EFBIG, "writing"));
        }
        file.write_at(data, offset_bytes).map_err(|error| self.failed(error, "writing"))
    }

    fn set_len(&mut self, len_bytes: u64) -> Result<()> {
        let operation = "setting the length of";
        let file = self.writable(operation)?;
        if i64::try_from(len_bytes).is_err() {
            return Err(self.failed(Errno::EFBIG, operation));
        }
        file.set_len(len_bytes).map_err(|error| self.failed(error, operation))
    }

    fn next_data(&mut self, offset_bytes: u64) -> Result<Option<Range<u64>>> {
        let operation = "looking for data in";
        let len_bytes = self.len_bytes()?;
        if offset_bytes >= len_bytes {
            return Ok(None);
        }
        let file = self.file(operation)?;
        let start = match seek(file, offset_bytes, Whence::SeekData) {
            Ok(Some(start)) => start,
            Ok(None) => return Ok(None),
            // A file system without this call reports no holes.
            Err(Errno::EINVAL | Errno::EOPNOTSUPP) => return Ok(Some(offset_bytes..len_bytes)),
            Err(errno) => return Err(self.failed(errno, operation)),
        };
        let end = seek(file, start, Whence::SeekHole)
            .map_err(|errno| self.failed(errno, operation))?
            .unwrap_or(len_bytes);
        Ok((start < len_bytes).then(|| start..end.min(len_bytes)))
    }

    fn extents(&self) -> Result<Vec<FileExtent>> {
        let operation = "looking for the blocks of";
        let file = self.file(operation)?;
        self.locator.map_or(Ok(Vec::new()), |find| find(file).map_err(|error| self.failed(error, operation)))
    }

    fn punch(&mut self, offset_bytes: u64, len_bytes: u64) -> Result<bool> {
        let operation = "giving back blocks of";
        let file = self.writable(operation)?;
        if len_bytes == 0 {
            return Ok(true);
        }
        // nix has 32-bit offsets for this call on 32-bit boards.
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        match fallocate(file, flags, offset_bytes, len_bytes) {
            Ok(()) => Ok(true),
            Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => Ok(false),
            Err(errno) => Err(self.failed(errno, operation)),
        }
    }

    fn sync(&mut self) -> Result<()> {
        self.file("syncing")?.sync_all().map_err(|error| self.failed(error, "syncing"))
    }

    fn drop_cache(&mut self) -> Result<()> {
        // Only clean pages can be dropped, so sync first.
        self.sync()?;
        let file = self.file("dropping the cache of")?;
        posix_fadvise(file, 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED)
            .map_err(|errno| self.failed(errno, "dropping the cache of"))
    }

    fn close(&mut self) -> Result<()> {
        match self.open.take() {
            Some((file, _count)) => close(file).map_err(|errno| self.failed(errno, "closing")),
            None => Ok(()),
        }
    }
}
