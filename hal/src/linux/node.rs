//! Opening device nodes, and what everything that opens one shares: how it is opened, its length, the words of its errors.
//!
//! Nothing is ever created under `/dev`: every open is without `O_CREAT`, and what is opened must be a block device.

use super::holders;
use super::ioctl;
use super::patience::Patience;
use super::roots::KernelRoots;
use crate::{DeviceName, Error, ErrorKind, Result};
use nix::libc;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::time::Duration;

/// For who looks at a device that a writer has closed, and for copies of a claim that was let go.
pub(super) const PATIENCE: Patience =
    Patience { total: Duration::from_secs(2), interval: Duration::from_millis(20) };

/// How a node is opened.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum OpenMode {
    /// Reading.
    Read,
    /// Reading, as the only one.
    ExclusiveRead,
    /// Reading and writing, as the only one: fails while the device or a part of it is mounted or held.
    Exclusive,
}

/// The error of what is no block device.
pub(super) fn not_a_block_device(object: &str) -> Error {
    Error::new(ErrorKind::WrongDevice, "opening", object, "not a block device")
}

/// Opens the node of `device`, which must be a block device with a medium in it.
pub(super) fn open_node(roots: &KernelRoots, device: &DeviceName, mode: OpenMode) -> Result<File> {
    let node = roots.node(device);
    let object = device.as_str();
    // Looked at before opening, because opening a character device can act on it (a watchdog, a tape).
    let before = std::fs::metadata(&node).map_err(|error| Error::from_io(error, "opening", object))?;
    if !before.file_type().is_block_device() {
        return Err(not_a_block_device(object));
    }
    let file = open_patiently(&node, mode).map_err(|error| {
        // The kernel looks at its write protection first, which the holder may have set.
        let is_held = || {
            mode == OpenMode::Exclusive && open(&node, OpenMode::ExclusiveRead).is_err_and(|e| is_busy(&e))
        };
        if is_busy(&error) || is_held() { holders::busy(roots, device) } else { open_error(error, device) }
    })?;
    let opened = file.metadata().map_err(|error| Error::from_io(error, "opening", object))?;
    if !opened.file_type().is_block_device() || opened.rdev() != before.rdev() {
        return Err(not_a_block_device(object));
    }
    Ok(file)
}

fn open_patiently(node: &Path, mode: OpenMode) -> std::io::Result<File> {
    PATIENCE.while_busy(is_busy, || open(node, mode))
}

fn open(node: &Path, mode: OpenMode) -> std::io::Result<File> {
    let exclusive = if mode == OpenMode::Read { 0 } else { libc::O_EXCL };
    OpenOptions::new().read(true).write(mode == OpenMode::Exclusive).custom_flags(exclusive).open(node)
}

/// Whether the kernel says that something else holds the device.
pub(super) fn is_busy(error: &std::io::Error) -> bool {
    error.raw_os_error() == Some(libc::EBUSY)
}

/// An error of opening: an empty slot and a write-protected card have numbers of their own there.
fn open_error(error: std::io::Error, device: &DeviceName) -> Error {
    let kind = match error.raw_os_error() {
        // ENXIO, ENODEV, ENOMEDIUM are `DeviceGone` anywhere. A write-protected device refuses with EROFS or EACCES;
        // root is never refused for permissions.
        Some(libc::EACCES) if nix::unistd::geteuid().is_root() => ErrorKind::ReadOnly,
        Some(errno) => ErrorKind::from_errno(errno),
        None => ErrorKind::Other,
    };
    if kind == ErrorKind::ReadOnly {
        return refused(device).with_source(error);
    }
    Error::caused_by(kind, "opening", device.as_str(), error)
}

/// Length of an opened device; an empty slot is an error.
pub(super) fn medium_len_bytes(file: &File, device: &DeviceName) -> Result<u64> {
    let object = device.as_str();
    match ioctl::len_bytes(file).map_err(|error| Error::from_io(error, "measuring", object))? {
        0 => Err(Error::new(ErrorKind::DeviceGone, "opening", object, "no medium in it")),
        len => Ok(len),
    }
}

/// Wraps an error of reading or writing. A device that was pulled out answers EIO like a bad sector; only sysfs tells.
pub(super) fn io_error(
    roots: &KernelRoots,
    device: &DeviceName,
    error: std::io::Error,
    operation: &str,
    offset_bytes: u64,
) -> Error {
    let error = Error::from_io(error, operation, format!("{device} at {offset_bytes}"));
    if error.kind() == ErrorKind::Io && !roots.class_block(device).exists() {
        let gone = Error::new(ErrorKind::DeviceGone, operation, device.as_str(), "the device is gone");
        return gone.with_source(error);
    }
    error
}

/// Why a device cannot be written that the kernel says is read-only, and what to do about it.
pub(super) fn refused(device: &DeviceName) -> Error {
    let detail = format!(
        "it is read-only in the kernel: open the write-protect switch of an SD card; otherwise \
         `blockdev --setrw /dev/{device}` makes it writable"
    );
    Error::new(ErrorKind::ReadOnly, "opening", device.as_str(), detail)
}
