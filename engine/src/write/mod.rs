//! Writing images from the drive to the board's media: pre-flight for all, then all in parallel, each on its own.
//!
//! What happens to one medium never changes what happens to another. The drive stays read-only throughout.

mod disk_image;
mod extract;
mod image;
mod medium;
mod preflight;
mod tar_check;
mod tar_limits;
mod tarball;
mod verify_tree;

pub use image::{Image, Promise};
pub use preflight::Checked;
pub use tar_check::TarFacts;

use crate::error::{Error, Result};
use crate::lease::Leases;
use crate::media::Medium;
use crate::mutant::Mutant;
use crate::names::{self, ImageName, Packing};
use crate::operation::Operation;
use crate::report::{Done, End, Outcome};
use crate::tuning::Tuning;
use medium::{wipe_ends, with_target};
use replicator_hal::{Board, Task, TaskEnd, Volume};
use std::time::Duration;

/// What a write needs.
pub struct Write<'a> {
    /// The board.
    pub board: &'a Board,
    /// Sizes and times.
    pub tuning: &'a Tuning,
    /// The drive, mounted read-only.
    pub drive: &'a dyn Volume,
    /// Whether a medium may be written from images that were captured from it.
    pub write_back: bool,
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
        let results = self.in_parallel(&items, |operation, item| {
            let image = Image::locate(operation, self.drive, &item.image)?;
            preflight::check(operation, self.drive, image, &item.medium, self.write_back)
        });
        items
            .into_iter()
            .zip(results)
            .map(|(item, (checked, elapsed))| Checking { item, checked, elapsed })
            .collect()
    }

    /// Writes every item that passed its check.
    pub fn run(&self, checked: Vec<Checking>) -> Vec<Outcome> {
        let (mut ready, mut outcomes) = (Vec::new(), Vec::new());
        for (index, checking) in checked.into_iter().enumerate() {
            match checking.checked {
                Ok(checked) => ready.push((index, checking.item, checked, checking.elapsed)),
                Err(error) => {
                    let elapsed = checking.elapsed;
                    outcomes.push((index, outcome(&checking.item, End::Failed(error), elapsed)));
                }
            }
        }
        if self.tuning.mutant.is(Mutant::OneFailsAll) && !outcomes.is_empty() {
            ready.clear();
        }
        let results = self.in_parallel(&ready, |operation, (_, item, checked, _)| {
            write_one(operation, self.drive, item, checked)
        });
        for ((index, item, _, checking), (result, elapsed)) in ready.into_iter().zip(results) {
            let end = match result {
                Ok(done) => End::Done(done),
                Err(error) => End::Failed(error),
            };
            outcomes.push((index, outcome(&item, end, checking + elapsed)));
        }
        outcomes.sort_by_key(|(index, _)| *index);
        outcomes.into_iter().map(|(_, outcome)| outcome).collect()
    }

    /// Runs `work` for every item in a task of its own.
    fn in_parallel<I, T>(
        &self,
        items: &[I],
        work: impl Fn(&Operation<'_>, &I) -> Result<T> + Sync,
    ) -> Vec<(Result<T>, Duration)>
    where
        I: Named + Sync,
        T: Send,
    {
        let mut slots: Vec<Option<(Result<T>, Duration)>> = items.iter().map(|_| None).collect();
        let leases = Leases::new(self.board, items.len(), self.tuning.io_lease);
        let tasks = items
            .iter()
            .zip(&mut slots)
            .enumerate()
            .map(|(number, (item, slot))| {
                let (work, leases) = (&work, &leases);
                Task {
                    name: item.medium_name().to_owned(),
                    body: Box::new(move || {
                        let operation =
                            Operation::new(self.board, self.tuning, item.medium_name(), item.log_name())
                                .beside_others(leases, number);
                        let started = self.board.clock.monotonic();
                        let result = work(&operation, item).and_then(|value| {
                            operation.check_lease()?;
                            Ok(value)
                        });
                        if let Err(error) = &result {
                            operation.log(&format!("failed: {error} [{}]", error.code()));
                        }
                        leases.end(number);
                        *slot = Some((result, self.board.clock.monotonic().saturating_sub(started)));
                    }),
                }
            })
            .collect();
        let ends = self.board.tasks.run(tasks);
        slots
            .into_iter()
            .zip(ends.into_iter().map(Some).chain(std::iter::repeat(None)))
            .map(|(slot, end)| match (slot, end) {
                (Some(result), Some(TaskEnd::Finished)) => result,
                (_, Some(TaskEnd::Panicked(message))) => {
                    (Err(Error::Internal { detail: message }), Duration::ZERO)
                }
                _ => (Err(Error::Internal { detail: "a task did not end".into() }), Duration::ZERO),
            })
            .collect()
    }
}

/// What a task is called after.
trait Named {
    fn medium_name(&self) -> &str;
    fn log_name(&self) -> String;
}

impl Named for Item {
    fn medium_name(&self) -> &str {
        self.medium.name()
    }

    fn log_name(&self) -> String {
        match self.image.packing {
            Packing::Tar => format!("{}-writefs", self.medium.name()),
            Packing::Disk => format!("{}-writeimage", self.medium.name()),
        }
    }
}

impl Named for (usize, Item, Checked, Duration) {
    fn medium_name(&self) -> &str {
        self.1.medium_name()
    }

    fn log_name(&self) -> String {
        self.1.log_name()
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
    let done = match item.image.packing {
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
    Ok(done)
}
