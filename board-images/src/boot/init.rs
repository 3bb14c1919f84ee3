//! Process 1 of an initramfs with the replicator: mounts the pseudo file systems, loads modules, starts `replicator boot`, and
//! reaps processes.
//!
//! The run is a separate process, so that process 1 can still show the failure when the run ends unexpectedly: the kernel
//! panics if process 1 ends, and kills the largest process when memory runs out.

use super::{after, all_profiles, console, led_config, modules, pseudo, stay, watchdog};
use nix::errno::Errno;
use nix::sys::wait::{WaitStatus, wait};
use nix::unistd::Pid;
use replicator_hal::host::print;
use replicator_hal::linux::KernelRoots;
use replicator_hal::{Leds, Status};
use std::path::Path;
use std::process::{Child, Command};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

/// Directories of the programs in the initramfs.
const PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin";
/// Pause when there is no child to wait for.
const IDLE: Duration = Duration::from_secs(1);

/// Processes for which a thread waits.
type Awaited = Arc<Mutex<Vec<(Pid, Sender<()>)>>>;

/// Runs as init.
pub(crate) fn run() -> ! {
    let wrong = pseudo::mount_all();
    let opened = console::open();
    print(format_args!("replicator {} runs as init", env!("CARGO_PKG_VERSION")));
    wrong.iter().for_each(|what| print(format_args!("replicator: {what}")));
    modules::load();
    let awaited = Awaited::default();
    match opened {
        Ok(()) => {
            let for_shell = Arc::clone(&awaited);
            console::offer_shell(move |child| await_end(&for_shell, &child));
        }
        Err(error) => print(format_args!("replicator: no console: {error}")),
    }
    let worker =
        Command::new("/proc/self/exe").arg("boot").env("PATH", PATH).env(after::OWN_INIT, "1").spawn();
    match worker {
        Ok(worker) => reap(&awaited, Some(pid(&worker))),
        Err(error) => {
            print(format_args!("replicator: starting the run: {error}"));
            take_over();
            reap(&awaited, None)
        }
    }
}

fn pid(child: &Child) -> Pid {
    // Process numbers are below 2^22.
    Pid::from_raw(i32::try_from(child.id()).unwrap_or(i32::MAX))
}

fn await_end(awaited: &Awaited, child: &Child) {
    let (sender, ended) = channel();
    awaited.lock().unwrap_or_else(PoisonError::into_inner).push((pid(child), sender));
    // `recv` fails only if the reaping loop has ended.
    let _ = ended.recv();
}

/// Reaps every process that ends, and never returns. `worker` must not end.
fn reap(awaited: &Awaited, worker: Option<Pid>) -> ! {
    loop {
        let (ended, how) = match wait() {
            Ok(WaitStatus::Exited(pid, status)) => (pid, format!("exit status {status}")),
            Ok(WaitStatus::Signaled(pid, signal, _)) => (pid, format!("killed by {signal}")),
            Ok(_) | Err(Errno::EINTR) => continue,
            Err(_) => {
                thread::sleep(IDLE);
                continue;
            }
        };
        if worker == Some(ended) {
            print(format_args!("replicator: the run ended unexpectedly: {how}; FAILED"));
            take_over();
        }
        let mut awaited = awaited.lock().unwrap_or_else(PoisonError::into_inner);
        awaited.retain(|(pid, sender)| *pid != ended || sender.send(()).is_err());
    }
}

/// Shows the failure instead of the worker, and feeds the watchdog.
fn take_over() {
    let boot_areas = unprotected_boot_areas(&KernelRoots::default().sys);
    let status = if boot_areas.is_empty() { Status::Failure } else { Status::Critical };
    for area in boot_areas {
        print(format_args!(
            "replicator: {area} may hold an incomplete bootloader: do not remove power; CRITICAL"
        ));
    }
    let config = led_config(&all_profiles().0);
    match config.start(&KernelRoots::default(), |error| print(format_args!("LED: {error}"))) {
        Ok(leds) => {
            leds.show(status);
            let leds = Arc::new(leds);
            watchdog::feed(Arc::clone(&leds));
            // If it is dropped, the LED pattern ends.
            let kept = thread::Builder::new().name("keeper".into()).spawn(move || {
                let _leds = leds;
                stay()
            });
            if let Err(error) = kept {
                print(format_args!("replicator: the LEDs stay off: {error}"));
            }
        }
        Err(error) => print(format_args!("replicator: {error}")),
    }
}

/// Boot areas whose write protection is off: the worker lifted it and ended before it restored it.
fn unprotected_boot_areas(sys: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(sys.join("class/block")) else { return Vec::new() };
    let mut areas: Vec<String> = entries
        .filter_map(Result::ok)
        .filter(|entry| {
            let force_ro = std::fs::read_to_string(entry.path().join("force_ro"));
            let is_boot_area = entry.file_name().to_string_lossy().contains("boot");
            is_boot_area && force_ro.is_ok_and(|text| text.trim() == "0")
        })
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    areas.sort();
    areas
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_boot_area_without_write_protection_is_found() {
        let sys = tempfile::tempdir().unwrap();
        for (name, force_ro) in [("mmcblk0", "0\n"), ("mmcblk0boot0", "0\n"), ("mmcblk0boot1", "1\n")] {
            let device = sys.path().join("class/block").join(name);
            std::fs::create_dir_all(&device).unwrap();
            std::fs::write(device.join("force_ro"), force_ro).unwrap();
        }
        assert_eq!(unprotected_boot_areas(sys.path()), ["mmcblk0boot0"]);
    }
}
