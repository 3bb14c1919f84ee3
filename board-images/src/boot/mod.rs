//! `replicator boot`: the whole sequence on the board that this is, and the LEDs for ever after.
//!
//! It is started by an init that is there, or by this program's own (`init`). It never returns by itself: the LEDs go
//! dark with the process. What a run does is the engine's matter.

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

/// Profiles that the initramfs brings beside the built-in ones; one of the same name replaces it.
const PROFILES: &str = "/etc/replicator/boards";
/// `replicator.board=NAME`, for systems without a device tree.
const BOARD_PARAMETER: &str = "replicator.board=";
const LOGS: &str = "/tmp/logs";
/// Where the drive is mounted; hooks and people on the console find it there.
const MOUNT_POINT: &str = "/mnt/usb";

/// Boots, and stays.
pub(crate) fn run() -> ! {
    // Wrong profiles must not keep the LEDs dark: the built-in ones are right by test.
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
        print(format_args!("replicator: signals are not watched: {error}"));
    }
    if let Some(error) = wrong {
        print(format_args!("replicator: {error}"));
        board.board.leds.show(Status::Failure);
        stay();
    }
    let request = request(profiles, named_board(&*board.board.system).as_deref());
    match catch_unwind(AssertUnwindSafe(|| boot::run(&board.board, &request))) {
        // The drive, its logs and its images are out of use by now.
        Ok(report) if report.status == Status::Success => after::act(report.after),
        Ok(_) => {}
        // The panic's message is on the console already.
        Err(_) => board.board.leds.show(Status::Failure),
    }
    stay();
}

/// The LED thread does the rest.
fn stay() -> ! {
    loop {
        thread::sleep(Duration::from_secs(3600));
    }
}

/// The board that the kernel's command line names, on a system that has no device tree to tell it.
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

/// The profiles of the initramfs, then the built-in ones; and what is wrong with the former.
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

/// The LEDs of the board that this is; of an unknown one those that any profile knows by name, so that a wrong board
/// can be told from a dead one.
fn led_config(profiles: &[Profile]) -> LedConfig {
    let system = LinuxSystem::new(KernelRoots::default().proc, Arc::default());
    let compatible = system.compatible().unwrap_or_else(|error| {
        print(format_args!("replicator: {error}; LEDs are looked for by name"));
        Vec::new()
    });
    leds::of_board(profiles, &compatible)
}
