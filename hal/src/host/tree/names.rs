//! Names: listing, creating, linking, renaming, removing.

use super::file::MODE_MASK;
use super::status::file_kind;
use super::walk::{failed, proc_path};
use super::{OpenRoot, Tree};
use crate::{DirectoryEntry, Error, ErrorKind, NodeKind, RelativePath, Result};
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat, renameat};
use nix::sys::stat::{FchmodatFlags, Mode, SFlag, fchmodat, makedev, mkdirat, mknodat};
use nix::unistd::{UnlinkatFlags, fsync, linkat, symlinkat, unlinkat};
use std::io;
use std::os::unix::ffi::OsStringExt;

impl Tree {
    /// See [`crate::ReadTree::list`].
    ///
    /// # Errors
    /// As there.
    pub fn list(&self, directory: &RelativePath) -> Result<Vec<DirectoryEntry>> {
        let operation = "listing";
        let root = self.reading(operation, directory)?;
        let fail = |error: io::Error| failed(error, operation, directory);
        let open = self.directory(&root, directory).map_err(fail)?;
        let mut entries = Vec::new();
        // With std, because the plain readdir of a 32-bit host fails on large inode numbers.
        for entry in std::fs::read_dir(proc_path(&*open)).map_err(fail)? {
            let entry = entry.map_err(fail)?;
            let kind = match entry.file_type() {
                Ok(file_type) => file_kind(file_type),
                // Removed in the meantime, on a file system that does not store the type with the name.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(fail(error)),
            };
            entries.push(DirectoryEntry { name: entry.file_name().into_vec(), kind });
        }
        Ok(entries)
    }

    /// See [`crate::WriteTree::create_dir`].
    ///
    /// # Errors
    /// As there.
    pub fn create_dir(&self, path: &RelativePath, mode: u32) -> Result<()> {
        let operation = "creating the directory";
        let root = self.writing(operation, path)?;
        let place = self.named_place(&root, path, operation)?;
        mkdirat(&place, place.name, Mode::from_bits_truncate(0o700))
            .and_then(|()| self.exact_mode(&root, &place, mode))
            .map_err(|errno| failed(errno, operation, path))
    }

    /// See [`crate::WriteTree::symlink`].
    ///
    /// # Errors
    /// As there.
    pub fn symlink(&self, path: &RelativePath, text: &[u8]) -> Result<()> {
        let operation = "creating the symlink";
        let root = self.writing(operation, path)?;
        self.needs_unix(&root, operation, path)?;
        let place = self.named_place(&root, path, operation)?;
        if text.is_empty() {
            // The kernel returns ENOENT, which a caller would take for a missing directory.
            let detail = "the text of a symlink cannot be empty";
            return Err(Error::new(ErrorKind::InvalidInput, operation, path.to_string(), detail));
        }
        symlinkat(text, &place, place.name).map_err(|errno| failed(errno, operation, path))
    }

    /// See [`crate::WriteTree::hard_link`].
    ///
    /// # Errors
    /// As there.
    pub fn hard_link(&self, existing: &RelativePath, path: &RelativePath) -> Result<()> {
        let operation = "linking";
        let root = self.writing(operation, path)?;
        self.needs_unix(&root, operation, path)?;
        let from = self.named_place(&root, existing, operation)?;
        let to = self.named_place(&root, path, operation)?;
        // Without AT_SYMLINK_FOLLOW a symlink is linked itself.
        linkat(&from, from.name, &to, to.name, AtFlags::empty())
            .map_err(|errno| failed_pair(errno, operation, existing, path))
    }

    /// See [`crate::WriteTree::make_node`].
    ///
    /// # Errors
    /// As there.
    pub fn make_node(&self, path: &RelativePath, kind: NodeKind, mode: u32) -> Result<()> {
        let operation = "creating the node";
        let root = self.writing(operation, path)?;
        self.needs_unix(&root, operation, path)?;
        let place = self.named_place(&root, path, operation)?;
        let (kind, device) = match kind {
            NodeKind::CharDevice { major, minor } => {
                (SFlag::S_IFCHR, makedev(u64::from(major), u64::from(minor)))
            }
            NodeKind::BlockDevice { major, minor } => {
                (SFlag::S_IFBLK, makedev(u64::from(major), u64::from(minor)))
            }
            NodeKind::Fifo => (SFlag::S_IFIFO, 0),
        };
        mknodat(&place, place.name, kind, Mode::from_bits_truncate(0o600), device)
            .and_then(|()| self.exact_mode(&root, &place, mode))
            .map_err(|errno| failed(errno, operation, path))
    }

    /// See [`crate::WriteTree::rename`].
    ///
    /// # Errors
    /// As there.
    pub fn rename(&self, from: &RelativePath, to: &RelativePath) -> Result<()> {
        let operation = "renaming";
        let root = self.writing(operation, from)?;
        let old = self.named_place(&root, from, operation)?;
        let new = self.named_place(&root, to, operation)?;
        let renamed = renameat(&old, old.name, &new, new.name);
        // Either of them may be a directory.
        root.directories.forget_all();
        renamed.map_err(|errno| failed_pair(errno, operation, from, to))
    }

    /// See [`crate::WriteTree::remove_file`].
    ///
    /// # Errors
    /// As there.
    pub fn remove_file(&self, path: &RelativePath) -> Result<()> {
        self.remove(path, "removing", UnlinkatFlags::NoRemoveDir)
    }

    /// See [`crate::WriteTree::remove_dir`].
    ///
    /// # Errors
    /// As there.
    pub fn remove_dir(&self, path: &RelativePath) -> Result<()> {
        self.remove(path, "removing the directory", UnlinkatFlags::RemoveDir)
    }

    fn remove(&self, path: &RelativePath, operation: &str, flags: UnlinkatFlags) -> Result<()> {
        let root = self.writing(operation, path)?;
        let place = self.named_place(&root, path, operation)?;
        let removed = unlinkat(&place, place.name, flags);
        if matches!(flags, UnlinkatFlags::RemoveDir) {
            root.directories.forget(path);
        }
        removed.map_err(|errno| failed(errno, operation, path))
    }

    /// See [`crate::WriteTree::sync_dir`].
    ///
    /// # Errors
    /// As there.
    pub fn sync_dir(&self, directory: &RelativePath) -> Result<()> {
        let operation = "syncing the directory";
        let root = self.reading(operation, directory)?;
        let open = self.directory(&root, directory).map_err(|error| failed(error, operation, directory))?;
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        openat(&*open, c".", flags, Mode::empty())
            .and_then(fsync)
            .map_err(|errno| failed(errno, operation, directory))
    }

    /// Sets the mode of a new name, without the umask. File systems without modes are skipped.
    fn exact_mode(&self, root: &OpenRoot<'_>, place: &super::walk::Place<'_>, mode: u32) -> nix::Result<()> {
        if !self.holds_modes(root) {
            return Ok(());
        }
        let mode = Mode::from_bits_truncate(mode & MODE_MASK);
        fchmodat(place, place.name, mode, FchmodatFlags::NoFollowSymlink)
    }
}

fn failed_pair(errno: Errno, operation: &str, from: &RelativePath, to: &RelativePath) -> Error {
    Error::from_io(io::Error::from(errno), operation, format!("{from} to {to}"))
}
