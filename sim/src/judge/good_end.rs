//! A generated scenario with power cuts and no other disturbance comes to a good end in its last boot.
//!
//! Verified: success, or, if an earlier boot captured everything, the failure that protects the golden unit. Not
//! verified: scenarios with faults, unusual files or damaged media, which the oracle judges.

use super::readers::settings;
use super::undisturbed::was_complete;
use super::{Case, CheckerId, Judge, Origin, by_nothing, oracle};
use crate::run::Evidence;
use crate::run::evidence::shown;
use crate::scenario::schema::{Content, MapSpec, Scenario, SidecarSpec};
use replicator_hal::Status;

/// The entry in the registry.
pub(super) const JUDGE: Judge = Judge {
    id: CheckerId::GoodEnd,
    applies: |case| case.origin == Origin::Generated && is_undisturbed(&case.evidence.scenario),
    misled_by: by_nothing,
    check,
};

fn check(case: &Case<'_>) -> Vec<String> {
    let evidence: &Evidence = case.evidence;
    let last = evidence.last();
    if !last.finished() {
        return Vec::new();
    }
    let captured_before = was_complete(evidence);
    let writes_back = evidence.scenario.drive.files.iter().any(|file| file.name.starts_with("IR_WRITE_BACK"));
    // A tarball may not fit on its own medium again, because a new partition may start later than the old one.
    if captured_before && writes_back {
        return Vec::new();
    }
    // A medium without an identity is recognised only by what sanitising removed from it, which may be nothing.
    if captured_before && evidence.scenario.media.values().any(|medium| medium.no_identity) {
        return Vec::new();
    }
    let wanted = if captured_before { Status::Failure } else { Status::Success };
    if last.status() == Some(wanted) {
        return Vec::new();
    }
    let what = format!("the last boot ends in {}, not in {wanted}: {}", shown(last.status()), last.failure());
    vec![what]
}

fn is_undisturbed(scenario: &Scenario) -> bool {
    let files = &scenario.drive.files;
    let captures = files.iter().all(|file| !file.is_image());
    let wrong = [SidecarSpec::Wrong, SidecarSpec::WrongFile, SidecarSpec::Malformed];
    let fitting = |content: Content| content != Content::Rootfs;
    scenario.faults.is_empty()
        && !scenario.drive.absent
        && scenario.drive.len.0 > 8 << 20
        && files.iter().all(|file| file.damage.is_none() && file.captured_from.is_none())
        && files.iter().all(|file| file.link.is_none() && !file.directory)
        && files.iter().all(|file| {
            file.is_image()
                || file.name.starts_with("IR_NO_COMPRESS")
                || file.name.starts_with("IR_WRITE_BACK")
                || settings::is_only_compression(file)
        })
        && files.iter().all(|file| !wrong.contains(&file.sidecar))
        && files.iter().all(|file| file.map.is_none_or(MapSpec::is_right))
        && files.iter().all(|file| !file.name.contains("image.dd") || oracle::looks_like_image(file))
        && scenario.media.values().all(|medium| !medium.held_elsewhere)
        && scenario.media.values().any(|medium| !medium.absent)
        && scenario.media.values().all(|medium| medium.damage.is_none() && fitting(medium.content))
        && scenario.media.values().all(|medium| medium.table.is_none() && medium.var_log_link.is_none())
        && scenario.media.values().all(|medium| !medium.held_elsewhere)
        && (!captures || !oracle::has_unexaminable_content(scenario))
        && (captures || scenario.media.values().all(|medium| !medium.absent))
}
