//! Letting go of a device that was claimed by an exclusive open, so that the next one gets it at the first try.
//!
//! A thread that starts a program at that time hands the program a copy of every open descriptor until it is loaded, and
//! with it the claim. How a claim is made is in `node`.

use super::node::{OpenMode, open_node};
use super::patience::Patience;
use super::roots::KernelRoots;
use crate::{DeviceName, Result};
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use std::fs::File;
use std::time::Duration;

/// For copies, and for udev, which locks a device while it looks at it.
const PATIENCE: Patience = Patience { total: Duration::from_secs(2), interval: Duration::from_millis(1) };

/// Closes a node that was open exclusively, and waits until the claim is gone with the last copy of the descriptor:
/// mount(2) and the file-system tools ask for the device once only.
///
/// A claim that stays is left to them; they will say that the device is busy.
///
/// # Errors
/// If the node cannot be opened once more.
pub(super) fn let_go(roots: &KernelRoots, device: &DeviceName, claim: File) -> Result<()> {
    // An advisory lock belongs to the open file, as the claim does; asking for one makes no claim.
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
    fn a_program_that_another_thread_starts_keeps_no_claim() {
        if !have_loop_devices("a_program_that_another_thread_starts_keeps_no_claim") {
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
                claim.and_then(|claim| let_go(&roots, &device, claim)).unwrap();
                // Asked for once, as mount(2) does.
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
