//! The boot sequence: find the drive, read its requests, carry them out, report the result.
//!
//! [`run`] is the whole sequence. Every run, also one that fails at start-up, ends with a final LED status, a report, and
//! one clear line on the console.

use crate::capture::{self, Captured};
use crate::context::Context;
use crate::drive::{self, Drive, DriveChoice, Place};
use crate::drive_request::DriveRequest;
use crate::error::{Error, Refusal, Result};
use crate::expand::{self, Expansion};
use crate::firmware;
use crate::media::{self, Medium};
use crate::memory::Memory;
use crate::operation::Operation;
use crate::options::Settings;
use crate::plan::Plan;
use crate::profile::BoardChoice;
use crate::provision::Provision;
use crate::report::Report;
use crate::size::Size;
use crate::tuning::Tuning;
use replicator_hal::{Board, DeviceName, Status};
use std::collections::BTreeMap;

/// What to run.
#[derive(Debug, Clone)]
pub struct Request {
    /// Which board this is.
    pub board: BoardChoice,
    /// Names of the firmware files of all known boards, see [`profile::firmware_names`](crate::profile::firmware_names). A
    /// drive with one that this board does not take is refused.
    pub firmware_names: Vec<String>,
    /// Which device is the drive.
    pub drive: DriveChoice,
    /// Media by name; replaces discovery.
    pub media: Option<BTreeMap<String, DeviceName>>,
    /// Sizes and times.
    pub tuning: Tuning,
    /// Version of the program, for reports.
    pub version: String,
}

/// Runs the whole sequence on `board`. The LEDs show the status that the report ends with.
pub fn run(board: &Board, request: &Request) -> Report {
    board.leds.renew(request.tuning.io_lease);
    board.leds.show(Status::Running);
    board.records.console(&format!("replicator {}", request.version));
    let mut report = Report::new(&request.version);
    let operation = Operation::new(board, &request.tuning, "start", "start");
    let mut captured = None;
    let result = with_drive(&operation, request, |run, drive| run.execute(drive, &mut report, &mut captured));
    let result = match (result, captured) {
        (Ok(place), Some(captured)) => {
            report.outcomes = captured.check(board, &place);
            Ok(())
        }
        (result, captured) => {
            report.outcomes.extend(captured.map(Captured::unchecked).into_iter().flatten());
            result.map(|_| ())
        }
    };
    finish(&operation, report, result)
}

/// Reports what a run would do and what it would refuse. Nothing is changed, and the LEDs are not used.
pub fn plan(board: &Board, request: &Request) -> Report {
    let mut report = Report::new(&request.version);
    let operation = Operation::new(board, &request.tuning, "plan", "plan");
    let result = with_drive(&operation, request, |run, drive| run.explain(drive, &mut report));
    if let Err(error) = result {
        report.failure = Some(error);
    }
    report.status = if report.failure.is_none() { Status::Success } else { Status::Failure };
    report
}

/// Finds the drive, does `work` with it, and unmounts it also after an error. Returns where the drive is.
fn with_drive(
    operation: &Operation<'_>,
    request: &Request,
    work: impl FnOnce(&Run<'_>, &mut Drive) -> Result<()>,
) -> Result<Place> {
    let compatible = operation.board.system.compatible().map_err(Error::hal("reading the device tree"))?;
    let mut drive = drive::find(operation, &request.drive)?;
    operation.step(&format!("drive is {}", drive.place.region));
    let result = work(&Run { operation, request, compatible }, &mut drive);
    // "Failed" must mean "safe to unplug": nothing is mounted when the LEDs change.
    let unmounted = drive.volume.unmount();
    match (result, unmounted) {
        (Ok(()), Err(error)) => Err(Error::hal("unmounting the drive")(error)),
        (Err(error), Err(unmount_error)) => {
            operation.log(&format!("unmounting the drive: {unmount_error}"));
            Err(error)
        }
        (result, Ok(())) => result.map(|()| drive.place),
    }
}

/// The facts that do not depend on the drive.
struct Run<'a> {
    operation: &'a Operation<'a>,
    request: &'a Request,
    compatible: Vec<String>,
}

/// Times and media, as the drive's settings and profile give them.
struct Scene {
    tuning: Tuning,
    media: Vec<Medium>,
}

impl Run<'_> {
    /// What was captured has to be compared again when the drive is unmounted.
    fn execute(&self, drive: &mut Drive, report: &mut Report, captured: &mut Option<Captured>) -> Result<()> {
        drive::recover(self.operation, drive)?;
        let mut drive_request = self.read(drive, report)?;
        if let Some(growth) = self.growth(drive, &drive_request, report)? {
            self.grow(drive, growth, report)?;
            drive_request = self.read(drive, report)?;
        }
        report.after = drive_request.options.settings.after;
        let scene = self.look(&drive_request, report)?;
        let context = self.context(&drive_request, &scene);
        let plan = self.plan(&drive_request, &context, report)?;
        report.mode = Some(plan.mode());
        for line in plan.lines() {
            self.operation.step(&line);
        }
        match plan {
            Plan::Capture(items) => *captured = Some(capture::run(&context, items)),
            Plan::Write(provision) => report.outcomes = provision.check(&context).run(&context),
        }
        Ok(())
    }

    fn explain(&self, drive: &Drive, report: &mut Report) -> Result<()> {
        if drive.place.file_system.needs_recovery {
            report.notes.push("the drive was not unmounted cleanly: a run checks it first".into());
        }
        let drive_request = self.read(drive, report)?;
        let scene = self.look(&drive_request, report)?;
        let context = self.context(&drive_request, &scene);
        let plan = self.plan(&drive_request, &context, report)?;
        report.mode = Some(plan.mode());
        report.notes.extend(plan.lines());
        if let Plan::Write(provision) = plan {
            let checked = provision.check(&context);
            report.notes.extend(checked.lines());
            checked.into_refusal().map_or(Ok(()), Err)?;
        }
        let absent = scene.media.iter().filter(|medium| medium.device.is_none());
        report.notes.extend(absent.map(|medium| format!("{}: not present", medium.name())));
        Ok(())
    }

    fn read<'d>(&self, drive: &'d Drive, report: &mut Report) -> Result<DriveRequest<'d>> {
        let Request { board, firmware_names, .. } = self.request;
        DriveRequest::read(drive, board, firmware_names, &self.compatible, report)
    }

    /// How the drive can grow, if its settings allow it.
    fn growth(
        &self,
        drive: &Drive,
        drive_request: &DriveRequest<'_>,
        report: &mut Report,
    ) -> Result<Option<expand::Steps>> {
        if !drive_request.options.settings.expand.enabled {
            return Ok(None);
        }
        Ok(match expand::look(self.operation, drive)? {
            Expansion::NotNeeded => None,
            Expansion::NotPossible(reason) => {
                report.notes.push(format!("drive not expanded: {reason}"));
                None
            }
            Expansion::Possible(steps) => Some(steps),
        })
    }

    fn grow(&self, drive: &mut Drive, steps: expand::Steps, report: &mut Report) -> Result<()> {
        let len_bytes = expand::grow(self.operation, drive, steps)?;
        self.note(format!("the drive's partition was grown to {}", Size(len_bytes)), report);
        Ok(())
    }

    /// Finds the media, and reports the options that are not known.
    fn look(&self, drive_request: &DriveRequest<'_>, report: &mut Report) -> Result<Scene> {
        let tuning = self.tuning(&drive_request.options.settings);
        for name in &drive_request.options.unknown {
            self.note(format!("option {name} is not known and has no effect"), report);
        }
        let devices = self.operation.board.devices.list().map_err(Error::hal("listing block devices"))?;
        let named = self.request.media.as_ref();
        let media = media::find(
            &drive_request.profile,
            &self.compatible,
            &devices,
            drive_request.drive_disk(),
            named,
        )?;
        Ok(Scene { tuning, media })
    }

    /// The sizes and times of this board with these settings.
    fn tuning(&self, settings: &Settings) -> Tuning {
        let memory_bytes = self.operation.board.system.memory_bytes();
        let tuning = self.operation.tuning.with_settings(settings, memory_bytes);
        let Memory { available_bytes, budget_bytes } = tuning.memory;
        let found = if memory_bytes.is_some() { "" } else { " (assumed)" };
        self.operation.log(&format!(
            "memory for workers and buffers: {} of {}{found}",
            Size(budget_bytes),
            Size(available_bytes)
        ));
        tuning
    }

    fn context<'c>(&'c self, drive_request: &'c DriveRequest<'_>, scene: &'c Scene) -> Context<'c> {
        Context {
            board: self.operation.board,
            tuning: &scene.tuning,
            profile: &drive_request.profile,
            compatible: &self.compatible,
            media: &scene.media,
            drive: drive_request.volume(),
            options: &drive_request.options,
            version: &self.request.version,
        }
    }

    /// Decides whether to capture or to write, and what.
    fn plan(
        &self,
        drive_request: &DriveRequest<'_>,
        context: &Context<'_>,
        report: &mut Report,
    ) -> Result<Plan> {
        let mut notes = Vec::new();
        let has_image =
            drive_request.has_image(self.operation, &self.compatible, context.media, &mut notes)?;
        for note in notes {
            self.note(note, report);
        }
        let firmware = firmware::Request::of(context.profile, &self.compatible, &drive_request.names)?;
        let resume = capture::session_exists(&context.drive)
            .map_err(Error::hal("looking for an unfinished capture"))?;
        if (has_image || !firmware.is_empty()) && !resume {
            let provision = Provision::of(context.media, &drive_request.names, firmware)?;
            return Ok(Plan::Write(Box::new(provision)));
        }
        Ok(Plan::Capture(capture::plan(context)?))
    }

    /// Adds a note to the console and the report.
    fn note(&self, note: String, report: &mut Report) {
        self.operation.step(&note);
        report.notes.push(note);
    }
}

/// Determines the status by the worst result, then writes the report, the console and the LEDs, in this order.
fn finish(operation: &Operation<'_>, mut report: Report, result: Result<()>) -> Report {
    if let Err(error) = result {
        report.failure = Some(error);
    } else if let Err(error) = operation.check_lease() {
        report.failure = Some(error);
    } else if !report.did_something() {
        let what = "nothing was captured or written".to_owned();
        report.failure = Some(Error::refused(Refusal::NothingToDo, what));
    }
    report.status = match (report.succeeded(), report.is_critical()) {
        (true, _) => Status::Success,
        (false, true) => Status::Critical,
        (false, false) => Status::Failure,
    };
    // A new lease: if the lease ran out while the report is written, the LEDs would show failure after a reported
    // success.
    operation.renew(operation.tuning.io_lease);
    let records = &operation.board.records;
    match report.json() {
        Ok(json) => records.report(&json),
        Err(error) => records.console(&format!("no report: {error}")),
    }
    for line in report.lines() {
        operation.log(&line);
        records.console(&line);
    }
    operation.board.leds.show(report.status);
    report
}
