//! The boot sequence: which board, where the drive is, what it asks for, do it, tell how it ended.
//!
//! [`run`] is the whole of it. Every way out of it, start-up failures included, ends in a terminal LED status, a report,
//! and one clear line on the console.

use crate::capture::{self, Capture};
use crate::drive::{self, Drive, DriveChoice};
use crate::error::{Error, Refusal, Result};
use crate::expand::{self, Expansion};
use crate::firmware::{self, Wish as FirmwareWish};
use crate::media::{self, Medium};
use crate::names;
use crate::operation::Operation;
use crate::options::Options;
use crate::plan::Plan;
use crate::printable;
use crate::profile::{self, Profile};
use crate::report::Report;
use crate::tuning::Tuning;
use crate::write::{Allowed, Write};
use replicator_hal::{Board, DeviceName, ErrorKind, FileKind, Metadata, RelativePath, Status};
use std::collections::{BTreeMap, BTreeSet};

/// What is to be run.
#[derive(Debug, Clone)]
pub struct Request {
    /// Profiles to choose from. If there is one only, and `board_is_given`, it is taken without asking the device tree.
    pub profiles: Vec<Profile>,
    /// Whether the user named the board.
    pub board_is_given: bool,
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
    let result = with_drive(&operation, request, &mut report, |run, report| run.execute(report));
    finish(&operation, report, result)
}

/// What a run would do, and what it would refuse; nothing is changed and no LED is shown.
pub fn plan(board: &Board, request: &Request) -> Report {
    let mut report = Report::new(&request.version);
    let operation = Operation::new(board, &request.tuning, "plan", "plan");
    let result = with_drive(&operation, request, &mut report, |run, report| run.explain(report));
    if let Err(error) = result {
        report.failure = Some(error);
    }
    report.status = if report.failure.is_none() { Status::Success } else { Status::Failure };
    report
}

/// Everything that is known once the drive is mounted.
struct Run<'a> {
    operation: &'a Operation<'a>,
    request: &'a Request,
    compatible: Vec<String>,
    drive: Drive,
}

/// What the drive asks for on this board.
struct Wish {
    profile: Profile,
    options: Options,
    tuning: Tuning,
    media: Vec<Medium>,
    plan: Plan,
}

fn with_drive(
    operation: &Operation<'_>,
    request: &Request,
    report: &mut Report,
    work: impl FnOnce(&mut Run<'_>, &mut Report) -> Result<()>,
) -> Result<()> {
    let compatible = operation.board.system.compatible().map_err(Error::hal("reading the device tree"))?;
    let drive = drive::find(operation, &request.drive)?;
    operation.step(&format!("drive is {}", drive.place.region));
    let mut run = Run { operation, request, compatible, drive };
    let result = work(&mut run, report);
    // "Failed" must mean "safe to unplug": nothing is mounted when the LEDs change.
    let unmounted = run.drive.volume.unmount();
    match (result, unmounted) {
        (Ok(()), Err(error)) => Err(Error::hal("unmounting the drive")(error)),
        (Err(error), Err(unmount_error)) => {
            operation.log(&format!("unmounting the drive: {unmount_error}"));
            Err(error)
        }
        (result, Ok(())) => result,
    }
}

impl Run<'_> {
    fn execute(&mut self, report: &mut Report) -> Result<()> {
        drive::recover(self.operation, &mut self.drive)?;
        let options = self.options(report)?.1;
        self.expand(&options, report)?;
        report.after = options.settings.after;
        let wish = self.wish(report)?;
        report.mode = Some(wish.plan.mode());
        for line in wish.plan.lines() {
            self.operation.step(&line);
        }
        let Wish { profile, options, tuning, media, plan } = wish;
        match plan {
            Plan::Capture(items) => {
                report.outcomes = capture::run(&self.capture(&profile, &options, &tuning), items);
            }
            Plan::Write { items, firmware } => {
                let write = self.write(&profile, &media, &options, &tuning);
                let checked = write.check(items);
                report.outcomes = if firmware.is_empty() {
                    write.run(checked, None)
                } else {
                    let context = self.firmware(&profile, &media, &tuning);
                    context.run(&firmware, context.check(&firmware), &write, checked)
                };
            }
        }
        Ok(())
    }

    fn explain(&mut self, report: &mut Report) -> Result<()> {
        if self.drive.place.file_system.needs_recovery {
            report.notes.push("the drive was not unmounted cleanly: a run checks it first".into());
        }
        let wish = self.wish(report)?;
        report.mode = Some(wish.plan.mode());
        report.notes.extend(wish.plan.lines());
        if let Plan::Write { items, firmware } = wish.plan {
            let mut refused = None;
            if !firmware.is_empty() {
                let checks = self.firmware(&wish.profile, &wish.media, &wish.tuning).check(&firmware);
                report.notes.extend(checks.lines());
                refused = checks.into_refusal();
            }
            for checking in self.write(&wish.profile, &wish.media, &wish.options, &wish.tuning).check(items) {
                report.notes.push(crate::plan::verdict(&checking));
                refused = refused.or(checking.checked.err());
            }
            if let Some(error) = refused {
                return Err(error);
            }
        }
        let absent = wish.media.iter().filter(|medium| medium.device.is_none());
        report.notes.extend(absent.map(|medium| format!("{}: not present", medium.name())));
        Ok(())
    }

    /// The board's profile and what the drive's options ask for.
    fn options(&self, report: &mut Report) -> Result<(Profile, Options)> {
        let volume = &*self.drive.volume;
        let names = drive::root_names(volume)?;
        let profile = self.profile(&names)?;
        report.board = Some(profile.name.clone());
        let options = drive::read_options(volume, &names, &media_names(&profile))?;
        if let Some(wanted) = options.settings.board.as_ref().filter(|wanted| **wanted != profile.name) {
            return Err(Error::refused(
                Refusal::WrongBoard,
                format!("the drive is for board {wanted}, this is {}", profile.name),
            ));
        }
        if options.shell_only {
            return Err(Error::refused(Refusal::ShellOnly, "IR_SHELL_ONLY is on the drive: nothing is done"));
        }
        Ok((profile, options))
    }

    /// The board's profile: the one that was named, else one of those that are known or lie on the drive.
    fn profile(&self, drive_names: &[Vec<u8>]) -> Result<Profile> {
        if let ([profile], true) = (self.request.profiles.as_slice(), self.request.board_is_given) {
            return Ok(profile.clone());
        }
        let volume = &*self.drive.volume;
        let more = drive::read_profiles(volume, drive_names)?;
        // Without a device tree it is the drive that says which board this is, and it is read once more for that.
        let named = match self.compatible.is_empty() {
            true => drive::read_options(volume, drive_names, &[])?.settings.board,
            false => None,
        };
        profile::choose(&self.request.profiles, &more, &self.compatible, named.as_deref())
    }

    fn expand(&mut self, options: &Options, report: &mut Report) -> Result<()> {
        if !options.settings.expand.enabled {
            return Ok(());
        }
        match expand::expand(self.operation, &mut self.drive)? {
            Expansion::NotNeeded => {}
            Expansion::NotPossible(reason) => report.notes.push(format!("drive not expanded: {reason}")),
            Expansion::Grown(len_bytes) => {
                let note = format!("drive expanded to {} MiB", len_bytes >> 20);
                self.operation.step(&note);
                report.notes.push(note);
            }
        }
        Ok(())
    }

    /// Reads the drive once more, in its final state, and decides.
    fn wish(&self, report: &mut Report) -> Result<Wish> {
        let (profile, options) = self.options(report)?;
        let tuning = self.operation.tuning.with_timeouts(&options.settings.timeouts);
        let volume = &*self.drive.volume;
        let drive_names = drive::root_names(volume)?;
        for name in &options.unknown {
            let note = format!("option {name} is not known and has no effect");
            self.operation.step(&note);
            report.notes.push(note);
        }
        let devices = self.operation.board.devices.list().map_err(Error::hal("listing block devices"))?;
        let media = media::find(
            &profile,
            &self.compatible,
            &devices,
            &self.drive.place.disk.name,
            self.request.media.as_ref(),
        )?;
        let has_image = self.judge_names(&profile, &media, &drive_names, report)?;
        let firmware = FirmwareWish::of(&profile, &self.compatible, &drive_names)?;
        let resume =
            capture::session_exists(volume).map_err(Error::hal("looking for an unfinished capture"))?;
        let plan = if (has_image || !firmware.is_empty()) && !resume {
            Plan::for_write(&media, &drive_names, firmware)?
        } else {
            Plan::Capture(capture::plan(&self.capture(&profile, &options, &tuning), &media)?)
        };
        Ok(Wish { profile, options, tuning, media, plan })
    }

    /// Whether an image is among the names. Refuses names that ask for something this program would not do, and reports
    /// those that it passes over.
    fn judge_names(
        &self,
        profile: &Profile,
        media: &[Medium],
        drive_names: &[Vec<u8>],
        report: &mut Report,
    ) -> Result<bool> {
        let (present, absent): (Vec<_>, Vec<_>) = media.iter().partition(|medium| medium.device.is_some());
        let media: Vec<String> =
            present.iter().chain(&absent).map(|medium| medium.name().to_owned()).collect();
        let linked = self.linked_names(&media, drive_names)?;
        let firmware_files = profile.firmware_files(&self.compatible);
        let is_directory = |name: &[u8]| self.is_directory(name);
        let context = names::root::Context {
            media: &media,
            firmware_files: &firmware_files,
            linked: &linked,
            is_directory: &is_directory,
        };
        let root = names::root::judge_all(drive_names, &context);
        if !root.refused.is_empty() {
            return Err(Error::refused(Refusal::MisspeltNames, printable::few(&root.refused, "; ")));
        }
        for note in printable::first(&root.notes) {
            self.operation.step(&note);
            report.notes.push(note);
        }
        Ok(root.has_image)
    }

    /// Whether a name in the root is certainly a directory.
    fn is_directory(&self, name: &[u8]) -> bool {
        let metadata = RelativePath::parse(name).map(|path| self.drive.volume.metadata(&path));
        matches!(metadata, Ok(Ok(Metadata { kind: FileKind::Directory, .. })))
    }

    /// Names in the drive's root that accepted names lead to as symlinks.
    fn linked_names(&self, media: &[String], drive_names: &[Vec<u8>]) -> Result<BTreeSet<Vec<u8>>> {
        let volume = &*self.drive.volume;
        let mut linked = BTreeSet::new();
        for image in media.iter().flat_map(|medium| names::accepted(medium)) {
            let name = image.to_string();
            if !drive_names.iter().any(|found| found.as_slice() == name.as_bytes()) {
                continue;
            }
            let Ok(path) = RelativePath::parse(&name) else { continue };
            match self.operation.retry(|| volume.resolve(&path)) {
                Ok(target) if target != path => {
                    linked.insert(target.as_bytes().to_vec());
                }
                Ok(_) => {}
                // A link that leads nowhere is refused with its medium.
                Err(error)
                    if matches!(
                        error.kind(),
                        ErrorKind::NotFound | ErrorKind::SymlinkInPath | ErrorKind::NotADirectory
                    ) => {}
                Err(error) => return Err(Error::hal(format!("following {name}"))(error)),
            }
        }
        Ok(linked)
    }

    fn capture<'b>(&'b self, profile: &'b Profile, options: &'b Options, tuning: &'b Tuning) -> Capture<'b> {
        Capture {
            board: self.operation.board,
            tuning,
            options,
            drive: &*self.drive.volume,
            board_name: &profile.name,
            version: &self.request.version,
        }
    }

    fn write<'b>(
        &'b self,
        profile: &'b Profile,
        media: &'b [Medium],
        options: &Options,
        tuning: &'b Tuning,
    ) -> Write<'b> {
        Write {
            board_name: &profile.name,
            media,
            board: self.operation.board,
            tuning,
            drive: &*self.drive.volume,
            allowed: Allowed {
                write_back: options.write_back,
                any_content: options.settings.write.any_content,
                any_root: options.settings.write.any_root,
            },
        }
    }

    fn firmware<'b>(
        &'b self,
        profile: &'b Profile,
        media: &'b [Medium],
        tuning: &'b Tuning,
    ) -> firmware::Context<'b> {
        firmware::Context {
            board: self.operation.board,
            tuning,
            profile,
            compatible: &self.compatible,
            media,
            drive: &*self.drive.volume,
        }
    }
}

/// Names of all media of a profile, present or not.
fn media_names(profile: &Profile) -> Vec<String> {
    profile.media.iter().map(|medium| medium.name.clone()).collect()
}

/// The worst of what happened decides; then report, console, LEDs, in this order.
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
    // What is left must not be told of as a success that the LEDs then deny.
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
