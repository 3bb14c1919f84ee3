//! Clean-up when a signal interrupts a run: clears the write protection that the run set in the kernel.
//!
//! Mounts and loop devices end with the process, and the next run continues an unfinished capture.

use replicator_hal::host::print;
use replicator_hal::linux::LinuxDevices;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use signal_hook::low_level::emulate_default_handler;
use std::io;
use std::sync::Arc;

/// Starts a thread that waits for a signal, cleans up, and then ends the process by that signal.
///
/// # Errors
/// If the handler or the thread cannot be created.
pub(crate) fn watch(devices: Arc<LinuxDevices>) -> io::Result<()> {
    let mut signals = Signals::new([SIGHUP, SIGINT, SIGTERM])?;
    std::thread::Builder::new().name("interrupt".into()).spawn(move || {
        if let Some(signal) = signals.forever().next() {
            print("replicator: interrupted by a signal; the run is not finished");
            if let Err(error) = devices.end_write_protection() {
                print(format_args!("replicator: {error}"));
            }
            if let Err(error) = emulate_default_handler(signal) {
                print(format_args!("replicator: {error}"));
                std::process::exit(128 + signal);
            }
        }
    })?;
    Ok(())
}
