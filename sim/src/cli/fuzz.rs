//! `fuzz`: runs thousands of generated scenarios.

use super::Problem;
use super::budget::{Shard, duration};
use super::findings::{screens, status, sums};
use crate::explore::{Finding, Totals};
use crate::fuzz;
use crate::model::bytes::digest::{FOLD_START, fold};
use crate::model::time::cores::stay_on_a_core;
use crate::run::unchanged;
use crate::scenario::schema::FaultKind;
use clap::Args;
use serde_json::json;
use std::io::Write;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How many failing runs are printed; all are counted.
const PRINTED: usize = 10;
const DEFAULT_RUNS: u64 = 1000;

/// Arguments of `fuzz`.
#[derive(Debug, Args)]
pub(super) struct Fuzz {
    /// Seed of the first run: a number, or any other text, such as a commit's hash.
    #[arg(long, default_value = "0", value_parser = seed)]
    seed: u64,
    /// Number of runs.
    #[arg(long)]
    runs: Option<u64>,
    /// Time limit, such as `60s`.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    budget: Option<Duration>,
    /// Runs only every N-th seed, starting with the I-th, such as `1/4`.
    #[arg(long, value_name = "I/N", value_parser = Shard::parse)]
    shard: Option<Shard>,
    /// Prints JSON: one object per finding, and one with the sums.
    #[arg(long)]
    json: bool,
}

/// A number, or the hash of any other text.
fn seed(text: &str) -> Result<u64, String> {
    if text.is_empty() {
        return Err("a seed is a number or a commit's hash".into());
    }
    Ok(text.parse().unwrap_or_else(|_| fold(FOLD_START, text.as_bytes()) >> 16))
}

/// `fuzz`.
pub(super) fn fuzz(arguments: &Fuzz, output: &mut dyn Write) -> Result<u8, Problem> {
    let runs = arguments.runs.unwrap_or(if arguments.budget.is_some() { u64::MAX } else { DEFAULT_RUNS });
    let start = Instant::now();
    let end = arguments.budget.map(|budget| start + budget);
    let next = AtomicU64::new(0);
    let sum = Mutex::new(Sum::default());
    let work = &|| {
        while end.is_none_or(|end| Instant::now() < end) {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= runs {
                return;
            }
            if arguments.shard.is_some_and(|shard| !shard.has(number)) {
                continue;
            }
            let run = fuzz::run(arguments.seed.wrapping_add(number), &unchanged);
            let mut sum = sum.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            sum.totals.add(&run.totals);
            sum.invalid.extend(run.invalid.map(|what| (run.seed, what)));
            if !run.findings.is_empty() {
                sum.failing.push((run.seed, run.findings));
            }
        }
    };
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for worker in 0..workers {
            scope.spawn(move || {
                stay_on_a_core(worker);
                work();
            });
        }
    });
    let mut sum = sum.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    sum.failing.sort_by_key(|(seed, _)| *seed);
    sum.invalid.sort();
    print(&sum, arguments.json, start.elapsed(), output).map_err(Problem::Output)?;
    let findings: Vec<Finding> = sum.failing.into_iter().flat_map(|(_, findings)| findings).collect();
    Ok(status(&findings))
}

/// The result of all runs.
#[derive(Default)]
struct Sum {
    totals: Totals,
    /// By seed.
    failing: Vec<(u64, Vec<Finding>)>,
    /// Invalid scenarios, by seed: faults of the generator.
    invalid: Vec<(u64, String)>,
}

impl Sum {
    /// Kinds of faults that were reached in no run.
    fn not_reached(&self) -> Vec<String> {
        let kinds = FaultKind::all().filter(|kind| kind.physics().weight > 0).map(|kind| kind.to_string());
        kinds.filter(|kind| !self.totals.faults_reached.contains_key(kind)).collect()
    }
}

fn print(sum: &Sum, as_json: bool, elapsed: Duration, output: &mut dyn Write) -> std::io::Result<()> {
    if as_json {
        let findings = sum.failing.iter().flat_map(|(_, findings)| findings);
        findings.map(|finding| json!(finding)).try_for_each(|finding| writeln!(output, "{finding}"))?;
        let invalid: Vec<_> =
            sum.invalid.iter().map(|(seed, what)| json!({"seed": seed, "what": what})).collect();
        let seconds = elapsed.as_secs_f64();
        let sums = json!({
            "totals": sum.totals,
            "seconds": seconds,
            "runs_per_second": sum.totals.fuzz_runs as f64 / seconds,
            "failed": sum.failing.len(),
            "invalid": invalid,
            "faults_not_reached": sum.not_reached(),
        });
        return writeln!(output, "{sums}");
    }
    for (_, findings) in sum.failing.iter().take(PRINTED) {
        screens(output, findings)?;
    }
    for (seed, what) in sum.invalid.iter().take(PRINTED) {
        writeln!(output, "seed {seed} gave an invalid scenario: {what}")?;
    }
    writeln!(output, "{} runs failed, {} scenarios were invalid", sum.failing.len(), sum.invalid.len())?;
    sums(output, false, &sum.totals, elapsed)?;
    let missed = sum.not_reached();
    if missed.is_empty() { Ok(()) } else { writeln!(output, "never reached: {}", missed.join(", ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_is_a_number_or_a_hash() {
        assert_eq!(seed("17"), Ok(17));
        assert_eq!(seed("836b96a"), seed("836b96a"));
        assert_ne!(seed("836b96a"), seed("836b96b"));
        assert!(seed("").is_err());
    }
}
