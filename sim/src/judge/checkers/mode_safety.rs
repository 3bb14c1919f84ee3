//! S4: no crash state of a capture makes the next boot write.
//!
//! Verified: after each capture boot without a good end, the drive does not request a write unless an image of every
//! medium to be captured exists, and no boot that finds a session changes a medium. Not verified here: cuts at other
//! places than those of the scenario.

use crate::judge::readers::drive_images::{files, has_session, image, mode};
use crate::judge::{CheckerId, Judge, always};
use crate::run::Evidence;
use crate::scenario::schema::{Bytes, Mode};

/// The entry in the registry.
pub const JUDGE: Judge = Judge {
    id: CheckerId::ModeSafety,
    applies: always,
    misled_by: |fault| fault.bytes() == Bytes::ChangeAlone,
    check: |case| check(case.evidence),
};

/// The complaints.
pub fn check(evidence: &Evidence) -> Vec<String> {
    let mut wrong = Vec::new();
    for (number, boot) in evidence.boots.iter().enumerate() {
        let (before, after) = (files(&boot.before), files(&boot.after));
        if has_session(&before) {
            let changed = evidence.scenario.media.keys();
            let mut changed =
                changed.filter(|name| boot.before.media.get(*name) != boot.after.media.get(*name));
            if let Some(name) = changed.next() {
                wrong.push(format!("boot {} found an unfinished capture and changed {name}", number + 1));
            }
        }
        if mode(evidence, &before) == Mode::Write || mode(evidence, &after) == Mode::Capture {
            continue;
        }
        let lacking: Vec<&str> =
            to_be_captured(evidence).filter(|name| image(name, &after).is_none()).collect();
        if !lacking.is_empty() {
            let what = format!(
                "boot {} leaves a drive that requests a write, but {} is not captured",
                number + 1,
                lacking.join(", ")
            );
            wrong.push(what);
        }
    }
    wrong
}

fn to_be_captured(evidence: &Evidence) -> impl Iterator<Item = &str> {
    let scenario = &evidence.scenario;
    let skipped = |name: &str| {
        let option = format!("ir_no_capture_{name}");
        scenario.drive.files.iter().any(|file| file.name.to_lowercase().starts_with(&option))
    };
    let present = scenario.media.iter().filter(|(_, spec)| !spec.absent).map(|(name, _)| name.as_str());
    present.filter(move |name| !skipped(name))
}
