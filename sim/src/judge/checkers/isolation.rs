//! S14: a fault on one medium never changes the result of another.
//!
//! Verified, by running the scenario once more without the faults of one medium: every other medium with an image
//! ends with the same bytes, or, for a tarball, holds its image in both runs or in neither. A fault of the drive
//! counts as a medium's if it affects only that medium's image. Not verified: captures, which stop at the first
//! failure by design, and scenarios of several boots.

use crate::judge::readers::drive_images::{files, images, mode};
use crate::judge::readers::written::holds;
use crate::judge::{CheckerId, Judge, always, by_the_drive};
use crate::run::{Evidence, boots};
use crate::scenario::schema::{FaultSpec, Mode, Scenario};

/// The entry in the registry.
pub const JUDGE: Judge = Judge {
    id: CheckerId::Isolation,
    applies: always,
    misled_by: by_the_drive,
    check: |case| check(case.evidence),
};

/// The complaints.
pub fn check(evidence: &Evidence) -> Vec<String> {
    let [boot] = evidence.boots.as_slice() else { return Vec::new() };
    let drive = files(&boot.before);
    let images = images(evidence, &drive);
    if images.len() < 2 || mode(evidence, &drive) == Mode::Capture || boot.spec.cut.is_some() {
        return Vec::new();
    }
    let mut wrong = Vec::new();
    for faulty in evidence.scenario.media.keys() {
        let Some(without) = without_faults_of(&evidence.scenario, faulty) else { continue };
        let adjust = |request: &mut replicator_engine::boot::Request| *request = evidence.request.clone();
        let Ok(other) = boots::run_as(&evidence.name, &without, |board| board, adjust) else { continue };
        for image in images.iter().filter(|image| image.medium != *faulty) {
            let Some(spec) = evidence.scenario.media.get(&image.medium) else { continue };
            let ends = [boot, other.last()].map(|boot| boot.after.media.get(&image.medium));
            let same = match ends {
                [Some(with), Some(without)] => {
                    with == without
                        || image.is_tarball()
                            && holds(with, image, spec).is_ok() == holds(without, image, spec).is_ok()
                }
                [with, without] => with == without,
            };
            if !same {
                wrong.push(format!("the faults of {faulty} changed the result of {}", image.medium));
            }
        }
    }
    wrong
}

fn is_of(fault: &FaultSpec, medium: &str) -> bool {
    // A fault by which another device takes the name affects more than one device.
    (fault.on == medium && fault.fault.others().is_empty())
        || fault.on == "drive"
            && fault.when.file.as_ref().is_some_and(|file| file.starts_with(&format!("{medium}image")))
}

/// The scenario without the faults of this medium; `None` if there are none.
fn without_faults_of(scenario: &Scenario, medium: &str) -> Option<Scenario> {
    let mut without = scenario.clone();
    without.faults.retain(|fault| !is_of(fault, medium));
    (without.faults.len() < scenario.faults.len()).then_some(without)
}
