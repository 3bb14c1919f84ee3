//! The types of the arguments and results of a volume's methods that describe one file.

use crate::Timestamp;
use std::ops::Range;

/// The type of a directory entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FileKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// A character device.
    CharDevice,
    /// A block device.
    BlockDevice,
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
}

/// One name in a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirectoryEntry {
    /// The name's bytes.
    pub name: Vec<u8>,
    /// Its type.
    pub kind: FileKind,
}

/// Numeric owner and group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Owner {
    /// User.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

/// Metadata of a file, directory or link itself (`lstat`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metadata {
    /// Its type.
    pub kind: FileKind,
    /// Length in bytes; of a symlink, that of its target text.
    pub len_bytes: u64,
    /// Allocated space; less than the length if the file has holes.
    pub allocated_bytes: u64,
    /// Permission bits with setuid, setgid and sticky: the low 12 bits.
    pub mode: u32,
    /// Owner.
    pub owner: Owner,
    /// Last change of the content.
    pub modified: Timestamp,
    /// Inode number, which hard links share.
    pub inode: u64,
    /// Number of hard links.
    pub links: u64,
    /// Major and minor number of a device node, else zeros.
    pub device: (u32, u32),
}

/// A node without content, as an argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodeKind {
    /// A character device.
    CharDevice {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// A block device.
    BlockDevice {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// A named pipe.
    Fifo,
}

/// One extended attribute. POSIX ACLs and file capabilities are attributes too (`system.posix_acl_access`,
/// `security.capability`).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Xattr {
    /// Name with its namespace.
    pub name: Vec<u8>,
    /// Value.
    pub value: Vec<u8>,
}

/// Where some data of a file is, see [`VolumeFile::extents`](crate::VolumeFile::extents).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileExtent {
    /// Where it begins in the file.
    pub offset_bytes: u64,
    /// Where it is in the region of the volume.
    pub place: Range<u64>,
}
