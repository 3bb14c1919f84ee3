//! Registers at their physical addresses, through `/dev/mem`.

// Maps memory and reads a register in it. Each block states why it is sound.
#![allow(unsafe_code)]

use super::roots::KernelRoots;
use crate::{Error, ErrorKind, Result};
use nix::libc;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::ptr;

/// The smallest page size, of which every page size is a multiple. A mapping starts at a page.
const PAGE_ALIGN_BYTES: u64 = 64 * 1024;

/// Reads the 32-bit register at `address`.
///
/// # Errors
/// Those of [`crate::Firmware::register`].
pub(super) fn read(roots: &KernelRoots, address: u64) -> Result<u32> {
    let object = format!("register {address:#x}");
    if address % 4 != 0 {
        return Err(Error::new(ErrorKind::InvalidInput, "reading", object, "not a multiple of 4"));
    }
    let failed = |error: io::Error| {
        let kind = match error.raw_os_error() {
            // No such device, or a kernel that does not permit the access (CONFIG_STRICT_DEVMEM).
            Some(libc::ENOENT | libc::ENXIO | libc::EPERM | libc::EINVAL) => ErrorKind::Unsupported,
            Some(errno) => ErrorKind::from_errno(errno),
            None => ErrorKind::Other,
        };
        Error::caused_by(kind, "reading", object.as_str(), error)
    };
    // Without O_SYNC, ARM kernels would map it as cached memory.
    let memory = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_SYNC | libc::O_CLOEXEC)
        .open(roots.dev.join("mem"))
        .map_err(failed)?;
    map_and_read(&memory, address).map_err(failed)
}

fn map_and_read(memory: &File, address: u64) -> io::Result<u32> {
    let start = address - address % PAGE_ALIGN_BYTES;
    let offset = libc::off_t::try_from(start).map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))?;
    let within = (address - start) as usize;
    // The 4 KiB with the register, at the start of the mapping; no more is mapped.
    let len = (within / 4096 + 1) * 4096;
    // SAFETY: the kernel chooses an unused address range for a new mapping, which no other memory overlaps; the
    // descriptor is open for the call.
    let mapped = unsafe {
        libc::mmap(ptr::null_mut(), len, libc::PROT_READ, libc::MAP_SHARED, memory.as_raw_fd(), offset)
    };
    if mapped == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: `within + 4 <= len` because both the address and `len` are multiples of 4; the mapping is page-aligned
    // and readable, and exists until `munmap` below. Volatile, because a read of a register can have effects.
    let value = unsafe { ptr::read_volatile(mapped.cast::<u8>().add(within).cast::<u32>()) };
    // SAFETY: this is the mapping from above, and nothing refers to it any more.
    if unsafe { libc::munmap(mapped, len) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_register_is_read_at_its_address() {
        let directory = tempfile::tempdir().unwrap();
        let roots = KernelRoots { dev: directory.path().to_owned(), ..KernelRoots::default() };
        assert_eq!(read(&roots, 8).unwrap_err().kind(), ErrorKind::Unsupported, "no /dev/mem");
        let mut memory = vec![0_u8; 3 * 65_536];
        memory[65_536 + 0x4008..][..4].copy_from_slice(&0x1234_5678_u32.to_ne_bytes());
        memory[0xfffc..][..4].copy_from_slice(&7_u32.to_ne_bytes());
        std::fs::write(directory.path().join("mem"), &memory).unwrap();
        assert_eq!(read(&roots, 0x1_4008).unwrap(), 0x1234_5678);
        assert_eq!(read(&roots, 0xfffc).unwrap(), 7, "the last one of a page");
        assert_eq!(read(&roots, 0x1_4006).unwrap_err().kind(), ErrorKind::InvalidInput);
    }
}
