//! `replicator run` and `replicator plan`: runs the engine on this system and reports the result.

use crate::cli::{LedAccess, RunArgs};
use crate::interrupt;
use crate::leds;
use crate::request;
use crate::usage::UsageError;
use replicator_engine::boot::{self, Request};
use replicator_engine::profile::BoardChoice;
use replicator_engine::report::Report;
use replicator_hal::host::print;
use replicator_hal::linux::{
    KernelRoots, LedConfig, LinuxBoard, LinuxBoardConfig, LinuxDevices, LinuxSystem, isolate_mounts,
};
use replicator_hal::{ErrorKind, Status, System};
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

const EXIT_SUCCESS: u8 = 0;
const EXIT_FAILURE: u8 = 1;
const EXIT_CRITICAL: u8 = 3;

/// One run; returns the exit status. The console is standard error.
pub(crate) fn run(args: &RunArgs) -> Result<u8, UsageError> {
    let request = resolve(args)?;
    let leds = led_config(args, &request)?;
    let report_file = args.report.as_deref().map(create_report).transpose()?;
    let Some(board) = board(args, leds) else { return Ok(EXIT_FAILURE) };
    let report = catch_unwind(AssertUnwindSafe(|| boot::run(&board.board, &request)));
    let Ok(report) = report else {
        // The panic message is already on the console. Mounts end with this process.
        board.board.leds.show(Status::Failure);
        return Ok(EXIT_FAILURE);
    };
    Ok(deliver(report_file, &report))
}

/// Plans a run; returns the exit status and the text of the plan.
pub(crate) fn plan(args: &RunArgs) -> Result<(u8, String), UsageError> {
    let request = resolve(args)?;
    let report_file = args.report.as_deref().map(create_report).transpose()?;
    let Some(board) = board(args, LedConfig::None) else { return Ok((EXIT_FAILURE, String::new())) };
    let report = boot::plan(&board.board, &request);
    Ok((deliver(report_file, &report), plan_text(&report)))
}

/// Writes the report and returns the exit status.
fn deliver(report_file: Option<File>, report: &Report) -> u8 {
    let exit = exit_status(report.status);
    match report_file.map(|file| write_report(file, report)) {
        Some(Err(error)) => {
            print(format_args!("replicator: writing the report: {error}"));
            exit.max(EXIT_FAILURE)
        }
        Some(Ok(())) | None => exit,
    }
}

fn resolve(args: &RunArgs) -> Result<Request, UsageError> {
    let devices = LinuxDevices::default();
    request::request(args, |path| devices.by_path(path).map_err(|error| error.to_string()))
}

/// The board of this process in a mount namespace of its own. If it cannot be made, prints the error and returns `None`.
fn board(args: &RunArgs, leds: LedConfig) -> Option<LinuxBoard> {
    let mut config = LinuxBoardConfig::new(&args.log_dir);
    config.leds = leds;
    // Before any thread is started: a thread inherits the mount namespace of the thread that starts it.
    let board = isolate_mounts(&needed_paths(args)).and_then(|kept| {
        kept.iter().for_each(|mount| print(format_args!("replicator: {mount}")));
        LinuxBoard::new(config)
    });
    match board {
        Ok(board) => {
            if let Err(error) = interrupt::watch(Arc::clone(&board.devices)) {
                print(format_args!("replicator: no signal handler: {error}"));
            }
            Some(board)
        }
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            print(format_args!("replicator: {error}; run it as root"));
            None
        }
        Err(error) => {
            print(format_args!("replicator: {error}"));
            None
        }
    }
}

/// Paths that a run needs besides its devices: logs, report, its own program, and the programs that it starts.
fn needed_paths(args: &RunArgs) -> Vec<PathBuf> {
    let mut needed = vec![std::env::temp_dir(), args.log_dir.clone()];
    needed.extend(args.report.clone());
    needed.extend(std::env::current_exe());
    needed.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()));
    let directory = std::env::current_dir().unwrap_or_default();
    needed.push(directory.clone());
    needed.into_iter().map(|path| directory.join(path)).collect()
}

fn led_config(args: &RunArgs, request: &Request) -> Result<LedConfig, UsageError> {
    let BoardChoice::Named(profile) = &request.board else { return Ok(LedConfig::None) };
    if args.leds == LedAccess::None {
        return Ok(LedConfig::None);
    }
    let system = LinuxSystem::new(&KernelRoots::default(), Arc::default());
    let compatible = system.compatible().unwrap_or_else(|error| {
        print(format_args!("replicator: {error}; searching for LEDs by name"));
        Vec::new()
    });
    leds::config(args.leds, &profile.name, profile.leds_of(&compatible))
}

fn exit_status(status: Status) -> u8 {
    match status {
        Status::Success => EXIT_SUCCESS,
        Status::Critical => EXIT_CRITICAL,
        Status::Failure | Status::Running => EXIT_FAILURE,
    }
}

/// The text of the plan; refusals come last.
fn plan_text(report: &Report) -> String {
    report.plan_lines().join("\n") + "\n"
}

/// Opens the report file before the run, so that a mistyped path is an error at the start and not after an hour.
fn create_report(path: &Path) -> Result<File, UsageError> {
    let wrong = |detail: String| UsageError::ReportFile { path: path.to_owned(), detail };
    if std::fs::metadata(path).is_ok_and(|metadata| metadata.file_type().is_block_device()) {
        return Err(wrong("a block device".to_owned()));
    }
    OpenOptions::new()
        .create(true)
        .write(true)
        .truncate(true)
        .custom_flags(nix::libc::O_NOCTTY)
        .open(path)
        .map_err(|error| wrong(error.to_string()))
}

fn write_report(mut file: File, report: &Report) -> std::io::Result<()> {
    let json = report.json().map_err(std::io::Error::other)?;
    file.write_all(json.as_bytes())?;
    file.write_all(b"\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_has_its_exit_status() {
        let all = [Status::Success, Status::Failure, Status::Critical, Status::Running];
        assert_eq!(all.map(exit_status), [0, 1, 3, 1]);
    }

    #[test]
    fn a_report_is_written_to_files_only() {
        let directory = tempfile::tempdir().unwrap();
        assert!(create_report(&directory.path().join("no/such/report.json")).is_err());
        let path = directory.path().join("report.json");
        write_report(create_report(&path).unwrap(), &Report::new("1.2.3")).unwrap();
        let text = std::fs::read_to_string(path).unwrap();
        let json: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!((&json["version"], &json["status"]), (&"1.2.3".into(), &"failure".into()));
    }
}
