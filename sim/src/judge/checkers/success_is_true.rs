//! S6: success means that the bytes on the medium, below all caches, are those of the image, except zeros that its block map
//! leaves out and that were discarded.
//!
//! Verified: every medium with an image whenever the LEDs show success, and every medium that the scenario expects to
//! be written. Not verified: captures, which `captured` checks.

use crate::judge::readers::block_map;
use crate::judge::readers::decode::decode;
use crate::judge::readers::drive_images::{Image, files, images, mode};
use crate::judge::readers::settings;
use crate::judge::readers::written::holds_discarded;
use crate::judge::{CheckerId, Judge, always};
use crate::run::Evidence;
use crate::scenario::schema::{MediumEnd, Mode};
use replicator_hal::Status;

/// The entry in the registry.
pub const JUDGE: Judge = Judge {
    id: CheckerId::SuccessIsTrue,
    applies: always,
    misled_by: |fault| fault.is_of_drive() || fault.is_hidden_by_a_cache(),
    check: |case| check(case.evidence),
};

/// The complaints.
pub fn check(evidence: &Evidence) -> Vec<String> {
    let mut wrong = Vec::new();
    for (number, boot) in evidence.boots.iter().enumerate() {
        let before = files(&boot.before);
        if mode(evidence, &before) == Mode::Capture {
            continue;
        }
        let is_last = number + 1 == evidence.boots.len();
        for image in images(evidence, &before) {
            let said = evidence.scenario.expect.media.get(&image.medium) == Some(&MediumEnd::Written);
            let claimed = boot.status() == Some(Status::Success) || (is_last && said);
            let (Some(medium), Some(spec)) =
                (boot.after.media.get(&image.medium), evidence.scenario.media.get(&image.medium))
            else {
                continue;
            };
            if !claimed {
                continue;
            }
            let discarded = boot.after.discarded_of(&image.medium);
            if let Err(what) = holds_discarded(medium, &image, spec, discarded) {
                wrong.push(format!("boot {} ended in success for {}, but {what}", number + 1, image.medium));
            }
            if let Err(what) = fits_its_map(&image, evidence) {
                wrong.push(format!(
                    "boot {} wrote {} in spite of its block map: {what}",
                    number + 1,
                    image.name
                ));
            }
        }
    }
    wrong
}

/// Whether an image has the bytes that its block map states, unless the settings switch maps off.
fn fits_its_map(image: &Image, evidence: &Evidence) -> Result<(), String> {
    let is_off = image.is_tarball() || settings::writes_all(&evidence.scenario);
    match (&image.map, &image.bytes) {
        (Some(map), Some(bytes)) if !is_off => {
            block_map::check_ranges(&String::from_utf8_lossy(map), &decode(&image.name, bytes)?)
        }
        _ => Ok(()),
    }
}
