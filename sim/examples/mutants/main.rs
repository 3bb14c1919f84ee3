//! Runs each mutant in its scenarios, and fails if the checkers do not detect one. `ci/mutants` starts it.
//!
//! A mutant is killed when every checker that `table.rs` names for it complains in at least one of its scenarios.
//! Without a mutant no checker may complain. Other checkers may detect the same fault; they are printed. Arguments
//! are names of mutants, and limit the run to those.
//!
//! An environment variable selects the mutant, so each run is a separate process: this program, started again.

mod boards;
mod patches;
mod table;

use replicator_hal::Board;
use replicator_sim::judge::checkers::CHECKERS;
use replicator_sim::judge::{Case, CheckerId, Judge};
use replicator_sim::model::time::cores::stay_on_a_core;
use replicator_sim::run::boots;
use replicator_sim::scenario::builtin;
use replicator_sim::scenario::schema::Scenario;
use std::collections::{BTreeMap, BTreeSet};
use std::process::{Command, ExitCode};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use table::{Fault, MUTANTS, Mutant};

/// The variable that selects a mutant in the patched engine; `sim/mutants/switch.rs` reads it.
const CHOSEN: &str = "REPLICATOR_MUTANT";

/// What `ci/mutants` appends to the version of the copy, so that cargo keeps its libraries apart from those of the workspace.
const COPY: &str = "+mutants";

/// The argument for one run: a scenario and an optional mutant follow.
const JUDGE: &str = "--judge";

/// The result of one run.
struct Seen {
    by: BTreeSet<CheckerId>,
    /// Other output of the process.
    stderr: String,
}

/// One run: a scenario, and an optional mutant.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Job {
    scenario: &'static str,
    mutant: Option<&'static str>,
}

fn find(name: &str) -> Result<&'static Mutant, String> {
    let known = || MUTANTS.iter().map(|mutant| mutant.name).collect::<Vec<_>>().join(", ");
    let found = MUTANTS.iter().find(|mutant| mutant.name == name);
    found.ok_or_else(|| format!("no mutant {name:?}; known are {}", known()))
}

/// The checkers that complain about a scenario.
fn judge(scenario: &str, mutant: Option<&Mutant>) -> Result<BTreeSet<CheckerId>, String> {
    let text = builtin::find(scenario).ok_or_else(|| format!("there is no scenario {scenario}"))?;
    let parsed = Scenario::parse(text, scenario).map_err(|error| error.to_string())?;
    let change = match mutant.map(|mutant| &mutant.fault) {
        Some(Fault::Board(change)) => *change,
        Some(Fault::Patch) | None => |board: Board| board,
    };
    let evidence = boots::run_with(scenario, &parsed, change)?;
    let case = Case::written(&evidence);
    let complains = |judge: &&Judge| !(judge.check)(&case).is_empty();
    Ok(CHECKERS.iter().filter(complains).map(|judge| judge.id).collect())
}

/// The child process of [`Job::run`].
fn judge_here(scenario: &str, mutant: Option<&str>) -> Result<bool, String> {
    let mutant = mutant.map(find).transpose()?;
    for id in judge(scenario, mutant)? {
        println!("{}", id.word());
    }
    Ok(true)
}

impl Job {
    /// Runs this job in a separate process.
    fn run(self) -> Result<Seen, String> {
        let what = || format!("{} with {}", self.scenario, self.mutant.unwrap_or("no mutant"));
        let fail = |why: String| format!("{}: {why}", what());
        let program = std::env::current_exe().map_err(|error| fail(error.to_string()))?;
        let mut command = Command::new(program);
        command.arg(JUDGE).arg(self.scenario).args(self.mutant).env_remove(CHOSEN);
        if let Some(name) = self.mutant {
            command.env(CHOSEN, name);
        }
        let output = command.output().map_err(|error| fail(error.to_string()))?;
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        if !output.status.success() {
            return Err(fail(format!("{}\n{stderr}", output.status)));
        }
        let stdout = String::from_utf8_lossy(&output.stdout);
        let by = stdout
            .lines()
            .map(|word| CheckerId::named(word).ok_or_else(|| fail(format!("no checker {word:?}"))));
        Ok(Seen { by: by.collect::<Result<_, _>>()?, stderr })
    }
}

/// Runs all jobs, each once, on all cores.
fn run_all(jobs: &BTreeSet<Job>) -> Result<BTreeMap<Job, Seen>, String> {
    let jobs: Vec<Job> = jobs.iter().copied().collect();
    let workers = thread::available_parallelism().map_or(1, usize::from);
    let (next, results) = (AtomicUsize::new(0), Mutex::new(BTreeMap::new()));
    thread::scope(|scope| {
        for worker in 0..workers {
            let (jobs, next, results) = (&jobs, &next, &results);
            scope.spawn(move || {
                // The child processes inherit it.
                stay_on_a_core(worker);
                while let Some(job) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let result = job.run();
                    results.lock().unwrap_or_else(PoisonError::into_inner).insert(*job, result);
                }
            });
        }
    });
    let results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
    results.into_iter().map(|(job, result)| Ok((job, result?))).collect()
}

fn listed<'a>(ids: impl IntoIterator<Item = &'a CheckerId>) -> String {
    ids.into_iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// Prints the results of one mutant, and returns whether it was killed.
fn report(mutant: &Mutant, seen: &BTreeMap<Job, Seen>) -> bool {
    let Mutant { breaks, name, detected_by, .. } = mutant;
    let breaks = breaks.to_string();
    let mut missed: BTreeSet<CheckerId> = detected_by.iter().copied().collect();
    let mut stderr = String::new();
    for scenario in mutant.scenarios {
        let Some(run) = seen.get(&Job { scenario, mutant: Some(name) }) else { continue };
        let (own, others): (Vec<&CheckerId>, Vec<&CheckerId>) =
            run.by.iter().partition(|id| detected_by.contains(id));
        missed.retain(|id| !run.by.contains(id));
        let by = if own.is_empty() { "-".to_owned() } else { listed(own) };
        println!("{name:<26} {breaks:<4} {by:<26} {scenario:<44} {}", listed(others));
        stderr.push_str(&run.stderr);
    }
    if missed.is_empty() {
        return true;
    }
    println!("{name:<26} {breaks:<4} SURVIVED: {}", mutant.what);
    println!("    {} did not complain in {}", listed(&missed), mutant.scenarios.join(", "));
    if matches!(mutant.fault, Fault::Patch) {
        match stderr.contains(&format!("mutant {name}")) {
            true => println!(
                "    the lines of sim/mutants/{name}.patch were reached: the checker does not detect it, or the scenario does not show it"
            ),
            false => println!("    no scenario reached the lines of sim/mutants/{name}.patch"),
        }
    }
    false
}

fn run(names: &[&str]) -> Result<bool, String> {
    if !patches::are_applied() {
        return Err("this is not the patched copy of the engine; run ci/mutants".to_owned());
    }
    let asked: Vec<&Mutant> = match names {
        [] => MUTANTS.iter().collect(),
        names => names.iter().map(|name| find(name)).collect::<Result<_, _>>()?,
    };
    let mut jobs = BTreeSet::new();
    for mutant in &asked {
        for scenario in mutant.scenarios {
            jobs.insert(Job { scenario, mutant: None });
            jobs.insert(Job { scenario, mutant: Some(mutant.name) });
        }
    }
    let seen = run_all(&jobs)?;
    for (job, run) in &seen {
        if job.mutant.is_none() && !run.by.is_empty() {
            return Err(format!("{} has complaints without any mutant: {}", job.scenario, listed(&run.by)));
        }
    }
    println!("{:<26} {:<4} {:<26} {:<44} also seen by", "mutant", "of", "killed by", "scenario");
    let survivors: Vec<&str> =
        asked.iter().filter(|mutant| !report(mutant, &seen)).map(|mutant| mutant.name).collect();
    println!(
        "{} mutants, {} survived{}{}",
        asked.len(),
        survivors.len(),
        if survivors.is_empty() { "" } else { ": " },
        survivors.join(", ")
    );
    Ok(survivors.is_empty())
}

fn main() -> ExitCode {
    if !env!("CARGO_PKG_VERSION").ends_with(COPY) {
        eprintln!("mutants: this program has no mutants in it; run ci/mutants");
        return ExitCode::FAILURE;
    }
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = match arguments.as_slice() {
        [JUDGE, scenario] => judge_here(scenario, None),
        [JUDGE, scenario, mutant] => judge_here(scenario, Some(mutant)),
        names => run(names),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(what) => {
            eprintln!("mutants: {what}");
            ExitCode::FAILURE
        }
    }
}
