//! Updates the FPGA with a program from the drive, which is chosen by the revision of the board.
//!
//! The FPGA cannot be read back, so the exit status of the updater is the only result, and the report states that. If an
//! updater was started and failed, the state of the FPGA is unknown, which is critical.

use super::file::FirmwareFile;
use super::revision;
use super::step::{Name, Step, how_it_ended, run_updater};
use crate::context::Context;
use crate::error::{Error, Refusal, Result};
use crate::jobs::{Begun, Job, Named};
use crate::operation::Operation;
use crate::profile::FpgaProfile;
use crate::report::{Done, End, Outcome};
use crate::verify::Installed;
use replicator_hal::{ErrorKind, RelativePath, Updater, UpdaterProgram, VolumeId};
use std::time::Duration;

const FPGA: Name = Name { label: "fpga", log: "fpga-writeimage" };
/// Longest updater: it holds a bit stream and a program.
const LEN_MAX_BYTES: u64 = 32 << 20;
/// The execute bits of a mode.
const EXECUTABLE: u32 = 0o111;

/// What the step will do.
#[derive(Debug)]
pub(crate) enum Checked {
    /// This updater is run.
    Run(FpgaJob),
    /// Nothing, by the board's revision.
    Skip(String),
}

/// An updater that fits the board.
#[derive(Debug)]
pub(crate) struct FpgaJob {
    name: String,
    updater: Updater,
    len_bytes: u64,
    notes: Vec<String>,
}

/// Checks the updaters that are on the drive.
pub(super) fn step(context: &Context<'_>, present: &[FpgaProfile]) -> Step<Checked> {
    let files: Vec<_> = present.iter().map(|fpga| fpga.file.as_str()).collect();
    Step::check(context, &FPGA, files.join(", "), |operation| check(operation, context, present))
}

impl Checked {
    /// What the step will do, in words.
    pub(super) fn text(&self) -> String {
        match self {
            Self::Run(job) => format!("{} would be run", job.name),
            Self::Skip(reason) => format!("nothing to do, {reason}"),
        }
    }
}

impl Step<Checked> {
    /// The job that runs the updater; its outcome instead if its check decided otherwise or if `stop` gives a reason to
    /// skip it.
    pub(crate) fn begin(self, stop: Option<&str>) -> Begun<'static> {
        let end = match (self.checked, stop) {
            (Ok(Checked::Run(job)), None) => return Begun::Job(Box::new(job)),
            (Ok(Checked::Run(_)), Some(reason)) => End::Skipped(reason.to_owned()),
            (Ok(Checked::Skip(reason)), _) => End::Skipped(reason),
            (Err(error), _) => End::Failed(error),
        };
        Begun::Ended(Box::new(self.name.outcome(None, &self.files, end, self.checking)))
    }
}

/// Chooses the updater on the drive that fits the board, and checks it.
///
/// # Errors
/// Refusals; errors of the drive.
fn check(operation: &Operation<'_>, context: &Context<'_>, present: &[FpgaProfile]) -> Result<Checked> {
    let by_revision = present.iter().any(|fpga| fpga.revision.is_some());
    let board = if by_revision { Some(revision::read(operation, context.profile)?) } else { None };
    let (fitting, others): (Vec<_>, Vec<_>) =
        present.iter().partition(|fpga| fpga.revision.is_none() || fpga.revision == board);
    let notes: Vec<String> = others
        .iter()
        .map(|fpga| {
            let (wanted, board) =
                (fpga.revision.as_deref().unwrap_or("any"), board.as_deref().unwrap_or("unknown"));
            format!("{} is for board revision {wanted}, this board has {board}", fpga.file)
        })
        .collect();
    let Some(fpga) = fitting.first() else { return Ok(Checked::Skip(notes.join("; "))) };
    let file = FirmwareFile::read(operation, &context.drive, &fpga.file, LEN_MAX_BYTES)?;
    check_executable(context, &file.name, &file.path)?;
    Ok(Checked::Run(FpgaJob {
        name: file.name.clone(),
        updater: program(context.drive.id(), &file.path, fpga.timeout_seconds),
        len_bytes: file.len_bytes(),
        notes,
    }))
}

fn program(volume: VolumeId, path: &RelativePath, timeout_seconds: u64) -> Updater {
    Updater {
        program: UpdaterProgram::File { volume, path: path.clone() },
        arguments: Vec::new(),
        timeout: Duration::from_secs(timeout_seconds),
    }
}

/// On a file system with modes, refuses a file that is not executable, before anything is written.
fn check_executable(context: &Context<'_>, name: &str, path: &RelativePath) -> Result<()> {
    if !context.drive.capabilities().unix {
        return Ok(());
    }
    let metadata = context.drive.metadata(path).map_err(Error::hal(format!("looking at {name}")))?;
    if metadata.mode & EXECUTABLE == 0 {
        let what =
            format!("{name} is not executable: its mode is {:o}; use chmod +x", metadata.mode & 0o7777);
        return Err(Error::refused(Refusal::WrongFirmware, what));
    }
    Ok(())
}

impl Named for FpgaJob {
    fn label(&self) -> &str {
        FPGA.label
    }

    fn log_name(&self) -> String {
        FPGA.log.to_owned()
    }
}

impl Job for FpgaJob {
    fn run(&self, operation: &Operation<'_>) -> Result<Done> {
        operation.step(&format!("running {}", self.name));
        let leds = &operation.board.leds;
        let end = match run_updater(operation, &self.updater) {
            Ok(end) => end,
            Err(error) => {
                let began = error.kind() == ErrorKind::TimedOut;
                leds.set_at_risk(began);
                let error = Error::hal(format!("running {}", self.name))(error);
                return Err(if began { unknown(error) } else { error });
            }
        };
        let Some(installed) = Installed::by_exit_status(&end) else {
            let detail = how_it_ended(&end);
            return Err(unknown(Error::Updater { what: self.updater.to_string(), detail }));
        };
        leds.set_at_risk(false);
        let mut notes = vec!["by the updater's exit status; it cannot be read back".to_owned()];
        notes.extend(self.notes.iter().cloned());
        Ok(Done::firmware(self.len_bytes, &installed, notes))
    }

    fn outcome(&self, end: End, elapsed: Duration) -> Outcome {
        FPGA.outcome(None, &self.name, end, elapsed)
    }
}

fn unknown(source: Error) -> Error {
    Error::Unbootable { source: Box::new(source), state: "the content of the FPGA is unknown".into() }
}
