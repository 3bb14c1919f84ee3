//! A block device that is captured: claimed, opened read-only, and set read-only in the kernel while it is open.
//!
//! The claim keeps mounts, mappings and other claims away, in every mount namespace; the flag keeps out programs that write
//! to the device without asking. One that had it open for writing before is found and refused.

use super::claim::let_go;
use super::holders;
use super::ioctl;
use super::node::{OpenMode, io_error, medium_len_bytes, open_node};
use super::roots::KernelRoots;
use super::sysfs;
use super::write_protection::{self, WriteProtection};
use crate::host::print;
use crate::{DeviceName, Error, ErrorKind, Result, Source};
use std::fs::File;
use std::os::unix::fs::FileExt;

/// An open source.
pub(super) struct BlockSource {
    roots: KernelRoots,
    protection: WriteProtection,
    device: DeviceName,
    /// The device first, then those of its partitions that are protected with it; empty once closed.
    open: Vec<(DeviceName, File)>,
    len_bytes: u64,
    use_as: UseAs,
}

/// What a source is opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum UseAs {
    /// Capturing it: nobody else may have it.
    Medium,
    /// A look beside those who use it.
    Shared,
}

impl BlockSource {
    /// Opens `device`. As a medium it is claimed in the kernel, which refuses that while it or a part of it is mounted
    /// anywhere, mapped, or claimed by another program; then nothing can be done to it until the source is closed.
    pub(super) fn open(
        roots: &KernelRoots,
        protection: &WriteProtection,
        device: &DeviceName,
        use_as: UseAs,
    ) -> Result<Self> {
        let is_medium = use_as == UseAs::Medium;
        let file =
            open_node(roots, device, if is_medium { OpenMode::ExclusiveRead } else { OpenMode::Read })?;
        let len_bytes = medium_len_bytes(&file, device)?;
        let mut source = Self {
            roots: roots.clone(),
            protection: protection.clone(),
            device: device.clone(),
            open: vec![(device.clone(), file)],
            len_bytes,
            use_as,
        };
        if is_medium {
            source.hold_still()?;
        }
        Ok(source)
    }

    /// After this nothing changes the medium, and reads are of the medium and not of an old cache.
    fn hold_still(&mut self) -> Result<()> {
        if let Some(holder) = holders::behind_a_loop_device(&self.roots, &self.device) {
            return Err(Error::new(ErrorKind::Busy, "opening", self.device.as_str(), holder));
        }
        write_protection::recover(&self.roots, &self.device)?;
        for partition in sysfs::partitions(&self.roots.class_block(&self.device)) {
            match open_node(&self.roots, &partition.name, OpenMode::Read) {
                Ok(file) => self.open.push((partition.name, file)),
                // A `/dev` that is not the kernel's own need not have them; they are not read through their nodes then.
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        // What a program that is gone wrote through a partition's node may wait in that node's cache.
        self.flush()?;
        // The flag of the whole device does not cover its partitions on older kernels.
        for (device, file) in &self.open {
            self.protection.protect(&self.roots, device, file)?;
        }
        holders::wait_for_writers(&self.roots, &self.device)?;
        self.flush()
    }

    fn flush(&self) -> Result<()> {
        for (device, file) in self.open.iter().rev() {
            let flushed = ioctl::flush_buffers(file).and_then(|()| ioctl::drop_clean_pages(file));
            flushed.map_err(|error| Error::from_io(error, "flushing", device.as_str()))?;
        }
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
            let released = self.protection.release(&device, &file);
            let is_claim = self.use_as == UseAs::Medium && device == self.device;
            let closed = if is_claim {
                let_go(&self.roots, &device, file)
            } else {
                ioctl::close_checked(file).map_err(|error| Error::from_io(error, "closing", device.as_str()))
            };
            if let Err(error) = released.and(closed) {
                first_error.get_or_insert(error);
            }
        }
        first_error.map_or(Ok(()), Err)
    }
}

impl Drop for BlockSource {
    fn drop(&mut self) {
        if let Err(error) = self.close() {
            print(error);
        }
    }
}

pub(super) fn closed(device: &DeviceName, operation: &str) -> Error {
    Error::new(ErrorKind::InvalidInput, operation, device.as_str(), "it is closed")
}
