//! What is known of the end of a made-up story before it is run, and which judges have to be believed in it.

use crate::checkers::drive_images::{Mode, files, mode};
use crate::runner::{Complaint, Evidence};
use crate::scenario::schema::{Content, FaultKind, Scenario, SidecarSpec};
use replicator_hal::Status;

/// Judges that a drive which stores other bytes than it is given cannot mislead.
const WITH_A_LYING_DRIVE: [&str; 5] =
    ["right-target (S5)", "terminates (L1, L6)", "ends (L1)", "panic", "failure-visible (S7)"];
/// Judges that are misled by media which show other bytes than were there when the story began.
const MISLED_BY_MEDIA: [&str; 5] = [
    "source-unchanged (S1)",
    "mode-safety (S4)",
    "captured (S6, S11)",
    "not-bootable (S10)",
    "refused-untouched (S9)",
];

/// Whether this judge has to be believed, whatever the hardware of the story does.
pub(super) fn counts(scenario: &Scenario, by: &str) -> bool {
    // Damaged images and faults are reasons not to come to a good end.
    if by.starts_with("converges") && !nothing_wrong(scenario) {
        return false;
    }
    let lies = |kind: FaultKind| matches!(kind, FaultKind::DropWrites | FaultKind::BitFlip);
    for fault in scenario.faults.iter().filter(|fault| lies(fault.kind)) {
        if fault.on == "drive" && !WITH_A_LYING_DRIVE.contains(&by) {
            return false;
        }
        if MISLED_BY_MEDIA.contains(&by) {
            return false;
        }
    }
    true
}

/// A story in which nothing is wrong but cuts has to come to a good end in its last boot.
pub(super) fn check(evidence: &Evidence) -> Vec<Complaint> {
    let last = evidence.last();
    if !nothing_wrong(&evidence.scenario) || !last.finished() {
        return Vec::new();
    }
    let asked = |number: usize| mode(evidence, &files(&evidence.boots[number].before));
    let captured_before = asked(0) == Mode::Capture && asked(evidence.boots.len() - 1) == Mode::Write;
    let writes_back = evidence.scenario.drive.files.iter().any(|file| file.name.starts_with("IR_WRITE_BACK"));
    // A tarball may not fit where it came from, because a new partition starts later than the old one may have.
    if captured_before && writes_back {
        return Vec::new();
    }
    let wanted = if captured_before { Status::Failure } else { Status::Success };
    if last.status() == Some(wanted) {
        return Vec::new();
    }
    let why = last.report.as_ref().and_then(|report| report.failure.as_ref()).map(ToString::to_string);
    let shown = last.status().map_or_else(|| "nothing".to_owned(), |status| status.to_string());
    let what = format!("the last boot ends in {shown}, not in {wanted}: {}", why.unwrap_or_default());
    vec![Complaint::new("oracle", what)]
}

fn nothing_wrong(scenario: &Scenario) -> bool {
    let files = &scenario.drive.files;
    let captures = files.iter().all(|file| file.image.is_none());
    let wrong = [SidecarSpec::Wrong, SidecarSpec::WrongFile, SidecarSpec::Malformed];
    let fitting = |content: Content| content != Content::Rootfs;
    scenario.faults.is_empty()
        && !scenario.drive.absent
        && scenario.drive.len.0 >= 16 << 20
        && files.iter().all(|file| file.damage.is_none() && file.captured_from.is_none())
        && files.iter().all(|file| {
            file.image.is_some()
                || file.name.starts_with("IR_NO_COMPRESS")
                || file.name.starts_with("IR_WRITE_BACK")
        })
        && files.iter().all(|file| !wrong.contains(&file.sidecar))
        && scenario.media.values().any(|medium| !medium.absent)
        && scenario.media.values().all(|medium| medium.damage.is_none() && fitting(medium.content))
        && (captures || scenario.media.values().all(|medium| !medium.absent))
}
