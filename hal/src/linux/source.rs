//! A block device that is captured: opened read-only, and set read-only in the kernel while it is open.
//!
//! The kernel's flag also stops writes that no one here asks for, such as a journal replay by a curious automounter.

use super::devices::{OpenMode, io_error, medium_len_bytes, open_node};
use super::ioctl;
use super::roots::KernelRoots;
use super::sysfs;
use crate::host::tell;
use crate::{DeviceName, Error, ErrorKind, Result, Source};
use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Mutex, PoisonError};

/// Read-only flags that sources have set, counted, so that the last of several sources restores what was before.
#[derive(Debug, Default)]
pub(super) struct Locks {
    held: Mutex<BTreeMap<DeviceName, Lock>>,
}

#[derive(Debug)]
struct Lock {
    sources: usize,
    /// Whether it was read-only before.
    before: bool,
}

impl Locks {
    fn take(&self, device: &DeviceName, file: &File) -> std::io::Result<()> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(lock) = held.get_mut(device) {
            lock.sources += 1;
            return Ok(());
        }
        let before = ioctl::is_read_only(file)?;
        if !before {
            ioctl::set_read_only(file, true)?;
        }
        held.insert(device.clone(), Lock { sources: 1, before });
        Ok(())
    }

    /// Takes back every flag at once: for a program that ends without closing its sources.
    pub(super) fn release_all(&self, roots: &KernelRoots) -> Result<()> {
        let held = std::mem::take(&mut *self.held.lock().unwrap_or_else(PoisonError::into_inner));
        let mut first_error = None;
        for (device, _) in held.into_iter().filter(|(_, lock)| !lock.before) {
            let restored = open_node(roots, &device, OpenMode::Read).and_then(|file| {
                ioctl::set_read_only(&file, false)
                    .map_err(|error| Error::from_io(error, "making writable again", device.as_str()))
            });
            if let Err(error) = restored {
                first_error.get_or_insert(error);
            }
        }
        first_error.map_or(Ok(()), Err)
    }

    fn release(&self, device: &DeviceName, file: &File) -> std::io::Result<()> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(lock) = held.get_mut(device) else { return Ok(()) };
        lock.sources -= 1;
        if lock.sources > 0 {
            return Ok(());
        }
        let before = lock.before;
        held.remove(device);
        if before { Ok(()) } else { ioctl::set_read_only(file, false) }
    }
}

/// An open source.
pub(super) struct BlockSource {
    roots: KernelRoots,
    locks: Arc<Locks>,
    device: DeviceName,
    /// The device first, then those of its partitions that are locked with it; empty once closed.
    open: Vec<(DeviceName, File)>,
    len_bytes: u64,
}

impl BlockSource {
    pub(super) fn open(roots: &KernelRoots, locks: &Arc<Locks>, device: &DeviceName) -> Result<Self> {
        let file = open_node(roots, device, OpenMode::Read)?;
        let len_bytes = medium_len_bytes(&file, device)?;
        let mut source = Self {
            roots: roots.clone(),
            locks: Arc::clone(locks),
            device: device.clone(),
            open: Vec::new(),
            len_bytes,
        };
        source.lock(device.clone(), file)?;
        // The flag of the whole device does not cover its partitions. One that is mounted keeps its own: taking it away
        // under a mounted file system would break that, and whether it may be mounted is not decided here.
        let in_use = super::usage::Usage::read(roots)?;
        let directory = roots.class_block(device);
        for partition in sysfs::partitions(&directory) {
            if in_use.of(&directory.join(partition.name.as_str()), &[]).is_none() {
                let file = open_node(roots, &partition.name, OpenMode::Read)?;
                source.lock(partition.name, file)?;
            }
        }
        Ok(source)
    }

    fn lock(&mut self, device: DeviceName, file: File) -> Result<()> {
        self.locks
            .take(&device, &file)
            .map_err(|error| Error::from_io(error, "setting read-only", device.as_str()))?;
        self.open.push((device, file));
        Ok(())
    }
}

impl Source for BlockSource {
    fn len_bytes(&self) -> u64 {
        self.len_bytes
    }

    fn read_at(&mut self, offset_bytes: u64, buffer: &mut [u8]) -> Result<usize> {
        let Some((_, file)) = self.open.first() else { return Err(closed(&self.device, "reading")) };
        if offset_bytes >= self.len_bytes {
            return Ok(0);
        }
        match file.read_at(buffer, offset_bytes) {
            // The kernel reads nothing where a device was pulled out; that is no end of the medium.
            Ok(0) if !buffer.is_empty() => Err(Error::new(
                ErrorKind::DeviceGone,
                "reading",
                format!("{} at {offset_bytes}", self.device),
                "the device ends early",
            )),
            result => {
                result.map_err(|error| io_error(&self.roots, &self.device, error, "reading", offset_bytes))
            }
        }
    }

    fn close(&mut self) -> Result<()> {
        let mut first_error = None;
        for (device, file) in self.open.drain(..).rev() {
            let released = self.locks.release(&device, &file);
            let closed = ioctl::close_checked(file);
            if let Err(error) = released.and(closed) {
                first_error.get_or_insert(Error::from_io(error, "closing", device.as_str()));
            }
        }
        first_error.map_or(Ok(()), Err)
    }
}

impl Drop for BlockSource {
    fn drop(&mut self) {
        if let Err(error) = self.close() {
            tell(error);
        }
    }
}

pub(super) fn closed(device: &DeviceName, operation: &str) -> Error {
    Error::new(ErrorKind::InvalidInput, operation, device.as_str(), "it is closed")
}
