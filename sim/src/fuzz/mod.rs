//! Generated scenarios: a seed decides what is plugged in and what fails, and the checkers judge the run.
//!
//! [`generate`] makes a scenario from a seed, [`judge()`] runs and judges it, [`shrink`] makes a failing one smaller.
//! A failing scenario should be kept as a file, because a seed is only valid until the generator changes.

pub mod export;
pub mod generate;
pub mod shrink;

use crate::board::tasks::panic_text;
use crate::board::world::RunOutcome;
use crate::explore::{Finding, Totals, console_lines, drive_lines, operation_lines};
use crate::judge::{self, Case, CheckerId, Complaint, Origin};
use crate::model::time::scheduler::End;
use crate::run::boots;
use crate::run::{Change, Evidence};
use crate::scenario::catalogue;
use crate::scenario::schema::Scenario;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Every so many runs one is done twice, and both must be equal.
const TWICE_EVERY: u64 = 32;
/// How many lines of each boot's console are printed.
const CONSOLE_LINES: usize = 4;

/// A scenario that was run and judged.
#[derive(Default)]
pub struct Judgement {
    /// The complaints.
    pub complaints: Vec<Complaint>,
    /// Kinds of faults that were reached, including cuts.
    pub reached: Vec<String>,
    /// Hash over all calls.
    pub trace_hash: u64,
    /// Lines for people.
    pub lines: Vec<String>,
}

/// Runs and judges a scenario; panics of the simulation and of the checkers are caught.
///
/// # Errors
/// If the scenario is invalid.
pub fn judge(
    name: &str,
    scenario: &Scenario,
    origin: Origin,
    change: Change<'_>,
) -> Result<Judgement, String> {
    let work = || {
        let evidence = boots::run_with(name, scenario, change)?;
        let case = Case { origin, ..Case::generated(&evidence, change) };
        // A person who writes a scenario with byte faults also writes the expected result.
        let faulty = case.faulty.filter(|_| origin == Origin::Generated);
        let complaints = judge::complaints(&Case { faulty, ..case });
        let lines = if complaints.is_empty() { Vec::new() } else { lines(&evidence) };
        Ok(Judgement { complaints, reached: reached(&evidence), trace_hash: evidence.trace_hash(), lines })
    };
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let complaint = Complaint::new(CheckerId::Panic, panic_text(&*panic));
        Ok(Judgement { complaints: vec![complaint], ..Judgement::default() })
    })
}

fn reached(evidence: &Evidence) -> Vec<String> {
    let faults = evidence.faults.iter().filter(|fault| fault.reached);
    let mut kinds: Vec<String> = faults.map(|fault| fault.spec.kind().to_string()).collect();
    let cuts =
        evidence.boots.iter().filter(|boot| matches!(boot.outcome, RunOutcome::Ended(End::PowerCut { .. })));
    kinds.extend(cuts.map(|boot| format!("power-cut/{}", catalogue::word(boot.spec.survive))));
    kinds
}

fn lines(evidence: &Evidence) -> Vec<String> {
    let mut lines = Vec::new();
    for (number, boot) in evidence.boots.iter().enumerate() {
        let mode = boot.mode().map_or("nothing".to_owned(), |mode| mode.to_string());
        lines.push(format!("  boot {} chose {mode}: {}", number + 1, boot.outcome));
        lines.extend(console_lines(boot, CONSOLE_LINES));
    }
    let last = evidence.last();
    lines.extend(operation_lines(last, u64::MAX, None));
    lines.extend(drive_lines("drive at the end", &last.after));
    lines
}

/// One run of the fuzzer.
pub struct Run {
    /// Its seed.
    pub seed: u64,
    /// How much was done.
    pub totals: Totals,
    /// The findings, each judge once.
    pub findings: Vec<Finding>,
    /// Why the scenario is invalid, if it was not run.
    pub invalid: Option<String>,
}

/// Makes the scenario of a seed, runs and judges it.
pub fn run(seed: u64, change: Change<'_>) -> Run {
    let scenario = generate::scenario(seed);
    let name = format!("seed {seed}");
    let mut totals = Totals { fuzz_runs: 1, ..Totals::default() };
    let judgement = match judge(&name, &scenario, Origin::Generated, change) {
        Ok(judgement) => judgement,
        Err(what) => return Run { seed, totals, findings: Vec::new(), invalid: Some(what) },
    };
    judgement.reached.iter().for_each(|kind| totals.reach(kind.as_str()));
    totals.contents = catalogue::contents(&scenario).into_iter().map(|word| (word, 1)).collect();
    let mut complaints = judgement.complaints;
    if seed % TWICE_EVERY == 0 {
        let again = judge(&name, &scenario, Origin::Generated, change);
        if again.is_ok_and(|again| again.trace_hash != judgement.trace_hash) {
            complaints.push(Complaint::new(CheckerId::Determinism, "the second run has another trace"));
        }
    }
    totals.complaints = complaints.len() as u64;
    let mut seen = std::collections::BTreeSet::new();
    complaints.retain(|complaint| seen.insert(complaint.by));
    let finding = |complaint: &Complaint| {
        let again = format!("replicator-sim replay {seed}    smaller: replicator-sim shrink {seed}");
        Finding::new(&name, scenario.boots.len().max(1), complaint, judgement.lines.clone(), again)
    };
    Run { seed, totals, findings: complaints.iter().map(finding).collect(), invalid: None }
}
