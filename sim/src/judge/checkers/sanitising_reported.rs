//! S8: a success names what was not sanitised.
//!
//! Verified: if a capture of the last boot is reported as done, its notes have a line for each file system on the
//! medium, which states that it was sanitised or captured as it is; for a root file system, that it was sanitised; or
//! one line that nothing was sanitised. This checker judges the report itself, against the content of the medium in
//! the scenario. Not verified: whether the notes are true, which other checkers verify; media captured in earlier
//! boots.

use crate::judge::readers::settings;
use crate::judge::{CheckerId, Judge, always, by_the_drive};
use crate::run::Evidence;
use crate::scenario::composition::Holds;
use crate::scenario::content::held;
use replicator_engine::report::End;

/// The entry in the registry.
pub const JUDGE: Judge = Judge {
    id: CheckerId::SanitisingReported,
    applies: always,
    misled_by: by_the_drive,
    check: |case| check(case.evidence),
};

/// The complaints.
pub fn check(evidence: &Evidence) -> Vec<String> {
    let mut wrong = Vec::new();
    let Some(report) = evidence.last().report.as_ref().filter(|report| report.mode == Some("capture")) else {
        return wrong;
    };
    for outcome in &report.outcomes {
        let End::Done(done) = &outcome.end else { continue };
        // Nothing was done in this boot: the medium was captured before.
        if done.content_len_bytes == 0 {
            continue;
        }
        let has = |start: &str, ends: &[&str]| {
            done.notes
                .iter()
                .any(|note| note.starts_with(start) && ends.iter().any(|end| note.ends_with(end)))
        };
        if !settings::sanitises(&evidence.scenario) {
            if !has("not sanitised", &[""]) {
                wrong.push(format!("{}: no note says that it is not sanitised", outcome.medium));
            }
            continue;
        }
        for held in held(&evidence.scenario, &outcome.medium) {
            let number = held.part.number;
            let start = if number == 0 { "whole medium,".to_owned() } else { format!("partition {number},") };
            let ends: &[&str] = match held.part.holds() {
                _ if held.tree.is_none() => continue,
                Holds::Rootfs => &[": sanitised"],
                _ => &[": sanitised", ": captured as it is"],
            };
            if !has(&start, ends) {
                wrong.push(format!("{}: no note about partition {number}", outcome.medium));
            }
        }
    }
    wrong
}
