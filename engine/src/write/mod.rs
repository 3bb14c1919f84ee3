//! Writing images from the drive to the board's media: pre-flight for all, then all in parallel, each on its own, with one
//! more job beside them.
//!
//! What happens to one medium never changes what happens to another. The drive stays read-only throughout.

mod allowed;
mod decode_whole;
mod disk_check;
mod disk_image;
mod disk_look;
mod extract;
mod fitted;
mod gap_note;
mod golden;
mod image;
mod medium;
mod name_files;
mod places;
mod preflight;
mod root_plan;
mod tar_attributes;
mod tar_check;
mod tar_limits;
mod tar_room;
mod tar_rootfs;
mod tar_times;
mod tar_tree;
mod tarball;
mod twins;
mod verify_tree;

pub use crate::companions::Promise;
pub use allowed::Allowed;
pub use disk_check::DiskFacts;
pub use image::Image;
pub use preflight::Checked;
pub use root_plan::RootPlan;
pub use tar_check::TarFacts;

use crate::error::Result;
use crate::jobs::{self, Named};
use crate::media::Medium;
use crate::names::{self, ImageName, Packing};
use crate::operation::Operation;
use crate::report::{Done, End, Outcome};
use crate::tuning::Tuning;
use medium::{wipe_ends, with_target};
use replicator_hal::{Board, Volume};
use std::time::Duration;

/// What a write needs.
pub struct Write<'a> {
    /// The board.
    pub board: &'a Board,
    /// Sizes and times.
    pub tuning: &'a Tuning,
    /// The drive, mounted read-only.
    pub drive: &'a dyn Volume,
    /// Name of the board's profile.
    pub board_name: &'a str,
    /// All media of the board, also those that are not written.
    pub media: &'a [Medium],
    /// Which of the rules do not apply.
    pub allowed: Allowed,
}

/// One medium that has an image on the drive.
#[derive(Debug, Clone)]
pub struct Item {
    /// The medium.
    pub medium: Medium,
    /// Its image: the first accepted name that exists.
    pub image: ImageName,
}

/// One item after its pre-flight.
pub struct Checking {
    /// The item.
    pub item: Item,
    /// What is known of its image and medium, or why it cannot be written.
    pub checked: Result<Checked>,
    /// How long the check took.
    pub elapsed: Duration,
}

/// The media that have an image among `drive_names`.
pub fn plan(media: &[Medium], drive_names: &[Vec<u8>]) -> Vec<Item> {
    media
        .iter()
        .filter_map(|medium| {
            let image = names::choose(medium.name(), drive_names)?;
            Some(Item { medium: medium.clone(), image })
        })
        .collect()
}

impl<'a> Write<'a> {
    /// Checks every image and its medium; nothing is written.
    pub fn check(&self, items: Vec<Item>) -> Vec<Checking> {
        let results = jobs::run(self.board, self.tuning, &items, |operation, item| {
            let image = Image::locate(operation, self.drive, &item.image)?;
            preflight::check(operation, self, image, &item.medium)
        });
        let mut checked: Vec<Checking> = items
            .into_iter()
            .zip(results)
            .map(|(item, (checked, elapsed))| Checking { item, checked, elapsed })
            .collect();
        let operation = Operation::new(self.board, self.tuning, "write", "write");
        twins::settle(&operation, &mut checked, self.media);
        checked
    }

    /// Writes every item that passed its check, with one more job beside them.
    pub fn run(&self, checked: Vec<Checking>, beside: Option<&dyn Beside>) -> Vec<Outcome> {
        let (mut ready, mut outcomes) = (Vec::new(), Vec::new());
        for (index, checking) in checked.into_iter().enumerate() {
            match checking.checked {
                Ok(checked) => {
                    let job = Job::Medium(Box::new((checking.item, checked)));
                    ready.push((index, job, checking.elapsed));
                }
                Err(error) => {
                    let elapsed = checking.elapsed;
                    outcomes.push((index, outcome(&checking.item, End::Failed(error), elapsed)));
                }
            }
        }
        ready.extend(beside.map(|beside| (usize::MAX, Job::Beside(beside), Duration::ZERO)));
        let results = jobs::run(self.board, self.tuning, &ready, |operation, (_, job, _)| match job {
            Job::Medium(medium) => write_one(operation, self.drive, &medium.0, &medium.1),
            Job::Beside(beside) => beside.run(operation),
        });
        for ((index, job, checking), (result, elapsed)) in ready.into_iter().zip(results) {
            let end = match result {
                Ok(done) => End::Done(done),
                Err(error) => End::Failed(error),
            };
            let outcome = match job {
                Job::Medium(medium) => outcome(&medium.0, end, checking + elapsed),
                Job::Beside(beside) => beside.outcome(end, elapsed),
            };
            outcomes.push((index, outcome));
        }
        outcomes.sort_by_key(|(index, _)| *index);
        outcomes.into_iter().map(|(_, outcome)| outcome).collect()
    }

    /// What becomes of the items if nothing is begun.
    pub fn not_begun(checked: Vec<Checking>, reason: &str) -> Vec<Outcome> {
        let not_begun = |checking: Checking| {
            let end = match checking.checked {
                Ok(_) => End::Skipped(reason.to_owned()),
                Err(error) => End::Failed(error),
            };
            outcome(&checking.item, end, checking.elapsed)
        };
        checked.into_iter().map(not_begun).collect()
    }
}

/// A job beside the media.
pub trait Beside: Sync {
    /// How its console lines begin.
    fn label(&self) -> &str;

    /// The name of its log.
    fn log_name(&self) -> String;

    /// Does it.
    ///
    /// # Errors
    /// Why it failed.
    fn run(&self, operation: &Operation<'_>) -> Result<Done>;

    /// What became of it.
    fn outcome(&self, end: End, elapsed: Duration) -> Outcome;
}

/// What runs in a task of its own.
enum Job<'a> {
    /// A medium is written. Boxed, because it is much larger than the other.
    Medium(Box<(Item, Checked)>),
    /// Something else is done.
    Beside(&'a dyn Beside),
}

impl Named for Item {
    fn label(&self) -> &str {
        self.medium.name()
    }

    fn log_name(&self) -> String {
        match self.image.packing() {
            Packing::Tar => format!("{}-writefs", self.medium.name()),
            Packing::Disk => format!("{}-writeimage", self.medium.name()),
        }
    }
}

impl Named for (usize, Job<'_>, Duration) {
    fn label(&self) -> &str {
        match &self.1 {
            Job::Medium(medium) => medium.0.label(),
            Job::Beside(beside) => beside.label(),
        }
    }

    fn log_name(&self) -> String {
        match &self.1 {
            Job::Medium(medium) => medium.0.log_name(),
            Job::Beside(beside) => beside.log_name(),
        }
    }
}

fn outcome(item: &Item, end: End, elapsed: Duration) -> Outcome {
    let device = item.medium.device.as_ref();
    Outcome {
        medium: item.medium.name().to_owned(),
        device: device.map(|device| device.name.to_string()),
        identity: device.and_then(|device| device.identity.clone()),
        image: Some(item.image.to_string()),
        end,
        elapsed_ms: u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX),
    }
}

fn write_one(operation: &Operation<'_>, drive: &dyn Volume, item: &Item, checked: &Checked) -> Result<Done> {
    for note in &checked.notes {
        operation.short_step(note);
    }
    let mut done = match item.image.packing() {
        Packing::Disk => with_target(operation, checked, |target| {
            wipe_ends(operation, target)?;
            disk_image::write(operation, drive, checked, target)
        })?,
        Packing::Tar => tarball::write(operation, drive, checked, &item.medium.profile)?,
    };
    // The work is done and verified; a kernel that keeps an old partition table only delays what comes after.
    if let Err(error) = operation.board.devices.reread_partitions(&checked.device.name) {
        operation.log(&error.to_string());
    }
    done.notes.splice(0..0, checked.notes.iter().cloned());
    Ok(done)
}
