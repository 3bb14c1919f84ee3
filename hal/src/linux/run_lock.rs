//! A lock for each block device, so that one run at a time works on it.
//!
//! The kernel mounts one device for two programs at the same time, and an exclusive open ends before mount(2) begins.
//! So each run holds a lock in `/run/replicator` while it has a device mounted or checks it. The kernel releases the
//! lock when the run ends. If no lock file can be created, there is no lock.

use super::patience::Patience;
use super::roots::KernelRoots;
use crate::{DeviceName, Error, ErrorKind, Result};
use nix::libc;
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use std::fs::{DirBuilder, File, OpenOptions};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::time::Duration;

const DIRECTORY: &str = "replicator";
/// For copies of the lock in children that another thread is starting.
const PATIENCE: Patience = Patience { total: Duration::from_secs(2), interval: Duration::from_millis(2) };

/// The lock of a device, which is held until this is dropped.
#[derive(Debug)]
pub(super) struct RunLock {
    _file: File,
}

impl RunLock {
    /// Takes the lock; `None` if no lock file can be created. The file is not removed: otherwise two runs could lock
    /// two different files.
    ///
    /// # Errors
    /// `Busy` if another run has it.
    pub(super) fn take(roots: &KernelRoots, device: &DeviceName) -> Result<Option<Self>> {
        let directory = roots.run.join(DIRECTORY);
        match DirBuilder::new().mode(0o700).create(&directory) {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => return Ok(None),
            _ => {}
        }
        let path = directory.join(format!("in-use-{device}"));
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false).mode(0o600).custom_flags(libc::O_NOFOLLOW);
        let Ok(file) = options.open(&path) else { return Ok(None) };
        let lock = || flock(&file, FlockOperation::NonBlockingLockExclusive);
        match PATIENCE.while_busy(|errno| *errno == Errno::WOULDBLOCK, lock) {
            Ok(()) => Ok(Some(Self { _file: file })),
            Err(Errno::WOULDBLOCK) => {
                let detail = "busy: another run of the replicator uses it";
                Err(Error::new(ErrorKind::Busy, "opening", device.as_str(), detail))
            }
            Err(errno) => Err(Error::from_io(errno.into(), "locking", path.display().to_string())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_run_has_the_lock_until_it_is_dropped_and_other_devices_are_free() {
        let run = tempfile::tempdir().unwrap();
        let roots = KernelRoots { run: run.path().to_owned(), ..KernelRoots::default() };
        let (one, other) = (DeviceName::parse("sda1").unwrap(), DeviceName::parse("sda2").unwrap());
        let held = RunLock::take(&roots, &one).unwrap();
        assert!(held.is_some() && RunLock::take(&roots, &other).unwrap().is_some());
        let error = RunLock::take(&roots, &one).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Busy);
        assert!(error.to_string().contains("another run"), "{error}");
        drop(held);
        assert!(RunLock::take(&roots, &one).unwrap().is_some());
        // There is no directory for the lock: nothing is refused.
        let roots = KernelRoots { run: run.path().join("none"), ..KernelRoots::default() };
        assert!(RunLock::take(&roots, &one).unwrap().is_none());
    }
}
