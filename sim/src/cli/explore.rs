//! `explore`: crash states of scenarios, and failing calls.

use super::budget::{Clock, Shard, duration};
use super::findings::{screens, status, sums};
use super::named::{Named, all};
use super::{Problem, pool};
use crate::explore::{self, Explored, Finding, Options};
use crate::judge::{CheckerId, Complaint};
use crate::run::unchanged;
use crate::scenario::schema::Scenario;
use clap::Args;
use serde_json::json;
use std::collections::HashSet;
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Arguments of `explore`.
#[derive(Debug, Args)]
pub(super) struct Explore {
    /// Scenario files or names of built-in scenarios; `all` means all built-in ones.
    #[arg(required = true)]
    scenarios: Vec<String>,
    /// Explores only every N-th scenario, starting with the I-th, such as `1/4`.
    #[arg(long, value_name = "I/N", value_parser = Shard::parse)]
    shard: Option<Shard>,
    /// Time limit, such as `60s` or `5m`. All crash states are judged, and a few of each boot are followed to the
    /// end; then more are followed as time allows. If the time is over before that, the last lines report what was
    /// left out.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    budget: Option<Duration>,
    /// How many cuts in a row: 2 also cuts the boot after a cut.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=2))]
    depth: u32,
    /// Lets each call fail in turn, instead of cutting the power.
    #[arg(long)]
    errors: bool,
    /// Maximum number of crash states per boot that are followed to the end.
    #[arg(long, value_name = "N", default_value_t = 12)]
    recoveries: usize,
    /// Prints JSON: one object per finding, and one with the sums.
    #[arg(long)]
    json: bool,
}

/// `explore`.
pub(super) fn explore(arguments: &Explore, output: &mut dyn Write) -> Result<u8, Problem> {
    let names = if arguments.scenarios == ["all"] { &[][..] } else { &arguments.scenarios };
    let mut scenarios = all(names).map_err(Problem::Usage)?;
    if arguments.errors {
        one_of_each(&mut scenarios);
    }
    let mut number = 0;
    scenarios.retain(|_| {
        number += 1;
        arguments.shard.is_none_or(|shard| shard.has(number - 1))
    });
    let clock = Clock::new(arguments.budget, scenarios.len());
    let judged = Arc::new(explore::Judged::default());
    let work = |named: &Named| {
        if clock.is_over() {
            let mut left_out = Explored::default();
            left_out.totals.left_out_scenarios = 1;
            return (named.name.clone(), named.argument.clone(), Ok(Ok(left_out)));
        }
        let options = Options {
            depth: arguments.depth,
            recoveries_max: arguments.recoveries,
            deadline: clock.next_deadline(),
            end: clock.end,
            judged: Some(Arc::clone(&judged)),
            ..Options::default()
        };
        let look = if arguments.errors { explore::sweep } else { explore::explore };
        let result = catch_unwind(AssertUnwindSafe(|| {
            look(&named.name, &named.argument, &named.scenario, &options, &unchanged)
        }));
        (
            named.name.clone(),
            named.argument.clone(),
            result.map_err(|panic| crate::board::tasks::panic_text(&*panic)),
        )
    };
    let start = Instant::now();
    let mut sum = Explored::default();
    let mut result = Ok(());
    pool::in_order(&scenarios, work, |(name, argument, outcome)| {
        let explored = match outcome {
            Ok(Ok(explored)) => explored,
            Ok(Err(what)) => failed(CheckerId::Scenario, &name, &argument, &what),
            Err(panic) => failed(CheckerId::Panic, &name, &argument, &panic),
        };
        result = print(output, arguments.json, &name, &explored);
        sum.add(explored);
        result.is_ok()
    });
    result.map_err(Problem::Output)?;
    sums(output, arguments.json, &sum.totals, start.elapsed()).map_err(Problem::Output)?;
    Ok(status(&sum.findings))
}

/// The sweep ignores faults and cuts of a scenario with one boot: of scenarios that differ only in those, one is enough.
/// What a later boot finds depends on them.
fn one_of_each(scenarios: &mut Vec<Named>) {
    let mut seen = HashSet::new();
    scenarios.retain(|named| {
        let Scenario { drive, media, seed, boots, faults, .. } = &named.scenario;
        let later_boots = (boots.len() > 1).then(|| (boots.clone(), faults.clone()));
        seen.insert((drive.clone(), media.clone(), *seed, later_boots))
    });
}

fn failed(by: CheckerId, name: &str, argument: &str, what: &str) -> Explored {
    let again = format!("replicator-sim run {argument}");
    let finding = Finding::new(name, 1, &Complaint::new(by, what), Vec::new(), again);
    Explored { findings: vec![finding], ..Explored::default() }
}

fn print(output: &mut dyn Write, as_json: bool, name: &str, explored: &Explored) -> std::io::Result<()> {
    if as_json {
        return explored.findings.iter().try_for_each(|finding| writeln!(output, "{}", json!(finding)));
    }
    let totals = &explored.totals;
    let word = match explored.findings.is_empty() {
        true if totals.left_out_scenarios + totals.left_out_states > 0 => "part",
        true => "ok  ",
        false => "FAIL",
    };
    writeln!(
        output,
        "{word} {name:<52} {:>6} states {:>6} distinct {:>5} followed {:>5} errors",
        totals.crash_states, totals.distinct, totals.recoveries, totals.error_runs
    )?;
    screens(output, &explored.findings)
}
