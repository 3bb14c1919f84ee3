//! What a story itself says must hold: LEDs, codes, media, files, console.

use super::Complaint;
use crate::led_log::LedLog;
use crate::run::boots::may_hang;
use crate::run::evidence::{Boot, Evidence};
use crate::scenario::schema::{StatusSpec, WaveFormSpec};
use crate::turnstile::End as WorldEnd;
use crate::world::RunOutcome;
use replicator_engine::report::{End, Outcome};
use replicator_hal::{RelativePath, Status};
use std::time::Duration;

const BY: &str = "expect";

/// The LED status that a story's word stands for; `None` for dark LEDs.
fn status(spec: StatusSpec) -> Option<Status> {
    match spec {
        StatusSpec::Success => Some(Status::Success),
        StatusSpec::Failure => Some(Status::Failure),
        StatusSpec::Critical => Some(Status::Critical),
        StatusSpec::Running => Some(Status::Running),
        StatusSpec::Dark => None,
    }
}

/// Everything that is not as the story says.
pub fn check(evidence: &Evidence) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    for (number, boot) in evidence.boots.iter().enumerate() {
        check_boot(evidence, number, boot, &mut complaints);
    }
    check_last(evidence, &mut complaints);
    check_media(evidence, &mut complaints);
    check_drive(evidence, &mut complaints);
    for (index, fault) in evidence.faults.iter().enumerate() {
        if !fault.reached && !fault.spec.may_be_missed {
            let what =
                format!("fault {} ({:?} on {}) was never reached", index + 1, fault.spec.kind, fault.spec.on);
            complaints.push(Complaint::new(BY, what));
        }
    }
    for spec in &evidence.scenario.expect.wave_forms {
        complaints.extend(check_wave_form(evidence, spec));
    }
    for number in &evidence.missed_cuts {
        complaints.push(Complaint::new(BY, format!("power was not cut in boot {}", number + 1)));
    }
    complaints
}

/// A status that the run has shown is judged as it was shown; one that it has not, on LEDs that show nothing else.
fn check_wave_form(evidence: &Evidence, spec: &WaveFormSpec) -> Option<Complaint> {
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
            Complaint::new(BY, what)
        })
    })
}

fn show(status: Option<Status>) -> String {
    status.map_or_else(|| "nothing".to_owned(), |status| status.to_string())
}

fn check_boot(evidence: &Evidence, number: usize, boot: &Boot, complaints: &mut Vec<Complaint>) {
    let mut complain =
        |what: String| complaints.push(Complaint::new(BY, format!("boot {}: {what}", number + 1)));
    match &boot.outcome {
        RunOutcome::Finished | RunOutcome::Ended(WorldEnd::PowerCut { .. }) => {}
        RunOutcome::Ended(WorldEnd::Hung) if may_hang(&evidence.scenario) => {}
        RunOutcome::Ended(end) => complain(format!("the run did not end by itself: {end:?}")),
        RunOutcome::Panicked(message) => complain(format!("the engine panicked: {message}")),
    }
    if let Some(wanted) = boot.spec.status.map(status).filter(|wanted| *wanted != boot.status()) {
        complain(format!("the LEDs show {}, not {}", show(boot.status()), show(wanted)));
    }
    let mode = boot.report.as_ref().and_then(|report| report.mode);
    if let Some(wanted) = boot.spec.mode.as_deref().filter(|wanted| Some(*wanted) != mode) {
        complain(format!("the mode was {}, not {wanted}", mode.unwrap_or("none")));
    }
}

fn check_last(evidence: &Evidence, complaints: &mut Vec<Complaint>) {
    let (expect, last) = (&evidence.scenario.expect, evidence.last());
    let wanted = status(expect.status);
    if last.status() != wanted {
        let what = format!("the LEDs show {}, not {}", show(last.status()), show(wanted));
        complaints.push(Complaint::new(BY, what));
    }
    let code = last.report.as_ref().and_then(|report| report.failure.as_ref()).map(|error| error.code());
    if let Some(wanted) = expect.code.as_deref().filter(|wanted| Some(*wanted) != code) {
        let what = format!("the run failed with {}, not with {wanted}", code.unwrap_or("no code"));
        complaints.push(Complaint::new(BY, what));
    }
    let console = last.world.records().console;
    for text in expect.console.iter().filter(|text| !console.iter().any(|line| line.contains(*text))) {
        complaints.push(Complaint::new(BY, format!("no line on the console has {text:?}")));
    }
}

fn check_media(evidence: &Evidence, complaints: &mut Vec<Complaint>) {
    for (name, wanted) in &evidence.scenario.expect.media {
        if let Err(what) = medium_is(evidence, name, wanted) {
            complaints.push(Complaint::new(BY, format!("{name}: {what}")));
        }
    }
}

/// What the story says of the medium, taken apart.
pub(crate) struct MediumWord<'a> {
    /// `captured`, `written`, `skipped`, `untouched`, `failed`, `refused`.
    pub(crate) word: &'a str,
    /// The code, if one is demanded.
    pub(crate) code: Option<&'a str>,
}

impl<'a> MediumWord<'a> {
    pub(crate) fn of(text: &'a str) -> Self {
        match text.split_once(' ') {
            Some((word, code)) => Self { word, code: Some(code) },
            None => Self { word: text, code: None },
        }
    }

    /// Whether not one byte of the medium may have changed.
    pub(crate) fn untouched(&self) -> bool {
        matches!(self.word, "untouched" | "refused" | "skipped" | "captured")
            || self.code.is_some_and(|code| code.starts_with("R-"))
    }
}

fn medium_is(evidence: &Evidence, name: &str, wanted: &str) -> Result<(), String> {
    let MediumWord { word, code } = MediumWord::of(wanted);
    let report = evidence.last().report.as_ref().ok_or("there is no report")?;
    let outcome = report.outcomes.iter().find(|outcome| outcome.medium == name);
    let is = |ends: bool| {
        let found = outcome.map_or_else(|| "nothing was done for it".to_owned(), Outcome::line);
        if ends { Ok(()) } else { Err(format!("not {wanted}, but: {found}")) }
    };
    let end = outcome.map(|outcome| &outcome.end);
    match word {
        "captured" => is(matches!(end, Some(End::Done(_))) && report.mode == Some("capture")),
        "written" => is(matches!(end, Some(End::Done(_))) && report.mode == Some("write")),
        "skipped" => is(matches!(end, Some(End::Skipped(_)))),
        "untouched" => Ok(()),
        "failed" | "refused" => match end {
            Some(End::Failed(error)) => is(code.is_none_or(|code| code == error.code())),
            _ => is(false),
        },
        other => Err(format!("{other:?} is no word for what becomes of a medium")),
    }
}

fn check_drive(evidence: &Evidence, complaints: &mut Vec<Complaint>) {
    let (expect, last) = (&evidence.scenario.expect, evidence.last());
    let mut complain = |what: String| complaints.push(Complaint::new(BY, what));
    match last.after.drive_files() {
        Ok(files) => {
            let has = |name: &str| RelativePath::parse(name).is_ok_and(|path| files.contains_key(&path));
            for name in expect.drive_has.iter().filter(|name| !has(name)) {
                complain(format!("{name} is not on the drive"));
            }
            for name in expect.drive_lacks.iter().filter(|name| has(name)) {
                complain(format!("{name} is on the drive"));
            }
        }
        Err(error) => complain(format!("the drive cannot be read: {error}")),
    }
    if expect.drive_unchanged && evidence.boots[0].before.media.get("drive") != last.after.media.get("drive")
    {
        complain("the drive is not byte for byte as it was".to_owned());
    }
}
