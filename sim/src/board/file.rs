//! The HAL's open file over a simulated file system.

use crate::board::handle::{Handle, limited};
use crate::board::volume::metadata;
use crate::model::hardware::simfs::{Outcome, Refusal};
use crate::model::hardware::storage::{Layer, Mounted};
use crate::model::time::op::{Moment, Op};
use crate::model::time::op_name::OpName;
use replicator_hal::{
    Error, ErrorKind, FileExtent, InodeFlags, Metadata, Owner, Result, Timestamp, VolumeFile, Xattr,
};
use std::ops::Range;
use std::sync::Arc;

pub(crate) struct SimFile {
    handle: Handle,
    volume: u64,
    inode: u64,
    number: u64,
    writable: bool,
    open: bool,
    on: Arc<str>,
    device: Arc<str>,
    path: String,
}

impl SimFile {
    pub(crate) fn new(
        handle: Handle,
        volume: u64,
        inode: u64,
        number: u64,
        writable: bool,
        (on, device, path): (Arc<str>, Arc<str>, String),
    ) -> Self {
        Self { handle, volume, inode, number, writable, open: true, on, device, path }
    }

    fn call<R>(
        &self,
        name: OpName,
        (offset_bytes, len_bytes): (u64, u64),
        mutates: bool,
        work: impl FnOnce(&mut Mounted, &mut Layer<'_>, Moment, Timestamp) -> Outcome<R>,
    ) -> Result<R> {
        if !self.open {
            return Err(Error::new(ErrorKind::InvalidInput, name.word(), self.path.clone(), "it is closed"));
        }
        let op = Op {
            name,
            on: Arc::clone(&self.on),
            object: self.path.clone(),
            offset_bytes,
            len_bytes,
            mutates,
            device: Some(Arc::clone(&self.device)),
        };
        self.handle.call(op, |machine, moment| {
            let now = machine.wall(moment.now);
            machine.storage.with_volume(self.volume, now, name.word(), &self.path, |mounted, layer| {
                work(mounted, layer, moment, now)
            })
        })
    }

    /// A call that only looks at the file.
    fn look<R>(&self, name: OpName, work: impl FnOnce(&Mounted) -> Outcome<R>) -> Result<R> {
        self.call(name, (0, 0), false, |mounted, _, _, _| work(mounted))
    }

    /// A call that changes an attribute.
    fn change(&self, name: OpName, work: impl FnOnce(&mut Mounted) -> Outcome<()>) -> Result<()> {
        self.call(name, (0, 0), true, |mounted, _, _, _| {
            self.require_writable(mounted)?;
            work(mounted)
        })
    }

    fn require_writable(&self, mounted: &Mounted) -> Outcome<()> {
        if !self.writable {
            return Err(Refusal::Kind(ErrorKind::PermissionDenied, "it is not open for writing"));
        }
        mounted.require_writable()
    }

    /// A failed sync is final: the pages count as clean, and their content never reaches the medium.
    fn lose_if_failed<R>(&self, result: Result<R>) -> Result<R> {
        if result.as_ref().is_err_and(|error| error.kind() == ErrorKind::Io) {
            self.handle.peek(|machine, _| {
                if let Some(Some(mounted)) = machine.storage.volumes.get_mut(&self.volume) {
                    mounted.fs.lose_unwritten(self.inode);
                }
            });
        }
        result
    }

    /// How many of these bytes the file has: only they are transferred.
    fn present(&self, offset_bytes: u64, len_bytes: u64) -> u64 {
        self.handle.peek(|machine, _| {
            let mounted = machine.storage.volumes.get(&self.volume).and_then(Option::as_ref);
            let node = mounted.and_then(|mounted| mounted.fs.inode(self.inode));
            node.map_or(len_bytes, |node| node.len_bytes.saturating_sub(offset_bytes).min(len_bytes))
        })
    }

    fn release(&mut self) -> bool {
        let was_open = std::mem::take(&mut self.open);
        if was_open {
            self.handle.peek(|machine, schedule| {
                if schedule.end.is_none() {
                    machine.storage.close_file(self.volume, self.number);
                }
            });
        }
        was_open
    }
}

impl VolumeFile for SimFile {
    fn len_bytes(&self) -> Result<u64> {
        self.call(OpName::FileLen, (0, 0), false, |mounted, _, _, _| {
            Ok(mounted.fs.inode(self.inode).map_or(0, |node| node.len_bytes))
        })
    }

    fn metadata(&self) -> Result<Metadata> {
        self.look(OpName::Metadata, |mounted| metadata(mounted, self.inode))
    }

    fn not_copyable(&self) -> Result<Option<&'static str>> {
        // An encrypted file cannot be opened.
        Ok(None)
    }

    fn xattrs(&self) -> Result<Vec<Xattr>> {
        self.look(OpName::Xattrs, |mounted| mounted.fs.xattrs(self.inode))
    }

    fn flags(&self) -> Result<InodeFlags> {
        self.look(OpName::Flags, |mounted| mounted.fs.flags(self.inode))
    }

    fn set_owner(&mut self, owner: Owner) -> Result<()> {
        self.change(OpName::SetOwner, |mounted| mounted.fs.set_owner(self.inode, owner))
    }

    fn set_mode(&mut self, mode: u32) -> Result<()> {
        self.change(OpName::SetMode, |mounted| mounted.fs.set_mode(self.inode, mode))
    }

    fn set_modified(&mut self, modified: Timestamp) -> Result<()> {
        self.change(OpName::SetModified, |mounted| mounted.fs.set_modified(self.inode, modified))
    }

    fn set_xattr(&mut self, xattr: &Xattr) -> Result<()> {
        self.change(OpName::SetXattr, |mounted| mounted.fs.set_xattr(self.inode, xattr))
    }

    fn read_at(&mut self, offset_bytes: u64, buffer: &mut [u8]) -> Result<usize> {
        let inode = self.inode;
        let len_bytes = self.present(offset_bytes, buffer.len() as u64);
        self.call(OpName::Read, (offset_bytes, len_bytes), false, |mounted, layer, moment, _| {
            let len = limited(buffer.len(), moment);
            let len = mounted.fs.read(layer, inode, offset_bytes, &mut buffer[..len])?;
            moment.flip_in(offset_bytes, &mut buffer[..len]);
            Ok(len)
        })
    }

    fn write_at(&mut self, offset_bytes: u64, data: &[u8]) -> Result<usize> {
        self.call(OpName::Write, (offset_bytes, data.len() as u64), true, |mounted, layer, moment, now| {
            self.require_writable(mounted)?;
            let len = limited(data.len(), moment);
            mounted.fs.write(layer, self.inode, offset_bytes, &data[..len], now)
        })
    }

    fn set_len(&mut self, len_bytes: u64) -> Result<()> {
        self.call(OpName::SetLen, (len_bytes, 0), true, |mounted, layer, _, now| {
            self.require_writable(mounted)?;
            mounted.fs.set_len(layer, self.inode, len_bytes, now)
        })
    }

    fn next_data(&mut self, offset_bytes: u64) -> Result<Option<Range<u64>>> {
        self.call(OpName::NextData, (offset_bytes, 0), false, |mounted, _, _, _| {
            mounted.fs.next_data(self.inode, offset_bytes)
        })
    }

    fn extents(&self) -> Result<Vec<FileExtent>> {
        self.look(OpName::Extents, |mounted| mounted.fs.extents(self.inode))
    }

    fn punch(&mut self, offset_bytes: u64, len_bytes: u64) -> Result<bool> {
        self.call(OpName::Punch, (offset_bytes, len_bytes), true, |mounted, layer, _, _| {
            self.require_writable(mounted)?;
            mounted.fs.punch(layer, self.inode, offset_bytes, len_bytes)
        })
    }

    fn sync(&mut self) -> Result<()> {
        let result = self.call(OpName::Sync, (0, 0), true, |mounted, layer, _, _| {
            if self.writable {
                mounted.require_writable()?;
                mounted.fs.sync_file(layer, self.inode)?;
            }
            Ok(())
        });
        self.lose_if_failed(result)
    }

    fn drop_cache(&mut self) -> Result<()> {
        let result =
            self.call(OpName::DropCache, (0, 0), true, |mounted, layer, _, _| match mounted.access {
                replicator_hal::Access::ReadOnly => mounted.fs.forget_cached(self.inode),
                replicator_hal::Access::ReadWrite => mounted.fs.drop_cache(layer, self.inode),
            });
        self.lose_if_failed(result)
    }

    fn close(&mut self) -> Result<()> {
        let result = self.call(OpName::Close, (0, 0), false, |_, _, _, _| Ok(()));
        self.release();
        result
    }
}

impl Drop for SimFile {
    fn drop(&mut self) {
        self.release();
    }
}
