//! Releases a device that was claimed by an exclusive open, so that the next open succeeds at the first attempt.
//!
//! A thread that starts a program at that time gives the child a copy of every open descriptor until its exec, and so a
//! copy of the claim. How a claim is made is in `node`.

use super::node::{OpenMode, open_node};
use super::patience::Patience;
use super::roots::KernelRoots;
use crate::{DeviceName, Result};
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use std::fs::File;
use std::time::Duration;

/// For copies of the descriptor, and for udev, which locks a device while it reads it.
const PATIENCE: Patience = Patience { total: Duration::from_secs(2), interval: Duration::from_millis(1) };

/// Closes a node that was open exclusively, and waits until the last copy of the descriptor is closed and the claim
/// with it: mount(2) and the file-system tools do not try a second time.
///
/// If a claim stays, these report that the device is busy.
///
/// # Errors
/// If the node cannot be opened again.
pub(super) fn release(roots: &KernelRoots, device: &DeviceName, claim: File) -> Result<()> {
    // An advisory lock belongs to the open file, as the claim does. Taking one makes no claim.
    let locked = lock_patiently(&claim);
    drop(claim);
    if locked {
        lock_patiently(&open_node(roots, device, OpenMode::Read)?);
    }
    Ok(())
}

fn lock_patiently(file: &File) -> bool {
    let lock = || flock(file, FlockOperation::NonBlockingLockExclusive);
    PATIENCE.while_busy(|errno| *errno == Errno::WOULDBLOCK, lock).is_ok()
}

#[cfg(test)]
mod tests {
    use super::super::test_images::{Image, have_loop_devices};
    use super::*;
    use nix::libc;
    use std::fs::OpenOptions;
    use std::os::unix::fs::OpenOptionsExt;
    use std::process::Command;
    use std::sync::atomic::{AtomicBool, Ordering};

    #[test]
    fn a_program_that_another_thread_starts_holds_no_claim() {
        if !have_loop_devices("a_program_that_another_thread_starts_holds_no_claim") {
            return;
        }
        let image = Image::empty(1 << 20);
        let node = image.run("losetup", &["-f", "--show"]).trim().to_owned();
        let device = DeviceName::parse(node.trim_start_matches("/dev/")).unwrap();
        let roots = KernelRoots::default();
        let stopped = AtomicBool::new(false);
        let still_claimed = std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    while !stopped.load(Ordering::Relaxed) {
                        assert!(Command::new("true").status().is_ok_and(|status| status.success()));
                    }
                });
            }
            let still_claimed = (0..10_000).filter(|_| {
                let claim = open_node(&roots, &device, OpenMode::Exclusive);
                claim.and_then(|claim| release(&roots, &device, claim)).unwrap();
                // One attempt, as in mount(2).
                OpenOptions::new().read(true).custom_flags(libc::O_EXCL).open(&node).is_err()
            });
            let still_claimed = still_claimed.count();
            stopped.store(true, Ordering::Relaxed);
            still_claimed
        });
        assert!(Command::new("losetup").arg("-d").arg(&node).status().unwrap().success());
        assert_eq!(still_claimed, 0);
    }
}
