//! Loop devices: a range of a file or device as a block device.
//!
//! They are created with the kernel's own calls, because not every board has `losetup`. The kernel removes them with
//! their last user, so that a crash leaves none behind. In the normal case [`LoopDevice::detach`] checks that the
//! device was removed.

// The ioctls of the loop driver and their argument. Each block states why it is sound.
#![allow(unsafe_code)]

use super::ioctl;
use super::roots::{KernelRoots, attribute, number};
use crate::host::print;
use crate::{DeviceName, Error, ErrorKind, Result};
use nix::libc::{self, c_int};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::fs::FileTypeExt;
use std::time::{Duration, Instant};

/// Another process can take the free number that the kernel returned. This many attempts are made.
const ATTEMPTS: usize = 64;
/// Time for others (udev, automounters) to close a detached device.
const DETACH_PATIENCE: Duration = Duration::from_secs(5);
const POLL_INTERVAL: Duration = Duration::from_millis(20);

const FLAG_READ_ONLY: u32 = 1;
const FLAG_AUTOCLEAR: u32 = 4;
const FLAG_DIRECT_IO: u32 = 16;

/// `struct loop_info64` of `linux/loop.h`.
#[repr(C)]
#[derive(Clone, Copy)]
struct LoopInfo {
    device: u64,
    inode: u64,
    rdevice: u64,
    offset: u64,
    size_limit: u64,
    number: u32,
    encrypt_type: u32,
    encrypt_key_size: u32,
    flags: u32,
    file_name: [u8; 64],
    crypt_name: [u8; 64],
    encrypt_key: [u8; 32],
    init: [u64; 2],
}

impl LoopInfo {
    const EMPTY: Self = Self {
        device: 0,
        inode: 0,
        rdevice: 0,
        offset: 0,
        size_limit: 0,
        number: 0,
        encrypt_type: 0,
        encrypt_key_size: 0,
        flags: 0,
        file_name: [0; 64],
        crypt_name: [0; 64],
        encrypt_key: [0; 32],
        init: [0; 2],
    };
}

/// `struct loop_config` of `linux/loop.h`.
#[repr(C)]
struct LoopConfig {
    descriptor: u32,
    block_size: u32,
    info: LoopInfo,
    reserved: [u64; 8],
}

mod raw {
    #![allow(missing_docs)]
    use super::{LoopConfig, LoopInfo};

    nix::ioctl_write_int_bad!(loop_set_fd, 0x4c00);
    nix::ioctl_none_bad!(loop_clr_fd, 0x4c01);
    nix::ioctl_write_ptr_bad!(loop_set_status64, 0x4c04, LoopInfo);
    nix::ioctl_read_bad!(loop_get_status64, 0x4c05, LoopInfo);
    nix::ioctl_write_int_bad!(loop_set_block_size, 0x4c09);
    nix::ioctl_write_ptr_bad!(loop_configure, 0x4c0a, LoopConfig);
    nix::ioctl_none_bad!(loop_ctl_get_free, 0x4c82);
}

/// The backing of a loop device.
pub(super) struct Backing<'a> {
    /// The file or device, open for writing unless `read_only`.
    pub(super) file: BorrowedFd<'a>,
    /// Start of the range.
    pub(super) offset_bytes: u64,
    /// Length of the range.
    pub(super) len_bytes: u64,
    /// Sector size of the loop device.
    pub(super) sector_len_bytes: u32,
    /// Whether the device is read-only for its whole life.
    pub(super) read_only: bool,
}

/// An attached loop device.
#[derive(Debug)]
pub(super) struct LoopDevice {
    roots: KernelRoots,
    device: DeviceName,
    /// Open while it is attached by us.
    node: Option<File>,
    /// The backing in sysfs, to distinguish our device from a later one with the same number.
    backing_shown: Option<String>,
    offset_bytes: u64,
}

impl LoopDevice {
    /// Attaches a free loop device to `backing`.
    ///
    /// # Errors
    /// `Unsupported` if the kernel has no loop devices; `Busy` if none is free; other errors of the kernel.
    pub(super) fn attach(roots: &KernelRoots, backing: &Backing<'_>) -> Result<Self> {
        let control = OpenOptions::new().read(true).write(true).open(roots.dev.join("loop-control"));
        let control = control.map_err(|error| {
            let detail = format!("the kernel has no loop devices: {error}");
            Error::new(ErrorKind::Unsupported, "attaching", "a loop device", detail).with_source(error)
        })?;
        for attempt in 0..ATTEMPTS {
            let number = free_number(&control).map_err(failed)?;
            let device = DeviceName::parse(format!("loop{number}"))?;
            let Some(node) = open_node(roots, &device).map_err(failed)? else {
                // devtmpfs or udev may need a moment to create the node.
                std::thread::sleep(POLL_INTERVAL);
                continue;
            };
            match configure(&node, backing) {
                Ok(()) => return Self::attached(roots, device, node, backing),
                Err(error) if error.raw_os_error() == Some(libc::EBUSY) => {
                    // With different pauses, so that two processes do not collide again and again.
                    std::thread::sleep(Duration::from_millis(
                        u64::from(std::process::id()) % 7 + attempt as u64,
                    ));
                }
                Err(error) => return Err(failed(error)),
            }
        }
        Err(Error::new(ErrorKind::Busy, "attaching", "a loop device", "none is free"))
    }

    fn attached(roots: &KernelRoots, device: DeviceName, node: File, backing: &Backing<'_>) -> Result<Self> {
        let backing_shown = attribute(&roots.class_block(&device), "loop/backing_file");
        let mut attached = Self {
            roots: roots.clone(),
            device,
            node: Some(node),
            backing_shown,
            offset_bytes: backing.offset_bytes,
        };
        // An earlier user may have died with the flag set, and the kernel keeps the flag when it detaches.
        let checked = if backing.read_only { Ok(()) } else { attached.set_read_only(false) };
        let checked = checked.and_then(|()| attached.check_len(backing.len_bytes));
        match checked {
            Ok(()) => Ok(attached),
            Err(error) => {
                // The error of attaching is more important than one of undoing it, which Drop prints.
                drop(attached);
                Err(error)
            }
        }
    }

    /// With a backing that is too short the kernel makes a shorter device without an error.
    fn check_len(&mut self, len_bytes: u64) -> Result<()> {
        let Some(node) = &self.node else { return Ok(()) };
        let shown = ioctl::len_bytes(node).map_err(|error| self.error(error, "measuring"))?;
        if shown == len_bytes {
            return Ok(());
        }
        let detail = format!("requested {len_bytes} bytes, got {shown}");
        Err(Error::new(ErrorKind::OutOfRange, "attaching", self.device.as_str(), detail))
    }

    /// The kernel's name.
    pub(super) fn device(&self) -> &DeviceName {
        &self.device
    }

    /// Sets or clears the read-only flag.
    pub(super) fn set_read_only(&self, read_only: bool) -> Result<()> {
        let Some(node) = &self.node else { return Ok(()) };
        ioctl::set_read_only(node, read_only).map_err(|error| self.error(error, "setting read-only"))
    }

    /// Writes out and detaches, and waits until the device is removed.
    ///
    /// # Errors
    /// `Io` if the last writes failed; `Busy` if another program has it open.
    pub(super) fn detach(&mut self) -> Result<()> {
        let Some(node) = self.node.take() else { return Ok(()) };
        let synced = node.sync_all().map_err(|error| self.error(error, "syncing"));
        let writable = ioctl::set_read_only(&node, false);
        // SAFETY: the descriptor is open for the call; LOOP_CLR_FD has no argument.
        let cleared = unsafe { raw::loop_clr_fd(node.as_raw_fd()) };
        let closed = ioctl::close_checked(node);
        let detached = writable.and(cleared.map_err(io::Error::from)).and(closed);
        let detached = match detached {
            // Detached already, by another program or with its last user.
            Err(error) if error.raw_os_error() == Some(libc::ENXIO) => Ok(()),
            other => other.map_err(|error| self.error(error, "detaching")),
        };
        synced.and(detached)?;
        let deadline = Instant::now() + DETACH_PATIENCE;
        while self.still_shown() {
            if Instant::now() >= deadline {
                return Err(Error::new(
                    ErrorKind::Busy,
                    "detaching",
                    self.device.as_str(),
                    "another program has it open; it is removed when that closes it",
                ));
            }
            std::thread::sleep(POLL_INTERVAL);
        }
        Ok(())
    }

    fn still_shown(&self) -> bool {
        let directory = self.roots.class_block(&self.device);
        let shown = attribute(&directory, "loop/backing_file");
        shown.is_some()
            && shown == self.backing_shown
            && number(&directory, "loop/offset") == Some(self.offset_bytes)
    }

    fn error(&self, error: io::Error, operation: &str) -> Error {
        Error::from_io(error, operation, self.device.as_str())
    }
}

impl Drop for LoopDevice {
    fn drop(&mut self) {
        if let Err(error) = self.detach() {
            print(error);
        }
    }
}

fn failed(error: io::Error) -> Error {
    Error::from_io(error, "attaching", "a loop device")
}

/// The number (as in `st_rdev`) of the block device that backs the loop device `name`; `None` if a file does, or if it
/// cannot be found out.
pub(super) fn backing_device(roots: &KernelRoots, name: &str) -> Option<u64> {
    let node = File::open(roots.node(&DeviceName::parse(name).ok()?)).ok()?;
    let mut info = LoopInfo::EMPTY;
    // SAFETY: the descriptor is open for the call, and `info` has the layout of `struct loop_info64`.
    unsafe { raw::loop_get_status64(node.as_raw_fd(), &mut info).ok()? };
    (info.rdevice != 0).then_some(info.rdevice)
}

fn free_number(control: &File) -> io::Result<c_int> {
    // SAFETY: the descriptor is open for the call; LOOP_CTL_GET_FREE has no argument.
    Ok(unsafe { raw::loop_ctl_get_free(control.as_raw_fd())? })
}

/// `None` if there is no such node yet. Never creates a node.
fn open_node(roots: &KernelRoots, device: &DeviceName) -> io::Result<Option<File>> {
    match OpenOptions::new().read(true).write(true).open(roots.node(device)) {
        Ok(node) if node.metadata()?.file_type().is_block_device() => Ok(Some(node)),
        Ok(_) => Err(io::Error::from_raw_os_error(libc::ENOTBLK)),
        Err(error) if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ENXIO)) => Ok(None),
        Err(error) => Err(error),
    }
}

fn configure(node: &File, backing: &Backing<'_>) -> io::Result<()> {
    let flags = FLAG_AUTOCLEAR | if backing.read_only { FLAG_READ_ONLY } else { 0 };
    let info = info(backing, flags);
    let mut config = LoopConfig {
        // An open descriptor is never negative.
        descriptor: backing.file.as_raw_fd() as u32,
        block_size: backing.sector_len_bytes,
        info: LoopInfo { flags: flags | FLAG_DIRECT_IO, ..info },
        reserved: [0; 8],
    };
    // SAFETY: both descriptors are open for the call, and `config` has the layout of `struct loop_config`.
    let mut result = unsafe { raw::loop_configure(node.as_raw_fd(), &config) };
    if result == Err(nix::errno::Errno::EINVAL) {
        // Some kernels refuse direct I/O if the backing does not support it; kernels before 5.8 have no LOOP_CONFIGURE.
        config.info = info;
        // SAFETY: as above.
        result = unsafe { raw::loop_configure(node.as_raw_fd(), &config) };
    }
    match result {
        Err(nix::errno::Errno::EINVAL | nix::errno::Errno::ENOTTY | nix::errno::Errno::ENOSYS) => {
            configure_in_steps(node, backing, &info)
        }
        result => Ok(result.map(drop)?),
    }
}

fn info(backing: &Backing<'_>, flags: u32) -> LoopInfo {
    LoopInfo { offset: backing.offset_bytes, size_limit: backing.len_bytes, flags, ..LoopInfo::EMPTY }
}

/// For kernels before 5.8. A device that could only be configured in part is detached again.
fn configure_in_steps(node: &File, backing: &Backing<'_>, info: &LoopInfo) -> io::Result<()> {
    // The driver takes the read-only flag from how the node or the backing is open; BLKROSET sets it in other cases.
    // SAFETY: both descriptors are open for the call.
    unsafe { raw::loop_set_fd(node.as_raw_fd(), backing.file.as_raw_fd())? };
    let mut result = Ok(0);
    if backing.sector_len_bytes != 512 {
        // SAFETY: the descriptor is open for the call; sector sizes are small numbers.
        result = unsafe { raw::loop_set_block_size(node.as_raw_fd(), backing.sector_len_bytes as c_int) };
    }
    if result.is_ok() {
        // SAFETY: the descriptor is open for the call, and `info` has the layout of `struct loop_info64`.
        result = unsafe { raw::loop_set_status64(node.as_raw_fd(), info) };
    }
    let mut result = result.map(drop).map_err(io::Error::from);
    if result.is_ok() && backing.read_only {
        result = ioctl::set_read_only(node, true);
    }
    if result.is_err() {
        // SAFETY: the descriptor is open for the call.
        let undone = unsafe { raw::loop_clr_fd(node.as_raw_fd()) };
        result = result.and(undone.map(drop).map_err(io::Error::from));
    }
    result
}

#[cfg(test)]
mod tests {
    use super::super::test_images::{Image, have_loop_devices};
    use super::*;
    use std::os::fd::AsFd;
    use std::os::unix::fs::FileExt;

    fn backing(file: &File, len_bytes: u64) -> Backing<'_> {
        Backing { file: file.as_fd(), offset_bytes: 4096, len_bytes, sector_len_bytes: 512, read_only: false }
    }

    fn writable(image: &Image) -> File {
        File::options().read(true).write(true).open(image.path()).unwrap()
    }

    #[test]
    fn a_range_of_a_file_becomes_a_device_and_is_removed_again() {
        if !have_loop_devices("a_range_of_a_file_becomes_a_device_and_is_removed_again") {
            return;
        }
        let image = Image::empty(1 << 20);
        let file = writable(&image);
        let roots = KernelRoots::default();
        let mut device = LoopDevice::attach(&roots, &backing(&file, 8192)).unwrap();
        let node = File::options().write(true).open(roots.node(device.device())).unwrap();
        node.write_all_at(b"through the loop", 512).unwrap();
        node.sync_all().unwrap();
        device.set_read_only(true).unwrap();
        assert!(node.write_all_at(&[1; 512], 0).and_then(|()| node.sync_all()).is_err());
        drop(node);
        device.detach().unwrap();
        device.detach().unwrap();
        let mut text = [0; 16];
        file.read_exact_at(&mut text, 4096 + 512).unwrap();
        assert_eq!(&text, b"through the loop");
        // The flag does not stay after the device: the next user of the number can write.
        let again = LoopDevice::attach(&roots, &backing(&file, 8192)).unwrap();
        assert!(!ioctl::is_read_only(again.node.as_ref().unwrap()).unwrap());
    }

    #[test]
    fn a_backing_too_short_is_refused() {
        if !have_loop_devices("a_backing_too_short_is_refused") {
            return;
        }
        let image = Image::empty(8192);
        let file = writable(&image);
        let error = LoopDevice::attach(&KernelRoots::default(), &backing(&file, 8192)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::OutOfRange);
    }

    #[test]
    fn a_device_that_another_program_has_open_is_not_removed() {
        if !have_loop_devices("a_device_that_another_program_has_open_is_not_removed") {
            return;
        }
        let image = Image::empty(1 << 20);
        let file = writable(&image);
        let roots = KernelRoots::default();
        let mut device = LoopDevice::attach(&roots, &backing(&file, 8192)).unwrap();
        let other = File::open(roots.node(device.device())).unwrap();
        assert_eq!(device.detach().unwrap_err().kind(), ErrorKind::Busy);
        drop(other);
        let deadline = Instant::now() + DETACH_PATIENCE;
        while device.still_shown() {
            assert!(Instant::now() < deadline, "it is removed with its last user");
        }
    }

    #[test]
    fn older_kernels_are_configured_in_steps() {
        if !have_loop_devices("older_kernels_are_configured_in_steps") {
            return;
        }
        let image = Image::empty(1 << 20);
        let file = writable(&image);
        let roots = KernelRoots::default();
        let control = File::options().read(true).write(true).open("/dev/loop-control").unwrap();
        for (sector_len_bytes, read_only) in [(512, false), (4096, true)] {
            let backing = Backing { sector_len_bytes, read_only, ..backing(&file, 8192) };
            let info = info(&backing, FLAG_AUTOCLEAR);
            let (device, node) = loop {
                let device = DeviceName::parse(format!("loop{}", free_number(&control).unwrap())).unwrap();
                let node = open_node(&roots, &device).unwrap().unwrap();
                match configure_in_steps(&node, &backing, &info) {
                    Ok(()) => break (device, node),
                    Err(error) => assert_eq!(error.raw_os_error(), Some(libc::EBUSY), "{error}"),
                }
            };
            assert_eq!(ioctl::sector_len_bytes(&node).unwrap(), sector_len_bytes);
            assert_eq!(ioctl::is_read_only(&node).unwrap(), read_only);
            LoopDevice::attached(&roots, device, node, &backing).unwrap().detach().unwrap();
        }
    }
}
