//! Firmware of the board: microcontroller, bootloader, FPGA, in this order, each checked before anything is written.
//!
//! What a profile names and lies in the drive's root is asked for. If one of them is refused, nothing at all is written;
//! if the microcontroller or the bootloader fails, no medium is. The FPGA's updater runs beside the media. What is there
//! already, as reading it back shows, is done and verified; what a rule of the profile leaves out is told, and is no
//! success by itself.

mod bootloader;
mod file;
pub mod footer;
pub mod formats;
mod fpga;
pub mod imx_type;
mod microcontroller;
mod region;
mod revision;

use crate::error::{Error, Refusal, Result};
use crate::jobs::{self, Named};
use crate::media::Medium;
use crate::names;
use crate::operation::Operation;
use crate::profile::{BootloaderProfile, FpgaProfile, MicrocontrollerProfile, Profile};
use crate::report::{Done, End, Outcome};
use crate::tuning::Tuning;
use crate::write::{Beside, Checking, Write};
use replicator_hal::{self as hal, Board, HookEnd, Updater, Volume};
use std::time::Duration;

/// What the steps need.
pub struct Context<'a> {
    /// The board.
    pub board: &'a Board,
    /// Sizes and times.
    pub tuning: &'a Tuning,
    /// Its profile.
    pub profile: &'a Profile,
    /// Its `compatible` strings.
    pub compatible: &'a [String],
    /// Its media, present or not.
    pub media: &'a [Medium],
    /// The drive, mounted read-only.
    pub drive: &'a dyn Volume,
}

/// The firmware that a drive asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wish {
    microcontroller: Option<MicrocontrollerProfile>,
    bootloader: Option<BootloaderProfile>,
    fpga: Vec<FpgaProfile>,
}

impl Wish {
    /// What of the profile's firmware is among `drive_names`.
    ///
    /// # Errors
    /// `IncompleteFirmware` if a part of the bootloader is missing.
    pub fn of(profile: &Profile, compatible: &[String], drive_names: &[Vec<u8>]) -> Result<Self> {
        let there = |name: &str| drive_names.iter().any(|found| found.as_slice() == name.as_bytes());
        let bootloader = profile.bootloader.as_ref();
        if let Some(bootloader) = bootloader {
            let set: Vec<String> = bootloader.files.iter().map(|file| file.name.clone()).collect();
            if let Some(incomplete) = names::incomplete_firmware(drive_names, &[set]).first() {
                let (present, missing) = (incomplete.present.join(", "), incomplete.missing.join(", "));
                let what = format!("{present} is there without {missing}: half a bootloader is not written");
                return Err(Error::refused(Refusal::IncompleteFirmware, what));
            }
        }
        Ok(Self {
            microcontroller: profile
                .microcontroller_of(compatible)
                .filter(|micro| there(&micro.file))
                .cloned(),
            bootloader: bootloader.filter(|boot| boot.files.iter().any(|file| there(&file.name))).cloned(),
            fpga: profile.fpga.iter().filter(|fpga| there(&fpga.file)).cloned().collect(),
        })
    }

    /// Whether nothing is asked for.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The plan in words, a line per step.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        if let Some(micro) = &self.microcontroller {
            lines.push(format!("plan: update the microcontroller with {}", micro.file));
        }
        if let Some(bootloader) = &self.bootloader {
            let files: Vec<_> = bootloader.files.iter().map(|file| file.name.as_str()).collect();
            lines.push(format!("plan: write {} to {}", files.join(", "), bootloader.area));
        }
        if !self.fpga.is_empty() {
            let files: Vec<_> = self.fpga.iter().map(|fpga| fpga.file.as_str()).collect();
            lines.push(format!(
                "plan: update the FPGA with that of {} which fits the board",
                files.join(", ")
            ));
        }
        lines
    }
}

/// A step, as its log and its report know it.
struct Step {
    label: &'static str,
    log_name: &'static str,
}

const MICROCONTROLLER: Step = Step { label: "microcontroller", log_name: "micro-update" };
const BOOTLOADER: Step = Step { label: "bootloader", log_name: "u-boot-writeimage" };
const FPGA: Step = Step { label: "fpga", log_name: "fpga-writeimage" };

impl Named for &Step {
    fn label(&self) -> &str {
        self.label
    }

    fn log_name(&self) -> String {
        self.log_name.to_owned()
    }
}

type Timed<T> = Option<(Result<T>, Duration)>;

/// What the checks of all steps showed; `None` for what is not asked for.
pub struct Checks {
    microcontroller: Timed<microcontroller::Checked>,
    bootloader: Timed<bootloader::Checked>,
    fpga: Timed<fpga::Checked>,
}

impl Context<'_> {
    /// Checks everything that is asked for; nothing is written.
    pub fn check(&self, wish: &Wish) -> Checks {
        let micro = wish.microcontroller.as_ref();
        Checks {
            microcontroller: micro.and_then(|micro| {
                self.step(&MICROCONTROLLER, |operation| microcontroller::check(operation, self, micro))
            }),
            bootloader: wish.bootloader.as_ref().and_then(|profile| {
                self.step(&BOOTLOADER, |operation| bootloader::check(operation, self, profile))
            }),
            fpga: (!wish.fpga.is_empty())
                .then(|| self.step(&FPGA, |operation| fpga::check(operation, self, &wish.fpga)))
                .flatten(),
        }
    }

    fn step<T: Send>(
        &self,
        step: &'static Step,
        work: impl Fn(&crate::operation::Operation<'_>) -> Result<T> + Sync,
    ) -> Timed<T> {
        jobs::run(self.board, self.tuning, &[step], |operation, _| work(operation)).pop()
    }

    /// Does everything that passed its check, in order, and writes the media.
    pub fn run(&self, wish: &Wish, checks: Checks, write: &Write<'_>, media: Vec<Checking>) -> Vec<Outcome> {
        let Checks { microcontroller, bootloader, fpga } = checks;
        let refused = is_refused(&microcontroller) || is_refused(&bootloader) || is_refused(&fpga);
        let mut outcomes = Vec::new();
        let mut stop = refused.then_some("not begun, because firmware on the drive was refused");
        if let (Some((checked, elapsed)), Some(micro)) = (microcontroller, &wish.microcontroller) {
            let (end, elapsed) = self.microcontroller(micro, checked, elapsed, stop);
            stop = stop.or(matches!(end, End::Failed(_))
                .then_some("not begun, because the microcontroller has to be done first"));
            outcomes.push(outcome(MICROCONTROLLER.label, None, Some(&micro.file), end, elapsed));
        }
        if let (Some((checked, elapsed)), Some(profile)) = (bootloader, &wish.bootloader) {
            let files: Vec<_> = profile.files.iter().map(|file| file.name.as_str()).collect();
            let area = checked.as_ref().ok().map(|checked| checked.area.name.to_string());
            let (end, elapsed) = self.bootloader(checked, elapsed, stop);
            stop =
                stop.or(matches!(end, End::Failed(_)).then_some("not begun, because the bootloader failed"));
            outcomes.push(outcome(BOOTLOADER.label, area, Some(&files.join(", ")), end, elapsed));
        }
        let (job, skipped) = fpga_job(wish, fpga, stop);
        outcomes.extend(match stop {
            Some(reason) => Write::not_begun(media, reason),
            None => write.run(media, job.as_ref().map(|job| -> &dyn Beside { job })),
        });
        outcomes.extend(skipped);
        outcomes
    }

    fn microcontroller(
        &self,
        micro: &MicrocontrollerProfile,
        checked: Result<microcontroller::Checked>,
        checking: Duration,
        stop: Option<&str>,
    ) -> (End, Duration) {
        let wanted = match (checked, stop) {
            (Err(error), _) => return (End::Failed(error), checking),
            (Ok(microcontroller::Checked::Skip(reason)), _) => return (End::Skipped(reason), checking),
            (_, Some(reason)) => return (End::Skipped(reason.to_owned()), checking),
            (Ok(microcontroller::Checked::Same(done)), _) => return (End::Done(done), checking),
            (Ok(microcontroller::Checked::Update(wanted)), _) => wanted,
        };
        let ran =
            self.step(&MICROCONTROLLER, |operation| microcontroller::update(operation, self, micro, &wanted));
        ended(ran, checking, "what the microcontroller has is unknown")
    }

    fn bootloader(
        &self,
        checked: Result<bootloader::Checked>,
        checking: Duration,
        stop: Option<&str>,
    ) -> (End, Duration) {
        match (checked, stop) {
            (Err(error), _) => (End::Failed(error), checking),
            (_, Some(reason)) => (End::Skipped(reason.to_owned()), checking),
            (Ok(checked), None) => {
                let ran = self.step(&BOOTLOADER, |operation| bootloader::write(operation, &checked));
                ended(ran, checking, "what the bootloader's area holds is unknown")
            }
        }
    }
}

fn is_refused<T>(checked: &Timed<T>) -> bool {
    matches!(checked, Some((Err(_), _)))
}

/// How a step ended that writes. A defect of the program in the middle of it is critical: nobody knows what is there.
fn ended(ran: Timed<Done>, checking: Duration, unknown: &str) -> (End, Duration) {
    let internal = || Err(Error::Internal { detail: "a step did not run".into() });
    let (result, elapsed) = ran.unwrap_or_else(|| (internal(), Duration::ZERO));
    let end = match result {
        Ok(done) => End::Done(done),
        Err(error @ Error::Internal { .. }) => {
            End::Failed(Error::Unbootable { source: Box::new(error), state: unknown.to_owned() })
        }
        Err(error) => End::Failed(error),
    };
    (end, checking + elapsed)
}

/// The FPGA's updater as a job beside the media, or what becomes of it without one.
fn fpga_job(
    wish: &Wish,
    checked: Timed<fpga::Checked>,
    stop: Option<&str>,
) -> (Option<fpga::Job>, Option<Outcome>) {
    let Some((checked, elapsed)) = checked else { return (None, None) };
    let end = match (checked, stop) {
        (Ok(fpga::Checked::Run(job)), None) => return (Some(job), None),
        (Ok(fpga::Checked::Run(_)), Some(reason)) => End::Skipped(reason.to_owned()),
        (Ok(fpga::Checked::Skip(reason)), _) => End::Skipped(reason),
        (Err(error), _) => End::Failed(error),
    };
    let files: Vec<_> = wish.fpga.iter().map(|fpga| fpga.file.as_str()).collect();
    (None, Some(outcome(FPGA.label, None, Some(&files.join(", ")), end, elapsed)))
}

impl Checks {
    /// What the checks showed, a line per step.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        if let Some((checked, _)) = &self.microcontroller {
            lines.push(match checked {
                Ok(microcontroller::Checked::Update(wanted)) => {
                    format!("microcontroller: would be updated with {}", wanted.text())
                }
                Ok(microcontroller::Checked::Same(done)) => {
                    format!("microcontroller: {}", done.notes.join(", "))
                }
                Ok(microcontroller::Checked::Skip(reason)) => {
                    format!("microcontroller: nothing to do, {reason}")
                }
                Err(error) => refusal("microcontroller", error),
            });
        }
        if let Some((checked, _)) = &self.bootloader {
            lines.push(match checked {
                Ok(checked) => {
                    let sidecars = checked.sidecars();
                    let sidecars =
                        if sidecars.is_empty() { "no sidecar".into() } else { sidecars.join(", ") };
                    format!("bootloader: {} fit for {}, {sidecars}", checked.names(), checked.area.name)
                }
                Err(error) => refusal("bootloader", error),
            });
        }
        if let Some((checked, _)) = &self.fpga {
            lines.push(match checked {
                Ok(fpga::Checked::Run(job)) => format!("fpga: {} would be run", job.name),
                Ok(fpga::Checked::Skip(reason)) => format!("fpga: nothing to do, {reason}"),
                Err(error) => refusal("fpga", error),
            });
        }
        lines
    }

    /// The first refusal.
    pub fn into_refusal(self) -> Option<Error> {
        let error = |checked: Option<Result<()>>| checked.and_then(Result::err);
        let micro = error(self.microcontroller.map(|(checked, _)| checked.map(drop)));
        let bootloader = error(self.bootloader.map(|(checked, _)| checked.map(drop)));
        micro.or(bootloader).or(error(self.fpga.map(|(checked, _)| checked.map(drop))))
    }
}

fn refusal(label: &str, error: &Error) -> String {
    format!("{label}: would be refused: {error}; {}", error.advice())
}

/// Runs an updater that writes, and logs what it printed. The board is at risk from then on, until the caller knows better.
fn run_updater(operation: &Operation<'_>, updater: &Updater) -> hal::Result<HookEnd> {
    operation.renew(operation.tuning.tool_lease + updater.timeout);
    operation.board.leds.set_at_risk(true);
    let ran = operation.board.firmware.run_updater(updater);
    if let Ok(end) = &ran {
        operation.log(&end.output);
    }
    ran
}

/// How a program ended, in words.
fn how_it_ended(end: &HookEnd) -> String {
    let last = end.output.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("it printed nothing");
    match end.exit_status {
        Some(status) => format!("exit status {status}, {}", last.trim()),
        None => format!("it was killed, {}", last.trim()),
    }
}

fn outcome(label: &str, device: Option<String>, files: Option<&str>, end: End, elapsed: Duration) -> Outcome {
    Outcome {
        medium: label.to_owned(),
        device,
        identity: None,
        image: files.map(str::to_owned),
        end,
        elapsed_ms: u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX),
    }
}
