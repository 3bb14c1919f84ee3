//! What the faults of a story do to one medium, from their physics alone.

use super::Verdict;
use crate::model::time::op_name::OpName;
use crate::scenario::schema::{FaultKind, FaultSpec, FileSpec, Scenario, Size};

/// Errors that go away are tried again so often at least.
const ABSORBED_MAX: u64 = 2;
/// A hang shorter than this is waited for whatever it is in.
const HANG_SURE_MS: u64 = 60_000;
/// A hang longer than this is a failure whatever it is in.
const HANG_TOO_LONG_MS: u64 = 2 * 3600 * 1000;

/// Whether LEDs cannot be set.
pub(super) fn leds_fail(scenario: &Scenario) -> bool {
    scenario.faults.iter().any(|fault| fault.kind == FaultKind::LedFails)
}

/// Whether a fault is on something that is no medium, and may end the run although every medium succeeds.
pub(super) fn may_break_the_run(scenario: &Scenario) -> bool {
    let is_medium = |fault: &FaultSpec| scenario.media.contains_key(&fault.on);
    let other = scenario.faults.iter().filter(|fault| !is_medium(fault));
    other.map(of_anything).any(|verdict| verdict != Verdict::MustSucceed)
}

/// What happens to a write of `file` to `medium`.
pub(super) fn of_write(scenario: &Scenario, medium: &str, file: &FileSpec) -> Verdict {
    let is_disk = file.name.contains("image.dd");
    let image_len = file.shown_len().0;
    let mut verdict = Verdict::MustSucceed;
    for fault in &scenario.faults {
        let found = if fault.on == medium {
            let hurts = |start_bytes: u64| is_disk && start_bytes < image_len;
            match fault.kind {
                FaultKind::DropWrites | FaultKind::BitFlip | FaultKind::MisdirectedWrite => {
                    certain(hurts(range_start(fault)) && fault.op.is_none() && fault.nth.is_none())
                }
                FaultKind::FakeLimbo | FaultKind::FakeWraparound | FaultKind::FakeChain => {
                    certain(fault.real.is_some_and(|real| hurts(real.0)))
                }
                // Writing mends it, and a disk image is written before it is read.
                FaultKind::LatentError if is_disk => Verdict::MustSucceed,
                FaultKind::Vanish | FaultKind::Replug => Verdict::MustFail,
                _ => of_anything(fault),
            }
        } else if scenario.media.contains_key(&fault.on) {
            // Isolation: what is on another medium is no excuse.
            if fault.taken_by.as_deref() == Some(medium) { Verdict::May } else { Verdict::MustSucceed }
        } else {
            of_anything(fault)
        };
        verdict = verdict.and(softened(fault, found));
    }
    verdict
}

/// What happens to a capture of `medium`.
pub(super) fn of_capture(scenario: &Scenario, medium: &str, has_rootfs: bool) -> Verdict {
    let mut verdict = Verdict::MustSucceed;
    for fault in &scenario.faults {
        let found = match (fault.on.as_str(), fault.kind) {
            (on, FaultKind::Vanish | FaultKind::Replug) if on == medium => Verdict::MustFail,
            (on, _) if on != medium && scenario.media.contains_key(on) => Verdict::MustSucceed,
            ("image", FaultKind::FsckFails) if has_rootfs => Verdict::MustFail,
            ("image", FaultKind::FsckExit) => match fault.exit.unwrap_or(0) {
                0..=3 => Verdict::MustSucceed,
                _ => certain(has_rootfs),
            },
            ("drive", FaultKind::FileSizeLimit) => {
                certain(fault.space.is_some_and(|limit| limit < scenario.media[medium].len))
            }
            _ => of_anything(fault),
        };
        verdict = verdict.and(softened(fault, found));
    }
    verdict
}

fn certain(fails: bool) -> Verdict {
    if fails { Verdict::MustFail } else { Verdict::May }
}

/// A fault that need not be reached proves nothing.
fn softened(fault: &FaultSpec, verdict: Verdict) -> Verdict {
    if fault.may_be_missed { verdict.min(Verdict::May) } else { verdict }
}

/// What a fault does wherever it is.
fn of_anything(fault: &FaultSpec) -> Verdict {
    match fault.kind {
        FaultKind::ShortIo | FaultKind::LedFails | FaultKind::ClockJump => Verdict::MustSucceed,
        FaultKind::IoError if matches!(fault.op, Some(OpName::Read | OpName::Write)) => match fault.times {
            Some(0..=ABSORBED_MAX) => Verdict::MustSucceed,
            _ => Verdict::May,
        },
        // An error of a flush is told once, and the data is gone.
        FaultKind::IoError if matches!(fault.op, Some(OpName::Sync | OpName::BeginVerify)) => {
            Verdict::MustFail
        }
        FaultKind::Hang => match fault.duration_ms {
            None => Verdict::MustFail,
            Some(0..=HANG_SURE_MS) if fault.times.is_some() => Verdict::MustSucceed,
            Some(HANG_TOO_LONG_MS..) => Verdict::MustFail,
            Some(_) => Verdict::May,
        },
        _ => Verdict::May,
    }
}

/// Where a fault's range starts; `u64::MAX` if it cannot be read.
fn range_start(fault: &FaultSpec) -> u64 {
    let Some(range) = &fault.range else { return 0 };
    let start = range.split("..").next().unwrap_or_default().trim();
    if start.is_empty() { 0 } else { Size::parse(start).map_or(u64::MAX, |size| size.0) }
}
