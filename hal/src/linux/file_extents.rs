//! Where the data of a file is on the block device of its file system: FIEMAP.
//!
//! Numbers and layout are those of `linux/fiemap.h`.

// One kernel call that is not in nix. The block states why it is sound.
#![allow(unsafe_code)]

use crate::FileExtent;
use nix::libc;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

/// Extents in one call.
const BATCH: usize = 128;
/// As documented at [`crate::VolumeFile::extents`].
const EXTENTS_MAX: usize = 1 << 16;
/// The last extent of the file.
const LAST: u32 = 0x1;
/// Merged by the kernel from the blocks of a file without extents (ext2, ext3).
const MERGED: u32 = 0x1000;

/// `struct fiemap_extent`.
#[repr(C)]
#[derive(Clone, Copy)]
struct Extent {
    logical: u64,
    physical: u64,
    length: u64,
    reserved64: [u64; 2],
    flags: u32,
    reserved: [u32; 3],
}

impl Extent {
    const EMPTY: Self =
        Self { logical: 0, physical: 0, length: 0, reserved64: [0; 2], flags: 0, reserved: [0; 3] };

    /// Its place. Every flag but these two says that the data is not there, not yet, or not alone.
    fn written(&self) -> Option<FileExtent> {
        let end = self.physical.checked_add(self.length)?;
        (self.flags & !(LAST | MERGED) == 0 && self.physical > 0 && self.length > 0)
            .then_some(FileExtent { offset_bytes: self.logical, place: self.physical..end })
    }
}

/// `struct fiemap` with room for a batch.
#[repr(C)]
struct Request {
    start: u64,
    length: u64,
    flags: u32,
    mapped_extents: u32,
    extent_count: u32,
    reserved: u32,
    extents: [Extent; BATCH],
}

/// `FS_IOC_FIEMAP`; the size in it is that of `struct fiemap` without extents.
const FIEMAP: libc::c_ulong = nix::request_code_readwrite!(b'f', 11, 32) as libc::c_ulong;

mod raw {
    #![allow(missing_docs)]
    use super::{FIEMAP, Request};

    nix::ioctl_readwrite_bad!(fiemap, FIEMAP, Request);
}

/// Where the device holds written data of `file` and nothing else. Empty if the file system cannot tell.
pub(super) fn written(file: &File) -> io::Result<Vec<FileExtent>> {
    let mut extents: Vec<FileExtent> = Vec::new();
    let mut start = 0;
    loop {
        let mut request = Request {
            start,
            length: u64::MAX - start,
            flags: 0,
            mapped_extents: 0,
            extent_count: BATCH as u32,
            reserved: 0,
            extents: [Extent::EMPTY; BATCH],
        };
        // SAFETY: the descriptor is open for the call, and `request` has the layout of `struct fiemap` with room for
        // `extent_count` extents.
        match unsafe { raw::fiemap(file.as_raw_fd(), &mut request) } {
            Ok(_) => {}
            Err(nix::errno::Errno::EOPNOTSUPP | nix::errno::Errno::ENOTTY) => return Ok(Vec::new()),
            Err(errno) => return Err(errno.into()),
        }
        let found = request.extents.get(..request.mapped_extents as usize).unwrap_or(&request.extents);
        let room = EXTENTS_MAX - extents.len();
        extents.extend(found.iter().filter_map(Extent::written).take(room));
        let Some(last) = found.last().filter(|last| last.flags & LAST == 0 && extents.len() < EXTENTS_MAX)
        else {
            return Ok(extents);
        };
        match last.logical.checked_add(last.length) {
            // A file system must not keep this loop at one place.
            Some(end) if end > start => start = end,
            _ => return Ok(extents),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_data_that_is_there_as_it_is_counts() {
        let extent =
            |flags| Extent { logical: 4096, physical: 8192, length: 4096, flags, ..Extent::EMPTY }.written();
        let written = Some(FileExtent { offset_bytes: 4096, place: 8192..12288 });
        assert_eq!(extent(0), written);
        assert_eq!(extent(LAST | MERGED), written);
        // Unknown place, not allocated yet, encoded, encrypted, not aligned, inline, tail, unwritten, shared.
        for flag in [0x2, 0x4, 0x8, 0x80, 0x100, 0x200, 0x400, 0x800, 0x2000] {
            assert_eq!(extent(flag), None, "{flag:#x}");
        }
        let at_the_end = Extent { physical: u64::MAX, length: 2, ..Extent::EMPTY };
        assert_eq!(at_the_end.written(), None);
    }

    #[test]
    fn the_layout_is_that_of_the_kernel() {
        assert_eq!((size_of::<Extent>(), size_of::<Request>()), (56, 32 + BATCH * 56));
        assert_eq!(FIEMAP, 0xc020_660b);
    }
}
