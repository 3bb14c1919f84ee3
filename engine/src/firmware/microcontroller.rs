//! Updates the board's microcontroller. The result is the revision that it reports, not the exit status of its updater.
//!
//! An update that resets the board interrupts this run; the next boot finds the new revision and continues. An update
//! that takes effect at the next reboot cannot be verified before it: the run continues with the other steps, so that a
//! unit needs one boot, and reports that the update is not verified. A later boot with the drive verifies it.

use super::file::FirmwareFile;
use super::footer::{self, Info, Update};
use super::revision;
use super::step::{self, Name, Step, how_it_ended, run_updater};
use crate::context::Context;
use crate::error::{Error, Refusal, Result};
use crate::operation::Operation;
use crate::profile::MicrocontrollerProfile;
use crate::report::{Done, End, Outcome};
use crate::verify::Installed;
use replicator_hal::{self as hal, Argument, HookEnd, Updater, UpdaterProgram};
use std::time::Duration;

const MICROCONTROLLER: Name = Name { label: "microcontroller", log: "micro-update" };
/// The state if the program fails during an update.
const UNKNOWN: &str = "the state of the microcontroller is unknown";

/// How long reading the revision may take.
const INFO_TIMEOUT: Duration = Duration::from_secs(60);
/// After an update the microcontroller may need some time until it answers.
const INFO_ATTEMPTS: usize = 5;
const INFO_PAUSE: Duration = Duration::from_secs(2);

/// What the step will do.
#[derive(Debug)]
pub(crate) enum Checked {
    /// An update.
    Update(Box<Wanted>),
    /// Nothing: it reports the revision of the update already.
    Same(Done),
    /// Nothing, by a rule.
    Skip(String),
}

/// An update that fits.
#[derive(Debug)]
pub(crate) struct Wanted {
    profile: MicrocontrollerProfile,
    file: FirmwareFile,
    update: Update,
    before: Info,
}

/// Checks the update that is on the drive.
pub(super) fn step(context: &Context<'_>, micro: &MicrocontrollerProfile) -> Step<Checked> {
    Step::check(context, &MICROCONTROLLER, micro.file.clone(), |operation| check(operation, context, micro))
}

impl Checked {
    /// What the step will do, in words.
    pub(super) fn text(&self) -> String {
        match self {
            Self::Update(wanted) => format!("would be updated with {}", wanted.text()),
            Self::Same(done) => done.notes.join(", "),
            Self::Skip(reason) => format!("nothing to do, {reason}"),
        }
    }
}

impl Step<Checked> {
    /// Updates the microcontroller if its check decided that and there is no reason to `stop`.
    pub(crate) fn run(self, context: &Context<'_>, stop: Option<&str>) -> Outcome {
        let (end, elapsed) = match (self.checked, stop) {
            (Err(error), _) => (End::Failed(error), self.checking),
            (Ok(Checked::Skip(reason)), _) => (End::Skipped(reason), self.checking),
            (_, Some(reason)) => (End::Skipped(reason.to_owned()), self.checking),
            (Ok(Checked::Same(done)), None) => (End::Done(done), self.checking),
            (Ok(Checked::Update(wanted)), None) => {
                let update = |operation: &Operation<'_>| update(operation, context, &wanted);
                let (end, elapsed) = step::write(context, self.name, UNKNOWN, update);
                (end, self.checking + elapsed)
            }
        };
        self.name.outcome(None, &self.files, end, elapsed)
    }
}

/// Checks the file, the board and the microcontroller's revision.
///
/// # Errors
/// Refusals; errors of the drive and of the updater.
fn check(
    operation: &Operation<'_>,
    context: &Context<'_>,
    micro: &MicrocontrollerProfile,
) -> Result<Checked> {
    if !micro.board_revisions.is_empty() {
        let board = revision::read(operation, context.profile)?;
        if !micro.board_revisions.contains(&board) {
            let takes = micro.board_revisions.join(", ");
            return Ok(Checked::Skip(format!(
                "{} is for board revision {takes}, this board has {board}",
                micro.file
            )));
        }
    }
    let file = FirmwareFile::read(operation, &context.drive, &micro.file, footer::FILE_LEN_MAX_BYTES)?;
    let refuse = |what: String| Error::refused(Refusal::WrongFirmware, what);
    let update =
        footer::parse(micro.footer, &file.content).map_err(|what| refuse(format!("{} {what}", file.name)))?;
    let before = info(operation, micro)?;
    for (whose, found) in [(file.name.as_str(), update.model), ("the microcontroller", before.model)] {
        if let (Some(wanted), Some(found)) = (micro.model, found) {
            if wanted != found {
                return Err(refuse(format!("{whose} is of model {found:#06x}, this board is {wanted:#06x}")));
            }
        }
    }
    if let Some(installed) = Installed::of_revision(update.revision, before.revision) {
        let note = format!("revision {} already, nothing was written", before.revision);
        return Ok(Checked::Same(done(&file, &installed, note)));
    }
    if before.revision < micro.revision_min {
        return Ok(Checked::Skip(format!(
            "it has revision {}, and accepts updates from revision {} on",
            before.revision, micro.revision_min
        )));
    }
    if before.revision > update.revision {
        return Ok(Checked::Skip(format!(
            "it has revision {}, which is newer than {} in {}",
            before.revision, update.revision, file.name
        )));
    }
    Ok(Checked::Update(Box::new(Wanted { profile: micro.clone(), file, update, before })))
}

fn done(file: &FirmwareFile, installed: &Installed, note: String) -> Done {
    Done::firmware(file.len_bytes(), installed, vec![note])
}

impl Wanted {
    /// The update in words.
    fn text(&self) -> String {
        format!("{} from revision {} to {}", self.file.name, self.before.revision, self.update.revision)
    }
}

/// Runs the updater, and reads the revision of the microcontroller afterwards.
///
/// # Errors
/// [`Error::Unbootable`] if the microcontroller does not answer any more; those of the updater if it still has its old
/// revision, unless the update waits for a reboot.
fn update(operation: &Operation<'_>, context: &Context<'_>, wanted: &Wanted) -> Result<Done> {
    let micro = &wanted.profile;
    let resets =
        if micro.reboots { "; the board resets when it is done, and the next boot continues" } else { "" };
    operation.step(&format!("updating with {}{resets}", wanted.text()));
    let file = Argument::File { volume: context.drive.id(), path: wanted.file.path.clone() };
    let timeout = Duration::from_secs(micro.timeout_seconds);
    let updater = updater(micro, vec![Argument::Text("-u".into()), file], timeout);
    let ran = run_updater(operation, &updater);
    let after = info_after(operation, micro);
    operation.board.leds.set_at_risk(after.is_err());
    let how = match &ran {
        Ok(end) => how_it_ended(end),
        Err(error) => error.to_string(),
    };
    operation.log(&format!("the updater: {how}"));
    let after = after.map_err(|error| Error::Unbootable {
        source: Box::new(error),
        state: format!("the microcontroller did not answer after its update ({how})"),
    })?;
    if let Some(installed) = Installed::of_revision(wanted.update.revision, after.revision) {
        return Ok(done(&wanted.file, &installed, format!("revision {}", after.revision)));
    }
    if let Some(installed) = waits_for_reboot(&ran, wanted, after) {
        let note = format!(
            "its updater accepted revision {}, which takes effect at the next reboot; until then the microcontroller \
             reports {}, so this is not verified yet",
            wanted.update.revision, after.revision
        );
        return Ok(done(&wanted.file, &installed, note));
    }
    Err(match ran {
        Ok(_) => Error::Updater {
            what: updater.to_string(),
            detail: format!("{how}; the microcontroller still has revision {}", after.revision),
        },
        Err(error) => Error::hal(format!(
            "updating the microcontroller, which still has revision {}",
            after.revision
        ))(error),
    })
}

/// Whether the update takes effect at the next reboot, so that the old revision is reported until then.
fn waits_for_reboot(ran: &hal::Result<HookEnd>, wanted: &Wanted, after: Info) -> Option<Installed> {
    let may_wait = !wanted.profile.reboots && after.revision == wanted.before.revision;
    ran.as_ref().ok().filter(|_| may_wait).and_then(Installed::by_exit_status)
}

fn updater(micro: &MicrocontrollerProfile, arguments: Vec<Argument>, timeout: Duration) -> Updater {
    Updater { program: UpdaterProgram::System(micro.program.clone()), arguments, timeout }
}

/// Reads the information that the microcontroller reports.
fn info(operation: &Operation<'_>, micro: &MicrocontrollerProfile) -> Result<Info> {
    let reading = updater(micro, vec![Argument::Text("--info".into())], INFO_TIMEOUT);
    let end = operation
        .board
        .firmware
        .run_updater(&reading)
        .map_err(Error::hal("reading the revision of the microcontroller"))?;
    operation.log(&end.output);
    match footer::info(&end.output) {
        Some(info) if end.exit_status == Some(0) => Ok(info),
        _ => Err(Error::Updater {
            what: reading.to_string(),
            detail: format!("the microcontroller did not report its revision: {}", how_it_ended(&end)),
        }),
    }
}

fn info_after(operation: &Operation<'_>, micro: &MicrocontrollerProfile) -> Result<Info> {
    let mut result = info(operation, micro);
    for _ in 1..INFO_ATTEMPTS {
        if result.is_ok() {
            break;
        }
        operation.board.clock.sleep(INFO_PAUSE);
        result = info(operation, micro);
    }
    result
}
