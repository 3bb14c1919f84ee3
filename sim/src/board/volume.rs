//! The HAL's mounted volume over a simulated file system.

use crate::board::file::SimFile;
use crate::board::handle::Handle;
use crate::model::hardware::simfs::{Kind, Outcome, Refusal};
use crate::model::hardware::storage::{Layer, Mounted, OpenFile};
use crate::model::time::op::Op;
use crate::model::time::op_name::OpName;
use replicator_hal::{
    Access, Capabilities, DirectoryEntry, ErrorKind, FileKind, InodeFlags, Metadata, NodeKind, Owner,
    ReadTree, RelativePath, Result, SetAttributes, Space, Timestamp, Volume, VolumeFile, VolumeId, WriteTree,
    Xattr,
};
use std::sync::Arc;

/// The attribute that marks encryption by the file system; the key is not available.
const ENCRYPTED: &[u8] = b"trusted.simulated-encryption";

/// A mounted volume. Dropping it unmounts it without an error report, and is counted.
pub(crate) struct SimVolume {
    handle: Handle,
    id: VolumeId,
    kind: Kind,
    on: Arc<str>,
    device: Arc<str>,
    /// Absolute links may start with the drive's mount point.
    has_mount_point: bool,
    /// Fault: the length limit of files.
    file_len_max_bytes: Option<u64>,
}

impl SimVolume {
    pub(crate) fn new(
        handle: Handle,
        id: VolumeId,
        kind: Kind,
        (on, device): (Arc<str>, Arc<str>),
        has_mount_point: bool,
        file_len_max_bytes: Option<u64>,
    ) -> Self {
        Self { handle, id, kind, on, device, has_mount_point, file_len_max_bytes }
    }

    fn op(&self, name: OpName, object: String, mutates: bool) -> Op {
        let (on, device) = (Arc::clone(&self.on), Some(Arc::clone(&self.device)));
        Op { object, mutates, device, ..Op::new(name, on) }
    }

    /// A call that works on the volume.
    fn call<R>(
        &self,
        op: Op,
        work: impl FnOnce(&mut Mounted, &mut Layer<'_>, Timestamp) -> Outcome<R>,
    ) -> Result<R> {
        let (id, name, object) = (self.id.0, op.name, op.object.clone());
        self.handle.call(op, |machine, moment| {
            let now = machine.wall(moment.now);
            machine
                .storage
                .with_volume(id, now, name.word(), &object, |mounted, layer| work(mounted, layer, now))
        })
    }

    fn look<R>(
        &self,
        name: OpName,
        path: &RelativePath,
        work: impl FnOnce(&mut Mounted) -> Outcome<R>,
    ) -> Result<R> {
        self.call(self.op(name, path.to_string(), false), |mounted, _, _| work(mounted))
    }

    fn change<R>(
        &self,
        name: OpName,
        path: &RelativePath,
        work: impl FnOnce(&mut Mounted, Timestamp) -> Outcome<R>,
    ) -> Result<R> {
        self.call(self.op(name, path.to_string(), true), |mounted, _, now| {
            mounted.require_writable()?;
            work(mounted, now)
        })
    }

    fn open_as(
        &self,
        name: OpName,
        path: &RelativePath,
        writable: bool,
        find: impl FnOnce(&mut Mounted, Timestamp) -> Outcome<u64>,
    ) -> Result<Box<dyn VolumeFile>> {
        let op = self.op(name, path.to_string(), name == OpName::Create);
        let (id, object) = (self.id.0, op.object.clone());
        let (inode, handle) = self.handle.call(op, |machine, moment| {
            let now = machine.wall(moment.now);
            let inode = machine.storage.with_volume(id, now, name.word(), &object, |mounted, _| {
                if writable {
                    mounted.require_writable()?;
                }
                let inode = find(mounted, now)?;
                if name == OpName::OpenWrite {
                    mounted.fs.refuse_locked(inode)?;
                }
                match mounted.fs.inode(inode).map(|node| node.kind) {
                    Some(FileKind::File) => Ok(inode),
                    Some(FileKind::Directory) => {
                        Err(Refusal::Kind(ErrorKind::IsADirectory, "it is a directory"))
                    }
                    Some(FileKind::Symlink) => {
                        Err(Refusal::Kind(ErrorKind::SymlinkInPath, "it is a symlink"))
                    }
                    _ => Err(Refusal::Kind(ErrorKind::InvalidInput, "it is not a regular file")),
                }
            })?;
            Ok((inode, machine.storage.open_file(id, OpenFile { inode, writable })))
        })?;
        let names = (Arc::clone(&self.on), Arc::clone(&self.device), path.to_string());
        Ok(Box::new(SimFile::new(Arc::clone(&self.handle), self.id.0, inode, handle, writable, names)))
    }
}

/// The metadata of a file.
pub(super) fn metadata(mounted: &Mounted, inode: u64) -> Outcome<Metadata> {
    let Some(node) = mounted.fs.inode(inode) else {
        return Err(Refusal::Kind(ErrorKind::NotFound, "the file is gone"));
    };
    let block_len = u64::from(mounted.fs.superblock().block_len);
    Ok(Metadata {
        kind: node.kind,
        len_bytes: match node.kind {
            FileKind::Symlink => node.text.len() as u64,
            FileKind::Directory => block_len,
            _ => node.len_bytes,
        },
        allocated_bytes: node.blocks.len() as u64 * block_len,
        mode: node.mode,
        owner: node.owner,
        modified: node.modified,
        inode,
        links: mounted.fs.link_count(inode),
        device: node.device,
    })
}

impl ReadTree for SimVolume {
    fn capabilities(&self) -> Capabilities {
        let mut capabilities = self.kind.capabilities();
        if let Some(limit) = self.file_len_max_bytes {
            capabilities.file_len_max_bytes = limit;
        }
        capabilities
    }

    fn list(&self, directory: &RelativePath) -> Result<Vec<DirectoryEntry>> {
        let op = self.op(OpName::List, directory.to_string(), false);
        let (id, object) = (self.id.0, op.object.clone());
        self.handle.call(op, |machine, moment| {
            let now = machine.wall(moment.now);
            let work = |mounted: &mut Mounted, _: &mut Layer<'_>| mounted.fs.list(directory);
            let mut entries = machine.storage.with_volume(id, now, "list", &object, work)?;
            // The trait guarantees no order, so the order is random here.
            machine.list_order.shuffle(&mut entries);
            Ok(entries)
        })
    }

    fn metadata(&self, path: &RelativePath) -> Result<Metadata> {
        self.look(OpName::Metadata, path, |mounted| metadata(mounted, mounted.fs.lookup(path)?))
    }

    fn resolve(&self, path: &RelativePath) -> Result<RelativePath> {
        let op = self.op(OpName::Resolve, path.to_string(), false);
        let (id, object) = (self.id.0, op.object.clone());
        self.handle.call(op, |machine, moment| {
            let now = machine.wall(moment.now);
            let mount_point = if self.has_mount_point { machine.mount_point.clone() } else { Vec::new() };
            machine
                .storage
                .with_volume(id, now, "resolve", &object, |mounted, _| mounted.fs.resolve(path, &mount_point))
        })
    }

    fn read_link(&self, path: &RelativePath) -> Result<Vec<u8>> {
        self.look(OpName::ReadLink, path, |mounted| {
            let inode = mounted.fs.lookup(path)?;
            match mounted.fs.inode(inode) {
                Some(node) if node.kind == FileKind::Symlink => Ok(node.text.clone()),
                _ => Err(Refusal::Kind(ErrorKind::InvalidInput, "it is not a symlink")),
            }
        })
    }

    fn open(&self, path: &RelativePath) -> Result<Box<dyn VolumeFile>> {
        self.open_as(OpName::Open, path, false, |mounted, _| {
            let inode = mounted.fs.lookup(path)?;
            if mounted.fs.xattrs(inode)?.iter().any(|xattr| xattr.name == ENCRYPTED) {
                return Err(Refusal::Kind(ErrorKind::Unsupported, "its key is not available"));
            }
            Ok(inode)
        })
    }

    fn read_ahead(&self, _paths: &[RelativePath]) {
        // No call: a simulated device does not read ahead.
    }

    fn xattrs(&self, path: &RelativePath) -> Result<Vec<Xattr>> {
        self.look(OpName::Xattrs, path, |mounted| mounted.fs.xattrs(mounted.fs.lookup(path)?))
    }

    fn flags(&self, path: &RelativePath) -> Result<InodeFlags> {
        self.look(OpName::Flags, path, |mounted| mounted.fs.flags(mounted.fs.lookup(path)?))
    }

    fn not_copyable(&self, path: &RelativePath) -> Result<Option<&'static str>> {
        // No call of its own: the kernel returns it with the metadata.
        let xattrs = self.handle.peek(|machine, _| {
            let mounted = machine.storage.volume(self.id.0).ok()?;
            mounted.fs.xattrs(mounted.fs.lookup(path).ok()?).ok()
        });
        let is_encrypted = xattrs.is_some_and(|xattrs| xattrs.iter().any(|xattr| xattr.name == ENCRYPTED));
        Ok(is_encrypted.then_some("is encrypted by its file system"))
    }
}

impl WriteTree for SimVolume {
    fn open_write(&self, path: &RelativePath) -> Result<Box<dyn VolumeFile>> {
        self.open_as(OpName::OpenWrite, path, true, |mounted, _| mounted.fs.lookup(path))
    }

    fn create_new(&self, path: &RelativePath, mode: u32) -> Result<Box<dyn VolumeFile>> {
        self.open_as(OpName::Create, path, true, |mounted, now| {
            mounted.fs.create(path, FileKind::File, mode, now)
        })
    }

    fn create_dir(&self, path: &RelativePath, mode: u32) -> Result<()> {
        self.change(OpName::CreateDir, path, |mounted, now| {
            mounted.fs.create(path, FileKind::Directory, mode, now).map(drop)
        })
    }

    fn symlink(&self, path: &RelativePath, text: &[u8]) -> Result<()> {
        self.change(OpName::Symlink, path, |mounted, now| mounted.fs.symlink(path, text, now).map(drop))
    }

    fn hard_link(&self, existing: &RelativePath, path: &RelativePath) -> Result<()> {
        self.change(OpName::HardLink, path, |mounted, now| mounted.fs.hard_link(existing, path, now))
    }

    fn make_node(&self, path: &RelativePath, kind: NodeKind, mode: u32) -> Result<()> {
        let (kind, device) = match kind {
            NodeKind::CharDevice { major, minor } => (FileKind::CharDevice, (major, minor)),
            NodeKind::BlockDevice { major, minor } => (FileKind::BlockDevice, (major, minor)),
            NodeKind::Fifo => (FileKind::Fifo, (0, 0)),
        };
        self.change(OpName::MakeNode, path, |mounted, now| {
            mounted.fs.make_node(path, kind, device, mode, now).map(drop)
        })
    }

    fn rename(&self, from: &RelativePath, to: &RelativePath) -> Result<()> {
        // Faults match the new name, because that name becomes valid.
        self.change(OpName::Rename, to, |mounted, now| mounted.fs.rename(from, to, now))
    }

    fn remove_file(&self, path: &RelativePath) -> Result<()> {
        self.change(OpName::RemoveFile, path, |mounted, now| mounted.fs.remove(path, false, now))
    }

    fn remove_dir(&self, path: &RelativePath) -> Result<()> {
        self.change(OpName::RemoveDir, path, |mounted, now| mounted.fs.remove(path, true, now))
    }

    fn sync_dir(&self, directory: &RelativePath) -> Result<()> {
        self.call(self.op(OpName::SyncDir, directory.to_string(), true), |mounted, layer, _| {
            let inode = mounted.fs.lookup(directory)?;
            mounted.fs.list(directory)?;
            match mounted.access {
                Access::ReadOnly => Ok(()),
                Access::ReadWrite => {
                    mounted.require_writable()?;
                    mounted.fs.sync_dir(layer, inode)
                }
            }
        })
    }
}

impl SetAttributes for SimVolume {
    fn set_owner(&self, path: &RelativePath, owner: Owner) -> Result<()> {
        self.change(OpName::SetOwner, path, |mounted, _| {
            mounted.fs.require_unix()?;
            mounted.fs.set_owner(mounted.fs.lookup(path)?, owner)
        })
    }

    fn set_mode(&self, path: &RelativePath, mode: u32) -> Result<()> {
        self.change(OpName::SetMode, path, |mounted, _| {
            mounted.fs.require_unix()?;
            mounted.fs.set_mode(mounted.fs.lookup(path)?, mode)
        })
    }

    fn set_modified(&self, path: &RelativePath, modified: Timestamp) -> Result<()> {
        self.change(OpName::SetModified, path, |mounted, _| {
            mounted.fs.set_modified(mounted.fs.lookup(path)?, modified)
        })
    }

    fn set_xattr(&self, path: &RelativePath, xattr: &Xattr) -> Result<()> {
        self.change(OpName::SetXattr, path, |mounted, _| {
            mounted.fs.require_unix()?;
            mounted.fs.set_xattr(mounted.fs.lookup(path)?, xattr)
        })
    }

    fn set_flags(&self, path: &RelativePath, flags: InodeFlags) -> Result<()> {
        self.change(OpName::SetFlags, path, |mounted, _| mounted.fs.set_flags(path, flags))
    }
}

impl Volume for SimVolume {
    fn id(&self) -> VolumeId {
        self.id
    }

    fn space(&self) -> Result<Space> {
        self.look(OpName::Space, &RelativePath::root(), |mounted| {
            let (free_bytes, total_bytes) = mounted.fs.space_bytes();
            Ok(Space { free_bytes: mounted.reported_free_bytes.unwrap_or(free_bytes), total_bytes })
        })
    }

    fn sync(&self) -> Result<()> {
        self.call(self.op(OpName::SyncVolume, String::new(), true), |mounted, layer, _| {
            match mounted.access {
                Access::ReadOnly => Ok(()),
                Access::ReadWrite => {
                    mounted.require_writable()?;
                    mounted.fs.sync(layer)
                }
            }
        })
    }

    fn remount(&self, access: Access) -> Result<()> {
        let (id, on) = (self.id.0, Arc::clone(&self.device));
        self.handle.call(self.op(OpName::Remount, String::new(), true), |machine, moment| {
            let now = machine.wall(moment.now);
            let refuses =
                machine.storage.disks.get(&on).is_some_and(|disk| disk.read_only || disk.sources > 0);
            machine.storage.with_volume(id, now, "remount", "volume", |mounted, layer| {
                match (mounted.access, access) {
                    (Access::ReadOnly, Access::ReadWrite) if refuses => {
                        return Err(Refusal::Kind(ErrorKind::ReadOnly, "the device refuses writes"));
                    }
                    (Access::ReadOnly, Access::ReadWrite) => {
                        mounted.stays_dirty =
                            mounted.fs.superblock().dirty && !mounted.fs.superblock().kind.journalled();
                        mounted.fs.mark_dirty(layer, true)?;
                    }
                    (Access::ReadWrite, Access::ReadOnly) => {
                        if mounted.files.values().any(|file| file.writable) {
                            return Err(Refusal::Kind(ErrorKind::Busy, "a file is open for writing"));
                        }
                        mounted.finish(layer)?;
                    }
                    _ => {}
                }
                mounted.access = access;
                Ok(())
            })
        })
    }

    fn unmount(&self) -> Result<()> {
        let id = self.id.0;
        self.handle.call(self.op(OpName::Unmount, String::new(), true), |machine, moment| {
            let now = machine.wall(moment.now);
            machine.storage.with_volume(id, now, "unmount", "volume", |mounted, layer| {
                if mounted.fs.open_count() > 0 {
                    return Err(Refusal::Kind(ErrorKind::Busy, "files are open"));
                }
                match mounted.access {
                    Access::ReadOnly => Ok(()),
                    Access::ReadWrite => mounted.finish(layer),
                }
            })?;
            machine.storage.remove_volume(id);
            Ok(())
        })
    }
}

impl Mounted {
    /// Flushes everything and marks the file system as clean.
    fn finish(&mut self, layer: &mut Layer<'_>) -> Outcome<()> {
        if self.flipped.is_some() {
            // Nothing can be written any more: what was not synced is lost, and the mark stays.
            return if self.fs.has_unsynced() { self.require_writable() } else { Ok(()) };
        }
        self.fs.sync(layer)?;
        let stays_dirty = self.stays_dirty;
        self.fs.mark_dirty(layer, stays_dirty)
    }
}

impl Drop for SimVolume {
    fn drop(&mut self) {
        self.handle.peek(|machine, schedule| {
            if schedule.end.is_some() || machine.storage.volume(self.id.0).is_err() {
                return;
            }
            machine.storage.dropped_guards += 1;
            let now = machine.wall(schedule.now);
            let last_resort =
                machine.storage.with_volume(self.id.0, now, "unmount", "volume", |mounted, layer| {
                    match (mounted.access, mounted.fs.open_count()) {
                        (_, 1..) => Err(Refusal::Kind(ErrorKind::Busy, "files are open")),
                        (Access::ReadOnly, 0) => Ok(()),
                        (Access::ReadWrite, 0) => mounted.finish(layer),
                    }
                });
            // As on a real board, a drop has no caller that could get an error; only a busy volume stays mounted.
            if last_resort.err().is_none_or(|error| error.kind() != ErrorKind::Busy) {
                machine.storage.remove_volume(self.id.0);
            }
        });
    }
}
