//! Writes images from the drive to the board's media: pre-flight for all, then one job per medium.
//!
//! A failure of one medium does not affect the others. The drive stays read-only.

mod allowed;
mod clearing;
mod decode_whole;
mod disk_body;
mod disk_check;
mod disk_image;
mod disk_look;
mod extract;
mod fitted;
mod gap_note;
mod golden;
mod image;
mod image_map;
mod medium;
mod name_files;
mod places;
mod preflight;
mod root_plan;
mod tar_attributes;
mod tar_check;
mod tar_index;
mod tar_limits;
mod tar_room;
mod tar_rootfs;
mod tar_times;
mod tar_tree;
mod tarball;
mod twins;

pub(crate) use image::Image;
pub(crate) use preflight::Checked;

use crate::context::Context;
use crate::error::Result;
use crate::jobs::{self, Begun, Job, Named};
use crate::media::Medium;
use crate::names::{self, ImageName, Packing};
use crate::operation::Operation;
use crate::report::{Done, End, Outcome};
use crate::size::Size;
use golden::MarksOn;
use medium::{wipe_ends, with_target};
use replicator_hal::{ReadTree, Volume};
use std::time::Duration;

/// One medium that has an image on the drive.
#[derive(Debug, Clone)]
pub(crate) struct Item {
    /// The medium.
    pub medium: Medium,
    /// Its image: the first accepted name that exists.
    pub image: ImageName,
}

/// One item after its pre-flight.
pub(crate) struct Checking {
    /// The item.
    pub item: Item,
    /// The facts of its image and medium, or why it cannot be written.
    pub checked: Result<Checked>,
    /// How long the check took.
    pub elapsed: Duration,
}

/// The media that have an image among `drive_names`.
pub(crate) fn plan(media: &[Medium], drive_names: &[Vec<u8>]) -> Vec<Item> {
    media
        .iter()
        .filter_map(|medium| {
            let image = names::choose(medium.name(), drive_names)?;
            Some(Item { medium: medium.clone(), image })
        })
        .collect()
}

/// Checks every image and its medium; nothing is written. `marks_on` recognises golden media.
pub(crate) fn check(context: &Context<'_>, items: Vec<Item>, marks_on: &MarksOn<'_>) -> Vec<Checking> {
    let results = jobs::run(context.board, context.tuning, &items, |operation, item| {
        let image = Image::locate(operation, &context.drive, &item.image)?;
        preflight::check(operation, context, image, &item.medium, marks_on)
    });
    let mut checked: Vec<Checking> = items
        .into_iter()
        .zip(results)
        .map(|(item, (checked, elapsed))| Checking { item, checked, elapsed })
        .collect();
    twins::rename_duplicates(&context.operation("write", "write"), &mut checked, context.media);
    checked
}

impl Item {
    /// The plan in words.
    pub(crate) fn line(&self) -> String {
        let into = match self.image.packing() {
            Packing::Disk => String::new(),
            Packing::Tar => {
                let flavour = self.medium.profile.file_system;
                format!(" as one {:?} partition ({:?})", flavour.flavour(), flavour.scheme()).to_lowercase()
            }
        };
        format!("plan: write {} to {} {}{into}", self.image, self.medium.name(), self.medium.device_text())
    }

    fn outcome(&self, end: End, elapsed: Duration) -> Outcome {
        let (device, image) = (self.medium.device.as_ref(), Some(self.image.to_string()));
        Outcome::of_medium(self.medium.name(), device, image, end, elapsed)
    }
}

impl Checking {
    /// The result of the pre-flight, as a line.
    pub(crate) fn line(&self) -> String {
        let name = &self.item.image;
        match &self.checked {
            Ok(checked) => {
                let mut line = format!("{name}: fit to be written");
                if let Some(len_bytes) = checked.content_len_bytes {
                    line.push_str(&format!(", {} uncompressed", Size(len_bytes)));
                }
                let expected = checked.image.file.iter().chain(&checked.image.content);
                let sidecars: Vec<_> = expected.map(|expected| expected.sidecar.as_str()).collect();
                if sidecars.is_empty() {
                    line.push_str(", no sidecar");
                } else {
                    line.push_str(&format!(", sidecar {}", sidecars.join(", ")));
                }
                if let Some(index) = checked.tar.as_ref().and_then(|tar| tar.index.as_ref()) {
                    line.push_str(&format!(", checked by its index {index}"));
                }
                if let Some(map) = &checked.map {
                    line.push_str(&format!(", block map {}", map.name));
                }
                for note in &checked.notes {
                    line.push_str(&format!(", {note}"));
                }
                line
            }
            Err(error) => format!("{name}: would be refused: {}", error.with_advice()),
        }
    }

    /// The job that writes the medium; its outcome instead if its check failed or if `stop` gives a reason to skip it.
    pub(crate) fn begin<'a>(self, context: &Context<'a>, stop: Option<&str>) -> Begun<'a> {
        let Self { item, checked, elapsed } = self;
        let end = match (checked, stop) {
            (Err(error), _) => End::Failed(error),
            (Ok(_), Some(reason)) => End::Skipped(reason.to_owned()),
            (Ok(checked), None) => {
                return Begun::Job(Box::new(MediumJob {
                    drive: context.drive,
                    item,
                    checked,
                    checking: elapsed,
                }));
            }
        };
        Begun::Ended(Box::new(item.outcome(end, elapsed)))
    }
}

/// The job that writes one medium.
struct MediumJob<'a> {
    drive: &'a dyn Volume,
    item: Item,
    checked: Checked,
    /// How long its check took.
    checking: Duration,
}

impl Named for MediumJob<'_> {
    fn label(&self) -> &str {
        self.item.label()
    }

    fn log_name(&self) -> String {
        self.item.log_name()
    }
}

impl Job for MediumJob<'_> {
    fn run(&self, operation: &Operation<'_>) -> Result<Done> {
        write_one(operation, &self.drive, &self.item, &self.checked)
    }

    fn outcome(&self, end: End, elapsed: Duration) -> Outcome {
        self.item.outcome(end, self.checking + elapsed)
    }
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

fn write_one(
    operation: &Operation<'_>,
    drive: &dyn ReadTree,
    item: &Item,
    checked: &Checked,
) -> Result<Done> {
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
    // The medium is verified. If the kernel keeps the old partition table, only later users of the medium are affected.
    if let Err(error) = operation.board.devices.reread_partitions(&checked.device.name) {
        operation.log(&error.to_string());
    }
    done.notes.splice(0..0, checked.notes.iter().cloned());
    Ok(done)
}
