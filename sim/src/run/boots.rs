//! The boots of a scenario, each on the state that the previous one left.

use super::Drives;
use super::evidence::{Boot, Evidence, FaultEnd, Snapshot};
use super::setup;
use crate::board::world::{RunOutcome, World};
use crate::model::bytes::pages::Pages;
use crate::model::bytes::partitions::read_partitions;
use crate::model::hardware::content::PagesBacking;
use crate::model::hardware::disk::Disk;
use crate::model::hardware::faults::FaultSpec;
use crate::model::hardware::simfs::{SimFs, Survival};
use crate::scenario::check;
use crate::scenario::schema::{BootSpec, Scenario, SurvivalSpec};
use replicator_engine::boot::{self, Request};
use replicator_hal::{Board, RelativePath, Timestamp};

/// Runs all boots of a scenario on an unchanged board.
///
/// # Errors
/// If the scenario is invalid.
pub fn run(name: &str, scenario: &Scenario) -> Result<Evidence, String> {
    run_with(name, scenario, |board| board)
}

/// The same with a changed board, to prove that judges detect faults.
///
/// # Errors
/// As [`run`].
pub fn run_with(
    name: &str,
    scenario: &Scenario,
    change: impl Fn(Board) -> Board,
) -> Result<Evidence, String> {
    run_as(name, scenario, change, |_| {})
}

/// The same with another request.
///
/// # Errors
/// As [`run`].
pub fn run_as(
    name: &str,
    scenario: &Scenario,
    change: impl Fn(Board) -> Board,
    adjust: impl Fn(&mut Request),
) -> Result<Evidence, String> {
    let mut request = setup::request(scenario)?;
    adjust(&mut request);
    run_request(name, scenario, request, &change, &mut Nobody)
}

/// Watches the run of a scenario, and may run worlds of its own from what it sees.
pub(crate) trait Observer {
    /// The board is ready for a boot: changes between boots are done, its faults are armed.
    fn before(&mut self, world: &World, request: &Request);
    /// The boot is over.
    fn after(&mut self, number: usize, boot: &Boot, request: &Request);
}

struct Nobody;

impl Observer for Nobody {
    fn before(&mut self, _: &World, _: &Request) {}

    fn after(&mut self, _: usize, _: &Boot, _: &Request) {}
}

/// Runs all boots of a scenario with an observer.
///
/// # Errors
/// As [`run`].
pub(crate) fn observe(
    name: &str,
    scenario: &Scenario,
    change: &dyn Fn(Board) -> Board,
    observer: &mut dyn Observer,
) -> Result<Evidence, String> {
    run_request(name, scenario, setup::request(scenario)?, change, observer)
}

fn run_request(
    name: &str,
    scenario: &Scenario,
    request: Request,
    change: &dyn Fn(Board) -> Board,
    observer: &mut dyn Observer,
) -> Result<Evidence, String> {
    check::check(scenario).map_err(|wrong| wrong.to_string())?;
    let specs = if scenario.boots.is_empty() { vec![BootSpec::default()] } else { scenario.boots.clone() };
    let ends = scenario.faults.iter().map(|spec| FaultEnd { spec: spec.clone(), reached: false }).collect();
    let mut evidence = Evidence {
        name: name.to_owned(),
        scenario: scenario.clone(),
        boots: Vec::new(),
        faults: ends,
        missed_cuts: Vec::new(),
        request: request.clone(),
    };
    let drives = Drives::default();
    let bench = Bench { request: &request, seed: scenario.seed, change, drives: &drives };
    let mut world = setup::world(scenario)?.build().map_err(|error| error.to_string())?;
    for (number, spec) in specs.into_iter().enumerate() {
        prepare(&world, &spec)?;
        let armed = arm(&evidence, &spec);
        world = world.with_faults(armed.iter().map(|(_, fault)| fault.clone()).collect());
        observer.before(&world, &request);
        let (boot, next) = bench.boot(world, spec);
        observer.after(number, &boot, &request);
        note_faults(&mut evidence, number, &armed, &boot);
        evidence.boots.push(boot);
        world = next;
    }
    Ok(evidence)
}

/// Changes the board between two boots.
fn prepare(world: &World, spec: &BootSpec) -> Result<(), String> {
    for name in &spec.remove {
        let path = RelativePath::parse(name).map_err(|error| error.to_string())?;
        let mut result = Err(format!("{name} cannot be removed: there is no drive"));
        world.change_medium("drive", |disk| result = remove(disk, &path));
        result?;
    }
    if let Some(more) = spec.more_space {
        // As a person would do it: the drive's bytes are copied to a larger one, and the engine expands it.
        world.change_medium("drive", |disk| {
            let mut larger = Pages::zeros(disk.media.len_bytes() + more.0);
            larger.write(0, &disk.media.to_vec());
            *disk = Disk::new(disk.identity.clone(), larger);
        });
    }
    if spec.new_unit {
        for name in world.media().into_iter().filter(|name| name != "drive") {
            world.change_medium(&name, |disk| {
                let mut identity = disk.identity.clone();
                identity.serial = identity.serial.map(|serial| format!("{serial}-of-another-unit"));
                let area = disk.area.take();
                *disk = Disk::new(identity, Pages::zeros(disk.media.len_bytes()));
                disk.area = area;
            });
        }
    }
    Ok(())
}

fn remove(disk: &mut Disk, path: &RelativePath) -> Result<(), String> {
    let failed = |refusal: crate::model::hardware::simfs::Refusal| {
        refusal.into_error("removing", path.to_string()).to_string()
    };
    let partitions = read_partitions("drive", &disk.media);
    let first = partitions.first().ok_or("the drive has no partition")?;
    let mut backing = PagesBacking { pages: &mut disk.media, start_bytes: first.start_bytes };
    let mut fs = SimFs::load(&mut backing, first.len_bytes).map_err(failed)?;
    fs.remove(path, false, Timestamp::default()).map_err(failed)?;
    fs.sync(&mut backing).map_err(failed)
}

/// A fault of a boot, with its index in the scenario; `None` for the cut of this boot.
type Armed = (Option<usize>, FaultSpec);

/// The faults of a boot. Faults with a limited number of times that were reached before are over.
fn arm(evidence: &Evidence, spec: &BootSpec) -> Vec<Armed> {
    let faults = evidence.faults.iter().enumerate();
    let left = faults.filter(|(_, end)| !(end.reached && end.spec.when.times.is_some()));
    let mut armed: Vec<Armed> = left.map(|(index, end)| (Some(index), end.spec.clone())).collect();
    armed.extend(spec.cut.as_ref().map(|cut| (None, cut.fault())));
    armed
}

/// What all boots of a run have in common.
pub(crate) struct Bench<'a> {
    /// The engine's request.
    pub(crate) request: &'a Request,
    /// Seed of survival subsets.
    pub(crate) seed: u64,
    /// The change of the board before the engine gets it.
    pub(crate) change: &'a dyn Fn(Board) -> Board,
    /// The drives of the run.
    pub(crate) drives: &'a Drives,
}

impl Bench<'_> {
    /// One boot, and the board as the next boot finds it.
    pub(crate) fn boot(&self, world: World, spec: BootSpec) -> (Boot, World) {
        let before = Snapshot::of(&world, self.drives);
        let end = world.run(|board| boot::run(&(self.change)(board), self.request));
        let survival = match spec.survive {
            SurvivalSpec::None => Survival::None,
            SurvivalSpec::All => Survival::All,
            SurvivalSpec::DataLate => Survival::DataLate,
            SurvivalSpec::Subset => Survival::Subset(spec.survive_seed.unwrap_or(self.seed)),
            SurvivalSpec::Garbage => Survival::Garbage(spec.survive_seed.unwrap_or(self.seed)),
        };
        let next = world.reboot(survival);
        let boot = Boot {
            spec,
            before,
            after: Snapshot::of(&next, self.drives),
            report: end.value,
            outcome: end.outcome,
            virtual_time: end.virtual_time,
            ops: end.ops,
            trace_hash: end.trace_hash,
            world,
        };
        (boot, next)
    }
}

fn note_faults(evidence: &mut Evidence, number: usize, armed: &[Armed], boot: &Boot) {
    for ((index, _), reached) in armed.iter().zip(boot.world.faults_reached()) {
        match index {
            Some(index) => evidence.faults[*index].reached |= reached,
            None if reached => {}
            None => evidence.missed_cuts.push(number),
        }
    }
    let was_cut =
        matches!(boot.outcome, RunOutcome::Ended(crate::model::time::scheduler::End::PowerCut { .. }));
    if boot.spec.cut.is_some() && !was_cut && !evidence.missed_cuts.contains(&number) {
        evidence.missed_cuts.push(number);
    }
}
