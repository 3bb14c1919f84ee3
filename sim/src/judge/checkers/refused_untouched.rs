//! S9: a refusal, which comes before the first destructive byte, leaves the medium untouched.
//!
//! Verified: all bytes of media whose expected end is refused, untouched, skipped or captured, or failed with a
//! refusal's code. And if only images are faulty, no medium of a tarball ends up changed without holding it: such a
//! fault can be found before erasing. Not verified: other failures that come later; `not-bootable` checks those.

use crate::judge::readers::drive_images::{Image, files, images, mode};
use crate::judge::readers::written::holds;
use crate::judge::{CheckerId, Judge, always};
use crate::run::Evidence;
use crate::scenario::schema::{Bytes, FileSpec, IndexSpec, Mode};

/// The entry in the registry.
pub const JUDGE: Judge = Judge {
    id: CheckerId::RefusedUntouched,
    applies: always,
    misled_by: |fault| fault.is_of_drive() || fault.bytes() == Bytes::ChangeAlone,
    check: |case| check(case.evidence),
};

/// The complaints.
pub fn check(evidence: &Evidence) -> Vec<String> {
    let last = evidence.last();
    let ends = evidence.scenario.expect.media.iter();
    let untouched = ends.filter(|(_, end)| end.is_untouched());
    let changed = untouched.filter(|(name, _)| last.before.media.get(*name) != last.after.media.get(*name));
    let mut wrong: Vec<String> =
        changed.map(|(name, end)| format!("{name} is expected to be {end}, but it changed")).collect();
    wrong.extend(detected_late(evidence));
    wrong
}

/// Media of tarballs that were erased without need, in a scenario without hardware faults and without removed
/// devices.
fn detected_late(evidence: &Evidence) -> Vec<String> {
    let scenario = &evidence.scenario;
    if !scenario.faults.is_empty() || !scenario.boots.iter().all(|boot| boot.cut.is_none()) {
        return Vec::new();
    }
    let mut wrong = Vec::new();
    for (number, boot) in evidence.boots.iter().enumerate().filter(|(_, boot)| boot.finished()) {
        let before = files(&boot.before);
        // Calls that the error sweep lets fail are in no scenario.
        let is_injected = boot.world.records().console.iter().any(|line| line.contains("injected fault"));
        if is_injected || mode(evidence, &before) == Mode::Capture {
            continue;
        }
        for image in images(evidence, &before).into_iter().filter(Image::is_tarball) {
            let name = &image.medium;
            // A forged record says that a capture decoded this tarball.
            let is_forged =
                |file: &FileSpec| file.name == image.name && file.index == Some(IndexSpec::Forged);
            if scenario.drive.files.iter().any(is_forged) {
                continue;
            }
            let (Some(old), Some(new), Some(spec)) =
                (boot.before.media.get(name), boot.after.media.get(name), scenario.media.get(name))
            else {
                continue;
            };
            if old != new && holds(new, &image, spec).is_err() {
                wrong.push(format!(
                    "boot {} erased {name} without need: the fault of {} can be found before",
                    number + 1,
                    image.name
                ));
            }
        }
    }
    wrong
}
