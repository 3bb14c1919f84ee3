//! The commands about made-up stories: `fuzz`, `shrink`, `export`; and `replay`, `trace`, which tell any story slowly.

use super::explore::{Shard, cuts, duration, screens, status, sums};
use super::{Problem, Story, story};
use crate::cores::stay_on_a_core;
use crate::explore::{Change, Explored, unchanged};
use crate::fuzz::export::{regression, with_cuts, write};
use crate::fuzz::shrink::{Shrunk, shrink as make_smaller};
use crate::fuzz::{self, Judges, generate};
use crate::random::{FOLD_START, fold};
use crate::runner::boots::{Observer, observe};
use crate::runner::{Boot, Snapshot};
use crate::simfs::Survival;
use crate::world::World;
use clap::Args;
use replicator_engine::boot::Request;
use serde_json::json;
use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// So many failing runs are told; all are counted.
const TOLD: usize = 10;
const DEFAULT_RUNS: u64 = 1000;

/// Arguments of `fuzz`.
#[derive(Debug, Args)]
pub(super) struct Fuzz {
    /// Seed of the first run, a number; or any text, such as a commit's hash.
    #[arg(long, default_value = "0", value_parser = seed)]
    seed: u64,
    /// How many runs.
    #[arg(long)]
    runs: Option<u64>,
    /// For how long, such as `60s`.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    budget: Option<Duration>,
    /// Only every N-th seed, from the I-th on.
    #[arg(long, value_name = "I/N", value_parser = Shard::parse)]
    shard: Option<Shard>,
    /// Prints JSON: one object per finding, and the sums.
    #[arg(long)]
    json: bool,
}

/// A story by file, name or seed.
#[derive(Debug, Args)]
pub(super) struct One {
    /// A scenario file, the name of a built-in scenario, or a seed of the fuzzer.
    story: String,
}

/// Arguments of `export`.
#[derive(Debug, Args)]
pub(super) struct Export {
    /// A seed of the fuzzer, or a scenario file.
    story: String,
    /// The file's name; made from judge and seed if it is left out.
    #[arg(long)]
    name: Option<String>,
    /// Where it is written.
    #[arg(long, value_name = "DIR", default_value = "sim/scenarios/regressions")]
    directory: PathBuf,
    /// Exports this crash state of the story instead: cuts before these operations.
    #[arg(long, value_name = "N,...", value_delimiter = ',')]
    cut: Vec<u64>,
    /// What survives each cut.
    #[arg(long, value_name = "POLICY,...", value_delimiter = ',', requires = "cut")]
    survive: Vec<String>,
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
    let sum = Mutex::new((Explored::default(), 0_u64, Vec::new()));
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
            sum.0.totals.add(&run.totals);
            sum.1 += u64::from(run.senseless.is_some());
            if !run.findings.is_empty() {
                sum.2.push((run.seed, run.findings));
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
    let (mut explored, senseless, mut failing) =
        sum.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    failing.sort_by_key(|(seed, _)| *seed);
    let mut tell = || -> std::io::Result<()> {
        for (_, findings) in failing.iter().take(if arguments.json { usize::MAX } else { TOLD }) {
            if arguments.json {
                findings.iter().try_for_each(|finding| writeln!(output, "{}", json!(finding)))?;
            } else {
                screens(output, findings)?;
            }
        }
        if !arguments.json {
            writeln!(output, "{} runs failed, {senseless} stories made no sense", failing.len())?;
        }
        sums(output, arguments.json, &explored.totals, start.elapsed())
    };
    tell().map_err(Problem::Output)?;
    explored.findings.extend(failing.into_iter().flat_map(|(_, findings)| findings));
    Ok(status(&explored.findings))
}

/// A story, and how it is judged: nobody wrote down how a made-up one ends.
fn find(argument: &str) -> Result<(Story, Judges), Problem> {
    if let Ok(seed) = argument.parse() {
        let scenario = generate::scenario(seed);
        let name = format!("seed-{seed}");
        return Ok((Story { name, argument: argument.to_owned(), scenario }, Judges::Checkers));
    }
    Ok((story(argument).map_err(Problem::Usage)?, Judges::CheckersAndStory))
}

fn smaller(argument: &str, change: Change<'_>) -> Result<Shrunk, Problem> {
    let (story, judges) = find(argument)?;
    let shrunk = make_smaller(&story.scenario, judges, change).map_err(Problem::Usage)?;
    shrunk.ok_or_else(|| Problem::Usage(format!("nothing is wrong with {argument}")))
}

/// `shrink`.
pub(super) fn shrink(arguments: &One, output: &mut dyn Write) -> Result<u8, Problem> {
    let shrunk = smaller(&arguments.story, &unchanged)?;
    let text = shrunk.scenario.to_toml().map_err(Problem::Usage)?;
    writeln!(output, "# [{}] {}\n# {} stories tried\n{text}", shrunk.by, shrunk.what, shrunk.tries)
        .map_err(Problem::Output)?;
    Ok(0)
}

/// `export`.
pub(super) fn export(arguments: &Export, output: &mut dyn Write) -> Result<u8, Problem> {
    let path = if arguments.cut.is_empty() {
        let shrunk = smaller(&arguments.story, &unchanged)?;
        let name = arguments.name.clone().unwrap_or_else(|| file_name(&shrunk.by, &arguments.story));
        regression(&shrunk, &name, &arguments.directory)
    } else {
        let (story, _) = find(&arguments.story)?;
        let cuts = cuts(&arguments.cut, &arguments.survive).map_err(Problem::Usage)?;
        let scenario = with_cuts(&story.scenario, &cuts);
        let name =
            arguments.name.clone().unwrap_or_else(|| format!("{}-cut-{}", story.name, arguments.cut[0]));
        write(&scenario, &name, &arguments.directory)
    };
    let path = path.map_err(Problem::Usage)?;
    writeln!(output, "{}", path.display()).map_err(Problem::Output)?;
    Ok(0)
}

fn file_name(by: &str, story: &str) -> String {
    let word = by.split(' ').next().unwrap_or("story");
    let story =
        Path::new(story).file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    format!("{word}-{story}")
}

/// `trace`: every operation of every boot.
pub(super) fn trace(arguments: &One, output: &mut dyn Write) -> Result<u8, Problem> {
    let (story, _) = find(&arguments.story)?;
    let evidence = crate::runner::boots::run(&story.name, &story.scenario).map_err(Problem::Usage)?;
    let mut tell = || -> std::io::Result<()> {
        for (number, boot) in evidence.boots.iter().enumerate() {
            writeln!(output, "boot {}", number + 1)?;
            boot.world.trace().events().try_for_each(|event| writeln!(output, "{event}"))?;
            writeln!(output, "ended: {:?}", boot.outcome)?;
        }
        Ok(())
    };
    tell().map_err(Problem::Output)?;
    Ok(0)
}

/// `replay`: every operation, what it changed on the drive, and what the judges say at the end.
pub(super) fn replay(arguments: &One, output: &mut dyn Write) -> Result<u8, Problem> {
    let (story, judges) = find(&arguments.story)?;
    let mut replay = Replay { lines: vec![format!("{}: {}", story.name, story.scenario.about)] };
    observe(&story.name, &story.scenario, &unchanged, &mut replay).map_err(Problem::Usage)?;
    replay.lines.iter().try_for_each(|line| writeln!(output, "{line}")).map_err(Problem::Output)?;
    let judgement = fuzz::judge(&story.name, &story.scenario, judges, &unchanged).map_err(Problem::Usage)?;
    for complaint in &judgement.complaints {
        writeln!(output, "FAIL [{}] {}", complaint.by, complaint.what).map_err(Problem::Output)?;
    }
    let worst = judgement.complaints.iter().map(|complaint| crate::explore::severity(complaint.by)).min();
    Ok(worst.map_or(0, |severity| severity as u8))
}

/// Tells operations with what they change on the drive.
struct Replay {
    lines: Vec<String>,
}

type Names = BTreeMap<String, u64>;

fn names(world: &World) -> Names {
    let files = crate::checkers::drive_images::files(&Snapshot::of(world));
    files.iter().map(|(path, file)| (path.to_string(), file.inode.len_bytes)).collect()
}

fn changes(before: &Names, after: &Names) -> Vec<String> {
    let added = after.iter().filter(|(name, len)| before.get(*name) != Some(*len));
    let mut lines: Vec<String> =
        added.map(|(name, len)| format!("          + {name} ({len} bytes)")).collect();
    lines.extend(
        before.keys().filter(|name| !after.contains_key(*name)).map(|name| format!("          - {name}")),
    );
    lines
}

impl Observer for Replay {
    fn before(&mut self, world: &World, _: &Request) {
        world.record_from_now();
    }

    fn after(&mut self, number: usize, boot: &Boot, _: &Request) {
        self.lines.push(format!("boot {}", number + 1));
        let recorded = boot.world.take_recorded();
        let mut states = recorded.iter().peekable();
        let mut known: Option<Names> = None;
        for event in boot.world.trace().events() {
            if states.peek().is_some_and(|state| state.number == event.number) {
                states.next();
                self.lines.push(event.to_string());
                // What the call did is what the next record finds.
                let after = match states.peek() {
                    Some(next) => names(&boot.world.reboot_from(next, Survival::All)),
                    None => names(&boot.world.reboot(Survival::All)),
                };
                if let Some(before) = &known {
                    self.lines.extend(changes(before, &after));
                }
                known = Some(after);
            } else {
                self.lines.push(event.to_string());
            }
        }
        self.lines.push(format!("ended: {:?}", boot.outcome));
    }
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
