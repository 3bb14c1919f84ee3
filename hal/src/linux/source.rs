//! A block device that is captured: claimed, opened read-only, and read-only in the kernel while it is open.
//!
//! The claim excludes mounts, mappings and other claims, in every mount namespace. The flag excludes programs that open
//! the device for writing without a claim. A program that already had it open for writing is found, and the open is
//! refused.

use super::claim::release;
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
    /// The device, then those of its partitions that are write-protected with it; empty once closed.
    open: Vec<(DeviceName, File)>,
    len_bytes: u64,
    use_as: UseAs,
}

/// The purpose of a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum UseAs {
    /// Capturing: exclusive.
    Medium,
    /// Reading while others may use it.
    Shared,
}

impl BlockSource {
    /// Opens `device`. For a capture it is claimed in the kernel, which refuses that while the device or a part of it
    /// is mounted anywhere, mapped, or claimed by another program. Then nobody else can claim it until the source is
    /// closed.
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
            source.protect()?;
        }
        Ok(source)
    }

    /// After this nothing changes the medium, and reads show the medium and not an old cache.
    fn protect(&mut self) -> Result<()> {
        if let Some(holder) = holders::behind_a_loop_device(&self.roots, &self.device) {
            return Err(Error::new(ErrorKind::Busy, "opening", self.device.as_str(), holder));
        }
        write_protection::recover(&self.roots, &self.device)?;
        for partition in sysfs::partitions(&self.roots.class_block(&self.device)) {
            match open_node(&self.roots, &partition.name, OpenMode::Read) {
                Ok(file) => self.open.push((partition.name, file)),
                // A `/dev` that is not the kernel's own may not have them; then they are not read through their nodes.
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        // What an ended program wrote through the node of a partition may still be in the cache of that node.
        self.flush()?;
        // On older kernels the flag of the whole device does not apply to its partitions.
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
            // The kernel reads 0 bytes from a device that was pulled out; that is not the end of the medium.
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
                release(&self.roots, &device, file)
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
