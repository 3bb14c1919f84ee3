//! A step of the firmware: its name, the result of its check, its outcome. It also runs updaters.

use crate::context::Context;
use crate::error::{Error, Result};
use crate::jobs::{self, Named};
use crate::operation::Operation;
use crate::report::{Done, End, Outcome};
use replicator_hal::{self as hal, HookEnd, Updater};
use std::time::Duration;

/// The names of a step in the log and the report.
pub(super) struct Name {
    /// How its console lines begin.
    pub(super) label: &'static str,
    /// The name of its log.
    pub(super) log: &'static str,
}

impl Named for &Name {
    fn label(&self) -> &str {
        self.label
    }

    fn log_name(&self) -> String {
        self.log.to_owned()
    }
}

impl Name {
    /// The outcome of the step with this name.
    pub(super) fn outcome(
        &self,
        device: Option<String>,
        files: &str,
        end: End,
        elapsed: Duration,
    ) -> Outcome {
        Outcome {
            medium: self.label.to_owned(),
            device,
            identity: None,
            image: Some(files.to_owned()),
            end,
            elapsed,
        }
    }
}

/// A checked step that is not begun yet.
pub(crate) struct Step<T> {
    pub(super) name: &'static Name,
    /// Its files on the drive, for the report.
    pub(super) files: String,
    /// What the step will do, or why it is refused.
    pub(super) checked: Result<T>,
    /// How long the check took.
    pub(super) checking: Duration,
}

impl<T: Send> Step<T> {
    /// Checks a step by `work`.
    pub(super) fn check(
        context: &Context<'_>,
        name: &'static Name,
        files: String,
        work: impl Fn(&Operation<'_>) -> Result<T> + Sync,
    ) -> Self {
        let (checked, checking) = timed(context, name, work);
        Self { name, files, checked, checking }
    }

    /// The result of the check: the text of `line`, or the refusal.
    pub(super) fn line(&self, line: impl FnOnce(&T) -> String) -> String {
        match &self.checked {
            Ok(checked) => format!("{}: {}", self.name.label, line(checked)),
            Err(error) => format!("{}: would be refused: {}", self.name.label, error.with_advice()),
        }
    }
}

/// Runs `work` as a single job, and returns how long it took.
fn timed<T: Send>(
    context: &Context<'_>,
    name: &'static Name,
    work: impl Fn(&Operation<'_>) -> Result<T> + Sync,
) -> (Result<T>, Duration) {
    let not_run = || (Err(Error::Internal { detail: "a step did not run".into() }), Duration::ZERO);
    jobs::run(context.board, context.tuning, &[name], |operation, _| work(operation))
        .pop()
        .unwrap_or_else(not_run)
}

/// Runs a step that writes. An internal error during it is critical, because the state of the device is unknown then;
/// `unknown` is the text for that.
pub(super) fn write(
    context: &Context<'_>,
    name: &'static Name,
    unknown: &str,
    work: impl Fn(&Operation<'_>) -> Result<Done> + Sync,
) -> (End, Duration) {
    let (result, elapsed) = timed(context, name, work);
    let end = match result {
        Ok(done) => End::Done(done),
        Err(error @ Error::Internal { .. }) => {
            End::Failed(Error::Unbootable { source: Box::new(error), state: unknown.to_owned() })
        }
        Err(error) => End::Failed(error),
    };
    (end, elapsed)
}

/// Runs an updater that writes, and logs what it printed. The board is at risk from then on, until the caller clears it.
pub(super) fn run_updater(operation: &Operation<'_>, updater: &Updater) -> hal::Result<HookEnd> {
    operation.renew(operation.tuning.tool_lease + updater.timeout);
    operation.board.leds.set_at_risk(true);
    let ran = operation.board.firmware.run_updater(updater);
    if let Ok(end) = &ran {
        operation.log(&end.output);
    }
    ran
}

/// How a program ended, in words.
pub(super) fn how_it_ended(end: &HookEnd) -> String {
    let last = end.output.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("it printed nothing");
    match end.exit_status {
        Some(status) => format!("exit status {status}, {}", last.trim()),
        None => format!("it was killed, {}", last.trim()),
    }
}
