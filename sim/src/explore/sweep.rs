//! The error sweep: the n-th call fails, for every n, once or from then on.
//!
//! Whatever fails, the run must reach a terminal status without a panic, must not show a wrong success, and must keep
//! the invariants. A failure without need is not a finding here.

use super::finding::{self, Finding};
use super::{Explored, Options, spread};
use crate::board::world::World;
use crate::judge::{self, Case, byte_faults, neutral};
use crate::model::hardware::simfs::Survival;
use crate::model::hardware::trigger::Trigger;
use crate::model::time::op_name::OpName;
use crate::run::boots::{Bench, Observer, observe};
use crate::run::evidence::FaultEnd;
use crate::run::{Boot, Change, Drives, Evidence};
use crate::scenario::schema::{BootSpec, Fault, FaultSpec, Scenario};
use replicator_engine::boot::Request;

/// Sweeps over a scenario's boots: over the first one without the scenario's faults and cuts, over each further one
/// from the state that the scenario left for it, but without its faults in that boot.
///
/// # Errors
/// If the scenario is invalid.
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
    let calls: Vec<(usize, u64)> = sweeping
        .starts
        .iter()
        .enumerate()
        .flat_map(|(boot, start)| (1..=start.ops).map(move |number| (boot, number)))
        .collect();
    let both = [false, true];
    let runs =
        spread(calls.len()).into_iter().flat_map(|nth| both.map(|persistent| (calls[nth], persistent)));
    for (done, ((boot, number), persistent)) in runs.enumerate() {
        if options.time_is_up() {
            explored.totals.left_out_error_runs += (calls.len() * both.len() - done) as u64;
            break;
        }
        sweeping.fail(Failing { boot, number, persistent }, &mut explored);
    }
    Ok(explored)
}

/// One run of the sweep: in this boot of the scenario (from 1) this call fails. Returns the board's output, and the
/// findings.
///
/// # Errors
/// If the scenario is invalid, or has no such boot.
pub fn one_failure(
    name: &str,
    scenario: &Scenario,
    boot: usize,
    number: u64,
    persistent: bool,
    change: Change<'_>,
) -> Result<(Vec<String>, Explored), String> {
    let mut explored = Explored::default();
    let sweeping = Sweeping::new(name, name, scenario, change)?;
    if !(1..=sweeping.starts.len()).contains(&boot) {
        return Err(format!("{name} has no boot {boot}, but {}", sweeping.starts.len()));
    }
    let lines = sweeping.fail(Failing { boot: boot - 1, number, persistent }, &mut explored);
    Ok((lines, explored))
}

/// A scenario that is run repeatedly.
struct Sweeping<'a> {
    name: &'a str,
    argument: &'a str,
    scenario: Scenario,
    /// The unchanged scenario, if its hardware has byte faults: earlier boots may have left wrong bytes.
    faulty: Option<Scenario>,
    change: Change<'a>,
    request: Request,
    drives: Drives,
    starts: Vec<Start>,
}

/// The board before a boot.
struct Start {
    world: World,
    /// How many calls an undisturbed boot makes.
    ops: u64,
}

impl<'a> Sweeping<'a> {
    fn new(
        name: &'a str,
        argument: &'a str,
        scenario: &Scenario,
        change: Change<'a>,
    ) -> Result<Self, String> {
        let neutral = neutral(scenario);
        let mut boards = Boards::default();
        observe(name, &neutral, change, &mut boards)?;
        if scenario.boots.len() > 1 {
            let mut further = Boards::default();
            observe(name, scenario, change, &mut further)?;
            boards.worlds.extend(further.worlds.into_iter().skip(1));
        }
        let Some(request) = boards.request else { return Err("the scenario has no boot".into()) };
        let drives = Drives::default();
        let bench = Bench { request: &request, seed: neutral.seed, change, drives: &drives };
        let starts = boards.worlds.into_iter().map(|world| {
            let again = world.reboot(Survival::All);
            let (boot, _) = bench.boot(again, BootSpec::default());
            Start { world, ops: boot.ops }
        });
        let starts = starts.collect();
        let faulty = byte_faults(scenario).next().is_some().then(|| scenario.clone());
        Ok(Self { name, argument, scenario: neutral, faulty, change, request, drives, starts })
    }

    /// Runs once, and returns the lines that describe the run.
    fn fail(&self, failing: Failing, explored: &mut Explored) -> Vec<String> {
        let world = self.starts[failing.boot].world.reboot(Survival::All).with_faults(vec![failing.fault()]);
        let (request, seed) = (&self.request, self.scenario.seed);
        let bench = Bench { request, seed, change: self.change, drives: &self.drives };
        let (boot, _) = bench.boot(world, BootSpec::default());
        explored.totals.error_runs += 1;
        if boot.world.faults_reached().contains(&true) {
            explored.totals.reach(format!("error/{}", failing.word()));
        }
        let evidence = Evidence {
            name: self.name.to_owned(),
            scenario: self.scenario.clone(),
            request: self.request.clone(),
            faults: failing.implied_faults(&boot),
            boots: vec![boot],
            missed_cuts: Vec::new(),
        };
        let number = failing.boot + 1;
        let boot = if failing.boot == 0 { String::new() } else { format!(" --boot {number}") };
        let (argument, word) = (self.argument, failing.word());
        let again = format!("replicator-sim run {argument}{boot} --fail {} --{word}", failing.number);
        let lines = failing.lines(evidence.last());
        let faulty = self.faulty.as_ref().filter(|_| failing.boot > 0);
        for complaint in judge::complaints(&Case::explored(&evidence, faulty, self.change)) {
            explored.note(Finding::new(self.name, number, &complaint, lines.clone(), again.clone()));
        }
        lines
    }
}

/// Keeps the board before each boot.
#[derive(Default)]
struct Boards {
    worlds: Vec<World>,
    request: Option<Request>,
}

impl Observer for Boards {
    fn before(&mut self, world: &World, request: &Request) {
        self.worlds.push(world.reboot(Survival::All));
        self.request = Some(request.clone());
    }

    fn after(&mut self, _: usize, _: &Boot, _: &Request) {}
}

#[derive(Clone, Copy)]
struct Failing {
    /// From 0.
    boot: usize,
    number: u64,
    persistent: bool,
}

impl Failing {
    fn fault(self) -> FaultSpec {
        let when = if self.persistent {
            Trigger { nth: Some(self.number), ..Trigger::always() }
        } else {
            Trigger::at(self.number)
        };
        FaultSpec::new("*", Fault::IoError, when)
    }

    fn word(self) -> &'static str {
        if self.persistent { "persistent" } else { "transient" }
    }

    /// The reported faults that follow from the failing call: LEDs that cannot be set, volumes that cannot be
    /// unmounted.
    fn implied_faults(self, boot: &Boot) -> Vec<FaultEnd> {
        let trace = boot.world.trace();
        let mut failed = trace.events().filter(|event| event.error.is_some());
        let fault_end =
            |fault| FaultEnd { spec: FaultSpec::new("*", fault, Trigger::always()), reached: true };
        let mut implied_faults = Vec::new();
        if failed.any(|event| &*event.op.on == "leds") {
            implied_faults.push(fault_end(Fault::LedFails));
        }
        if trace
            .events()
            .any(|event| event.error.is_some() && matches!(event.op.name, OpName::Unmount | OpName::Close))
        {
            implied_faults.push(fault_end(Fault::UnmountBusy));
        }
        implied_faults
    }

    fn lines(self, boot: &Boot) -> Vec<String> {
        let mut lines = vec![format!("  operation {} fails, {}", self.number, self.word())];
        lines.extend(finding::operations(boot, self.number + 1, None));
        lines.extend(finding::drive("drive afterwards", &boot.after));
        lines.extend(finding::console(boot, 4));
        lines
    }
}
