//! The status of an entry: one `statx`, on every supported kernel and host.

use super::file::MODE_MASK;
use super::walk::Place;
use crate::{FileKind, Metadata, Owner, Timestamp};
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::{Mode, major, minor};
use rustix::fs::{AtFlags, Statx, StatxAttributes, StatxFlags, statx};
use rustix::io::Errno;
use std::fs::File;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};

/// Unit of `st_blocks`, whatever the block size of the file system is (inode(7)).
const STATUS_BLOCK_LEN_BYTES: u64 = 512;

/// `S_IFMT` and the types in it (inode(7)).
const TYPE_MASK: u32 = 0o170_000;

/// The status of an entry or of an open file.
#[derive(Debug, Clone)]
pub(super) struct Status {
    /// The metadata.
    pub(super) metadata: Metadata,
    /// What the file system does with the entry; `None` if the kernel does not say.
    pub(super) attributes: Option<StatxAttributes>,
}

/// The status of the entry itself.
///
/// Not with `fstatat`, because the plain one of a 32-bit host fails on files of 2 GiB and more. Kernels before 4.11 do not
/// have `statx`: there it is read through an `O_PATH` descriptor and std.
pub(super) fn of_entry(place: &Place<'_>) -> io::Result<Status> {
    match statx(place, place.name, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::BASIC_STATS) {
        Ok(status) => Ok(from_statx(&status)),
        Err(Errno::NOSYS) => {
            let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
            let entry = File::from(openat(place, place.name, flags, Mode::empty())?);
            of_open(&entry)
        }
        Err(errno) => Err(errno.into()),
    }
}

/// The status of an open file.
pub(super) fn of_open(file: &File) -> io::Result<Status> {
    match statx(file, c"", AtFlags::EMPTY_PATH, StatxFlags::BASIC_STATS) {
        Ok(status) => Ok(from_statx(&status)),
        Err(Errno::NOSYS) => Ok(Status { metadata: by_std(file)?, attributes: None }),
        Err(errno) => Err(errno.into()),
    }
}

/// The metadata of an open file on a kernel without `statx`.
fn by_std(file: &File) -> io::Result<Metadata> {
    let status = file.metadata()?;
    let kind = file_kind(status.file_type());
    let device = (major(status.rdev()), minor(status.rdev()));
    Ok(Metadata {
        kind,
        len_bytes: status.len(),
        allocated_bytes: status.blocks().saturating_mul(STATUS_BLOCK_LEN_BYTES),
        mode: status.mode() & MODE_MASK,
        owner: Owner { uid: status.uid(), gid: status.gid() },
        // Below a billion by definition. If a kernel returns more, 0.
        modified: Timestamp {
            seconds: status.mtime(),
            nanos: u32::try_from(status.mtime_nsec()).unwrap_or(0),
        },
        inode: status.ino(),
        links: status.nlink(),
        device: match kind {
            FileKind::CharDevice | FileKind::BlockDevice => (number(device.0), number(device.1)),
            _ => (0, 0),
        },
    })
}

fn from_statx(status: &Statx) -> Status {
    let mode = u32::from(status.stx_mode);
    let kind = match mode & TYPE_MASK {
        0o100_000 => FileKind::File,
        0o040_000 => FileKind::Directory,
        0o120_000 => FileKind::Symlink,
        0o020_000 => FileKind::CharDevice,
        0o060_000 => FileKind::BlockDevice,
        0o010_000 => FileKind::Fifo,
        _ => FileKind::Socket,
    };
    let metadata = Metadata {
        kind,
        len_bytes: status.stx_size,
        allocated_bytes: status.stx_blocks.saturating_mul(STATUS_BLOCK_LEN_BYTES),
        mode: mode & MODE_MASK,
        owner: Owner { uid: status.stx_uid, gid: status.stx_gid },
        modified: Timestamp { seconds: status.stx_mtime.tv_sec, nanos: status.stx_mtime.tv_nsec },
        inode: status.stx_ino,
        links: status.stx_nlink.into(),
        device: match kind {
            FileKind::CharDevice | FileKind::BlockDevice => (status.stx_rdev_major, status.stx_rdev_minor),
            _ => (0, 0),
        },
    };
    Status { metadata, attributes: Some(status.stx_attributes) }
}

fn number(part: u64) -> u32 {
    u32::try_from(part).unwrap_or(u32::MAX)
}

/// The type of an entry, by its status.
pub(super) fn file_kind(file_type: std::fs::FileType) -> FileKind {
    if file_type.is_file() {
        FileKind::File
    } else if file_type.is_dir() {
        FileKind::Directory
    } else if file_type.is_symlink() {
        FileKind::Symlink
    } else if file_type.is_char_device() {
        FileKind::CharDevice
    } else if file_type.is_block_device() {
        FileKind::BlockDevice
    } else if file_type.is_fifo() {
        FileKind::Fifo
    } else {
        FileKind::Socket
    }
}
