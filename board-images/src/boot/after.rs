//! What the board does after a success: wait for the operator, power off, or reboot.
//!
//! After a failure it always waits, because the LEDs of a board that is off show nothing, and a critical board must not lose
//! power.

use nix::sys::reboot::{RebootMode, reboot};
use replicator_engine::options::After;
use replicator_hal::host::print;
use std::process::Command;
use std::thread;
use std::time::Duration;

/// Environment variable, set when this program is also init: there are no services to stop.
pub(super) const OWN_INIT: &str = "REPLICATOR_INIT";
/// The LEDs show success for this time first.
const SHOWN: Duration = Duration::from_secs(10);
/// Time limit for an init to stop the system.
const INIT_PATIENCE: Duration = Duration::from_secs(60);

/// Reboots or powers off as the drive requests. Returns for `After::Wait`, or if it failed.
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
    // reboot(2) returns only if it failed.
    let Err(errno) = reboot(mode);
    print(format_args!("replicator: {program}: {}", errno.desc()));
}
