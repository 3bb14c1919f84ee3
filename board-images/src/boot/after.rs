//! What the board does once a run has succeeded: wait for the operator, switch off, or start anew.
//!
//! After a failure it always waits: nobody would see the LEDs of a board that is off, and a critical one must not lose
//! power.

use nix::sys::reboot::{RebootMode, reboot};
use replicator_engine::options::After;
use replicator_hal::host::print;
use std::process::Command;
use std::thread;
use std::time::Duration;

/// Set by this program's own init: nobody else stops services, and there are none.
pub(super) const OWN_INIT: &str = "REPLICATOR_INIT";
/// So long the success is shown first.
const SHOWN: Duration = Duration::from_secs(10);
/// An init that has not stopped the system by then will not.
const INIT_PATIENCE: Duration = Duration::from_secs(60);

/// Does what the drive asked for. Returns if that is to wait, or if it failed.
pub(super) fn act(after: After) {
    let (program, mode) = match after {
        After::Wait => return,
        After::Reboot => ("reboot", RebootMode::RB_AUTOBOOT),
        After::Poweroff => ("poweroff", RebootMode::RB_POWER_OFF),
    };
    print(format_args!("replicator: {program} in {} s", SHOWN.as_secs()));
    thread::sleep(SHOWN);
    if std::env::var_os(OWN_INIT).is_none() {
        match Command::new(program).status() {
            Ok(status) if status.success() => thread::sleep(INIT_PATIENCE),
            Ok(status) => print(format_args!("replicator: {program}: {status}")),
            Err(error) => print(format_args!("replicator: {program}: {error}")),
        }
    }
    nix::unistd::sync();
    // It only returns if it failed.
    let Err(errno) = reboot(mode);
    print(format_args!("replicator: {program}: {}", errno.desc()));
}
