//! Runs jobs in parallel, each in a task with its own log, label and progress lease.

use crate::error::{Error, Result};
use crate::lease::Leases;
use crate::operation::Operation;
use crate::report::{Done, End, Outcome};
use crate::tuning::Tuning;
use replicator_hal::{Board, Task, TaskEnd};
use std::time::Duration;

/// The names of a job.
pub(crate) trait Named {
    /// How its console lines begin, such as `sd`.
    fn label(&self) -> &str;
    /// The name of its log, such as `sd-writefs`.
    fn log_name(&self) -> String;
}

/// A job whose end is an outcome of the report.
pub(crate) trait Job: Named + Sync {
    /// Runs the job.
    ///
    /// # Errors
    /// Why it failed.
    fn run(&self, operation: &Operation<'_>) -> Result<Done>;

    /// The outcome for the report. `elapsed` is how long the job ran.
    fn outcome(&self, end: End, elapsed: Duration) -> Outcome;
}

/// A job to run, or the outcome of one that does not run.
pub(crate) enum Begun<'a> {
    /// It runs.
    Job(Box<dyn Job + 'a>),
    /// It was refused, or there is nothing to do.
    Ended(Box<Outcome>),
}

impl<T: Named + ?Sized> Named for Box<T> {
    fn label(&self) -> &str {
        (**self).label()
    }

    fn log_name(&self) -> String {
        (**self).log_name()
    }
}

/// Runs `work` for every job in its own task, and returns how long each took. A job that panics or whose lease ran out
/// has failed.
pub(crate) fn run<J, T>(
    board: &Board,
    tuning: &Tuning,
    jobs: &[J],
    work: impl Fn(&Operation<'_>, &J) -> Result<T> + Sync,
) -> Vec<(Result<T>, Duration)>
where
    J: Named + Sync,
    T: Send,
{
    let mut slots: Vec<Option<(Result<T>, Duration)>> = jobs.iter().map(|_| None).collect();
    let leases = Leases::new(board, jobs.len(), tuning.io_lease);
    let tasks = jobs
        .iter()
        .zip(&mut slots)
        .enumerate()
        .map(|(number, (job, slot))| {
            let (work, leases) = (&work, &leases);
            Task {
                name: job.label().to_owned(),
                body: Box::new(move || {
                    let operation = Operation::new(board, tuning, job.label(), job.log_name())
                        .beside_others(leases, number);
                    let started = board.clock.monotonic();
                    let result = work(&operation, job).and_then(|value| {
                        operation.check_lease()?;
                        Ok(value)
                    });
                    if let Err(error) = &result {
                        operation.log(&format!("failed: {error} [{}]", error.code()));
                    }
                    leases.end(number);
                    *slot = Some((result, board.clock.monotonic().saturating_sub(started)));
                }),
            }
        })
        .collect();
    let ends = board.tasks.run(tasks);
    slots
        .into_iter()
        .zip(ends.into_iter().map(Some).chain(std::iter::repeat(None)))
        .map(|(slot, end)| match (slot, end) {
            (Some(result), Some(TaskEnd::Finished)) => result,
            (_, Some(TaskEnd::Panicked(message))) => {
                (Err(Error::Internal { detail: message }), Duration::ZERO)
            }
            _ => (Err(Error::Internal { detail: "a task did not end".into() }), Duration::ZERO),
        })
        .collect()
}
