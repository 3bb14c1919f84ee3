//! S14: a fault on one medium never changes the result of another.
//!
//! Verified, by running the scenario once more without the faults of one medium: every other medium with an image
//! ends with the same bytes, or, for a tarball, holds its image in both runs or in neither. A fault of the drive
//! counts as a medium's if it affects only that medium's image. A fault that is counted over the calls of several media
//! would act at another call without the calls of the faulty medium: if there is one, both runs are made without it.
//! Not verified: captures, which stop at the first failure by design, and scenarios of several boots.

use super::firmware::AREAS;
use crate::judge::readers::drive_images::{files, images, mode};
use crate::judge::readers::written::holds;
use crate::judge::{CheckerId, Judge, always, by_the_drive};
use crate::model::hardware::trigger::Trigger;
use crate::run::{Evidence, boots};
use crate::scenario::media::DRIVE;
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
    let steady = without(&evidence.scenario, |fault| is_counted_over_media(fault, &evidence.scenario));
    let scenario = steady.as_ref().unwrap_or(&evidence.scenario);
    let mut runs = Vec::new();
    for medium in scenario.media.keys() {
        let Some(without) = without(scenario, |fault| is_of(fault, medium)) else { continue };
        runs.extend(again(evidence, &without).map(|run| (medium, run)));
    }
    if runs.is_empty() {
        return Vec::new();
    }
    let repeated = match &steady {
        None => None,
        Some(steady) => match again(evidence, steady) {
            None => return Vec::new(),
            repeated => repeated,
        },
    };
    let boot = repeated.as_ref().map_or(boot, Evidence::last);
    let mut wrong = Vec::new();
    for (faulty, other) in runs {
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

/// A run of another scenario with the request of this one.
fn again(evidence: &Evidence, scenario: &Scenario) -> Option<Evidence> {
    let adjust = |request: &mut replicator_engine::boot::Request| *request = evidence.request.clone();
    boots::run_as(&evidence.name, scenario, |board| board, adjust).ok()
}

/// The scenario without such faults; `None` if it has none.
fn without(scenario: &Scenario, is_such: impl Fn(&FaultSpec) -> bool) -> Option<Scenario> {
    let mut without = scenario.clone();
    without.faults.retain(|fault| !is_such(fault));
    (without.faults.len() < scenario.faults.len()).then_some(without)
}

fn is_of(fault: &FaultSpec, medium: &str) -> bool {
    // A fault by which another device takes the name affects more than one device.
    (fault.on == medium && fault.fault.others().is_empty())
        || fault.on == DRIVE
            && fault.when.file.as_ref().is_some_and(|file| file.starts_with(&format!("{medium}image")))
}

/// Whether the calls of several media together decide at which call the fault acts.
fn is_counted_over_media(fault: &FaultSpec, scenario: &Scenario) -> bool {
    let Trigger { by, nth, times, at, .. } = &fault.when;
    let place = by.as_ref().unwrap_or(&fault.on);
    // One task makes all calls on a medium, on a bootloader area, or on one image.
    let is_of_one_task = scenario.media.contains_key(place)
        || AREAS.contains(&place.as_str())
        || place == DRIVE && scenario.media.keys().any(|medium| is_of(fault, medium));
    at.is_some() || (nth.is_some() || times.is_some()) && !is_of_one_task
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_counted_over_media_if_calls_of_more_than_one_decide_when_it_acts() {
        let text = "about = \"x.\"\n[media.sd]\n[expect]\nstatus = \"success\"\n";
        let scenario = Scenario::parse(text, "x").unwrap();
        for (fault, is_counted) in [
            ("on = \"*\"\nkind = \"unmount-busy\"\nnth = 4", true),
            ("on = \"*\"\nkind = \"unmount-busy\"\ntimes = 1", true),
            ("on = \"*\"\nkind = \"unmount-busy\"", false),
            ("on = \"sd\"\nkind = \"fails\"\nnth = 4", false),
            ("on = \"sd\"\nkind = \"fails\"\nat = 40", true),
            ("on = \"clock\"\nkind = \"clock-jump\"\nseconds = 1\nby = \"sd\"\nnth = 4", false),
            ("on = \"clock\"\nkind = \"clock-jump\"\nseconds = 1\nby = \"drive\"\nnth = 4", true),
            ("on = \"flash\"\nkind = \"fails\"\nnth = 4", false),
            ("on = \"drive\"\nkind = \"io-error\"\nnth = 4", true),
            ("on = \"drive\"\nkind = \"io-error\"\nnth = 4\nfile = \"sdimage*\"", false),
            ("on = \"drive\"\nkind = \"short-io\"", false),
        ] {
            let spec: FaultSpec = toml::from_str(fault).unwrap();
            assert_eq!(is_counted_over_media(&spec, &scenario), is_counted, "{fault}");
        }
    }
}
