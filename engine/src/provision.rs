//! Provisions a board: its microcontroller, its bootloader, then its media and the FPGA in parallel.
//!
//! Everything is checked before anything is written. If firmware is refused, nothing is written. If the microcontroller
//! or the bootloader fails, the later steps are not begun. A medium that is refused or fails does not affect the others.
//! Only the order is here: [`firmware`] and [`mod@write`] do not use each other.

use crate::capture;
use crate::context::Context;
use crate::error::{Error, Refusal, Result};
use crate::firmware;
use crate::jobs::{self, Begun};
use crate::media::Medium;
use crate::report::{End, Outcome};
use crate::write::{self, Checking};

const FIRMWARE_REFUSED: &str = "not begun, because firmware on the drive was refused";
const MICROCONTROLLER_FAILED: &str = "not begun, because the microcontroller failed";
const BOOTLOADER_FAILED: &str = "not begun, because the bootloader failed";

/// What to write.
pub(crate) struct Provision {
    /// The media that have an image on the drive.
    pub items: Vec<write::Item>,
    /// The firmware on the drive, if any.
    pub firmware: firmware::Request,
}

/// The same after its checks.
pub(crate) struct Checked {
    media: Vec<Checking>,
    firmware: firmware::Checks,
}

impl Provision {
    /// Every image among `drive_names`, and the firmware.
    ///
    /// # Errors
    /// `MediumAbsent` if there is no firmware, and every image is for a medium that this board does not have.
    pub(crate) fn of(media: &[Medium], drive_names: &[Vec<u8>], firmware: firmware::Request) -> Result<Self> {
        let items = write::plan(media, drive_names);
        if items.is_empty() && firmware.is_empty() {
            let known: Vec<_> = media.iter().map(|medium| medium.name().to_owned()).collect();
            return Err(Error::refused(
                Refusal::MediumAbsent,
                format!("no image on the drive is for a medium of this board ({})", known.join(", ")),
            ));
        }
        Ok(Self { items, firmware })
    }

    /// The plan in words, a line per step of the firmware and per medium.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.firmware.lines().into_iter().chain(self.items.iter().map(write::Item::line)).collect()
    }

    /// Checks the images, their media and the firmware. Nothing is written.
    pub(crate) fn check(self, context: &Context<'_>) -> Checked {
        let media = write::check(context, self.items, &capture::marks_on_medium);
        Checked { media, firmware: firmware::check(context, &self.firmware) }
    }
}

impl Checked {
    /// The results of the checks, a line per step of the firmware and per medium.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.firmware.lines().into_iter().chain(self.media.iter().map(Checking::line)).collect()
    }

    /// The first refusal.
    pub(crate) fn into_refusal(self) -> Option<Error> {
        let of_media = self.media.into_iter().find_map(|checking| checking.checked.err());
        self.firmware.into_refusal().or(of_media)
    }

    /// Writes what passed its check, in order.
    pub(crate) fn run(self, context: &Context<'_>) -> Vec<Outcome> {
        let Self { media, firmware } = self;
        let mut outcomes = Vec::new();
        let mut stop = firmware.is_refused().then_some(FIRMWARE_REFUSED);
        if let Some(step) = firmware.microcontroller {
            let outcome = step.run(context, stop);
            stop = stop.or(has_failed(&outcome).then_some(MICROCONTROLLER_FAILED));
            outcomes.push(outcome);
        }
        if let Some(step) = firmware.bootloader {
            let outcome = step.run(context, stop);
            stop = stop.or(has_failed(&outcome).then_some(BOOTLOADER_FAILED));
            outcomes.push(outcome);
        }
        let mut beside: Vec<_> = media.into_iter().map(|checking| checking.begin(context, stop)).collect();
        beside.extend(firmware.fpga.map(|step| step.begin(stop)));
        outcomes.extend(run_in_parallel(context, beside));
        outcomes
    }
}

/// Runs the jobs in parallel. The outcomes are in the order of `begun`.
fn run_in_parallel(context: &Context<'_>, begun: Vec<Begun<'_>>) -> Vec<Outcome> {
    let mut jobs = Vec::new();
    let mut places: Vec<Option<Outcome>> = Vec::new();
    for begun in begun {
        match begun {
            Begun::Job(job) => {
                jobs.push(job);
                places.push(None);
            }
            Begun::Ended(outcome) => places.push(Some(*outcome)),
        }
    }
    let results = jobs::run(context.board, context.tuning, &jobs, |operation, job| job.run(operation));
    let mut ended = jobs
        .iter()
        .zip(results)
        .map(|(job, (result, elapsed))| job.outcome(result.map_or_else(End::Failed, End::Done), elapsed));
    places.into_iter().filter_map(|outcome| outcome.or_else(|| ended.next())).collect()
}

fn has_failed(outcome: &Outcome) -> bool {
    matches!(outcome.end, End::Failed(_))
}
