//! A mounted volume: a rooted tree of files.
//!
//! Paths cannot leave the root. No call follows a symlink, neither in the last component nor on the way: a symlink on
//! the way is `SymlinkInPath`. Where following is wanted, [`Volume::resolve`] does it once, inside of the root, and gives
//! a path without links. A new name is durable after `sync_dir` of its directory, new content after `sync` of the file.

use crate::LayerMut;
use crate::{FileSystemKind, InodeFlags, RelativePath, Result, Timestamp};
use std::ops::Range;
use std::sync::Arc;

/// Names a mounted volume for as long as it is mounted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct VolumeId(pub u64);

/// Whether a mounted volume may be changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Not one byte of the region changes: a dirty journal is not replayed (`noload`).
    ReadOnly,
    /// Reading and writing.
    ReadWrite,
}

/// What a volume's file system can hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Capabilities {
    /// The family.
    pub file_system: FileSystemKind,
    /// Symlinks, hard links, device nodes, owners and modes.
    pub unix: bool,
    /// Files with holes.
    pub sparse: bool,
    /// Whether `A` and `a` are the same name.
    pub case_insensitive: bool,
    /// Whether a rename over an existing name is old or new after a power cut, and nothing else.
    pub atomic_replace: bool,
    /// Longest file.
    pub file_len_max_bytes: u64,
}

/// Free and total space.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// What can still be written.
    pub free_bytes: u64,
    /// Size of the file system.
    pub total_bytes: u64,
}

/// What a directory entry is.
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
    /// What it is.
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

/// What is known of a file, directory or link itself (`lstat`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metadata {
    /// What it is.
    pub kind: FileKind,
    /// Length in bytes; of a symlink, that of its target text.
    pub len_bytes: u64,
    /// Space it takes; less than the length if it has holes.
    pub allocated_bytes: u64,
    /// Permission bits with setuid, setgid and sticky: the low 12 bits.
    pub mode: u32,
    /// Owner.
    pub owner: Owner,
    /// Last change of the content.
    pub modified: Timestamp,
    /// Number that hard links share.
    pub inode: u64,
    /// Number of hard links.
    pub links: u64,
    /// Major and minor number of a device node, else zeros.
    pub device: (u32, u32),
}

/// A node without content.
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

crate::forward::part! {
/// A mounted volume.
#[cfg_attr(feature = "mock", mockall::automock)]
pub trait Volume: Send + Sync {
    /// Names this volume in a [`crate::Region`] or a [`crate::Hook`].
    fn id(&self) -> VolumeId;

    /// What the file system can hold.
    fn capabilities(&self) -> Capabilities;

    /// Free and total space.
    ///
    /// # Errors
    /// If the file system does not answer.
    fn space(&self) -> Result<Space>;

    /// The entries of a directory without `.` and `..`, in no particular order.
    ///
    /// # Errors
    /// `NotFound`, `NotADirectory`, `SymlinkInPath`.
    fn list(&self, directory: &RelativePath) -> Result<Vec<DirectoryEntry>>;

    /// Metadata of the entry itself; a symlink is not followed.
    ///
    /// # Errors
    /// `NotFound`, `SymlinkInPath`.
    fn metadata(&self, path: &RelativePath) -> Result<Metadata>;

    /// Follows every symlink of `path` as if the volume were the root of the system, and gives the path that remains.
    /// `..` in a link stops at the root. An absolute link that starts with the place where a Linux backend mounts the
    /// volume is taken as relative to it.
    ///
    /// # Errors
    /// `NotFound` for a dangling link; `SymlinkInPath` for a loop.
    fn resolve(&self, path: &RelativePath) -> Result<RelativePath>;

    /// The text of a symlink.
    ///
    /// # Errors
    /// `InvalidInput` if it is none.
    fn read_link(&self, path: &RelativePath) -> Result<Vec<u8>>;

    /// Opens a regular file for reading.
    ///
    /// # Errors
    /// `NotFound`, `SymlinkInPath`, `IsADirectory`; `InvalidInput` for a device, fifo or socket, which is never opened.
    fn open(&self, path: &RelativePath) -> Result<Box<dyn VolumeFile>>;

    /// Opens an existing regular file for reading and writing.
    ///
    /// # Errors
    /// As [`Volume::open`]; `ReadOnly`.
    fn open_write(&self, path: &RelativePath) -> Result<Box<dyn VolumeFile>>;

    /// Creates a regular file, open for reading and writing. `mode` is exact: no umask applies.
    ///
    /// # Errors
    /// `AlreadyExists`, `ReadOnly`, `NoSpace`.
    fn create_new(&self, path: &RelativePath, mode: u32) -> Result<Box<dyn VolumeFile>>;

    /// Creates a directory. `mode` is exact.
    ///
    /// # Errors
    /// As [`Volume::create_new`].
    fn create_dir(&self, path: &RelativePath, mode: u32) -> Result<()>;

    /// Creates a symlink with exactly this text.
    ///
    /// # Errors
    /// As [`Volume::create_new`]; `Unsupported` if the file system has none.
    fn symlink(&self, path: &RelativePath, text: &[u8]) -> Result<()>;

    /// Gives `existing` a second name. A symlink is linked itself, not followed.
    ///
    /// # Errors
    /// As [`Volume::symlink`].
    fn hard_link(&self, existing: &RelativePath, path: &RelativePath) -> Result<()>;

    /// Creates a device node or named pipe. `mode` is exact.
    ///
    /// # Errors
    /// As [`Volume::symlink`]; `PermissionDenied` without privileges.
    fn make_node(&self, path: &RelativePath, kind: NodeKind, mode: u32) -> Result<()>;

    /// Sets owner and group of the entry itself. The kernel clears setuid and capabilities: set mode and attributes
    /// after the owner.
    ///
    /// # Errors
    /// `Unsupported`, `PermissionDenied`, `ReadOnly`.
    fn set_owner(&self, path: &RelativePath, owner: Owner) -> Result<()>;

    /// Sets the 12 permission bits of a file, directory or node; symlinks have none.
    ///
    /// # Errors
    /// As [`Volume::set_owner`]; `SymlinkInPath` if it is a symlink.
    fn set_mode(&self, path: &RelativePath, mode: u32) -> Result<()>;

    /// Sets access and modification time of the entry itself, to the nanosecond as far as the file system keeps it.
    ///
    /// # Errors
    /// As [`Volume::set_owner`].
    fn set_modified(&self, path: &RelativePath, modified: Timestamp) -> Result<()>;

    /// All extended attributes of the entry itself, sorted by name.
    ///
    /// # Errors
    /// As [`Volume::metadata`].
    fn xattrs(&self, path: &RelativePath) -> Result<Vec<Xattr>>;

    /// Sets one extended attribute of the entry itself.
    ///
    /// # Errors
    /// As [`Volume::set_owner`]; `NoSpace` if it does not fit.
    fn set_xattr(&self, path: &RelativePath, xattr: &Xattr) -> Result<()>;

    /// Inode flags of the entry itself. Only files and directories have some, and not on every file system.
    ///
    /// # Errors
    /// As [`Volume::metadata`].
    fn flags(&self, path: &RelativePath) -> Result<InodeFlags>;

    /// Sets exactly these inode flags. What is immutable, or may only grow, refuses every change with
    /// `PermissionDenied`, and so does its directory for its name; only its flags can be changed: set them last.
    ///
    /// # Errors
    /// As [`Volume::set_owner`]; `Unsupported` if the file system does not have one of them: then nothing is changed.
    fn set_flags(&self, path: &RelativePath, flags: InodeFlags) -> Result<()>;

    /// Why a copy of content and metadata would not be the same as the entry itself, in words that follow its name: it is
    /// encrypted, signed or matched without regard to case by its own file system. `None` for everything else.
    ///
    /// # Errors
    /// As [`Volume::metadata`].
    fn not_copyable(&self, path: &RelativePath) -> Result<Option<&'static str>>;

    /// Renames within the volume, replacing a file at `to`.
    ///
    /// # Errors
    /// `NotFound`, `ReadOnly`, `IsADirectory`, `DirectoryNotEmpty`.
    fn rename(&self, from: &RelativePath, to: &RelativePath) -> Result<()>;

    /// Removes a name that is no directory; a symlink itself, not what it points to.
    ///
    /// # Errors
    /// `NotFound`, `IsADirectory`, `ReadOnly`.
    fn remove_file(&self, path: &RelativePath) -> Result<()>;

    /// Removes an empty directory.
    ///
    /// # Errors
    /// `NotFound`, `NotADirectory`, `DirectoryNotEmpty`, `ReadOnly`.
    fn remove_dir(&self, path: &RelativePath) -> Result<()>;

    /// Makes the names in a directory durable.
    ///
    /// # Errors
    /// `Io`: changes since the last successful sync count as lost.
    fn sync_dir(&self, directory: &RelativePath) -> Result<()>;

    /// Brings everything on the volume onto its medium.
    ///
    /// # Errors
    /// As [`Volume::sync_dir`].
    fn sync(&self) -> Result<()>;

    /// Changes between read-only and read-write.
    ///
    /// # Errors
    /// `Busy` if a file is open for writing; `ReadOnly` if the device refuses writes.
    fn remount(&self, access: Access) -> Result<()>;

    /// Syncs and unmounts. After `Ok` every call on the volume fails with `NotFound`; after an error it can be tried
    /// again. Dropping a mounted volume unmounts it as a last resort, without a word.
    ///
    /// # Errors
    /// `Busy` while files are open; `Io` if the last writes failed.
    fn unmount(&self) -> Result<()>;
}
layer VolumeLayer: Send + Sync;
pointers (& Box Arc);
}

crate::forward::part! {
/// An open regular file.
#[cfg_attr(feature = "mock", mockall::automock)]
pub trait VolumeFile: Send {
    /// Length now.
    ///
    /// # Errors
    /// If the file system does not answer.
    fn len_bytes(&self) -> Result<u64>;

    /// Reads at `offset_bytes`; may be short; `Ok(0)` only at or past the end.
    ///
    /// # Errors
    /// `Io`, `DeviceGone`.
    fn read_at(&mut self, offset_bytes: u64, buffer: &mut [u8]) -> Result<usize>;

    /// Writes at `offset_bytes`, growing the file; may be short. A gap before it becomes a hole.
    ///
    /// # Errors
    /// `NoSpace`, `FileTooLarge`, `ReadOnly`, `Io`.
    fn write_at(&mut self, offset_bytes: u64, data: &[u8]) -> Result<usize>;

    /// Cuts or extends the file; what is new reads as zeros.
    ///
    /// # Errors
    /// As [`VolumeFile::write_at`].
    fn set_len(&mut self, len_bytes: u64) -> Result<()>;

    /// The next stretch at or after `offset_bytes` that may hold other bytes than zeros; `None` if only a hole follows.
    /// A file system without holes gives the rest of the file.
    ///
    /// # Errors
    /// As [`VolumeFile::read_at`].
    fn next_data(&mut self, offset_bytes: u64) -> Result<Option<Range<u64>>>;

    /// Brings content and length onto the medium.
    ///
    /// # Errors
    /// `Io`: what was written since the last successful sync counts as lost.
    fn sync(&mut self) -> Result<()>;

    /// Makes the reads that follow come from the medium and not from the page cache. Includes a [`VolumeFile::sync`].
    ///
    /// # Errors
    /// If the pages cannot be dropped.
    fn drop_cache(&mut self) -> Result<()>;

    /// Closes the file. Dropping closes it too, but cannot tell of errors.
    ///
    /// # Errors
    /// If the kernel reports one.
    fn close(&mut self) -> Result<()>;
}
layer VolumeFileLayer: LayerMut + Send;
pointers (mut Box);
}
