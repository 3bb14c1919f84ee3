//! What is left to do when a run is interrupted by a signal: give back the media that are set read-only in the kernel.
//!
//! Mounts and loop devices go with the process, and an unfinished capture is taken up by the next run.

use replicator_hal::host::print;
use replicator_hal::linux::LinuxDevices;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use signal_hook::low_level::emulate_default_handler;
use std::io;
use std::sync::Arc;

/// Starts the thread that waits for a signal, and then ends the process as the signal would have.
///
/// # Errors
/// If no handler or no thread can be had.
pub(crate) fn watch(devices: Arc<LinuxDevices>) -> io::Result<()> {
    let mut signals = Signals::new([SIGHUP, SIGINT, SIGTERM])?;
    std::thread::Builder::new().name("interrupt".into()).spawn(move || {
        if let Some(signal) = signals.forever().next() {
            print("replicator: interrupted; nothing that was begun is finished");
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
