//! `replicator boot`: runs the whole sequence on this board, and then keeps the LEDs going.
//!
//! It is started by the init of the system, or by this program as init (`init`). It never returns, because the LEDs go off
//! with the process. The engine decides what a run does.

mod after;
mod console;
mod init;
mod modules;
mod pseudo;
mod watchdog;

pub(crate) use init::run as init;

use crate::interrupt;
use crate::leds;
use crate::profiles;
use crate::usage::UsageError;
use replicator_engine::boot::{self, Request};
use replicator_engine::drive::DriveChoice;
use replicator_engine::profile::{self, BoardChoice, Profile};
use replicator_engine::tuning::Tuning;
use replicator_hal::host::print;
use replicator_hal::linux::{KernelRoots, LedConfig, LinuxBoard, LinuxBoardConfig, LinuxSystem};
use replicator_hal::{Status, System};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

/// Further profiles in the initramfs; one with the name of a built-in profile replaces it.
const PROFILES: &str = "/etc/replicator/boards";
/// `replicator.board=NAME`, for systems without a device tree.
const BOARD_PARAMETER: &str = "replicator.board=";
const LOGS: &str = "/tmp/logs";
/// Mount point of the drive, for hooks and for users on the console.
const MOUNT_POINT: &str = "/mnt/usb";

/// Runs the sequence and never returns.
pub(crate) fn run() -> ! {
    // A wrong profile must not keep the LEDs off; tests check the built-in ones.
    let (profiles, wrong) = all_profiles();
    let mut config = LinuxBoardConfig::new(LOGS);
    config.drive_mount_point = Some(MOUNT_POINT.into());
    config.leds = led_config(&profiles);
    let board = match LinuxBoard::new(config) {
        Ok(board) => board,
        Err(error) => {
            print(format_args!("replicator: {error}"));
            std::process::exit(1);
        }
    };
    watchdog::feed(Arc::clone(&board.leds));
    if let Err(error) = interrupt::watch(Arc::clone(&board.devices)) {
        print(format_args!("replicator: no signal handler: {error}"));
    }
    if let Some(error) = wrong {
        print(format_args!("replicator: {error}"));
        board.board.leds.show(Status::Failure);
        stay();
    }
    let request = request(profiles, named_board(&*board.board.system).as_deref());
    match catch_unwind(AssertUnwindSafe(|| boot::run(&board.board, &request))) {
        // The drive is no longer in use here.
        Ok(report) if report.status == Status::Success => after::act(report.after),
        Ok(_) => {}
        // The panic message is already on the console.
        Err(_) => board.board.leds.show(Status::Failure),
    }
    stay();
}

/// Waits for ever; the LED thread keeps running.
fn stay() -> ! {
    loop {
        thread::sleep(Duration::from_secs(3600));
    }
}

/// The board that the kernel command line names, on a system without a device tree.
fn named_board(system: &dyn System) -> Option<String> {
    if !matches!(system.compatible().as_deref(), Ok([])) {
        return None;
    }
    let line = system.kernel_command_line().ok()?;
    line.split_whitespace().find_map(|word| word.strip_prefix(BOARD_PARAMETER)).map(str::to_owned)
}

fn request(profiles: Vec<Profile>, named: Option<&str>) -> Request {
    let firmware_names = profile::firmware_names(&profiles);
    let the_named = profiles.iter().find(|profile| named == Some(&profile.name)).cloned();
    Request {
        board: the_named
            .map_or(BoardChoice::Discover(profiles), |profile| BoardChoice::Named(Box::new(profile))),
        firmware_names,
        drive: DriveChoice::Discover,
        media: None,
        tuning: Tuning::default(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    }
}

/// The profiles of the initramfs, then the built-in ones; and the error of the former, if any.
fn all_profiles() -> (Vec<Profile>, Option<String>) {
    let mut wrong = None;
    let mut usable = |profiles: Result<Vec<Profile>, UsageError>| {
        profiles.unwrap_or_else(|error| {
            wrong = Some(error.to_string());
            Vec::new()
        })
    };
    let own = usable(profiles::in_directory(Path::new(PROFILES)));
    let embedded = usable(profiles::embedded());
    (profile::joined(&embedded, &own).into_iter().cloned().collect(), wrong)
}

/// The LEDs of this board. For an unknown board, the LED names of all profiles, so that the failure of an unknown board is
/// visible.
fn led_config(profiles: &[Profile]) -> LedConfig {
    let system = LinuxSystem::new(&KernelRoots::default(), Arc::default());
    let compatible = system.compatible().unwrap_or_else(|error| {
        print(format_args!("replicator: {error}; searching for LEDs by name"));
        Vec::new()
    });
    leds::of_board(profiles, &compatible)
}
