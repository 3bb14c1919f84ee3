//! The commands that look for what is wrong in stories that are there: `explore`, and `run` with one cut or one failure.

use super::{Problem, Story, pool, stories};
use crate::explore::{self, Explored, Finding, Options, Totals};
use crate::judge::{CheckerId, Complaint};
use crate::run::unchanged;
use clap::Args;
use serde_json::json;
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Arguments of `explore`.
#[derive(Debug, Args)]
pub(super) struct Explore {
    /// Scenario files or names of built-in scenarios; `all` for all of these.
    #[arg(required = true)]
    scenarios: Vec<String>,
    /// Only every N-th scenario, from the I-th on, such as `1/4`.
    #[arg(long, value_name = "I/N", value_parser = Shard::parse)]
    shard: Option<Shard>,
    /// Time for all of it, such as `60s` or `5m`. All crash states are judged and a few of every boot followed to the end,
    /// then as many more as time allows. If time is over before, the last lines say what was left out.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    budget: Option<Duration>,
    /// Cut the boot after a cut, too.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=2))]
    depth: u32,
    /// Lets calls fail instead of cutting the power.
    #[arg(long)]
    errors: bool,
    /// How many crash states of one boot are followed to the end, at most.
    #[arg(long, value_name = "N", default_value_t = 12)]
    recoveries: usize,
    /// Prints JSON: one object per finding, and the sums.
    #[arg(long)]
    json: bool,
}

/// A part of the work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shard {
    index: u64,
    count: u64,
}

impl Shard {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let hint = || format!("{text:?} is no shard; write it like 1/4");
        let (index, count) = text.split_once('/').ok_or_else(hint)?;
        let (index, count) = (index.parse().map_err(|_| hint())?, count.parse().map_err(|_| hint())?);
        if index == 0 || index > count { Err(hint()) } else { Ok(Self { index, count }) }
    }

    /// Whether the item with this number, from 0, is in it.
    pub(super) fn has(self, number: u64) -> bool {
        number % self.count == self.index - 1
    }
}

/// `60s`, `5m`, `1h`, `90`.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let units = [("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000)];
    let unit = units.iter().find_map(|(name, millis)| Some((text.strip_suffix(name)?, *millis)));
    let (number, millis) = unit.unwrap_or((text, 1000));
    let number: u64 = number.trim().parse().map_err(|_| format!("{text:?} is no time; write it like 60s"))?;
    Ok(Duration::from_millis(number.saturating_mul(millis)))
}

/// Shares what is left of the time among the stories that are left.
struct Clock {
    end: Option<Instant>,
    left: AtomicUsize,
    workers: usize,
}

impl Clock {
    fn new(budget: Option<Duration>, items: usize) -> Self {
        let workers = std::thread::available_parallelism().map_or(1, usize::from);
        Self { end: budget.map(|budget| Instant::now() + budget), left: AtomicUsize::new(items), workers }
    }

    fn is_over(&self) -> bool {
        self.end.is_some_and(|end| Instant::now() >= end)
    }

    fn next_deadline(&self) -> Option<Instant> {
        let left = self.left.fetch_sub(1, Ordering::Relaxed).max(1);
        let now = Instant::now();
        let rest = self.end?.saturating_duration_since(now);
        let share = rest.as_secs_f64() * self.workers as f64 / left as f64;
        Some(now + Duration::from_secs_f64(share.min(rest.as_secs_f64())))
    }
}

/// `explore`.
pub(super) fn explore(arguments: &Explore, output: &mut dyn Write) -> Result<u8, Problem> {
    let names = if arguments.scenarios == ["all"] { &[][..] } else { &arguments.scenarios };
    let mut stories = stories(names).map_err(Problem::Usage)?;
    if arguments.errors {
        one_of_each(&mut stories);
    }
    let mut number = 0;
    stories.retain(|_| {
        number += 1;
        arguments.shard.is_none_or(|shard| shard.has(number - 1))
    });
    let clock = Clock::new(arguments.budget, stories.len());
    let judged = Arc::new(explore::Judged::default());
    let work = |story: &Story| {
        if clock.is_over() {
            let mut left_out = Explored::default();
            left_out.totals.left_out_scenarios = 1;
            return (story.name.clone(), story.argument.clone(), Ok(Ok(left_out)));
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
            look(&story.name, &story.argument, &story.scenario, &options, &unchanged)
        }));
        (
            story.name.clone(),
            story.argument.clone(),
            result.map_err(|panic| crate::board::tasks::panic_text(&*panic)),
        )
    };
    let start = Instant::now();
    let mut sum = Explored::default();
    let mut result = Ok(());
    pool::in_order(&stories, work, |(name, argument, outcome)| {
        let explored = match outcome {
            Ok(Ok(explored)) => explored,
            Ok(Err(what)) => failed(CheckerId::Scenario, &name, &argument, &what),
            Err(panic) => failed(CheckerId::Panic, &name, &argument, &panic),
        };
        result = tell(output, arguments.json, &name, &explored);
        sum.add(explored);
        result.is_ok()
    });
    result.map_err(Problem::Output)?;
    sums(output, arguments.json, &sum.totals, start.elapsed()).map_err(Problem::Output)?;
    Ok(status(&sum.findings))
}

/// Faults and cuts of a story with one boot do not matter to the sweep: of stories that differ in those alone one is
/// enough. What a boot finds that comes after another one depends on them.
fn one_of_each(stories: &mut Vec<Story>) {
    let mut seen = std::collections::BTreeSet::new();
    stories.retain(|story| {
        let scenario = &story.scenario;
        let mut what = format!("{:?} {:?} {}", scenario.drive, scenario.media, scenario.seed);
        if scenario.boots.len() > 1 {
            what += &format!("{:?} {:?}", scenario.boots, scenario.faults);
        }
        seen.insert(what)
    });
}

fn failed(by: CheckerId, name: &str, argument: &str, what: &str) -> Explored {
    let again = format!("replicator-sim run {argument}");
    let finding = Finding::new(name, 1, &Complaint::new(by, what), Vec::new(), again);
    Explored { findings: vec![finding], ..Explored::default() }
}

/// The exit status: the least of the statuses of what was found, so that a panic comes first.
pub(super) fn status(findings: &[Finding]) -> u8 {
    findings.iter().map(|finding| finding.severity).min().map_or(0, |severity| severity as u8)
}

fn tell(output: &mut dyn Write, as_json: bool, name: &str, explored: &Explored) -> std::io::Result<()> {
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

/// The findings, a screen each.
pub(super) fn screens(output: &mut dyn Write, findings: &[Finding]) -> std::io::Result<()> {
    findings.iter().flat_map(Finding::screen).try_for_each(|line| writeln!(output, "{line}"))
}

/// The last lines.
pub(super) fn sums(
    output: &mut dyn Write,
    as_json: bool,
    totals: &Totals,
    elapsed: Duration,
) -> std::io::Result<()> {
    let seconds = elapsed.as_secs_f64();
    if as_json {
        return writeln!(output, "{}", json!({"totals": totals, "seconds": seconds}));
    }
    let rates = [
        ("distinct states", totals.distinct),
        ("error-sweep runs", totals.error_runs),
        ("fuzz runs", totals.fuzz_runs),
    ];
    let rates: Vec<String> = rates
        .iter()
        .filter(|(_, count)| *count > 0)
        .map(|(name, count)| format!("{:.1} {name}/s", *count as f64 / seconds))
        .collect();
    writeln!(output, "{totals}\n{} complaints in {seconds:.1} s, {}", totals.complaints, rates.join(", "))
}

/// One crash state of a story, or one call that fails.
#[derive(Debug, Default, Args)]
pub(super) struct OneState {
    /// Cuts the power before this operation; further numbers cut the boots after that.
    #[arg(long, value_name = "N,...", value_delimiter = ',')]
    cut: Vec<u64>,
    /// What survives each cut: none, all, data-late, subset:SEED.
    #[arg(long, value_name = "POLICY,...", value_delimiter = ',', requires = "cut")]
    survive: Vec<String>,
    /// Which boot of the story is cut, or has the call that fails.
    #[arg(long, value_name = "N", default_value_t = 1)]
    boot: usize,
    /// Lets this operation fail.
    #[arg(long, value_name = "N", conflicts_with = "cut")]
    fail: Option<u64>,
    /// It fails once; the default.
    #[arg(long, requires = "fail")]
    transient: bool,
    /// All operations from it on fail.
    #[arg(long, requires = "fail", conflicts_with = "transient")]
    persistent: bool,
}

impl OneState {
    /// Whether one is asked for.
    pub(super) fn is_given(&self) -> bool {
        !self.cut.is_empty() || self.fail.is_some()
    }
}

/// Numbers of operations and the policies beside them; `none` where none is given.
pub(super) fn cuts(numbers: &[u64], policies: &[String]) -> Result<Vec<explore::Cut>, String> {
    let cut = |(index, at): (usize, &u64)| {
        let policy = policies.get(index).map(|text| explore::parse_policy(text));
        Ok((*at, policy.unwrap_or(Ok(crate::model::hardware::simfs::Survival::None))?))
    };
    numbers.iter().enumerate().map(cut).collect()
}

/// `run --cut` and `run --fail`.
pub(super) fn one(story: &Story, wanted: &OneState, output: &mut dyn Write) -> Result<u8, Problem> {
    let (lines, explored) = match wanted.fail {
        Some(number) => {
            let (boot, persistent) = (wanted.boot, wanted.persistent);
            explore::one_failure(&story.name, &story.scenario, boot, number, persistent, &unchanged)
        }
        None => {
            let cuts = cuts(&wanted.cut, &wanted.survive);
            cuts.and_then(|cuts| {
                explore::one_state(&story.name, &story.scenario, wanted.boot, &cuts, &unchanged)
            })
        }
    }
    .map_err(Problem::Usage)?;
    lines.iter().try_for_each(|line| writeln!(output, "{line}")).map_err(Problem::Output)?;
    if explored.findings.is_empty() {
        writeln!(output, "ok").map_err(Problem::Output)?;
    }
    for finding in &explored.findings {
        let kind = format!("{:?}", finding.severity).to_lowercase();
        writeln!(output, "FAIL {kind}: {}: {}", finding.by, finding.what).map_err(Problem::Output)?;
    }
    Ok(status(&explored.findings))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_shards_read_as_people_write_them() {
        assert_eq!(duration("60s"), Ok(Duration::from_secs(60)));
        assert_eq!(duration("5m"), Ok(Duration::from_secs(300)));
        assert_eq!(duration("90"), Ok(Duration::from_secs(90)));
        assert!(duration("soon").unwrap_err().contains("60s"));
        let shard = Shard::parse("2/4").unwrap();
        assert_eq!((0..8).filter(|number| shard.has(*number)).collect::<Vec<_>>(), [1, 5]);
        assert!(Shard::parse("5/4").unwrap_err().contains("1/4"));
    }
}
