//! Names and directories: changes of the live tree, and the list of changes that are not durable yet.

use super::{Entry, Inode, NAME_LEN_MAX, NameChange, Outcome, ROOT, Refusal, SimFs, refuse};
use replicator_hal::{DirectoryEntry, ErrorKind, FileKind, RelativePath, Timestamp};
use std::sync::Arc;

/// How many symlinks the resolution of a path may follow, as in the kernel.
const LINKS_FOLLOWED_MAX: u32 = 40;

/// Inodes that every file system of the ext family uses itself: ten, with the root among them, and `lost+found`.
const INODES_OF_ITS_OWN: u64 = 11;

impl SimFs {
    fn entry(&self, directory: u64, name: &[u8]) -> Outcome<Option<u64>> {
        let node = self.live_inode(directory)?;
        match node.kind {
            FileKind::Directory => {
                Ok(node.entries.get(&self.superblock.kind.fold_name(name)).map(|entry| entry.inode))
            }
            FileKind::Symlink => refuse(ErrorKind::SymlinkInPath, "a symlink is on the way"),
            _ => refuse(ErrorKind::NotADirectory, "a component is not a directory"),
        }
    }

    /// The inode at a path; no symlink is followed.
    ///
    /// # Errors
    /// `NotFound`, `NotADirectory`, `SymlinkInPath`.
    pub fn lookup(&self, path: &RelativePath) -> Outcome<u64> {
        let mut inode = ROOT;
        for name in path.components() {
            inode = match self.entry(inode, name)? {
                Some(next) => next,
                None => return refuse(ErrorKind::NotFound, "no such file or directory"),
            };
        }
        Ok(inode)
    }

    /// The directory and the last name of a path; the name need not exist.
    fn parent_of<'a>(&self, path: &'a RelativePath) -> Outcome<(u64, &'a [u8])> {
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return refuse(ErrorKind::InvalidInput, "the path is the root itself");
        };
        let directory = self.lookup(&parent)?;
        // Looks the name up so that a parent that is not a directory is refused here.
        self.entry(directory, name)?;
        Ok((directory, name))
    }

    fn new_name<'a>(&self, path: &'a RelativePath) -> Outcome<(u64, &'a [u8])> {
        let (directory, name) = self.parent_of(path)?;
        if name.len() > NAME_LEN_MAX {
            return refuse(ErrorKind::Other, "the name is too long");
        }
        if !self.superblock.kind.takes_name(name) {
            return refuse(ErrorKind::InvalidInput, "this file system does not allow such a name");
        }
        match self.entry(directory, name)? {
            Some(_) => refuse(ErrorKind::AlreadyExists, "the name is taken"),
            None if self.refuse_immutable(directory).is_err() => {
                refuse(ErrorKind::PermissionDenied, "its directory is immutable")
            }
            None => Ok((directory, name)),
        }
    }

    /// Refuses what the file system's kind cannot store.
    ///
    /// # Errors
    /// `Unsupported`.
    pub fn require_unix(&self) -> Outcome<()> {
        if self.superblock.kind.unix() {
            return Ok(());
        }
        refuse(ErrorKind::Unsupported, "this file system cannot store it")
    }

    fn set_entry(
        &mut self,
        directory: u64,
        name: &[u8],
        inode: Option<u64>,
        now: Timestamp,
    ) -> Outcome<NameChange> {
        let (key, now) = (self.superblock.kind.fold_name(name), self.superblock.kind.round_time(now));
        let entry = inode.map(|inode| Entry { name: name.to_vec(), inode });
        let node = self.change(directory)?;
        node.modified = now;
        match entry.clone() {
            Some(entry) => node.entries.insert(key.clone(), entry),
            None => node.entries.remove(&key),
        };
        Ok(NameChange { directory, name: key, entry })
    }

    /// Creates a file, directory, link or node; the caller sets the other attributes.
    ///
    /// # Errors
    /// `AlreadyExists`, `InvalidInput`; those of [`SimFs::lookup`] for the directory.
    pub fn create(&mut self, path: &RelativePath, kind: FileKind, mode: u32, now: Timestamp) -> Outcome<u64> {
        let (directory, name) = self.new_name(path)?;
        let mode = match (self.superblock.kind.unix(), kind) {
            (true, FileKind::Symlink) => 0o777,
            (true, _) => mode,
            (false, _) => 0o755,
        };
        let limit = self.superblock.inodes_max;
        if limit > 0 && self.live.len() as u64 + INODES_OF_ITS_OWN > limit {
            return refuse(ErrorKind::NoSpace, "no inode is left");
        }
        let number = self.next_inode;
        self.next_inode += 1;
        let mut inode = Inode::new(kind, mode, self.superblock.kind.round_time(now));
        inode.links = 1;
        self.live.insert(number, Arc::new(inode));
        let change = self.set_entry(directory, name, Some(number), now)?;
        self.pending.push_back(vec![change]);
        Ok(number)
    }

    /// Creates a symlink.
    ///
    /// # Errors
    /// As [`SimFs::create`]; `Unsupported`.
    pub fn symlink(&mut self, path: &RelativePath, text: &[u8], now: Timestamp) -> Outcome<u64> {
        self.require_unix()?;
        if text.is_empty() || text.len() >= 4096 || text.contains(&0) {
            return refuse(ErrorKind::InvalidInput, "not a valid text of a symlink");
        }
        let inode = self.create(path, FileKind::Symlink, 0o777, now)?;
        self.change(inode)?.text = text.to_vec();
        Ok(inode)
    }

    /// Creates a device node or pipe.
    ///
    /// # Errors
    /// As [`SimFs::symlink`].
    pub fn make_node(
        &mut self,
        path: &RelativePath,
        kind: FileKind,
        device: (u32, u32),
        mode: u32,
        now: Timestamp,
    ) -> Outcome<u64> {
        self.require_unix()?;
        let inode = self.create(path, kind, mode, now)?;
        self.change(inode)?.device = device;
        Ok(inode)
    }

    /// Gives a file a further name.
    ///
    /// # Errors
    /// As [`SimFs::symlink`]; `PermissionDenied` for a directory.
    pub fn hard_link(&mut self, existing: &RelativePath, path: &RelativePath, now: Timestamp) -> Outcome<()> {
        self.require_unix()?;
        self.parent_of(existing)?;
        self.parent_of(path)?;
        let inode = self.lookup(existing)?;
        let (directory, name) = self.new_name(path)?;
        if self.live_inode(inode)?.kind == FileKind::Directory {
            return refuse(ErrorKind::PermissionDenied, "a directory cannot have a second name");
        }
        self.refuse_locked(inode)?;
        self.change(inode)?.links += 1;
        let change = self.set_entry(directory, name, Some(inode), now)?;
        self.pending.push_back(vec![change]);
        Ok(())
    }

    fn unlink(&mut self, inode: u64) -> Outcome<()> {
        let node = self.change(inode)?;
        node.links = node.links.saturating_sub(1);
        self.drop_if_unused(inode);
        Ok(())
    }

    fn refuse_unless_empty(&self, inode: u64) -> Outcome<()> {
        if self.live_inode(inode)?.entries.is_empty() {
            return Ok(());
        }
        refuse(ErrorKind::DirectoryNotEmpty, "the directory is not empty")
    }

    /// Removes a name: of an empty directory if `directory` is set, otherwise of anything but a directory.
    ///
    /// # Errors
    /// `NotFound`, `IsADirectory`, `NotADirectory`, `DirectoryNotEmpty`.
    pub fn remove(&mut self, path: &RelativePath, directory: bool, now: Timestamp) -> Outcome<()> {
        let (parent, name) = self.parent_of(path)?;
        let inode = self.lookup(path)?;
        match (self.live_inode(inode)?.kind == FileKind::Directory, directory) {
            (true, false) => return refuse(ErrorKind::IsADirectory, "it is a directory"),
            (false, true) => return refuse(ErrorKind::NotADirectory, "it is not a directory"),
            (true, true) => self.refuse_unless_empty(inode)?,
            (false, false) => {}
        }
        self.refuse_locked(parent)?;
        self.refuse_locked(inode)?;
        let change = self.set_entry(parent, name, None, now)?;
        self.pending.push_back(vec![change]);
        self.unlink(inode)
    }

    /// Renames, replacing a file or an empty directory.
    ///
    /// # Errors
    /// As [`SimFs::remove`]; `InvalidInput` for a directory into itself.
    pub fn rename(&mut self, from: &RelativePath, to: &RelativePath, now: Timestamp) -> Outcome<()> {
        // The order of the checks is that of the kernel.
        let (from_directory, from_name) = self.parent_of(from)?;
        let (to_directory, to_name) = self.parent_of(to)?;
        let inode = self.lookup(from)?;
        if to_name.len() > NAME_LEN_MAX {
            return refuse(ErrorKind::Other, "the name is too long");
        }
        if !self.superblock.kind.takes_name(to_name) {
            return refuse(ErrorKind::InvalidInput, "this file system does not allow such a name");
        }
        let is_directory = self.live_inode(inode)?.kind == FileKind::Directory;
        if is_directory && to != from && to.starts_with(from) {
            return refuse(ErrorKind::InvalidInput, "a directory cannot move into itself");
        }
        if from != to && from.starts_with(to) {
            return refuse(ErrorKind::DirectoryNotEmpty, "the source is inside of what it would replace");
        }
        let replaced = self.entry(to_directory, to_name)?;
        if let Some(target) = replaced.filter(|target| *target != inode) {
            match (is_directory, self.live_inode(target)?.kind == FileKind::Directory) {
                (true, false) => return refuse(ErrorKind::NotADirectory, "a file is in the way"),
                (false, true) => return refuse(ErrorKind::IsADirectory, "a directory is in the way"),
                (true, true) => self.refuse_unless_empty(target)?,
                (false, false) => {}
            }
        }
        let kind = self.superblock.kind;
        let same_entry =
            from_directory == to_directory && kind.fold_name(from_name) == kind.fold_name(to_name);
        if replaced == Some(inode) && (!same_entry || from_name == to_name) {
            // Both are names of one file: POSIX requires that nothing happens.
            return Ok(());
        }
        self.refuse_locked(from_directory)?;
        self.refuse_locked(inode)?;
        self.refuse_immutable(to_directory)?;
        if let Some(target) = replaced {
            self.refuse_locked(to_directory)?;
            self.refuse_locked(target)?;
        }
        let mut changes = Vec::new();
        if kind.capabilities().atomic_replace || replaced.is_none() || same_entry {
            if !same_entry {
                changes.push(self.set_entry(from_directory, from_name, None, now)?);
            }
            changes.push(self.set_entry(to_directory, to_name, Some(inode), now)?);
        } else {
            // Without atomic replacement, the old name is removed first.
            changes.push(self.set_entry(to_directory, to_name, None, now)?);
            changes.push(self.set_entry(to_directory, to_name, Some(inode), now)?);
            changes.push(self.set_entry(from_directory, from_name, None, now)?);
        }
        if kind.journalled() {
            self.pending.push_back(changes);
        } else {
            self.pending.extend(changes.into_iter().map(|change| vec![change]));
        }
        match replaced.filter(|target| *target != inode) {
            Some(target) => self.unlink(target),
            None => Ok(()),
        }
    }

    /// The names in a directory, sorted.
    ///
    /// # Errors
    /// As [`SimFs::lookup`].
    pub fn list(&self, path: &RelativePath) -> Outcome<Vec<DirectoryEntry>> {
        let inode = self.lookup(path)?;
        // Refuses anything but a directory.
        self.entry(inode, b"")?;
        let entries = self.live_inode(inode)?.entries.values();
        entries
            .map(|entry| {
                Ok(DirectoryEntry { name: entry.name.clone(), kind: self.live_inode(entry.inode)?.kind })
            })
            .collect()
    }

    /// Number of links as `stat` reports it.
    pub fn link_count(&self, inode: u64) -> u64 {
        match self.inode(inode) {
            Some(node) if node.kind == FileKind::Directory => {
                let is_directory = |entry: &&Entry| {
                    self.inode(entry.inode).is_some_and(|child| child.kind == FileKind::Directory)
                };
                2 + node.entries.values().filter(is_directory).count() as u64
            }
            Some(node) => u64::from(node.links),
            None => 0,
        }
    }

    /// Follows all symlinks as if the volume were the root; `mount_point` is where a real host would mount it.
    ///
    /// # Errors
    /// `NotFound`, `SymlinkInPath` for a loop, `NotADirectory`.
    pub fn resolve(&self, path: &RelativePath, mount_point: &[u8]) -> Outcome<RelativePath> {
        let mut rest: Vec<Vec<u8>> = path.components().rev().map(<[u8]>::to_vec).collect();
        let mut done: Vec<Vec<u8>> = Vec::new();
        let mut followed = 0;
        while let Some(name) = rest.pop() {
            match name.as_slice() {
                b"" | b"." => continue,
                b".." => {
                    // Only a directory has a parent (`..`), as in the kernel.
                    let inode = self.lookup(&joined(&done)?)?;
                    if self.live_inode(inode)?.kind != FileKind::Directory {
                        return refuse(ErrorKind::NotADirectory, "a file is not a directory");
                    }
                    done.pop();
                    continue;
                }
                _ => {}
            }
            let directory = self.lookup(&joined(&done)?)?;
            let Some(inode) = self.entry(directory, &name)? else {
                return refuse(ErrorKind::NotFound, "no such file or directory");
            };
            let node = self.live_inode(inode)?;
            if node.kind != FileKind::Symlink {
                done.push(name);
                continue;
            }
            followed += 1;
            if followed > LINKS_FOLLOWED_MAX {
                return refuse(ErrorKind::SymlinkInPath, "symlinks form a loop");
            }
            let mut text = node.text.as_slice();
            if text.starts_with(b"/") {
                done.clear();
                text = below(text, mount_point).unwrap_or(text);
            }
            rest.extend(text.split(|byte| *byte == b'/').rev().map(<[u8]>::to_vec));
        }
        joined(&done)
    }
}

fn joined(components: &[Vec<u8>]) -> Outcome<RelativePath> {
    let mut path = RelativePath::root();
    for name in components {
        path = path.join(name).map_err(|_| {
            Refusal::Kind(ErrorKind::InvalidInput, "a symlink contains a name that is not valid")
        })?;
    }
    Ok(path)
}

/// The rest of an absolute path that starts with `mount_point`.
fn below<'a>(path: &'a [u8], mount_point: &[u8]) -> Option<&'a [u8]> {
    let rest = path.strip_prefix(mount_point)?;
    (!mount_point.is_empty() && (rest.is_empty() || rest.starts_with(b"/"))).then_some(rest)
}
