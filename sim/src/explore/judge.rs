//! What must hold in a crash state, and of the boots that follow it.
//!
//! The checkers of all stories are asked first: they see a boot that was cut, and the boots after it. Here is only what
//! they cannot know: that the next boot goes the way which the drive asks for, and that it comes to the end to which
//! an undisturbed boot would have come.

use crate::faults::{Fault, FaultKind as Kind, Trigger};
use crate::judge::checkers::drive_images::{Mode, files, images, mode};
use crate::judge::{Complaint, checkers};
use crate::op::Timing;
use crate::op_name::OpName;
use crate::pages::Pages;
use crate::random::{FOLD_START, fold};
use crate::run::evidence::shown;
use crate::run::{Boot, Evidence, Snapshot};
use crate::scenario::schema::{Bytes, Expectation, FaultKind, Scenario};
use crate::turnstile::End;
use crate::world::{RunOutcome, World};
use replicator_engine::boot::Request;
use replicator_hal::Status;
use std::collections::BTreeSet;
use xxhash_rust::xxh3::xxh3_64;

const NEXT_BOOT: &str = "next-boot (S4)";
const CONVERGES: &str = "converges (L2, L3)";
const SETTLES: &str = "settles (L2)";
const PANIC: &str = "panic";
/// A boot that has not opened a medium after so many calls will not be waited for.
const PROBE_OPS: u64 = 400;
/// What holds even if the hardware lied about what it stored.
const IN_SPITE_OF_LIES: [&str; 5] =
    ["source-unchanged (S1)", "mode-safety (S4)", "right-target (S5)", "terminates (L1, L6)", PANIC];

/// The story without faults, boots and expectations: only the checkers judge.
pub(crate) fn neutral(scenario: &Scenario) -> Scenario {
    let expect = Expectation::nothing();
    Scenario { faults: Vec::new(), boots: Vec::new(), expect, ..scenario.clone() }
}

/// [`neutral`], but for a clock that jumps: what was captured before a cut has its dates.
pub(super) fn with_its_clock(scenario: &Scenario) -> Scenario {
    let jumps = scenario.faults.iter().filter(|fault| fault.kind == FaultKind::ClockJump);
    Scenario { faults: jumps.cloned().collect(), ..neutral(scenario) }
}

/// All that a crash state is judged by beside the state and what was there before the boot.
pub(super) fn identity(scenario: &Scenario) -> u64 {
    let Scenario { drive, media, seed, wall_clock, firmware, compatible, kernel_lacks, .. } = scenario;
    let jumps = scenario.faults.iter().any(|fault| fault.kind == FaultKind::ClockJump);
    let board = format!("{firmware:?} {compatible:?} {kernel_lacks:?}");
    let text = format!("{drive:?} {media:?} {seed} {wall_clock:?} {board} {jumps} {}", lies(scenario));
    fold(FOLD_START, text.as_bytes())
}

/// Whether hardware of the story stores or gives other bytes than it is given, so that what is found later may be wrong.
pub(crate) fn lies(scenario: &Scenario) -> bool {
    scenario.faults.iter().any(|fault| fault.kind.bytes() != Bytes::Right)
}

/// What an undisturbed boot makes of the same board, and the boot after it.
#[derive(Debug, Clone)]
pub(super) struct Undisturbed {
    status: Option<Status>,
    names: BTreeSet<String>,
    again: Option<Status>,
}

impl Undisturbed {
    pub(super) fn of(evidence: &Evidence, first: &Boot, again: &Boot) -> Self {
        Self { status: first.status(), names: image_names(evidence, &first.after), again: again.status() }
    }
}

fn image_names(evidence: &Evidence, snapshot: &Snapshot) -> BTreeSet<String> {
    images(evidence, &files(snapshot)).into_iter().map(|image| image.name).collect()
}

/// What the checkers find wrong, panics included.
pub(super) fn checked(evidence: &Evidence, lies: bool) -> Vec<Complaint> {
    let panicked = evidence.boots.iter().enumerate().filter_map(|(number, boot)| match &boot.outcome {
        RunOutcome::Panicked(text) => Some(Complaint::new(PANIC, format!("boot {}: {text}", number + 1))),
        RunOutcome::Ended(End::Stuck(text)) => {
            Some(Complaint::new(CONVERGES, format!("boot {}: {text}", number + 1)))
        }
        _ => None,
    });
    let mut complaints: Vec<Complaint> = panicked.collect();
    complaints.extend(checkers::check_all(evidence));
    if lies {
        complaints.retain(|complaint| IN_SPITE_OF_LIES.contains(&complaint.by));
    }
    complaints
}

/// What the next boot's way depends on: all files of the drive, but of working files only that they are there.
pub(super) fn decides(after: &Snapshot) -> u64 {
    let files = files(after);
    if files.is_empty() {
        // Empty, or not to be read.
        return after.media.get("drive").map_or(0, Pages::hash);
    }
    files.iter().fold(FOLD_START, |key, (path, file)| {
        let is_work = path.as_bytes().starts_with(b".capture/") && !path.as_bytes().ends_with(b".toml");
        let content = if is_work { u64::from(file.bytes.is_empty()) } else { xxh3_64(&file.bytes) };
        let kind = format!("{:?} {:?}", file.inode.kind, file.inode.text);
        [path.as_bytes(), kind.as_bytes(), &content.to_le_bytes()]
            .iter()
            .fold(key, |key, part| fold(key, part))
    })
}

/// The way that the next boot takes.
pub(super) struct Probe {
    /// What the engine says; `None` if it refuses.
    pub(super) chose: Option<&'static str>,
    /// What the drive asks for.
    pub(super) asked: Mode,
    /// What is wrong with it.
    pub(super) complaint: Option<Complaint>,
}

/// Boots `world` until it opens a medium. `evidence` holds the boot that was cut.
pub(super) fn probe(
    evidence: &Evidence,
    world: World,
    request: &Request,
    change: super::Change<'_>,
) -> Probe {
    let cut = |on: &str, when| Fault { on: on.into(), kind: Kind::PowerCut { timing: Timing::Before }, when };
    // Opening the drive itself, to let it grow, chooses nothing.
    let media = evidence.scenario.media.keys();
    let mut stops: Vec<Fault> = media
        .flat_map(|medium| {
            [OpName::OpenSource, OpName::OpenTarget].map(|op| cut(medium, Trigger::nth(op, 1)))
        })
        .collect();
    stops.push(cut("*", Trigger::at_op(PROBE_OPS)));
    let asked = mode(evidence, &files(&Snapshot::of(&world)));
    let world = world.with_faults(stops);
    let end = world.run(|board| replicator_engine::boot::run(&change(board), request));
    let chose = end.value.as_ref().and_then(|report| report.mode);
    let is_of_a_medium = |on: &str| evidence.scenario.media.contains_key(on);
    let opens_target = world
        .trace()
        .events()
        .any(|event| event.op.name == OpName::OpenTarget && is_of_a_medium(&event.op.on));
    let complaint = match end.outcome {
        RunOutcome::Panicked(text) => Some(Complaint::new(PANIC, format!("the next boot: {text}"))),
        _ if asked == Mode::Capture && (opens_target || chose == Some("write")) => Some(Complaint::new(
            NEXT_BOOT,
            "the drive asks for a capture, and the next boot writes".to_owned(),
        )),
        _ if asked == Mode::Write && chose == Some("capture") => Some(Complaint::new(
            NEXT_BOOT,
            "the drive asks for a write, and the next boot captures".to_owned(),
        )),
        _ => None,
    };
    Probe { chose, asked, complaint }
}

/// What is wrong with the two boots that follow a cut one: `evidence` holds all three.
pub(super) fn converged(evidence: &Evidence, undisturbed: &Undisturbed) -> Vec<Complaint> {
    let [.., cut, first, again] = evidence.boots.as_slice() else { return Vec::new() };
    let mut complaints = Vec::new();
    let was_complete = mode(evidence, &files(&cut.before)) == Mode::Capture
        && mode(evidence, &files(&cut.after)) == Mode::Write;
    let wanted = if was_complete { undisturbed.again } else { undisturbed.status };
    let mut complain = |by, what: String| complaints.push(Complaint::new(by, what));
    if first.status() != wanted {
        let (shown, wanted, why) = (shown(first.status()), shown(wanted), first.failure());
        complain(CONVERGES, format!("the next boot ends in {shown}, undisturbed it is {wanted}: {why}"));
        return complaints;
    }
    let names = image_names(evidence, &first.after);
    if names != undisturbed.names {
        complain(
            CONVERGES,
            format!("the next boot leaves {names:?}, undisturbed it is {:?}", undisturbed.names),
        );
    }
    if again.status() != undisturbed.again {
        let (shown, wanted) = (shown(again.status()), shown(undisturbed.again));
        complain(SETTLES, format!("the boot after the next ends in {shown}, undisturbed it is {wanted}"));
    }
    if first.status() == Some(Status::Success) {
        if first.after.media.get("drive") != again.after.media.get("drive") {
            complain(SETTLES, "the boot after the next changes the drive".to_owned());
        }
        if again.status() != Some(Status::Success) && first.after != again.after {
            complain(SETTLES, "the boot after the next fails, and changes a medium".to_owned());
        }
    }
    complaints
}
