//! Opening device nodes, and what is common to all of them: the open flags, the length, the errors.
//!
//! Nothing is ever created under `/dev`: no open has `O_CREAT`, and a node must be a block device.

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

/// For programs that read a device after a writer has closed it, and for copies of a claim that was released.
pub(super) const PATIENCE: Patience =
    Patience { total: Duration::from_secs(2), interval: Duration::from_millis(20) };

/// How a node is opened.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum OpenMode {
    /// Reading.
    Read,
    /// Reading, exclusively.
    ExclusiveRead,
    /// Reading and writing, exclusively: fails while the device or a part of it is mounted or claimed.
    Exclusive,
}

/// The error for a node that is not a block device.
pub(super) fn not_a_block_device(object: &str) -> Error {
    Error::new(ErrorKind::WrongDevice, "opening", object, "not a block device")
}

/// Opens the node of `device`, which must be a block device with a medium.
pub(super) fn open_node(roots: &KernelRoots, device: &DeviceName, mode: OpenMode) -> Result<File> {
    let node = roots.node(device);
    let object = device.as_str();
    // Checked before the open, because opening a character device can have effects (a watchdog, a tape).
    let before = std::fs::metadata(&node).map_err(|error| Error::from_io(error, "opening", object))?;
    if !before.file_type().is_block_device() {
        return Err(not_a_block_device(object));
    }
    let file = open_patiently(&node, mode).map_err(|error| {
        // The kernel checks the write protection first, which the program that uses the device may have set.
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

/// Whether the kernel reports that the device is in use.
pub(super) fn is_busy(error: &std::io::Error) -> bool {
    error.raw_os_error() == Some(libc::EBUSY)
}

/// Converts an error of open, in which an empty slot and a write-protected card have special numbers.
fn open_error(error: std::io::Error, device: &DeviceName) -> Error {
    let kind = match error.raw_os_error() {
        // ENXIO, ENODEV and ENOMEDIUM are `DeviceGone` in every call. A write-protected device returns EROFS or EACCES;
        // root never gets EACCES for permissions.
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

/// Converts an error of a read or write. A device that was pulled out returns EIO like a bad sector; only sysfs shows
/// the difference.
pub(super) fn io_error(
    roots: &KernelRoots,
    device: &DeviceName,
    error: std::io::Error,
    operation: &str,
    offset_bytes: u64,
) -> Error {
    let error = Error::from_io(error, operation, format!("{device} at {offset_bytes}"));
    if error.kind() == ErrorKind::Io && !roots.class_block(device).exists() {
        let gone = Error::new(ErrorKind::DeviceGone, operation, device.as_str(), "the device was removed");
        return gone.with_source(error);
    }
    error
}

/// Why a device that is read-only in the kernel cannot be written, and what to do about it.
pub(super) fn refused(device: &DeviceName) -> Error {
    let detail = format!(
        "it is read-only in the kernel: unlock the write-protect switch of the SD card, or run \
         `blockdev --setrw /dev/{device}`"
    );
    Error::new(ErrorKind::ReadOnly, "opening", device.as_str(), detail)
}
