//! Feeds the hardware watchdog from a thread of its own.
//!
//! Many boards boot with the watchdog running. Before each feed, the thread reads the status from the LED thread, which
//! checks the progress lease and shows failure when it expires. So a hung run shows failure and is not reset, because a reset
//! would restart it and hide the failure. If the LED thread, the process or the kernel hangs, the watchdog resets the board.

use replicator_hal::host::print;
use replicator_hal::linux::LedThread;
use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

const DEVICE: &str = "/dev/watchdog";
/// Short, because some boards clock their watchdog by an inaccurate ring oscillator.
const INTERVAL: Duration = Duration::from_secs(1);

/// Starts to feed the watchdog, if there is one and no other process has it open.
pub(super) fn feed(leds: Arc<LedThread>) {
    let mut device = match OpenOptions::new().write(true).open(DEVICE) {
        Ok(device) => device,
        Err(error) if error.kind() == ErrorKind::NotFound => return,
        Err(error) => {
            print(format_args!("replicator: {DEVICE}: {error}; the watchdog is not fed"));
            return;
        }
    };
    let started = thread::Builder::new().name("watchdog".into()).spawn(move || {
        let mut is_reported = false;
        loop {
            leds.shown();
            if let Err(error) = device.write_all(b"\n") {
                if !std::mem::replace(&mut is_reported, true) {
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
