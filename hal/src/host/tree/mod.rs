//! A directory as a rooted tree of files.
//!
//! Every call opens the parent directory below the root without following a symlink, then works on the last name with
//! an `*at` call that does not follow one either. The directories that were used last stay open, see [`directories`], so
//! that a file costs few system calls. A tree works the same on a mount and on a plain directory; mounting and unmounting
//! is in [`Mount`], see [`TreeVolume`].
//!
//! `/proc` must be mounted: extended attributes and directory listings have no `*at` call that is safe on every
//! supported kernel and on 32-bit hosts. They go through `/proc/self/fd/<directory>`.

mod ahead;
mod attributes;
mod directories;
mod file;
mod file_attributes;
mod flags;
mod names;
mod not_copyable;
mod resolve;
mod status;
mod volume;
mod walk;

#[cfg(test)]
mod tests;

pub use file::TreeFile;
pub use volume::{Mount, TreeVolume};

use crate::{
    Access, Capabilities, Error, ErrorKind, FileExtent, FileSystemKind, RelativePath, Result, Space,
};
use ahead::Ahead;
use directories::Directories;
use file::OpenFiles;
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::stat::Mode;
use nix::sys::statfs::{self, FsType, Statfs};
use nix::sys::statvfs::FsFlags;
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// exFAT's magic number (`linux/magic.h`), which is not in libc.
const EXFAT_SUPER_MAGIC: FsType = FsType(0x2011_bab0);

/// Finds where the data of an open file is in the region of its volume.
pub type Locator = fn(&File) -> io::Result<Vec<FileExtent>>;

/// All file operations of a volume, rooted in one directory.
///
/// The operations are those of [`crate::Volume`] under the same names; the contract is documented there. A tree can be
/// closed for an unmount: until [`Tree::reopen`] every call returns `NotFound`.
#[derive(Debug)]
pub struct Tree {
    root_path: PathBuf,
    mount_points: Vec<Vec<u8>>,
    kind: Option<FileSystemKind>,
    locator: Option<Locator>,
    /// The kind by the kernel's magic number, if `kind` is not set.
    found_kind: OnceLock<FileSystemKind>,
    root: RwLock<Option<Root>>,
    open_files: Arc<OpenFiles>,
    /// Whether this kernel or sandbox has no `openat2`, so that paths are opened one component at a time.
    has_no_openat2: AtomicBool,
}

/// The state of an open tree.
#[derive(Debug)]
struct Root {
    directory: Arc<File>,
    /// The device number of the file system, on which every directory must be.
    device: u64,
    /// Whether device nodes can be opened: false on a mount with `nodev`.
    has_devices: bool,
    access: Access,
    /// Dropped with the root: an open directory prevents an unmount.
    directories: Arc<Directories>,
    /// The same.
    ahead: Arc<Ahead>,
}

impl Root {
    fn open(path: &Path, access: Access) -> Result<Self> {
        let directory = open_root(path)?;
        let status = directory
            .metadata()
            .map_err(|error| Error::from_io(error, "opening", path.display().to_string()))?;
        // Mounts of the replicator keep this flag when their access changes.
        let has_devices =
            statfs::fstatfs(&*directory).map_or(true, |answer| !answer.flags().contains(FsFlags::ST_NODEV));
        Ok(Self {
            directory,
            device: status.dev(),
            has_devices,
            access,
            directories: Arc::default(),
            ahead: Arc::default(),
        })
    }
}

impl Tree {
    /// The tree below the directory `root_path`, read-write as far as the kernel allows.
    ///
    /// In [`Tree::resolve`], an absolute symlink that starts with `mount_point`, or with `/mnt/usb`, the traditional
    /// mount point of a drive, is relative to the tree's root. Every other absolute link starts at the root unchanged.
    ///
    /// # Errors
    /// If the directory cannot be opened.
    pub fn new(root_path: impl Into<PathBuf>, mount_point: Option<PathBuf>) -> Result<Self> {
        let root_path = root_path.into();
        let root = Root::open(&root_path, Access::ReadWrite)?;
        Ok(Self {
            root_path,
            mount_points: resolve::mount_point_texts(mount_point),
            kind: None,
            locator: None,
            found_kind: OnceLock::new(),
            root: RwLock::new(Some(root)),
            open_files: Arc::default(),
            has_no_openat2: AtomicBool::new(false),
        })
    }

    /// Sets the kind of the file system. Otherwise it is derived from the kernel's magic number, which is the same for
    /// all kinds of ext.
    #[must_use]
    pub fn with_kind(mut self, kind: FileSystemKind) -> Self {
        self.kind = Some(kind);
        self
    }

    /// Sets how [`VolumeFile::extents`](crate::VolumeFile::extents) finds the data of a file. Without it there are none.
    #[must_use]
    pub fn with_locator(mut self, locator: Locator) -> Self {
        self.locator = Some(locator);
        self
    }

    /// Sets the access at the start. A read-only tree refuses every change itself, whatever the kernel would allow.
    ///
    /// # Errors
    /// None for a tree without open files.
    pub fn with_access(self, access: Access) -> Result<Self> {
        self.set_access(access)?;
        Ok(self)
    }

    /// The directory that is the root.
    pub(crate) fn root_path(&self) -> &Path {
        &self.root_path
    }

    /// The path on this host. Only for programs that need a path: symlinks in it are followed.
    pub(crate) fn host_path(&self, path: &RelativePath) -> PathBuf {
        use std::os::unix::ffi::OsStrExt;
        self.root_path.join(std::ffi::OsStr::from_bytes(path.as_bytes()))
    }

    /// The current access; `None` while it is closed.
    pub fn access(&self) -> Option<Access> {
        self.read_root().as_ref().map(|root| root.access)
    }

    /// Changes the access. The caller changes the kernel's own flags.
    ///
    /// # Errors
    /// `Busy` if a file is open for writing and the tree would become read-only; `NotFound` if it is closed.
    pub fn set_access(&self, access: Access) -> Result<()> {
        self.change_access(access, || Ok(()))
    }

    /// As [`Tree::set_access`], and calls `act` between the check and the change. No file is opened meanwhile.
    pub(crate) fn change_access(&self, access: Access, act: impl FnOnce() -> Result<()>) -> Result<()> {
        let mut guard = self.write_root();
        let Some(root) = guard.as_mut() else {
            return Err(self.closed("remounting"));
        };
        if access == Access::ReadOnly && self.open_files.writers() > 0 {
            return Err(self.busy("remounting"));
        }
        self.open_files.access_changes();
        root.ahead.clear();
        act()?;
        root.access = access;
        Ok(())
    }

    /// Syncs, then closes the root, so that the file system mounted there can be unmounted.
    ///
    /// # Errors
    /// `Busy` while files are open; `NotFound` if it is closed already; `Io` if the last writes failed. The tree then
    /// stays open, and a second call can succeed although data is lost.
    pub fn close(&self) -> Result<()> {
        let mut guard = self.write_root();
        let Some(root) = guard.as_ref() else {
            return Err(self.closed("unmounting"));
        };
        if self.open_files.all() > 0 {
            return Err(self.busy("unmounting"));
        }
        if root.access == Access::ReadWrite {
            nix::unistd::syncfs(&*root.directory).map_err(|errno| self.root_error(errno, "syncing"))?;
        }
        *guard = None;
        Ok(())
    }

    /// Opens the root again after [`Tree::close`], when unmounting failed.
    ///
    /// # Errors
    /// If the root cannot be opened.
    pub fn reopen(&self, access: Access) -> Result<()> {
        let root = Root::open(&self.root_path, access)?;
        *self.write_root() = Some(root);
        Ok(())
    }

    /// Opens every directory anew from now on: another program may have renamed or removed some.
    pub(crate) fn forget_directories(&self) {
        if let Some(root) = self.read_root().as_ref() {
            root.directories.forget_all();
            root.ahead.clear();
        }
    }

    /// Closes the root without a sync, even if files are open.
    pub(crate) fn abandon(&self) {
        *self.write_root() = None;
    }

    /// See [`crate::ReadTree::capabilities`]. A closed tree whose kind was not set has an unknown kind.
    pub fn capabilities(&self) -> Capabilities {
        match self.reading("identifying the file system of", &RelativePath::root()) {
            Ok(root) => self.capabilities_by(&root),
            Err(_) => capabilities_of(self.kind.clone().unwrap_or_else(unknown_kind)),
        }
    }

    fn capabilities_by(&self, root: &OpenRoot<'_>) -> Capabilities {
        let kind = match &self.kind {
            Some(kind) => kind.clone(),
            None => self
                .found_kind
                .get_or_init(|| {
                    statfs::fstatfs(&*root.directory)
                        .map_or_else(|_| unknown_kind(), |answer| kind_of(&answer))
                })
                .clone(),
        };
        capabilities_of(kind)
    }

    /// See [`crate::Volume::space`].
    ///
    /// # Errors
    /// As there.
    pub fn space(&self) -> Result<Space> {
        let guard = self.reading("reading the free space of", &RelativePath::root())?;
        // statfs and not statvfs: its fields are wide enough on 32-bit hosts too.
        let answer = statfs::fstatfs(&*guard.directory)
            .map_err(|errno| self.root_error(errno, "reading the free space of"))?;
        #[allow(clippy::unnecessary_cast, clippy::cast_sign_loss)]
        // The type of the field differs between hosts.
        let block_len_bytes = answer.block_size() as u64;
        Ok(Space {
            free_bytes: answer.blocks_available().saturating_mul(block_len_bytes),
            total_bytes: answer.blocks().saturating_mul(block_len_bytes),
        })
    }

    /// See [`crate::Volume::sync`].
    ///
    /// # Errors
    /// As there. Kernels before 5.8 do not report failed writes here; [`TreeFile`]'s sync does on all kernels.
    pub fn sync(&self) -> Result<()> {
        let guard = self.reading("syncing", &RelativePath::root())?;
        nix::unistd::syncfs(&*guard.directory).map_err(|errno| self.root_error(errno, "syncing"))
    }

    fn read_root(&self) -> RwLockReadGuard<'_, Option<Root>> {
        self.root.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_root(&self) -> RwLockWriteGuard<'_, Option<Root>> {
        self.root.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps the tree open for one operation.
    fn reading(&self, operation: &str, path: &RelativePath) -> Result<OpenRoot<'_>> {
        let guard = self.read_root();
        match guard.as_ref() {
            Some(root) => Ok(OpenRoot {
                directory: root.directory.clone(),
                device: root.device,
                has_devices: root.has_devices,
                access: root.access,
                directories: root.directories.clone(),
                ahead: root.ahead.clone(),
                _guard: guard,
            }),
            None => {
                Err(Error::new(ErrorKind::NotFound, operation, path.to_string(), "the volume is unmounted"))
            }
        }
    }

    /// Keeps the tree open for one operation that changes it.
    fn writing(&self, operation: &str, path: &RelativePath) -> Result<OpenRoot<'_>> {
        let open = self.reading(operation, path)?;
        if open.access == Access::ReadOnly {
            return Err(Error::new(
                ErrorKind::ReadOnly,
                operation,
                path.to_string(),
                "the volume is mounted read-only",
            ));
        }
        Ok(open)
    }

    fn closed(&self, operation: &str) -> Error {
        Error::new(
            ErrorKind::NotFound,
            operation,
            self.root_path.display().to_string(),
            "the volume is unmounted",
        )
    }

    fn busy(&self, operation: &str) -> Error {
        let detail = format!("{} files are open", self.open_files.all());
        Error::new(ErrorKind::Busy, operation, self.root_path.display().to_string(), detail)
    }

    fn root_error(&self, errno: Errno, operation: &str) -> Error {
        Error::from_io(io::Error::from(errno), operation, self.root_path.display().to_string())
    }
}

/// A root that cannot be closed while this value exists. An operation takes one and passes it on: taking a second one
/// in the same thread could deadlock with an unmount.
struct OpenRoot<'a> {
    directory: Arc<File>,
    device: u64,
    has_devices: bool,
    access: Access,
    directories: Arc<Directories>,
    ahead: Arc<Ahead>,
    _guard: RwLockReadGuard<'a, Option<Root>>,
}

/// Opened for reading and not with O_PATH, because `syncfs` needs that.
fn open_root(path: &Path) -> Result<Arc<File>> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    nix::fcntl::open(path, flags, Mode::empty())
        .map(|directory| Arc::new(File::from(directory)))
        .map_err(|errno| Error::from_io(io::Error::from(errno), "opening", path.display().to_string()))
}

fn unknown_kind() -> FileSystemKind {
    FileSystemKind::Other("unknown".to_owned())
}

/// The kind by the kernel's magic number.
fn kind_of(answer: &Statfs) -> FileSystemKind {
    match answer.filesystem_type() {
        statfs::EXT4_SUPER_MAGIC => FileSystemKind::Ext4,
        statfs::MSDOS_SUPER_MAGIC => FileSystemKind::Vfat,
        EXFAT_SUPER_MAGIC => FileSystemKind::Exfat,
        statfs::BTRFS_SUPER_MAGIC => FileSystemKind::Btrfs,
        statfs::XFS_SUPER_MAGIC => FileSystemKind::Xfs,
        statfs::F2FS_SUPER_MAGIC => FileSystemKind::F2fs,
        FsType(magic) => FileSystemKind::Other(format!("{magic:#x}")),
    }
}

/// What a kind can store. The host file systems behind `Other` (tmpfs, overlay, btrfs, xfs) are all Unix file systems.
fn capabilities_of(kind: FileSystemKind) -> Capabilities {
    let unix = !matches!(kind, FileSystemKind::Vfat | FileSystemKind::Exfat);
    let file_len_max_bytes = match kind {
        FileSystemKind::Vfat => u64::from(u32::MAX),
        // With blocks of 4 KiB; see ext4's documentation and Documentation/filesystems/ext2.rst.
        FileSystemKind::Ext2 | FileSystemKind::Ext3 => 2 << 40,
        FileSystemKind::Ext4 => 16 << 40,
        _ => i64::MAX as u64,
    };
    Capabilities {
        unix,
        sparse: unix,
        case_insensitive: !unix,
        // ext2 and FAT have no journal.
        atomic_replace: unix && kind != FileSystemKind::Ext2,
        file_len_max_bytes,
        file_system: kind,
    }
}
