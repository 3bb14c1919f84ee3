//! One run at a time works on a block device, from its first look to its last call.
//!
//! The kernel mounts one device for two programs at the same time, and an exclusive open ends before mount(2) begins. So
//! each run holds a lock below `/run/replicator` as long as it has a device mounted or being checked; the kernel drops it
//! with its holder. Where no lock file can be made there is none.

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
/// For copies of the lock that programs have which another thread is starting.
const PATIENCE: Patience = Patience { total: Duration::from_secs(2), interval: Duration::from_millis(2) };

/// The lock of a device, held until this is dropped.
#[derive(Debug)]
pub(super) struct Turn {
    _file: File,
}

impl Turn {
    /// Takes the lock; `None` where none can be kept. The file stays: removing it could let two runs lock two files.
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
                let detail = "busy: another run of the replicator works on it";
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
    fn one_has_it_until_it_lets_go_and_other_devices_are_free() {
        let run = tempfile::tempdir().unwrap();
        let roots = KernelRoots { run: run.path().to_owned(), ..KernelRoots::default() };
        let (one, other) = (DeviceName::parse("sda1").unwrap(), DeviceName::parse("sda2").unwrap());
        let held = Turn::take(&roots, &one).unwrap();
        assert!(held.is_some() && Turn::take(&roots, &other).unwrap().is_some());
        let error = Turn::take(&roots, &one).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Busy);
        assert!(error.to_string().contains("another run"), "{error}");
        drop(held);
        assert!(Turn::take(&roots, &one).unwrap().is_some());
        // Nothing to lock in: nothing is refused.
        let roots = KernelRoots { run: run.path().join("none"), ..KernelRoots::default() };
        assert!(Turn::take(&roots, &one).unwrap().is_none());
    }
}
