//! The scenario's own expectations: LEDs, codes, media, files, console.

use super::{CheckerId, Judge, Origin, by_nothing};
use crate::model::hardware::led_log::LedLog;
use crate::run::evidence::shown;
use crate::run::{Boot, Evidence};
use crate::scenario::schema::{ErrorCode, MediumEnd, Mode, StatusSpec, WaveFormSpec};
use replicator_engine::report::{End, Outcome};
use replicator_hal::{RelativePath, Status};
use std::time::Duration;

/// The entry in the registry.
pub(super) const JUDGE: Judge = Judge {
    id: CheckerId::Expect,
    applies: |case| case.origin == Origin::Written,
    misled_by: by_nothing,
    check: |case| check(case.evidence),
};

/// The status for a word of a scenario; `None` for dark LEDs.
fn status(spec: StatusSpec) -> Option<Status> {
    match spec {
        StatusSpec::Success => Some(Status::Success),
        StatusSpec::Failure => Some(Status::Failure),
        StatusSpec::Critical => Some(Status::Critical),
        StatusSpec::Running => Some(Status::Running),
        StatusSpec::Dark => None,
    }
}

/// Everything that differs from the expectation.
fn check(evidence: &Evidence) -> Vec<String> {
    let mut complaints = Vec::new();
    for (number, boot) in evidence.boots.iter().enumerate() {
        check_boot(number, boot, &mut complaints);
    }
    check_last(evidence, &mut complaints);
    check_media(evidence, &mut complaints);
    check_drive(evidence, &mut complaints);
    for (index, fault) in evidence.faults.iter().enumerate() {
        if !fault.reached && !fault.spec.may_be_missed {
            let (kind, on) = (fault.spec.kind(), &fault.spec.on);
            complaints.push(format!("fault {} ({kind} on {on}) was never reached", index + 1));
        }
    }
    for spec in &evidence.scenario.expect.wave_forms {
        complaints.extend(check_wave_form(evidence, spec));
    }
    for number in &evidence.missed_cuts {
        complaints.push(format!("power was not cut in boot {}", number + 1));
    }
    complaints
}

/// A status that the run has shown is checked as it was shown; another one is checked on LEDs that show only this
/// status.
fn check_wave_form(evidence: &Evidence, spec: &WaveFormSpec) -> Option<String> {
    let wanted_status = status(spec.status)?;
    let mut log = evidence.boots.last().map(|boot| boot.world.leds()).unwrap_or_default();
    let shown = log.shown().iter().find(|(_, shown)| *shown == wanted_status).map(|(since, _)| *since);
    let since = shown.unwrap_or_else(|| {
        log = LedLog::of(wanted_status);
        Duration::ZERO
    });
    let step = Duration::from_millis(spec.step_ms);
    [(&spec.red, 0), (&spec.green, 1)].into_iter().find_map(|(wanted, led)| {
        let steps = u32::try_from(wanted.chars().count()).ok()?;
        let found = log.wave_form(since..since + step * steps, step)[led].replace('█', "#").replace('·', ".");
        let name = ["red", "green"][led];
        (&found != wanted).then(|| {
            let what = format!("{name} of {wanted_status} is\n    {found}, expected\n    {wanted}");
            what
        })
    })
}

fn check_boot(number: usize, boot: &Boot, complaints: &mut Vec<String>) {
    let mut complain = |what: String| complaints.push(format!("boot {}: {what}", number + 1));
    if let Some(wanted) = boot.spec.status.map(status).filter(|wanted| *wanted != boot.status()) {
        complain(format!("the LEDs show {}, not {}", shown(boot.status()), shown(wanted)));
    }
    if let Some(wanted) = boot.spec.mode.filter(|wanted| Some(*wanted) != boot.mode()) {
        let mode = boot.mode().map_or("none".to_owned(), |mode| mode.to_string());
        complain(format!("the mode was {mode}, not {wanted}"));
    }
}

fn check_last(evidence: &Evidence, complaints: &mut Vec<String>) {
    let (expect, last) = (&evidence.scenario.expect, evidence.last());
    let wanted = status(expect.status);
    if last.status() != wanted {
        let what = format!("the LEDs show {}, not {}", shown(last.status()), shown(wanted));
        complaints.push(what);
    }
    let failure = last.report.as_ref().and_then(|report| report.failure.as_ref());
    let is = |code: &ErrorCode| failure.is_some_and(|error| code.is_of(error));
    if let Some(wanted) = expect.code.as_ref().filter(|wanted| !is(wanted)) {
        let code = failure.map_or("no code", |error| error.code());
        complaints.push(format!("the run failed with {code}, not with {wanted}"));
    }
    let console = last.world.records().console;
    for text in expect.console.iter().filter(|text| !console.iter().any(|line| line.contains(*text))) {
        complaints.push(format!("no line on the console has {text:?}"));
    }
    for text in expect.console_lacks.iter().filter(|text| console.iter().any(|line| line.contains(*text))) {
        complaints.push(format!("a line on the console has {text:?}"));
    }
}

fn check_media(evidence: &Evidence, complaints: &mut Vec<String>) {
    for (name, wanted) in &evidence.scenario.expect.media {
        if let Err(what) = medium_is(evidence, name, wanted) {
            complaints.push(format!("{name}: {what}"));
        }
    }
}

fn medium_is(evidence: &Evidence, name: &str, wanted: &MediumEnd) -> Result<(), String> {
    let last = evidence.last();
    let report = last.report.as_ref().ok_or("there is no report")?;
    let outcome = report.outcomes.iter().find(|outcome| outcome.medium == name);
    let end = outcome.map(|outcome| &outcome.end);
    let done = matches!(end, Some(End::Done(_)));
    let is_wanted = match (wanted, end) {
        (MediumEnd::Captured, _) => done && last.mode() == Some(Mode::Capture),
        (MediumEnd::Written, _) => done && last.mode() == Some(Mode::Write),
        (MediumEnd::Skipped, end) => matches!(end, Some(End::Skipped(_))),
        (MediumEnd::Untouched, _) => true,
        (MediumEnd::Failed(code) | MediumEnd::Refused(code), Some(End::Failed(error))) => {
            code.as_ref().is_none_or(|code| code.is_of(error))
        }
        (MediumEnd::Failed(_) | MediumEnd::Refused(_), _) => false,
    };
    if is_wanted {
        return Ok(());
    }
    let found = outcome.map_or_else(|| "no result for it".to_owned(), Outcome::line);
    Err(format!("not {wanted}, but: {found}"))
}

fn check_drive(evidence: &Evidence, complaints: &mut Vec<String>) {
    let (expect, last) = (&evidence.scenario.expect, evidence.last());
    let mut complain = |what: String| complaints.push(what);
    match last.after.drive_files() {
        Ok(files) => {
            let has = |name: &str| RelativePath::parse(name).is_ok_and(|path| files.contains_key(&path));
            for name in expect.drive_has.iter().filter(|name| !has(name)) {
                complain(format!("{name} is missing on the drive"));
            }
            for name in expect.drive_lacks.iter().filter(|name| has(name)) {
                complain(format!("{name} must not be on the drive"));
            }
        }
        Err(error) => complain(format!("the drive cannot be read: {error}")),
    }
    if expect.drive_unchanged && evidence.boots[0].before.media.get("drive") != last.after.media.get("drive")
    {
        complain("the drive was changed".to_owned());
    }
}
