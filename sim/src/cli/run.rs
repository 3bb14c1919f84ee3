//! `run`: runs and judges scenarios.

use super::named::{Named, all};
use super::one_state::{self, OneState};
use super::report::{self, Verdict};
use super::{FAILED, Problem, keep, pool};
use crate::judge;
use clap::Args;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Arguments of `run`.
#[derive(Debug, Default, Args)]
pub(super) struct Run {
    /// Scenario files or names of built-in scenarios; all built-in ones by default.
    scenarios: Vec<String>,
    /// Writes media, drive, logs and report of every scenario to its own directory below this one.
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
    /// Prints every operation of every boot.
    #[arg(long)]
    trace: bool,
    /// Prints only JSON: one object per scenario and one for the sum.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    one: OneState,
}

/// `run`.
pub(super) fn run(arguments: &Run, output: &mut dyn Write) -> Result<u8, Problem> {
    let scenarios = all(&arguments.scenarios).map_err(Problem::Usage)?;
    if arguments.one.is_given() {
        return match scenarios.as_slice() {
            [named] => one_state::one(named, &arguments.one, output),
            _ => Err(Problem::Usage("--cut and --fail need exactly one scenario".into())),
        };
    }
    let keep = arguments.keep.as_deref();
    let mut failed = 0;
    let mut result = Ok(());
    let work = |named: &Named| verdict(named, arguments.trace, keep);
    pool::in_order(&scenarios, work, |verdict: Verdict| {
        failed += usize::from(!verdict.passed);
        result = if arguments.json { report::json(output, &verdict) } else { report::text(output, &verdict) };
        result.is_ok()
    });
    result.map_err(Problem::Output)?;
    let passed = scenarios.len() - failed;
    if arguments.json {
        writeln!(output, "{{\"passed\":{passed},\"failed\":{failed}}}").map_err(Problem::Output)?;
    } else {
        writeln!(output, "{passed} passed, {failed} failed").map_err(Problem::Output)?;
    }
    Ok(if failed == 0 { 0 } else { FAILED })
}

fn verdict(named: &Named, trace: bool, keep: Option<&Path>) -> Verdict {
    match judge::run(&named.name, &named.scenario) {
        Ok(judged) => {
            let mut verdict = report::verdict(&judged, &named.argument, trace);
            if let Some(Err(error)) = keep.map(|directory| keep::keep(&judged.evidence, directory)) {
                verdict.passed = false;
                verdict.details.push(format!("  not kept: {error}"));
            }
            verdict
        }
        Err(what) => report::invalid(&named.name, &what),
    }
}
