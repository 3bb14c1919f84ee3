//! Mounting and unmounting. The files of a mounted volume are [`crate::host::Tree`]'s.
//!
//! A read-only mount leaves every byte alone: the kernel is told to refuse writes to the device, and a journal that would
//! have to be replayed is not loaded. Mounts stay private to the process and what it starts, if it called
//! [`super::isolate_mounts`].

use super::patience::Patience;
use super::region_device::RegionDevice;
use crate::host::{Mount, print};
use crate::{Access, Error, ErrorKind, FileSystemKind, Result};
use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// How long others may hold a mount point.
const PATIENCE: Patience = Patience { total: Duration::from_secs(3), interval: Duration::from_millis(50) };

/// Where a volume is mounted.
#[derive(Debug)]
pub(super) struct MountPoint {
    path: PathBuf,
    /// Whether it was made for this mount and goes with it.
    ours: bool,
}

impl MountPoint {
    /// A new private directory in `base`.
    pub(super) fn private(base: &Path) -> Result<Self> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let failed = |error, path: &Path| Error::from_io(error, "making", path.display().to_string());
        std::fs::create_dir_all(base).map_err(|error| failed(error, base))?;
        loop {
            let number = NUMBER.fetch_add(1, Ordering::Relaxed);
            let path = base.join(format!("replicator-{}-{number}", std::process::id()));
            match std::fs::DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => return Ok(Self { path, ours: true }),
                // Left by an earlier process of the same number.
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(failed(error, &path)),
            }
        }
    }

    /// A fixed directory, which stays.
    pub(super) fn fixed(path: &Path) -> Result<Self> {
        std::fs::create_dir_all(path)
            .map_err(|error| Error::from_io(error, "making", path.display().to_string()))?;
        Ok(Self { path: path.to_owned(), ours: false })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for MountPoint {
    fn drop(&mut self) {
        if !self.ours {
            return;
        }
        if let Err(error) = std::fs::remove_dir(&self.path) {
            print(Error::from_io(error, "removing", self.path.display().to_string()));
        }
    }
}

/// A mounted file system: what a volume needs to remount and unmount.
pub(super) struct LinuxMount {
    kind: FileSystemKind,
    /// Options beside those that the kind has by itself; empty for none.
    options: String,
    path: PathBuf,
    state: Mutex<Option<Mounted>>,
}

// Fields are dropped in this order; unmounting comes before either.
struct Mounted {
    device: RegionDevice,
    point: MountPoint,
    /// Mounted without loading a journal that waits to be replayed, or with orphans that wait to be freed.
    mending_put_off: bool,
    /// Whatever must last as long as the mount.
    _claim: Box<dyn Send>,
}

impl LinuxMount {
    /// Mounts the file system on `device` at `point`. `claim` is kept until it is unmounted.
    pub(super) fn new(
        kind: FileSystemKind,
        options: String,
        device: RegionDevice,
        point: MountPoint,
        access: Access,
        needs_mending: bool,
        claim: Box<dyn Send>,
    ) -> Result<Self> {
        let mending_put_off = access == Access::ReadOnly && needs_mending;
        do_mount(&kind, &options, &device, point.path(), access, mending_put_off)?;
        let path = point.path().to_owned();
        let mounted = Mounted { device, point, mending_put_off, _claim: claim };
        Ok(Self { kind, options, path, state: Mutex::new(Some(mounted)) })
    }

    fn with_state<T>(&self, act: impl FnOnce(&mut Option<Mounted>) -> T) -> T {
        act(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn object(&self) -> String {
        self.path.display().to_string()
    }

    fn remount_state(&self, mounted: &mut Mounted, access: Access) -> Result<()> {
        let source = mounted.device.node();
        if access == Access::ReadWrite {
            mounted.device.set_access(access)?;
            if mounted.mending_put_off {
                unmount_patiently(&self.path)?;
                let result = do_mount(&self.kind, &self.options, &mounted.device, &self.path, access, false);
                mounted.mending_put_off = false;
                return result;
            }
        }
        let flags = mount_flags(access) | MsFlags::MS_REMOUNT;
        let nothing: Option<&str> = None;
        let result = patiently(|| mount(Some(&source), &self.path, nothing, flags, nothing))
            .map_err(|errno| mount_error(errno, "remounting", self.object()));
        // The device takes writes exactly if the mount does, whichever way it went.
        let writable = (access == Access::ReadWrite) == result.is_ok();
        let now = if writable { Access::ReadWrite } else { Access::ReadOnly };
        result.and(mounted.device.set_access(now))
    }
}

impl Mount for LinuxMount {
    fn remounts_in_place(&self, access: Access) -> bool {
        // The kernel mends at mount time only. Written to without its journal, a file system is not safe from a power
        // cut.
        let skipped = self.with_state(|state| state.as_ref().is_some_and(|mounted| mounted.mending_put_off));
        !(skipped && access == Access::ReadWrite)
    }

    fn remount(&self, access: Access) -> Result<()> {
        self.with_state(|state| match state {
            Some(mounted) => {
                let result = self.remount_state(mounted, access);
                if result.is_err() && !is_mount_point(&self.path) {
                    *state = None;
                }
                result
            }
            None => Err(Error::new(ErrorKind::NotFound, "remounting", self.object(), "it is not mounted")),
        })
    }

    fn unmount(&self) -> Result<()> {
        self.with_state(|state| {
            if state.is_none() {
                return Ok(());
            }
            unmount_patiently(&self.path)?;
            let Some(mut mounted) = state.take() else { return Ok(()) };
            drop(mounted.point);
            mounted.device.close()
        })
    }

    fn is_mounted(&self) -> bool {
        self.with_state(|state| state.is_some())
    }

    fn abandon(&self) {
        let Some(mounted) = self.with_state(Option::take) else { return };
        // Whoever still has files open keeps them; a loop device goes with the last of them.
        if let Err(errno) = umount2(&self.path, MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW) {
            print(mount_error(errno, "unmounting", self.object()));
        }
        drop(mounted);
    }
}

fn mount_flags(access: Access) -> MsFlags {
    let common = MsFlags::MS_NOATIME | MsFlags::MS_NODEV | MsFlags::MS_NOSUID;
    match access {
        Access::ReadOnly => common | MsFlags::MS_RDONLY,
        Access::ReadWrite => common,
    }
}

fn do_mount(
    kind: &FileSystemKind,
    more: &str,
    device: &RegionDevice,
    point: &Path,
    access: Access,
    skip_journal: bool,
) -> Result<()> {
    let source = device.node();
    let object = || device.device().to_string();
    let mut last = Errno::ENODEV;
    for (driver, options) in ways_to_mount(kind, skip_journal) {
        let separator = if options.is_empty() || more.is_empty() { "" } else { "," };
        let options = format!("{options}{separator}{more}");
        match mount(Some(&source), point, Some(driver), mount_flags(access), Some(options.as_str())) {
            Ok(()) => return Ok(()),
            Err(errno) => last = errno,
        }
        // Only a missing driver or an option it does not know is a reason to try another way.
        if !matches!(last, Errno::ENODEV | Errno::EINVAL) {
            break;
        }
    }
    Err(mount_error(last, "mounting", object()))
}

/// Drivers and their options, in the order to be tried.
fn ways_to_mount(kind: &FileSystemKind, skip_journal: bool) -> Vec<(&'static str, &'static str)> {
    let journal = if skip_journal { "noload" } else { "" };
    match kind {
        // Most kernels serve the older two by ext4's driver, not always under their own names.
        FileSystemKind::Ext2 => vec![("ext2", ""), ("ext4", "")],
        FileSystemKind::Ext3 => vec![("ext3", journal), ("ext4", journal)],
        FileSystemKind::Ext4 => vec![("ext4", journal)],
        // A kernel without the tables of its default character sets refuses them with EINVAL.
        FileSystemKind::Vfat => vec![("vfat", "utf8=1"), ("vfat", "utf8=1,iocharset=ascii"), ("vfat", "")],
        FileSystemKind::Exfat => vec![("exfat", "")],
        // The second is the name of kernels before 5.9.
        FileSystemKind::Btrfs if skip_journal => {
            vec![("btrfs", "rescue=nologreplay"), ("btrfs", "nologreplay")]
        }
        FileSystemKind::Btrfs => vec![("btrfs", "")],
        FileSystemKind::F2fs if skip_journal => vec![("f2fs", "norecovery")],
        FileSystemKind::F2fs => vec![("f2fs", "")],
        // A copy of a mounted file system has its UUID.
        FileSystemKind::Xfs if skip_journal => vec![("xfs", "nouuid,norecovery")],
        FileSystemKind::Xfs => vec![("xfs", "nouuid")],
        FileSystemKind::Squashfs => vec![("squashfs", "")],
        FileSystemKind::Erofs => vec![("erofs", "")],
        _ => Vec::new(),
    }
}

/// Whether the kernel has a driver for this kind, perhaps in a module that it loads for the question.
pub(super) fn can_mount(kind: &FileSystemKind) -> Result<bool> {
    // The driver is looked up before the device, which is not there: nothing can come of it but an error.
    let missing = Path::new("/dev/replicator-no-such-device");
    for (driver, options) in ways_to_mount(kind, false) {
        match mount(Some(missing), "/", Some(driver), MsFlags::MS_RDONLY, Some(options)) {
            Err(Errno::ENODEV) => {}
            Err(Errno::EPERM | Errno::EACCES) => {
                let detail = "it takes root to ask";
                return Err(Error::new(ErrorKind::PermissionDenied, "asking for", driver, detail));
            }
            _ => return Ok(true),
        }
    }
    Ok(false)
}

fn mount_error(errno: Errno, operation: &str, object: String) -> Error {
    let (kind, detail) = match errno {
        Errno::ENODEV => (ErrorKind::Unsupported, "the kernel has no driver for this file system"),
        Errno::EINVAL | Errno::EUCLEAN | Errno::EBADMSG => (ErrorKind::Corrupt, "the kernel refuses it"),
        Errno::EACCES | Errno::EROFS => (ErrorKind::ReadOnly, "the device refuses writes"),
        errno => (ErrorKind::from_errno(errno as i32), errno.desc()),
    };
    Error::new(kind, operation, object, format!("{detail} ({errno:?})")).with_source(errno)
}

fn unmount_patiently(path: &Path) -> Result<()> {
    patiently(|| umount2(path, MntFlags::UMOUNT_NOFOLLOW)).map_err(|errno| {
        Error::from_io(std::io::Error::from(errno), "unmounting", path.display().to_string())
    })
}

fn patiently(act: impl Fn() -> nix::Result<()>) -> nix::Result<()> {
    PATIENCE.while_busy(|errno| *errno == Errno::EBUSY, act)
}

/// Whether something is mounted at `path`: it is then on another device than its parent.
pub(super) fn is_mount_point(path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let device = |path: &Path| std::fs::metadata(path).map(|metadata| metadata.dev());
    match (device(path), path.parent().map(device)) {
        (Ok(own), Some(Ok(parent))) => own != parent,
        _ => false,
    }
}

impl Drop for LinuxMount {
    fn drop(&mut self) {
        self.abandon();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_says_which_drivers_it_has() {
        if !nix::unistd::geteuid().is_root() {
            let error = can_mount(&FileSystemKind::Ext4).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::PermissionDenied);
            return;
        }
        assert!(can_mount(&FileSystemKind::Ext4).unwrap(), "all that the replicator works with is ext4");
        for kind in [FileSystemKind::Luks, FileSystemKind::Other("jbd".to_owned()), FileSystemKind::Swap] {
            assert!(!can_mount(&kind).unwrap(), "{kind}");
        }
        let listed = std::fs::read_to_string("/proc/filesystems").unwrap();
        for kind in [FileSystemKind::F2fs, FileSystemKind::Btrfs, FileSystemKind::Xfs] {
            if listed.lines().any(|line| line.trim() == kind.to_string()) {
                assert!(can_mount(&kind).unwrap(), "{kind}");
            }
        }
    }
}
