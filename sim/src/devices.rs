//! The HAL's block devices over simulated disks.

use crate::disk::Disk;
use crate::machine::Machine;
use crate::op::{Moment, Op};
use crate::op_name::OpName;
use crate::turnstile::Turnstile;
use replicator_hal::{
    Access, BlockDevice, BlockDevices, CacheBypass, DeviceName, Error, ErrorKind, Result, Source, Target,
};
use std::sync::Arc;

/// The way to a board that all its parts share.
pub(crate) type Door = Arc<Turnstile<Machine>>;

pub(crate) struct SimDevices {
    pub(crate) door: Door,
}

impl SimDevices {
    fn op(&self, name: OpName, device: &DeviceName) -> Op {
        op_on(&self.door, name, device)
    }
}

/// The call with the names that faults and traces go by.
fn op_on(door: &Door, name: OpName, device: &DeviceName) -> Op {
    door.peek(|machine, _| {
        let found = machine.storage.find_device(device).ok();
        let on = found.as_ref().map(|(whole, ..)| Arc::clone(&machine.storage.disks[whole].identity.medium));
        Op {
            object: device.to_string(),
            device: found.map(|(whole, ..)| whole),
            ..Op::new(name, on.unwrap_or_else(|| "device".into()))
        }
    })
}

/// Opens a whole disk as a target: a bootloader area, for writing with its protection lifted, or a medium.
pub(crate) fn open_disk(door: &Door, device: &DeviceName, area: Option<Access>) -> Result<Box<dyn Target>> {
    let is_area = area.is_some();
    let name = match area {
        None => OpName::OpenTarget,
        Some(Access::ReadOnly) => OpName::LookAtArea,
        Some(Access::ReadWrite) => OpName::OpenArea,
    };
    let op = op_on(door, name, device);
    let bytes = door.call(op, |machine, _| {
        let refuse = |kind, detail: &str| Err(Error::new(kind, "opening", device.to_string(), detail));
        let (whole, start, len) = machine.storage.find_device(device)?;
        if *whole != *device.as_str() {
            return refuse(ErrorKind::WrongDevice, "a partition, not a whole device");
        }
        let described = describe(machine, &machine.storage.disks[&whole]);
        let disk = disk_mut(machine, &whole, "opening")?;
        if is_area && disk.area.is_none() {
            return refuse(ErrorKind::WrongDevice, "not a bootloader area");
        }
        if let Some(holder) = held(&described, disk) {
            return refuse(ErrorKind::Busy, &holder);
        }
        let refuses = disk.read_only && area != Some(Access::ReadOnly);
        if refuses || (disk.area.is_some() && !is_area) {
            return refuse(ErrorKind::ReadOnly, "the device refuses writes");
        }
        if let Some(found) = disk.area.as_mut().filter(|_| area == Some(Access::ReadWrite)) {
            found.protected = false;
        }
        disk.target_open = true;
        let on = Arc::clone(&disk.identity.medium);
        Ok(Span { whole, instance: disk.instance, start, len, on, name: device.to_string() })
    })?;
    Ok(Box::new(SimTarget { door: Arc::clone(door), bytes, open: true }))
}

/// What keeps a device from being claimed.
fn held(described: &BlockDevice, disk: &Disk) -> Option<String> {
    if let Some(holder) = &described.in_use {
        return Some(format!("used by {holder}"));
    }
    if disk.identity.held_elsewhere {
        return Some("it is held by something that does not show here".to_owned());
    }
    let used = match disk {
        Disk { target_open: true, .. } => "open for writing already",
        Disk { sources: 1.., .. } => "it is being captured",
        _ => return None,
    };
    Some(used.to_owned())
}

fn describe(machine: &Machine, disk: &Disk) -> BlockDevice {
    let identity = &disk.identity;
    let mounted = machine
        .storage
        .volumes
        .iter()
        .find(|(_, mounted)| mounted.as_ref().is_some_and(|mounted| mounted.device == identity.device))
        .map(|(id, _)| format!("/run/volume-{id}"));
    BlockDevice {
        name: DeviceName::new(&*identity.device),
        kind: identity.kind,
        controller_path: identity.controller_path.clone(),
        identity: identity.serial.clone(),
        len_bytes: disk.len_bytes(),
        sector_len_bytes: identity.sector_len_bytes,
        removable: identity.removable,
        read_only: disk.read_only || disk.sources > 0,
        has_boot_areas: identity.has_boot_areas,
        in_use: identity.held_by.clone().or(mounted),
        partitions: disk.partitions.clone(),
    }
}

impl BlockDevices for SimDevices {
    fn list(&self) -> Result<Vec<BlockDevice>> {
        let op = Op::new(OpName::DeviceList, "devices");
        self.door.call(op, |machine, _| {
            machine.faults.reach_absent();
            let disks = machine.storage.disks.values().filter(|disk| disk.present && disk.area.is_none());
            let mut devices: Vec<BlockDevice> = disks.map(|disk| describe(machine, disk)).collect();
            // The trait promises no order, so none may be relied on.
            machine.list_order.shuffle(&mut devices);
            Ok(devices)
        })
    }

    fn open_source(&self, device: &DeviceName) -> Result<Box<dyn Source>> {
        let op = self.op(OpName::OpenSource, device);
        let bytes = self.door.call(op, |machine, _| {
            let (whole, start, len) = machine.storage.find_device(device)?;
            let described = describe(machine, &machine.storage.disks[&whole]);
            let disk = disk_mut(machine, &whole, "open-source")?;
            if let Some(holder) = held(&described, disk) {
                return Err(Error::new(ErrorKind::Busy, "opening", device.to_string(), holder));
            }
            disk.sources += 1;
            let on = Arc::clone(&disk.identity.medium);
            Ok(Span { whole, instance: disk.instance, start, len, on, name: device.to_string() })
        })?;
        Ok(Box::new(SimSource { door: Arc::clone(&self.door), bytes, open: true, is_claim: true }))
    }

    fn open_shared(&self, device: &DeviceName) -> Result<Box<dyn Source>> {
        let op = self.op(OpName::OpenShared, device);
        let bytes = self.door.call(op, |machine, _| {
            let (whole, start, len) = machine.storage.find_device(device)?;
            let disk = disk_mut(machine, &whole, "open-shared")?;
            let on = Arc::clone(&disk.identity.medium);
            Ok(Span { whole, instance: disk.instance, start, len, on, name: device.to_string() })
        })?;
        Ok(Box::new(SimSource { door: Arc::clone(&self.door), bytes, open: true, is_claim: false }))
    }

    fn open_target(&self, device: &DeviceName) -> Result<Box<dyn Target>> {
        open_disk(&self.door, device, None)
    }

    fn reread_partitions(&self, device: &DeviceName) -> Result<()> {
        let op = self.op(OpName::RereadPartitions, device);
        self.door.call(op, |machine, _| {
            let (whole, ..) = machine.storage.find_device(device)?;
            if let Some(holder) = describe(machine, &machine.storage.disks[&whole]).in_use {
                let detail = format!("used by {holder}");
                return Err(Error::new(ErrorKind::Busy, "reading partitions", device.to_string(), detail));
            }
            let disk = disk_mut(machine, &whole, "reread-partitions")?;
            // The kernel reads the table through the page cache.
            let mut seen = disk.clone();
            seen.sync();
            disk.partitions = crate::partitions::read_partitions(&whole, &seen.media);
            Ok(())
        })
    }
}

fn disk_mut<'a>(machine: &'a mut Machine, device: &str, operation: &str) -> Result<&'a mut Disk> {
    let disk = machine.storage.disks.get_mut(device).filter(|disk| disk.present);
    disk.ok_or_else(|| Error::new(ErrorKind::DeviceGone, operation, device, "the device is gone"))
}

/// The stretch of a disk that is open.
struct Span {
    whole: Arc<str>,
    instance: u64,
    start: u64,
    len: u64,
    on: Arc<str>,
    name: String,
}

impl Span {
    fn op(&self, name: OpName, offset_bytes: u64, len_bytes: u64, mutates: bool) -> Op {
        Op {
            name,
            on: Arc::clone(&self.on),
            object: self.name.clone(),
            offset_bytes,
            len_bytes,
            mutates,
            device: Some(Arc::clone(&self.whole)),
        }
    }

    /// The disk that was opened, if it is still the one with that name.
    fn disk<'a>(&self, machine: &'a mut Machine) -> Option<&'a mut Disk> {
        let disk = machine.storage.disks.get_mut(&self.whole);
        disk.filter(|disk| disk.instance == self.instance)
    }

    fn call<R>(
        &self,
        door: &Door,
        op: Op,
        open: bool,
        work: impl FnOnce(&mut Disk, Moment) -> Result<R>,
    ) -> Result<R> {
        if !open {
            return Err(Error::new(ErrorKind::InvalidInput, op.name.word(), op.object, "it is closed"));
        }
        let name = op.name.word();
        door.call(op, |machine, moment| {
            let disk = disk_mut(machine, &self.whole, name)?;
            if disk.instance != self.instance {
                return Err(Error::new(ErrorKind::DeviceGone, name, &*self.whole, "the device is gone"));
            }
            work(disk, moment)
        })
    }

    fn read(&self, door: &Door, open: bool, offset_bytes: u64, buffer: &mut [u8]) -> Result<usize> {
        let len =
            buffer.len().min(usize::try_from(self.len.saturating_sub(offset_bytes)).unwrap_or(usize::MAX));
        let op = self.op(OpName::Read, offset_bytes, len as u64, false);
        self.call(door, op, open, |disk, moment| {
            let len = disk.readable(self.start + offset_bytes, limited(len, moment))?;
            disk.read(self.start + offset_bytes, &mut buffer[..len]);
            moment.flip_in(offset_bytes, &mut buffer[..len]);
            Ok(len)
        })
    }
}

/// No more bytes than a fault allows.
pub(crate) fn limited(len: usize, moment: Moment) -> usize {
    len.min(moment.limit_bytes.map_or(len, |limit| usize::try_from(limit).unwrap_or(len)))
}

struct SimSource {
    door: Door,
    bytes: Span,
    open: bool,
    /// Whether it keeps others away.
    is_claim: bool,
}

impl SimSource {
    fn release(&mut self) {
        if std::mem::take(&mut self.open) && self.is_claim {
            self.door.peek(|machine, schedule| {
                if let Some(disk) = self.bytes.disk(machine).filter(|_| schedule.end.is_none()) {
                    disk.sources = disk.sources.saturating_sub(1);
                    disk.closed();
                }
            });
        }
    }
}

impl Source for SimSource {
    fn len_bytes(&self) -> u64 {
        self.bytes.len
    }

    fn read_at(&mut self, offset_bytes: u64, buffer: &mut [u8]) -> Result<usize> {
        self.bytes.read(&self.door, self.open, offset_bytes, buffer)
    }

    fn close(&mut self) -> Result<()> {
        let result =
            self.bytes.call(&self.door, self.bytes.op(OpName::Close, 0, 0, false), self.open, |_, _| Ok(()));
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
    door: Door,
    bytes: Span,
    open: bool,
}

impl SimTarget {
    fn call<R>(&mut self, op: Op, work: impl FnOnce(&mut Disk, Moment) -> Result<R>) -> Result<R> {
        let syncs = matches!(op.name, OpName::Sync | OpName::BeginVerify | OpName::Close);
        let result = self.bytes.call(&self.door, op, self.open, work);
        if syncs && result.as_ref().is_err_and(|error| error.kind() == ErrorKind::Io) {
            // A failed sync is final: the pages count as clean, and what they hold never reaches the medium.
            self.door.peek(|machine, _| {
                if let Some(disk) = self.bytes.disk(machine) {
                    disk.lose_dirty();
                }
            });
        }
        result
    }

    fn release(&mut self) {
        if std::mem::take(&mut self.open) {
            self.door.peek(|machine, schedule| {
                if let Some(disk) = self.bytes.disk(machine).filter(|_| schedule.end.is_none()) {
                    disk.target_open = false;
                    disk.closed();
                    if let Some(area) = &mut disk.area {
                        area.protected = true;
                    }
                }
            });
        }
    }

    fn check_range(&self, offset_bytes: u64, len_bytes: u64) -> Result<()> {
        if offset_bytes.checked_add(len_bytes).is_some_and(|end| end <= self.bytes.len) {
            return Ok(());
        }
        Err(Error::new(ErrorKind::NoSpace, "writing", self.bytes.name.clone(), "past the end of the device"))
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
        self.bytes.len
    }

    fn write_at(&mut self, offset_bytes: u64, data: &[u8]) -> Result<usize> {
        let (start, room) = (self.bytes.start, self.bytes.len.saturating_sub(offset_bytes));
        let len = data.len().min(usize::try_from(room).unwrap_or(usize::MAX));
        if len == 0 && !data.is_empty() {
            self.check_range(offset_bytes, 1)?;
        }
        let op = self.bytes.op(OpName::Write, offset_bytes, len as u64, true);
        self.call(op, |disk, moment| {
            refuse_read_only(disk)?;
            let len = limited(len, moment);
            disk.write(start + offset_bytes, &data[..len]);
            Ok(len)
        })
    }

    fn zero(&mut self, offset_bytes: u64, len_bytes: u64) -> Result<()> {
        self.check_range(offset_bytes, len_bytes)?;
        let start = self.bytes.start;
        self.call(self.bytes.op(OpName::Zero, offset_bytes, len_bytes, true), |disk, _| {
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

    fn sync(&mut self) -> Result<()> {
        self.call(self.bytes.op(OpName::Sync, 0, 0, true), |disk, _| {
            disk.sync();
            Ok(())
        })
    }

    fn begin_verify(&mut self) -> Result<CacheBypass> {
        self.call(self.bytes.op(OpName::BeginVerify, 0, 0, true), |disk, _| {
            disk.begin_verify();
            Ok(disk.identity.bypass)
        })
    }

    fn read_at(&mut self, offset_bytes: u64, buffer: &mut [u8]) -> Result<usize> {
        self.bytes.read(&self.door, self.open, offset_bytes, buffer)
    }

    fn close(&mut self) -> Result<()> {
        let result = self.call(self.bytes.op(OpName::Close, 0, 0, true), |disk, _| {
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
