//! A tree as a [`Volume`]: the operations of the tree, and its mount.

use super::Tree;
use crate::{
    Access, Capabilities, DirectoryEntry, InodeFlags, Metadata, NodeKind, Owner, ReadTree, RelativePath,
    Result, SetAttributes, Space, Timestamp, Volume, VolumeFile, VolumeId, WriteTree, Xattr,
};
use std::sync::Arc;

/// How the tree of a [`TreeVolume`] is mounted. The tree checks for open files before each call.
pub trait Mount: Send + Sync {
    /// Whether [`Mount::remount`] works while the tree's root is open. If not, the tree closes its root first, which
    /// needs all files closed.
    fn remounts_in_place(&self, _access: Access) -> bool {
        true
    }

    /// Whether it is mounted. After a failed call it may not be.
    fn is_mounted(&self) -> bool {
        true
    }

    /// Changes the mount between read-only and read-write.
    ///
    /// # Errors
    /// Those of [`Volume::remount`].
    fn remount(&self, access: Access) -> Result<()>;

    /// Unmounts. The tree's root is synced and closed already. After an error the tree opens its root again.
    ///
    /// # Errors
    /// Those of [`Volume::unmount`].
    fn unmount(&self) -> Result<()>;

    /// Called when a mounted volume is dropped and cannot be unmounted, because of open files or a failed sync.
    fn abandon(&self);
}

/// A [`Tree`] and its [`Mount`], as a [`Volume`]. Dropping it unmounts it.
pub struct TreeVolume<M: Mount> {
    id: VolumeId,
    tree: Arc<Tree>,
    mount: M,
}

impl<M: Mount> TreeVolume<M> {
    /// A volume with the id `id` over a mounted `tree`. The tree may be shared with code that finds files by `id`.
    pub fn new(id: VolumeId, tree: Arc<Tree>, mount: M) -> Self {
        Self { id, tree, mount }
    }
}

impl<M: Mount> TreeVolume<M> {
    /// A tree that is still mounted must stay usable. If it is not mounted, or cannot be opened, its calls return
    /// `NotFound`, which is then true.
    fn reopen_after_failure(&self, access: Access) {
        if !self.mount.is_mounted() || self.tree.reopen(access).is_err() {
            self.tree.abandon();
        }
    }
}

impl<M: Mount> Drop for TreeVolume<M> {
    fn drop(&mut self) {
        // An error cannot be returned here, and a drop must not leave a mount behind.
        if self.tree.access().is_some() && self.unmount().is_err() {
            self.tree.abandon();
            self.mount.abandon();
        }
    }
}

impl<M: Mount> ReadTree for TreeVolume<M> {
    fn capabilities(&self) -> Capabilities {
        self.tree.capabilities()
    }

    fn list(&self, directory: &RelativePath) -> Result<Vec<DirectoryEntry>> {
        self.tree.list(directory)
    }

    fn metadata(&self, path: &RelativePath) -> Result<Metadata> {
        self.tree.metadata(path)
    }

    fn resolve(&self, path: &RelativePath) -> Result<RelativePath> {
        self.tree.resolve(path)
    }

    fn read_link(&self, path: &RelativePath) -> Result<Vec<u8>> {
        self.tree.read_link(path)
    }

    fn open(&self, path: &RelativePath) -> Result<Box<dyn VolumeFile>> {
        Ok(Box::new(self.tree.open_file(path, Access::ReadOnly)?))
    }

    fn read_ahead(&self, paths: &[RelativePath]) {
        self.tree.read_ahead(paths);
    }

    fn xattrs(&self, path: &RelativePath) -> Result<Vec<Xattr>> {
        self.tree.xattrs(path)
    }

    fn flags(&self, path: &RelativePath) -> Result<InodeFlags> {
        self.tree.flags(path)
    }

    fn not_copyable(&self, path: &RelativePath) -> Result<Option<&'static str>> {
        self.tree.not_copyable(path)
    }
}

impl<M: Mount> WriteTree for TreeVolume<M> {
    fn open_write(&self, path: &RelativePath) -> Result<Box<dyn VolumeFile>> {
        Ok(Box::new(self.tree.open_file(path, Access::ReadWrite)?))
    }

    fn create_new(&self, path: &RelativePath, mode: u32) -> Result<Box<dyn VolumeFile>> {
        Ok(Box::new(self.tree.create_file(path, mode)?))
    }

    fn create_dir(&self, path: &RelativePath, mode: u32) -> Result<()> {
        self.tree.create_dir(path, mode)
    }

    fn symlink(&self, path: &RelativePath, text: &[u8]) -> Result<()> {
        self.tree.symlink(path, text)
    }

    fn hard_link(&self, existing: &RelativePath, path: &RelativePath) -> Result<()> {
        self.tree.hard_link(existing, path)
    }

    fn make_node(&self, path: &RelativePath, kind: NodeKind, mode: u32) -> Result<()> {
        self.tree.make_node(path, kind, mode)
    }

    fn rename(&self, from: &RelativePath, to: &RelativePath) -> Result<()> {
        self.tree.rename(from, to)
    }

    fn remove_file(&self, path: &RelativePath) -> Result<()> {
        self.tree.remove_file(path)
    }

    fn remove_dir(&self, path: &RelativePath) -> Result<()> {
        self.tree.remove_dir(path)
    }

    fn sync_dir(&self, directory: &RelativePath) -> Result<()> {
        self.tree.sync_dir(directory)
    }
}

impl<M: Mount> SetAttributes for TreeVolume<M> {
    fn set_owner(&self, path: &RelativePath, owner: Owner) -> Result<()> {
        self.tree.set_owner(path, owner)
    }

    fn set_mode(&self, path: &RelativePath, mode: u32) -> Result<()> {
        self.tree.set_mode(path, mode)
    }

    fn set_modified(&self, path: &RelativePath, modified: Timestamp) -> Result<()> {
        self.tree.set_modified(path, modified)
    }

    fn set_xattr(&self, path: &RelativePath, xattr: &Xattr) -> Result<()> {
        self.tree.set_xattr(path, xattr)
    }

    fn set_flags(&self, path: &RelativePath, flags: InodeFlags) -> Result<()> {
        self.tree.set_flags(path, flags)
    }
}

impl<M: Mount> Volume for TreeVolume<M> {
    fn id(&self) -> VolumeId {
        self.id
    }

    fn space(&self) -> Result<Space> {
        self.tree.space()
    }

    fn sync(&self) -> Result<()> {
        self.tree.sync()
    }

    fn remount(&self, access: Access) -> Result<()> {
        if self.mount.remounts_in_place(access) {
            return self.tree.change_access(access, || self.mount.remount(access));
        }
        let before = self.tree.access().unwrap_or(access);
        self.tree.close()?;
        match self.mount.remount(access) {
            Ok(()) => self.tree.reopen(access),
            Err(error) => {
                self.reopen_after_failure(before);
                Err(error)
            }
        }
    }

    fn unmount(&self) -> Result<()> {
        let access = self.tree.access().unwrap_or(Access::ReadOnly);
        self.tree.close()?;
        self.mount.unmount().inspect_err(|_| self.reopen_after_failure(access))
    }
}
