//! The effects of a scenario's faults on one medium, derived from their physics alone.

use super::Verdict;
use crate::model::time::op_name::OpName;
use crate::scenario::schema::{Fault, FaultSpec, FileSpec, Scenario};

/// Transient errors are retried at least so often.
const ABSORBED_MAX: u64 = 2;
/// A shorter hang is always waited for.
const HANG_SURE_MS: u64 = 60_000;
/// A longer hang is always a failure.
const HANG_TOO_LONG_MS: u64 = 2 * 3600 * 1000;

/// Whether LEDs cannot be set.
pub(super) fn leds_fail(scenario: &Scenario) -> bool {
    scenario.faults.iter().any(|fault| fault.fault == Fault::LedFails)
}

/// Whether a fault is on something other than a medium, and may end the run although every medium succeeds.
pub(super) fn may_break_the_run(scenario: &Scenario) -> bool {
    let is_medium = |fault: &FaultSpec| scenario.media.contains_key(&fault.on);
    let other = scenario.faults.iter().filter(|fault| !is_medium(fault));
    other.map(of_anything).any(|verdict| verdict != Verdict::MustSucceed)
}

/// The verdict on a write of `file` to `medium`.
pub(super) fn of_write(scenario: &Scenario, medium: &str, file: &FileSpec) -> Verdict {
    let is_disk = file.name.contains("image.dd");
    let image_len = file.shown_len().0;
    let mut verdict = Verdict::MustSucceed;
    for fault in &scenario.faults {
        let found = if fault.on == medium {
            let hurts = |start_bytes: u64| is_disk && start_bytes < image_len;
            let always = fault.when.op.is_none() && fault.when.nth.is_none();
            match &fault.fault {
                Fault::DropWrites { range } => {
                    certain(always && hurts(range.as_ref().map_or(0, |range| range.bytes().start)))
                }
                Fault::BitFlip { range } | Fault::MisdirectedWrite { range, .. } => {
                    certain(always && hurts(range.bytes().start))
                }
                Fault::FakeLimbo(card) | Fault::FakeWraparound(card) | Fault::FakeChain(card) => {
                    certain(hurts(card.real.0))
                }
                // Writing repairs it, and a disk image is written before it is read.
                Fault::LatentError { .. } if is_disk => Verdict::MustSucceed,
                Fault::Disappear | Fault::Replug { .. } | Fault::HubReset { .. } => Verdict::MustFail,
                _ => of_anything(fault),
            }
        } else if scenario.media.contains_key(&fault.on) {
            // Isolation: a fault of another medium is not a reason to fail.
            if fault.fault.others().contains(&medium) { Verdict::May } else { Verdict::MustSucceed }
        } else {
            of_anything(fault)
        };
        verdict = verdict.and(if_reached(fault, found));
    }
    verdict
}

/// The verdict on a capture of `medium`.
pub(super) fn of_capture(scenario: &Scenario, medium: &str, has_rootfs: bool) -> Verdict {
    let mut verdict = Verdict::MustSucceed;
    for fault in &scenario.faults {
        let found = match (fault.on.as_str(), &fault.fault) {
            (on, Fault::Disappear | Fault::Replug { .. } | Fault::HubReset { .. }) if on == medium => {
                Verdict::MustFail
            }
            (on, fault) if on != medium && fault.others().contains(&medium) => Verdict::May,
            (on, _) if on != medium && scenario.media.contains_key(on) => Verdict::MustSucceed,
            ("image", Fault::FsckFails) if has_rootfs => Verdict::MustFail,
            ("image", Fault::FsckExit { exit: 0..=3 }) => Verdict::MustSucceed,
            ("image", Fault::FsckExit { .. }) => certain(has_rootfs),
            ("drive", Fault::FileSizeLimit { space }) => certain(*space < scenario.media[medium].len),
            _ => of_anything(fault),
        };
        verdict = verdict.and(if_reached(fault, found));
    }
    verdict
}

fn certain(fails: bool) -> Verdict {
    if fails { Verdict::MustFail } else { Verdict::May }
}

/// A fault that need not be reached proves nothing.
fn if_reached(fault: &FaultSpec, verdict: Verdict) -> Verdict {
    if fault.may_be_missed { verdict.min(Verdict::May) } else { verdict }
}

/// The verdict that holds for a fault in any place.
fn of_anything(fault: &FaultSpec) -> Verdict {
    match &fault.fault {
        Fault::ShortIo | Fault::LedFails | Fault::ClockJump { .. } => Verdict::MustSucceed,
        Fault::IoError if matches!(fault.when.op, Some(OpName::Read | OpName::Write)) => {
            match fault.when.times {
                Some(0..=ABSORBED_MAX) => Verdict::MustSucceed,
                _ => Verdict::May,
            }
        }
        // An error of a flush is reported once, and the data is lost.
        Fault::IoError if matches!(fault.when.op, Some(OpName::Sync | OpName::BeginVerify)) => {
            Verdict::MustFail
        }
        Fault::Hang { duration_ms } => match duration_ms {
            None => Verdict::MustFail,
            Some(0..=HANG_SURE_MS) if fault.when.times.is_some() => Verdict::MustSucceed,
            Some(HANG_TOO_LONG_MS..) => Verdict::MustFail,
            Some(_) => Verdict::May,
        },
        _ => Verdict::May,
    }
}
