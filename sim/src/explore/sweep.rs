//! The error sweep: the n-th call fails, for every n, once or from then on.
//!
//! Whatever fails, the run must come to a terminal status without a panic, never show a success that is none, and keep
//! what every story must keep. That it fails where it need not is no finding here.

use super::finding::{self, Finding};
use super::{Change, Explored, Options, judge, spread};
use crate::faults::{Fault, FaultKind as Kind, Trigger};
use crate::runner::boots::{Observer, observe, run_boot};
use crate::runner::evidence::FaultEnd;
use crate::runner::{Boot, Evidence};
use crate::scenario::schema::{BootSpec, FaultKind, FaultSpec, Scenario};
use crate::simfs::Survival;
use crate::world::World;
use replicator_engine::boot::Request;

/// Sweeps over a story's first boot, without the story's own faults and cuts.
///
/// # Errors
/// If the story makes no sense, in words.
pub fn sweep(
    name: &str,
    argument: &str,
    scenario: &Scenario,
    options: &Options,
    change: Change<'_>,
) -> Result<Explored, String> {
    let mut explored = Explored::default();
    explored.totals.scenarios = 1;
    let sweeping = Sweeping::new(name, argument, scenario, change)?;
    for number in spread(usize::try_from(sweeping.ops).unwrap_or(usize::MAX)) {
        for persistent in [false, true] {
            if options.time_is_up() {
                return Ok(explored);
            }
            sweeping.fail(Failing { number: number as u64 + 1, persistent }, &mut explored);
        }
    }
    Ok(explored)
}

/// One run of the sweep. Gives what the board said, and what is wrong.
///
/// # Errors
/// If the story makes no sense, in words.
pub fn one_failure(
    name: &str,
    scenario: &Scenario,
    number: u64,
    persistent: bool,
    change: Change<'_>,
) -> Result<(Vec<String>, Explored), String> {
    let mut explored = Explored::default();
    let sweeping = Sweeping::new(name, name, scenario, change)?;
    let lines = sweeping.fail(Failing { number, persistent }, &mut explored);
    Ok((lines, explored))
}

/// A story to be run again and again.
struct Sweeping<'a> {
    name: &'a str,
    argument: &'a str,
    scenario: Scenario,
    change: Change<'a>,
    world: World,
    request: Request,
    ops: u64,
}

impl<'a> Sweeping<'a> {
    fn new(
        name: &'a str,
        argument: &'a str,
        scenario: &Scenario,
        change: Change<'a>,
    ) -> Result<Self, String> {
        let scenario = judge::neutral(scenario);
        let mut start = Start::default();
        let ops = observe(name, &scenario, change, &mut start)?.last().ops;
        let (Some(world), Some(request)) = (start.world, start.request) else {
            return Err("the story has no boot".into());
        };
        Ok(Self { name, argument, scenario, change, world, request, ops })
    }

    /// Runs once, and gives the lines that tell of it.
    fn fail(&self, failing: Failing, explored: &mut Explored) -> Vec<String> {
        let world = self.world.reboot(Survival::All).with_faults(vec![failing.fault()]);
        let (boot, _) = run_boot(world, BootSpec::default(), self.scenario.seed, &self.request, self.change);
        explored.totals.error_runs += 1;
        if boot.world.faults_reached().contains(&true) {
            explored.totals.reach(format!("error/{}", failing.word()));
        }
        let evidence = Evidence {
            name: self.name.to_owned(),
            scenario: self.scenario.clone(),
            request: self.request.clone(),
            faults: failing.excuses(&boot),
            boots: vec![boot],
            missed_cuts: Vec::new(),
        };
        let again =
            format!("replicator-sim run {} --fail {} --{}", self.argument, failing.number, failing.word());
        let lines = failing.lines(evidence.last());
        for complaint in judge::checked(&evidence, false) {
            explored.note(Finding::new(self.name, 1, &complaint, lines.clone(), again.clone()));
        }
        lines
    }
}

/// Keeps the board as it is before the first boot.
#[derive(Default)]
struct Start {
    world: Option<World>,
    request: Option<Request>,
}

impl Observer for Start {
    fn before(&mut self, world: &World, request: &Request) {
        self.world = Some(world.reboot(Survival::All));
        self.request = Some(request.clone());
    }

    fn after(&mut self, _: usize, _: &Boot, _: &Request) {}
}

#[derive(Clone, Copy)]
struct Failing {
    number: u64,
    persistent: bool,
}

impl Failing {
    fn fault(self) -> Fault {
        let when = if self.persistent {
            Trigger { occurrence: Some(self.number), ..Trigger::default() }
        } else {
            Trigger::at_op(self.number)
        };
        Fault { on: "*".into(), kind: Kind::IoError, when }
    }

    fn word(self) -> &'static str {
        if self.persistent { "persistent" } else { "transient" }
    }

    /// What the failing call excuses: LEDs that cannot be set, volumes that cannot be unmounted.
    fn excuses(self, boot: &Boot) -> Vec<FaultEnd> {
        let trace = boot.world.trace();
        let mut failed = trace.events().filter(|event| event.error.is_some());
        let excuse = |kind| {
            let spec = FaultSpec::any("*", kind);
            FaultEnd { spec, reached: true }
        };
        let mut excuses = Vec::new();
        if failed.any(|event| &*event.op.on == "leds") {
            excuses.push(excuse(FaultKind::LedFails));
        }
        if trace.events().any(|event| event.error.is_some() && matches!(event.op.name, "unmount" | "close")) {
            excuses.push(excuse(FaultKind::UnmountBusy));
        }
        excuses
    }

    fn lines(self, boot: &Boot) -> Vec<String> {
        let mut lines = vec![format!("  operation {} fails, {}", self.number, self.word())];
        lines.extend(finding::operations(boot, self.number + 1, None));
        lines.extend(finding::drive("drive afterwards", &boot.after));
        let console = boot.world.records().console;
        lines.extend(console[console.len().saturating_sub(4)..].iter().map(|line| format!("    | {line}")));
        lines
    }
}
