//! Feeding the hardware watchdog, from a thread of its own.
//!
//! Many boards come up with the watchdog running. Each feed asks the LEDs' keeper for the status first: it is the one
//! that turns a progress lease that ran out into failure. So a hung run ends in the failure pattern and stays there for
//! the operator to see (a reset would start it anew), while a process in which nobody watches the lease any more, and a
//! kernel that has stopped, are reset.

use replicator_hal::host::print;
use replicator_hal::linux::LedThread;
use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

const DEVICE: &str = "/dev/watchdog";
/// Early and often: some boards clock their watchdog by a ring oscillator.
const INTERVAL: Duration = Duration::from_secs(1);

/// Starts feeding, where there is a watchdog that nobody else feeds.
pub(super) fn feed(leds: Arc<LedThread>) {
    let mut device = match OpenOptions::new().write(true).open(DEVICE) {
        Ok(device) => device,
        Err(error) if error.kind() == ErrorKind::NotFound => return,
        Err(error) => {
            print(format_args!("replicator: {DEVICE}: {error}; it is left to whoever has it"));
            return;
        }
    };
    let started = thread::Builder::new().name("watchdog".into()).spawn(move || {
        let mut is_told = false;
        loop {
            leds.shown();
            if let Err(error) = device.write_all(b"\n") {
                if !std::mem::replace(&mut is_told, true) {
                    print(format_args!("replicator: feeding {DEVICE}: {error}"));
                }
            }
            thread::sleep(INTERVAL);
        }
    });
    if let Err(error) = started {
        print(format_args!("replicator: {DEVICE} is not fed: {error}"));
    }
}
