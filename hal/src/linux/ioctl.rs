//! The block-device ioctls of the backend, each as a safe function on an open file.
//!
//! Request numbers are from `linux/fs.h`. What the calls are used for is decided elsewhere.

// Kernel calls that are not in nix. Each block states why it is sound.
#![allow(unsafe_code)]

use nix::libc::{self, c_int};
use nix::{request_code_none, request_code_read};
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

mod raw {
    #![allow(missing_docs)]
    use super::{c_int, request_code_none, request_code_read};

    nix::ioctl_write_ptr_bad!(blkroset, request_code_none!(0x12, 93), c_int);
    nix::ioctl_read_bad!(blkroget, request_code_none!(0x12, 94), c_int);
    nix::ioctl_none_bad!(blkrrpart, request_code_none!(0x12, 95));
    nix::ioctl_none_bad!(blkflsbuf, request_code_none!(0x12, 97));
    nix::ioctl_read_bad!(blksszget, request_code_none!(0x12, 104), c_int);
    // The request number contains the size of a `size_t`, but the kernel writes a u64 on every architecture.
    nix::ioctl_read_bad!(blkgetsize64, request_code_read!(0x12, 114, size_of::<usize>()), u64);
    nix::ioctl_write_ptr_bad!(blkdiscard, request_code_none!(0x12, 119), [u64; 2]);
    nix::ioctl_write_ptr_bad!(blkzeroout, request_code_none!(0x12, 127), [u64; 2]);
}

/// Capacity of a block device in bytes.
pub(super) fn len_bytes(device: &File) -> io::Result<u64> {
    let mut len = 0;
    // SAFETY: the descriptor is open for the call, and BLKGETSIZE64 writes one u64.
    unsafe { raw::blkgetsize64(device.as_raw_fd(), &mut len)? };
    Ok(len)
}

/// Logical sector size in bytes.
pub(super) fn sector_len_bytes(device: &File) -> io::Result<u32> {
    let mut len = 0;
    // SAFETY: the descriptor is open for the call, and BLKSSZGET writes one int.
    unsafe { raw::blksszget(device.as_raw_fd(), &mut len)? };
    Ok(u32::try_from(len).unwrap_or(512).max(512))
}

/// Whether the device is read-only in the kernel.
pub(super) fn is_read_only(device: &File) -> io::Result<bool> {
    let mut flag = 0;
    // SAFETY: the descriptor is open for the call, and BLKROGET writes one int.
    unsafe { raw::blkroget(device.as_raw_fd(), &mut flag)? };
    Ok(flag != 0)
}

/// Sets or clears the read-only flag of the device.
pub(super) fn set_read_only(device: &File, read_only: bool) -> io::Result<()> {
    let flag = c_int::from(read_only);
    // SAFETY: the descriptor is open for the call, and BLKROSET reads one int.
    unsafe { raw::blkroset(device.as_raw_fd(), &flag)? };
    Ok(())
}

/// Writes out and drops the device's page cache. Pages that another opener has mapped or dirtied again may stay.
pub(super) fn flush_buffers(device: &File) -> io::Result<()> {
    // SAFETY: the descriptor is open for the call; BLKFLSBUF has no argument.
    unsafe { raw::blkflsbuf(device.as_raw_fd())? };
    Ok(())
}

/// Makes the kernel read the partition table again.
pub(super) fn reread_partitions(device: &File) -> io::Result<()> {
    // SAFETY: the descriptor is open for the call; BLKRRPART has no argument.
    unsafe { raw::blkrrpart(device.as_raw_fd())? };
    Ok(())
}

/// Makes a range read as zeros; both numbers must be multiples of the sector size.
pub(super) fn zero_out(device: &File, offset_bytes: u64, len_bytes: u64) -> io::Result<()> {
    let range = [offset_bytes, len_bytes];
    // SAFETY: the descriptor is open for the call, and BLKZEROOUT reads two u64.
    unsafe { raw::blkzeroout(device.as_raw_fd(), &range)? };
    Ok(())
}

/// Discards a range; both numbers must be multiples of the sector size.
pub(super) fn discard(device: &File, offset_bytes: u64, len_bytes: u64) -> io::Result<()> {
    let range = [offset_bytes, len_bytes];
    // SAFETY: the descriptor is open for the call, and BLKDISCARD reads two u64.
    unsafe { raw::blkdiscard(device.as_raw_fd(), &range)? };
    Ok(())
}

/// Starts write-back of a range, and waits for it if `wait`.
pub(super) fn write_back(device: &File, offset_bytes: u64, len_bytes: u64, wait: bool) -> io::Result<()> {
    let flags = if wait {
        libc::SYNC_FILE_RANGE_WAIT_BEFORE | libc::SYNC_FILE_RANGE_WRITE | libc::SYNC_FILE_RANGE_WAIT_AFTER
    } else {
        libc::SYNC_FILE_RANGE_WRITE
    };
    let number =
        |value| libc::off64_t::try_from(value).map_err(|_| io::Error::from_raw_os_error(libc::EINVAL));
    let (offset, len) = (number(offset_bytes)?, number(len_bytes)?);
    // SAFETY: the descriptor is open for the call; the others are plain numbers that the kernel checks.
    let result = unsafe { libc::sync_file_range(device.as_raw_fd(), offset, len, flags) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Drops clean pages of the file from the page cache.
pub(super) fn drop_clean_pages(file: &File) -> io::Result<()> {
    use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};
    posix_fadvise(file, 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED)?;
    Ok(())
}

/// Closes a file and returns the error of `close(2)`, which dropping a [`File`] does not.
pub(super) fn close_checked(file: File) -> io::Result<()> {
    use std::os::fd::IntoRawFd;
    let descriptor = file.into_raw_fd();
    // SAFETY: `into_raw_fd` gave up ownership, so this is the only close of the descriptor.
    let result = unsafe { libc::close(descriptor) };
    if result == 0 {
        return Ok(());
    }
    let error = io::Error::last_os_error();
    // On Linux the descriptor is closed even if a signal interrupts the call.
    if error.kind() == io::ErrorKind::Interrupted { Ok(()) } else { Err(error) }
}
