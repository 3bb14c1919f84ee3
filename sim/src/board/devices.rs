//! The HAL's block devices over simulated disks. Which opens are allowed is decided in `claims`.

use crate::board::handle::{Handle, limited};
use crate::model::hardware::claims::{Extent, Role};
use crate::model::hardware::disk::Disk;
use crate::model::hardware::identity::Discard;
use crate::model::time::op::{Moment, Op};
use crate::model::time::op_name::OpName;
use replicator_hal::{
    Access, BlockDevice, BlockDevices, CacheBypass, DeviceName, Discarded, Error, ErrorKind, Result, Source,
    Target,
};
use std::sync::Arc;

pub(crate) struct SimDevices {
    pub(crate) handle: Handle,
}

impl SimDevices {
    fn op(&self, name: OpName, device: &DeviceName) -> Op {
        self.handle.peek(|machine, _| machine.storage.op_on(name, device))
    }
}

/// Opens a whole disk as a target.
pub(crate) fn open_disk(handle: &Handle, device: &DeviceName, role: Role) -> Result<Box<dyn Target>> {
    let name = match role {
        Role::Medium => OpName::OpenTarget,
        Role::Area(Access::ReadOnly) => OpName::LookAtArea,
        Role::Area(Access::ReadWrite) => OpName::OpenArea,
    };
    let op = handle.peek(|machine, _| machine.storage.op_on(name, device));
    let extent = handle.call(op, |machine, _| machine.storage.claim_target(device, role))?;
    Ok(Box::new(SimTarget { open: Open { handle: Arc::clone(handle), extent, is_open: true } }))
}

impl BlockDevices for SimDevices {
    fn list(&self) -> Result<Vec<BlockDevice>> {
        let op = Op::new(OpName::DeviceList, "devices");
        self.handle.call(op, |machine, _| {
            let mut devices = machine.storage.block_devices()?;
            // The trait guarantees no order, so the order is random here.
            machine.list_order.shuffle(&mut devices);
            Ok(devices)
        })
    }

    fn open_source(&self, device: &DeviceName) -> Result<Box<dyn Source>> {
        let op = self.op(OpName::OpenSource, device);
        let extent = self.handle.call(op, |machine, _| machine.storage.claim_source(device))?;
        let open = Open { handle: Arc::clone(&self.handle), extent, is_open: true };
        Ok(Box::new(SimSource { open, is_claim: true }))
    }

    fn open_shared(&self, device: &DeviceName) -> Result<Box<dyn Source>> {
        let op = self.op(OpName::OpenShared, device);
        let extent = self.handle.call(op, |machine, _| machine.storage.open_shared(device))?;
        let open = Open { handle: Arc::clone(&self.handle), extent, is_open: true };
        Ok(Box::new(SimSource { open, is_claim: false }))
    }

    fn open_target(&self, device: &DeviceName) -> Result<Box<dyn Target>> {
        open_disk(&self.handle, device, Role::Medium)
    }

    fn reread_partitions(&self, device: &DeviceName) -> Result<()> {
        let op = self.op(OpName::RereadPartitions, device);
        self.handle.call(op, |machine, _| machine.storage.reread_partitions(device))
    }
}

/// An open extent of a disk.
struct Open {
    handle: Handle,
    extent: Extent,
    is_open: bool,
}

impl Open {
    fn call<R>(&self, op: Op, work: impl FnOnce(&mut Disk, Moment) -> Result<R>) -> Result<R> {
        if !self.is_open {
            return Err(Error::new(ErrorKind::InvalidInput, op.name.word(), op.object, "it is closed"));
        }
        let name = op.name.word();
        self.handle.call(op, |machine, moment| work(machine.storage.opened(&self.extent, name)?, moment))
    }

    fn read(&self, offset_bytes: u64, buffer: &mut [u8]) -> Result<usize> {
        let start = self.extent.start_bytes + offset_bytes;
        let room = self.extent.len_bytes.saturating_sub(offset_bytes);
        let len = buffer.len().min(usize::try_from(room).unwrap_or(usize::MAX));
        let op = self.extent.op(OpName::Read, offset_bytes, len as u64, false);
        self.call(op, |disk, moment| {
            let len = disk.readable(start, limited(len, moment))?;
            disk.read(start, &mut buffer[..len]);
            moment.flip_in(offset_bytes, &mut buffer[..len]);
            Ok(len)
        })
    }
}

struct SimSource {
    open: Open,
    /// Whether it keeps writers away.
    is_claim: bool,
}

impl SimSource {
    fn release(&mut self) {
        if std::mem::take(&mut self.open.is_open) && self.is_claim {
            self.open.handle.peek(|machine, schedule| {
                if schedule.end.is_none() {
                    machine.storage.release_source(&self.open.extent);
                }
            });
        }
    }
}

impl Source for SimSource {
    fn len_bytes(&self) -> u64 {
        self.open.extent.len_bytes
    }

    fn read_at(&mut self, offset_bytes: u64, buffer: &mut [u8]) -> Result<usize> {
        self.open.read(offset_bytes, buffer)
    }

    fn close(&mut self) -> Result<()> {
        let result = self.open.call(self.open.extent.op(OpName::Close, 0, 0, false), |_, _| Ok(()));
        self.release();
        result
    }
}

impl Drop for SimSource {
    fn drop(&mut self) {
        self.release();
    }
}

struct SimTarget {
    open: Open,
}

impl SimTarget {
    fn op(&self, name: OpName, offset_bytes: u64, len_bytes: u64) -> Op {
        self.open.extent.op(name, offset_bytes, len_bytes, true)
    }

    fn call<R>(&mut self, op: Op, work: impl FnOnce(&mut Disk, Moment) -> Result<R>) -> Result<R> {
        let syncs = matches!(op.name, OpName::Sync | OpName::BeginVerify | OpName::Close);
        let result = self.open.call(op, work);
        if syncs && result.as_ref().is_err_and(|error| error.kind() == ErrorKind::Io) {
            // A failed sync is final: the pages count as clean, and their content never reaches the medium.
            self.open.handle.peek(|machine, _| {
                if let Some(disk) = machine.storage.disk_of(&self.open.extent) {
                    disk.lose_dirty();
                }
            });
        }
        result
    }

    fn release(&mut self) {
        if std::mem::take(&mut self.open.is_open) {
            self.open.handle.peek(|machine, schedule| {
                if schedule.end.is_none() {
                    machine.storage.release_target(&self.open.extent);
                }
            });
        }
    }

    fn check_range(&self, offset_bytes: u64, len_bytes: u64) -> Result<()> {
        let Extent { len_bytes: room, name, .. } = &self.open.extent;
        if offset_bytes.checked_add(len_bytes).is_some_and(|end| end <= *room) {
            return Ok(());
        }
        Err(Error::new(ErrorKind::NoSpace, "writing", name.clone(), "past the end of the device"))
    }
}

fn refuse_read_only(disk: &Disk) -> Result<()> {
    if disk.refuses_writes() {
        let device = disk.identity.device.to_string();
        return Err(Error::new(ErrorKind::ReadOnly, "writing", device, "the device refuses writes"));
    }
    Ok(())
}

impl Target for SimTarget {
    fn len_bytes(&self) -> u64 {
        self.open.extent.len_bytes
    }

    fn write_at(&mut self, offset_bytes: u64, data: &[u8]) -> Result<usize> {
        let Extent { start_bytes, len_bytes, .. } = self.open.extent;
        let room = len_bytes.saturating_sub(offset_bytes);
        let len = data.len().min(usize::try_from(room).unwrap_or(usize::MAX));
        if len == 0 && !data.is_empty() {
            self.check_range(offset_bytes, 1)?;
        }
        self.call(self.op(OpName::Write, offset_bytes, len as u64), |disk, moment| {
            refuse_read_only(disk)?;
            let len = limited(len, moment);
            disk.write(start_bytes + offset_bytes, &data[..len]);
            Ok(len)
        })
    }

    fn zero(&mut self, offset_bytes: u64, len_bytes: u64) -> Result<()> {
        self.check_range(offset_bytes, len_bytes)?;
        let start = self.open.extent.start_bytes;
        self.call(self.op(OpName::Zero, offset_bytes, len_bytes), |disk, _| {
            refuse_read_only(disk)?;
            let zeros = [0; 65_536];
            let mut done = 0;
            while done < len_bytes {
                let piece = (len_bytes - done).min(zeros.len() as u64);
                disk.write(start + offset_bytes + done, &zeros[..piece as usize]);
                done += piece;
            }
            Ok(())
        })
    }

    fn discard_unit_bytes(&self) -> Option<u64> {
        self.open.handle.peek(|machine, _| {
            let disk = machine.storage.disk_of(&self.open.extent)?;
            disk.identity.discard.unit_bytes().filter(|_| disk.area.is_none())
        })
    }

    fn discard(&mut self, offset_bytes: u64, len_bytes: u64) -> Result<Discarded> {
        self.check_range(offset_bytes, len_bytes)?;
        let Some(unit) = self.discard_unit_bytes() else { return Ok(Discarded::Unsupported) };
        let end = offset_bytes + len_bytes;
        let (first, last) = (offset_bytes.next_multiple_of(unit), end - end % unit);
        if first >= last {
            return Ok(Discarded::Accepted(offset_bytes..offset_bytes));
        }
        self.call(self.op(OpName::Discard, first, last - first), |disk, _| {
            refuse_read_only(disk)?;
            if disk.identity.discard == Discard::Refused {
                return Ok(Discarded::Unsupported);
            }
            disk.discard(first..last);
            Ok(Discarded::Accepted(first..last))
        })
    }

    fn sync(&mut self) -> Result<()> {
        self.call(self.op(OpName::Sync, 0, 0), |disk, _| {
            disk.sync();
            Ok(())
        })
    }

    fn begin_verify(&mut self) -> Result<CacheBypass> {
        self.call(self.op(OpName::BeginVerify, 0, 0), |disk, _| {
            disk.begin_verify();
            Ok(disk.identity.bypass)
        })
    }

    fn read_at(&mut self, offset_bytes: u64, buffer: &mut [u8]) -> Result<usize> {
        self.open.read(offset_bytes, buffer)
    }

    fn close(&mut self) -> Result<()> {
        let result = self.call(self.op(OpName::Close, 0, 0), |disk, _| {
            disk.sync();
            Ok(())
        });
        self.release();
        result
    }
}

impl Drop for SimTarget {
    fn drop(&mut self) {
        self.release();
    }
}
