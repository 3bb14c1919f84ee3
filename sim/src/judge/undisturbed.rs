//! L2, L3: once a board is no longer disturbed, it reaches the same end as a board that never was.
//!
//! Verified: the status of the boot after a disturbance, and the images that it leaves; the boot after that one
//! changes nothing more. Not verified: scenarios with byte faults, because no boot can repair those.

use super::readers::drive_images::{files, images, mode};
use super::{Case, CheckerId, Judge, Origin, byte_faults};
use crate::run::evidence::shown;
use crate::run::{Boot, Evidence, Snapshot, boots};
use crate::scenario::schema::{BootSpec, Expectation, Mode, Scenario};
use replicator_hal::Status;
use std::collections::BTreeSet;

/// The entry in the registry.
pub(super) const AS_UNDISTURBED: Judge = Judge {
    id: CheckerId::AsUndisturbed,
    applies: |case| case.undisturbed.is_some() || case.origin == Origin::Generated,
    misled_by: |_| true,
    check: |case| match (case.undisturbed, case.origin) {
        (Some(undisturbed), _) => next_boot(case.evidence, undisturbed),
        (None, Origin::Generated) => last_boot(case).into_iter().collect(),
        (None, Origin::Written | Origin::Explored) => Vec::new(),
    },
};
/// The entry in the registry.
pub(super) const SECOND_BOOT: Judge = Judge {
    id: CheckerId::SecondBoot,
    applies: |case| case.undisturbed.is_some(),
    misled_by: |_| true,
    check: |case| {
        case.undisturbed.map_or_else(Vec::new, |undisturbed| second_boot(case.evidence, undisturbed))
    },
};

/// The result of an undisturbed boot, and of the boot after it.
#[derive(Debug, Clone)]
pub struct Undisturbed {
    status: Option<Status>,
    names: BTreeSet<String>,
    again: Option<Status>,
}

impl Undisturbed {
    /// From two consecutive boots.
    pub fn of(evidence: &Evidence, first: &Boot, again: &Boot) -> Self {
        Self { status: first.status(), names: image_names(evidence, &first.after), again: again.status() }
    }

    /// The expected status of the boot after a cut one: if the capture was complete, that of the second boot.
    fn wanted(&self, evidence: &Evidence, cut: &Boot) -> Option<Status> {
        let asked = |snapshot| mode(evidence, &files(snapshot));
        let was_complete = asked(&cut.before) == Mode::Capture && asked(&cut.after) == Mode::Write;
        if was_complete { self.again } else { self.status }
    }
}

fn image_names(evidence: &Evidence, snapshot: &Snapshot) -> BTreeSet<String> {
    images(evidence, &files(snapshot)).into_iter().map(|image| image.name).collect()
}

/// The complaints about the boot after a cut one; the last three boots are the cut one and the two after it.
fn next_boot(evidence: &Evidence, undisturbed: &Undisturbed) -> Vec<String> {
    let [.., cut, first, _] = evidence.boots.as_slice() else { return Vec::new() };
    let wanted = undisturbed.wanted(evidence, cut);
    if first.status() != wanted {
        let (shown, wanted, why) = (shown(first.status()), shown(wanted), first.failure());
        return vec![format!("the next boot ends in {shown}, on an undisturbed board in {wanted}: {why}")];
    }
    let names = image_names(evidence, &first.after);
    if names != undisturbed.names {
        return vec![format!(
            "the next boot leaves {names:?}, on an undisturbed board {:?}",
            undisturbed.names
        )];
    }
    Vec::new()
}

/// The complaints about the second boot after a cut one.
fn second_boot(evidence: &Evidence, undisturbed: &Undisturbed) -> Vec<String> {
    let [.., cut, first, again] = evidence.boots.as_slice() else { return Vec::new() };
    let mut wrong = Vec::new();
    // After a boot with a wrong status, the next one proves nothing more.
    if first.status() != undisturbed.wanted(evidence, cut) {
        return wrong;
    }
    if again.status() != undisturbed.again {
        let (shown, wanted) = (shown(again.status()), shown(undisturbed.again));
        wrong.push(format!("the boot after the next ends in {shown}, on an undisturbed board in {wanted}"));
    }
    if first.status() == Some(Status::Success) {
        if first.after.media.get("drive") != again.after.media.get("drive") {
            wrong.push("the boot after the next changes the drive".to_owned());
        }
        if again.status() != Some(Status::Success) && first.after != again.after {
            wrong.push("the boot after the next fails, but changes a medium".to_owned());
        }
    }
    wrong
}

/// The scenario without faults, boots and expectations.
pub(crate) fn neutral(scenario: &Scenario) -> Scenario {
    let expect = Expectation::nothing();
    Scenario { faults: Vec::new(), boots: Vec::new(), expect, ..scenario.clone() }
}

/// Everything to be captured has been captured: the last boot finds images of this very unit.
pub(super) fn was_complete(evidence: &Evidence) -> bool {
    let asked = |number: usize| mode(evidence, &files(&evidence.boots[number].before));
    asked(0) == Mode::Capture && asked(evidence.boots.len() - 1) == Mode::Write
}

/// The complaint about the last boot of a generated scenario, if that boot was not disturbed. Earlier disturbances
/// are over: the power is back, the drive has room again, a device is plugged in again.
fn last_boot(case: &Case<'_>) -> Option<String> {
    let evidence = case.evidence;
    let scenario = &evidence.scenario;
    let last = evidence.last();
    let disturbed = last.world.faults_reached().contains(&true) || last.spec.cut.is_some();
    if evidence.boots.len() < 2 || disturbed || !last.finished() || byte_faults(scenario).next().is_some() {
        return None;
    }
    let was_complete = was_complete(evidence);
    // An update becomes active with the next boot, or makes a microcontroller stop answering: that boot has another
    // board. Which earlier boot did it is not known.
    let becomes_another = scenario.firmware.as_ref().is_some_and(|spec| spec.microcontroller.is_some());
    let boots = vec![BootSpec::default(); if was_complete || becomes_another { 2 } else { 1 }];
    let undisturbed = Scenario { boots, ..neutral(scenario) };
    let undisturbed = boots::run_with(&evidence.name, &undisturbed, case.change).ok()?;
    let (found, wanted) = (last.status(), undisturbed.last().status());
    if found == wanted || becomes_another && found == undisturbed.boots[0].status() {
        return None;
    }
    Some(format!(
        "the last boot, which was not disturbed, ends in {}, on an undisturbed board in {}: {}",
        shown(found),
        shown(wanted),
        last.failure()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::unchanged;

    fn scenario(text: &str) -> Scenario {
        Scenario::parse(&format!("about = \"x.\"\n{text}\n[expect]\nstatus = \"success\"\n"), "x").unwrap()
    }

    #[test]
    fn a_last_boot_without_a_disturbance_must_reach_the_undisturbed_end() {
        let text = "[media.sd]\nlen = \"1 MiB\"\n[[boot]]\n[[boot]]\n\
                    [[fault]]\non = \"drive\"\nkind = \"io-error\"\nop = \"write\"\nnth = 3\nmay_be_missed = true\n";
        let mut evidence = boots::run("x", &scenario(text)).unwrap();
        assert_eq!(evidence.last().status(), Some(Status::Failure));
        let judged = |evidence: &Evidence| last_boot(&Case::generated(evidence, &unchanged));
        assert_eq!(judged(&evidence), None, "the fault is in the last boot, too");
        // This removes all signs of a disturbance in the last boot.
        let mut last = evidence.boots.pop().unwrap();
        last.world = last.world.with_faults(Vec::new());
        evidence.boots.push(last);
        let complaint = judged(&evidence).unwrap();
        assert!(complaint.contains("ends in failure, on an undisturbed board in success"), "{complaint:?}");
    }

    #[test]
    fn a_scenario_whose_image_is_damaged_converges_to_failure() {
        let text = "[[drive.file]]\nname = \"sdimage.dd.xz\"\nimage = \"single\"\nimage_len = \"1 MiB\"\n\
                    damage = \"truncated\"\n[media.sd]\n[[boot]]\ncut = { at = 20 }\n[[boot]]\n";
        let evidence = boots::run("x", &scenario(text)).unwrap();
        assert_eq!(evidence.last().status(), Some(Status::Failure));
        assert_eq!(last_boot(&Case::generated(&evidence, &unchanged)), None);
    }
}
