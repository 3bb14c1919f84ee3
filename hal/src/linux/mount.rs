//! Mounting and unmounting. The files of a mounted volume are in [`crate::host::Tree`].
//!
//! A read-only mount changes no byte: the device is set read-only in the kernel, and a journal that has to be replayed
//! is not loaded. Mounts are private to the process and its children if it called [`super::isolate_mounts`].

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

/// Time for others to release a mount point.
const PATIENCE: Patience = Patience { total: Duration::from_secs(3), interval: Duration::from_millis(50) };

/// Where a volume is mounted.
#[derive(Debug)]
pub(super) struct MountPoint {
    path: PathBuf,
    /// Whether it was created for this mount and is removed with it.
    ours: bool,
}

impl MountPoint {
    /// A new private directory in `base`.
    pub(super) fn private(base: &Path) -> Result<Self> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let failed = |error, path: &Path| Error::from_io(error, "creating", path.display().to_string());
        std::fs::create_dir_all(base).map_err(|error| failed(error, base))?;
        loop {
            let number = NUMBER.fetch_add(1, Ordering::Relaxed);
            let path = base.join(format!("replicator-{}-{number}", std::process::id()));
            match std::fs::DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => return Ok(Self { path, ours: true }),
                // Left behind by an earlier process with the same number.
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(failed(error, &path)),
            }
        }
    }

    /// A given directory, which is kept.
    pub(super) fn fixed(path: &Path) -> Result<Self> {
        std::fs::create_dir_all(path)
            .map_err(|error| Error::from_io(error, "creating", path.display().to_string()))?;
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

/// A mounted file system, with what is needed to remount and unmount it.
pub(super) struct LinuxMount {
    kind: FileSystemKind,
    /// Options in addition to those of its kind; empty for none.
    options: String,
    path: PathBuf,
    state: Mutex<Option<Mounted>>,
}

// Fields are dropped in this order; the unmount happens before.
struct Mounted {
    device: RegionDevice,
    point: MountPoint,
    /// Mounted without loading a journal that has to be replayed, or with orphans that have to be freed.
    recovery_skipped: bool,
    /// Kept as long as the mount.
    _claim: Box<dyn Send>,
}

impl LinuxMount {
    /// Mounts the file system on `device` at `point`. `claim` is kept until the unmount.
    pub(super) fn new(
        kind: FileSystemKind,
        options: String,
        device: RegionDevice,
        point: MountPoint,
        access: Access,
        needs_recovery: bool,
        claim: Box<dyn Send>,
    ) -> Result<Self> {
        let recovery_skipped = access == Access::ReadOnly && needs_recovery;
        do_mount(&kind, &options, &device, point.path(), access, recovery_skipped)?;
        let path = point.path().to_owned();
        let mounted = Mounted { device, point, recovery_skipped, _claim: claim };
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
            if mounted.recovery_skipped {
                unmount_patiently(&self.path)?;
                let result = do_mount(&self.kind, &self.options, &mounted.device, &self.path, access, false);
                mounted.recovery_skipped = false;
                return result;
            }
        }
        let flags = mount_flags(access) | MsFlags::MS_REMOUNT;
        let nothing: Option<&str> = None;
        let result = patiently(|| mount(Some(&source), &self.path, nothing, flags, nothing))
            .map_err(|errno| mount_error(errno, "remounting", self.object()));
        // In each case the device is writable exactly if the mount is.
        let writable = (access == Access::ReadWrite) == result.is_ok();
        let now = if writable { Access::ReadWrite } else { Access::ReadOnly };
        result.and(mounted.device.set_access(now))
    }
}

impl Mount for LinuxMount {
    fn remounts_in_place(&self, access: Access) -> bool {
        // The kernel repairs only at mount time. A file system that is written to without its journal is not safe in a
        // power cut.
        let skipped = self.with_state(|state| state.as_ref().is_some_and(|mounted| mounted.recovery_skipped));
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
        // Programs that have files open keep them. A loop device is removed with the last of them.
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
        // Another way is tried only if the driver is missing or does not support an option.
        if !matches!(last, Errno::ENODEV | Errno::EINVAL) {
            break;
        }
    }
    Err(mount_error(last, "mounting", object()))
}

/// Drivers and their options, in the order of the attempts.
fn ways_to_mount(kind: &FileSystemKind, skip_journal: bool) -> Vec<(&'static str, &'static str)> {
    let journal = if skip_journal { "noload" } else { "" };
    match kind {
        // Most kernels use the driver of ext4 for ext2 and ext3, not always under their own names.
        FileSystemKind::Ext2 => vec![("ext2", ""), ("ext4", "")],
        FileSystemKind::Ext3 => vec![("ext3", journal), ("ext4", journal)],
        FileSystemKind::Ext4 => vec![("ext4", journal)],
        // A kernel without the tables of its default character sets returns EINVAL.
        FileSystemKind::Vfat => vec![("vfat", "utf8=1"), ("vfat", "utf8=1,iocharset=ascii"), ("vfat", "")],
        FileSystemKind::Exfat => vec![("exfat", "")],
        // The second name is for kernels before 5.9.
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

/// Whether the kernel has a driver for this kind, perhaps in a module that it then loads.
pub(super) fn can_mount(kind: &FileSystemKind) -> Result<bool> {
    // The kernel looks up the driver before the device, which does not exist. So the call can only fail.
    let missing = Path::new("/dev/replicator-no-such-device");
    for (driver, options) in ways_to_mount(kind, false) {
        match mount(Some(missing), "/", Some(driver), MsFlags::MS_RDONLY, Some(options)) {
            Err(Errno::ENODEV) => {}
            Err(Errno::EPERM | Errno::EACCES) => {
                let detail = "only root can find that out";
                return Err(Error::new(ErrorKind::PermissionDenied, "looking for", driver, detail));
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
        Errno::EACCES | Errno::EROFS => (ErrorKind::ReadOnly, "the device is read-only"),
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

/// Whether a file system is mounted at `path`: it is then on another device than its parent.
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
    fn the_kernel_has_a_driver_or_not() {
        if !nix::unistd::geteuid().is_root() {
            let error = can_mount(&FileSystemKind::Ext4).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::PermissionDenied);
            return;
        }
        assert!(can_mount(&FileSystemKind::Ext4).unwrap(), "the replicator needs ext4");
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
