//! Crash states of a scenario: one run per boot records them; every survival policy is applied; each distinct state
//! is judged once.

use super::finding::Finding;
use super::place::{Place, command, cut_boot, screen};
use super::{Explored, Options, policy_name, spread, state};
use crate::board::world::World;
use crate::judge::readers::drive_images::{files, mode};
use crate::judge::{self, Case, Complaint, Undisturbed, byte_faults};
use crate::model::bytes::digest::{FOLD_START, fold};
use crate::model::hardware::machine::Recorded;
use crate::model::hardware::simfs::Survival;
use crate::run::boots::{self, Bench, Observer};
use crate::run::{self, Boot, Change, Drives, Evidence, Snapshot};
use crate::scenario::schema::{BootSpec, Mode, Scenario};
use replicator_engine::boot::Request;
use std::collections::{BTreeSet, HashSet};

/// How many recoveries of one boot are cut again, at depth 2.
const CUT_AGAIN: usize = 4;

/// A cut, and which unflushed changes survive it.
pub type Cut = (u64, Survival);

/// Explores all boots of a scenario. `argument` names the scenario on the command line.
///
/// # Errors
/// If the scenario is invalid.
pub fn explore(
    name: &str,
    argument: &str,
    scenario: &Scenario,
    options: &Options,
    change: Change<'_>,
) -> Result<Explored, String> {
    let mut explorer = Explorer::new(name, argument, scenario, options, change);
    explorer.explored.totals.scenarios = 1;
    boots::observe(name, scenario, change, &mut explorer)?;
    Ok(explorer.explored)
}

/// One crash state of a boot (from 1), or one of the boot after that crash, and so on. Returns its screen, and the
/// findings.
///
/// # Errors
/// If the scenario is invalid, or the boot is not cut there.
pub fn one_state(
    name: &str,
    scenario: &Scenario,
    boot: usize,
    cuts: &[Cut],
    change: Change<'_>,
) -> Result<(Vec<String>, Explored), String> {
    let options = Options::default();
    let mut explorer = Explorer::new(name, name, scenario, &options, change);
    explorer.only = Some((boot, cuts.to_vec()));
    boots::observe(name, scenario, change, &mut explorer)?;
    if explorer.lines.is_empty() {
        return Err(format!("boot {boot} of {name} changes nothing at or after that call"));
    }
    Ok((explorer.lines, explorer.explored))
}

struct Explorer<'a> {
    name: &'a str,
    argument: &'a str,
    scenario: Scenario,
    /// The unchanged scenario, if its hardware has byte faults.
    faulty: Option<Scenario>,
    /// Everything apart from the states that affects their judgement.
    identity: u64,
    options: &'a Options,
    change: Change<'a>,
    /// The contents of the drives of all states, so that equal files are judged once.
    drives: Drives,
    /// Drives whose next boot was probed, by what decides its course.
    probed: HashSet<u64>,
    start: Option<(Snapshot, World)>,
    explored: Explored,
    only: Option<(usize, Vec<Cut>)>,
    lines: Vec<String>,
}

impl Observer for Explorer<'_> {
    fn before(&mut self, world: &World, _: &Request) {
        self.start = Some((Snapshot::of(world, &self.drives), world.reboot(Survival::All)));
        world.record_from_now();
    }

    fn after(&mut self, number: usize, boot: &Boot, request: &Request) {
        let Some((before, pristine)) = self.start.take() else { return };
        let recorded = boot.world.take_recorded();
        if recorded.is_empty() || self.only.as_ref().is_some_and(|(wanted, _)| *wanted != number + 1) {
            return;
        }
        self.probed.clear();
        let undisturbed = self.undisturbed(number, pristine, request);
        let place =
            Place { number, before: &before, boot, request, undisturbed: &undisturbed, path: Vec::new() };
        match self.only.clone() {
            Some((_, cuts)) => self.follow(&place, &recorded, &cuts),
            None => self.states(&place, &recorded, self.options.depth),
        }
    }
}

impl<'a> Explorer<'a> {
    fn new(
        name: &'a str,
        argument: &'a str,
        scenario: &Scenario,
        options: &'a Options,
        change: Change<'a>,
    ) -> Self {
        Self {
            name,
            argument,
            scenario: state::with_its_clock(scenario),
            faulty: byte_faults(scenario).next().is_some().then(|| scenario.clone()),
            identity: state::identity(scenario),
            options,
            change,
            drives: Drives::default(),
            probed: HashSet::new(),
            start: None,
            explored: Explored::default(),
            only: None,
            lines: Vec::new(),
        }
    }

    fn evidence(&self, request: &Request, boots: Vec<Boot>) -> Evidence {
        Evidence {
            request: request.clone(),
            name: self.name.to_owned(),
            scenario: self.scenario.clone(),
            boots,
            faults: Vec::new(),
            missed_cuts: Vec::new(),
        }
    }

    /// The evidence as a case for the judges.
    fn case<'b>(&'b self, evidence: &'b Evidence) -> Case<'b> {
        Case::explored(evidence, self.faulty.as_ref(), self.change)
    }

    fn boot(&self, world: World, request: &Request) -> (Boot, World) {
        let (seed, change, drives) = (self.scenario.seed, self.change, &self.drives);
        Bench { request, seed, change, drives }.boot(world, BootSpec::default())
    }

    /// Boots twice without faults; that alone must be without complaints.
    fn undisturbed(&mut self, number: usize, world: World, request: &Request) -> Undisturbed {
        let (first, next) = self.boot(world, request);
        let (again, _) = self.boot(next, request);
        let evidence = self.evidence(request, vec![first, again]);
        let undisturbed = Undisturbed::of(&evidence, &evidence.boots[0], &evidence.boots[1]);
        for complaint in judge::complaints(&self.case(&evidence)) {
            let again = format!("replicator-sim run {}", self.argument);
            let lines = vec!["  in an undisturbed boot".to_owned()];
            self.explored.note(Finding::new(self.name, number + 1, &complaint, lines, again));
        }
        undisturbed
    }

    /// All crash states of a boot.
    fn states(&mut self, place: &Place<'_>, recorded: &[Recorded], depth: u32) {
        let inner = !place.path.is_empty();
        let policies = if inner { vec![Survival::None, Survival::All] } else { self.options.policies() };
        let wanted = |index: &usize| !inner || log_spaced(*index, recorded.len());
        let indices: Vec<usize> = (0..recorded.len()).filter(wanted).collect();
        let mut seen = HashSet::new();
        let mut states: Vec<(usize, Survival)> = Vec::new();
        for (nth, index) in indices.iter().enumerate() {
            if self.options.is_over() {
                self.explored.totals.left_out_states += ((indices.len() - nth) * policies.len()) as u64;
                break;
            }
            self.explored.totals.crash_states += policies.len() as u64;
            // If nothing is unflushed, every policy leaves the same.
            let differing = if recorded[*index].storage.is_synced() { 1 } else { policies.len() };
            for policy in &policies[..differing] {
                let next = place.boot.world.reboot_from(&recorded[*index], *policy);
                let after = Snapshot::of(&next, &self.drives);
                let hash = after.hash();
                if seen.insert(hash) && self.is_new(place, hash) {
                    self.explored.totals.distinct += 1;
                    let kind = policy_name(*policy);
                    let kind = kind.split(':').next().unwrap_or_default();
                    self.explored.totals.reach(format!("power-cut/{kind}"));
                    self.look(place, &recorded[*index], *policy, next, after);
                    states.push((*index, *policy));
                }
            }
        }
        self.follow_some(place, recorded, &states, depth);
    }

    /// Follows states to the end: a few in any case, more while the scenario has time.
    fn follow_some(
        &mut self,
        place: &Place<'_>,
        recorded: &[Recorded],
        states: &[(usize, Survival)],
        depth: u32,
    ) {
        let wanted = states.len().min(self.options.recoveries_max);
        let least = wanted.min(self.options.recoveries_min);
        let mut cut_again = if depth > 1 { CUT_AGAIN } else { 0 };
        for (done, nth) in spread(states.len()).into_iter().take(wanted).enumerate() {
            if self.options.is_over() {
                self.explored.totals.left_out_recoveries += least.saturating_sub(done) as u64;
                return;
            }
            if done >= least && self.options.time_is_up() {
                return;
            }
            let (index, policy) = states[nth];
            let deeper = if cut_again > 0 { depth } else { 1 };
            cut_again = cut_again.saturating_sub(1);
            self.recover(place, &recorded[index], policy, deeper);
        }
    }

    /// Whether no other scenario had this state in a boot with the same beginning.
    fn is_new(&mut self, place: &Place<'_>, hash: u64) -> bool {
        let Some(judged) = self.options.judged.clone() else { return true };
        let key = [self.identity, place.before.hash(), hash]
            .iter()
            .fold(FOLD_START, |key, part| fold(key, &part.to_le_bytes()));
        judged.is_new(key)
    }

    /// Judges the drive as another computer sees it, and the course of the next boot.
    fn look(
        &mut self,
        place: &Place<'_>,
        recorded: &Recorded,
        policy: Survival,
        next: World,
        after: Snapshot,
    ) {
        let drive = state::decides(&after);
        let evidence = self.evidence(place.request, vec![cut_boot(place, recorded, &next, after)]);
        let probed = self.probed.insert(drive).then(|| {
            self.explored.totals.probes += 1;
            run::probe(&self.scenario, next, place.request, self.change)
        });
        let chose = probed.as_ref().map(|probed| {
            let asked = mode(&evidence, &files(&evidence.last().after));
            format!("{}, the drive requests {asked}", way(probed.chose))
        });
        let complaints = judge::complaints(&Case { next_boot: probed.as_ref(), ..self.case(&evidence) });
        self.note(place, recorded, policy, &evidence.boots[0].after, chose, complaints);
    }

    /// One undisturbed boot, and another one.
    fn recover(
        &mut self,
        place: &Place<'_>,
        recorded: &Recorded,
        policy: Survival,
        depth: u32,
    ) -> Vec<Recorded> {
        let next = place.boot.world.reboot_from(recorded, policy);
        let after = Snapshot::of(&next, &self.drives);
        let cut = cut_boot(place, recorded, &next, after);
        let keeps_states = depth > 1 || self.only.is_some();
        if keeps_states {
            next.record_from_now();
        }
        let (first, next) = self.boot(next, place.request);
        let states = first.world.take_recorded();
        let (again, _) = self.boot(next, place.request);
        self.explored.totals.recoveries += 1;
        let mut evidence = self.evidence(place.request, vec![cut, first, again]);
        let complaints =
            judge::complaints(&Case { undisturbed: Some(place.undisturbed), ..self.case(&evidence) });
        let chose = Some(way(evidence.boots[1].mode()));
        self.note(place, recorded, policy, &evidence.boots[0].after, chose, complaints);
        if depth > 1 {
            let undisturbed = Undisturbed::of(&evidence, &evidence.boots[1], &evidence.boots[2]);
            evidence.boots.truncate(2);
            let (Some(first), Some(cut)) = (evidence.boots.pop(), evidence.boots.pop()) else {
                return states;
            };
            let path = [place.path.as_slice(), &[(recorded.number, policy)]].concat();
            let inner = Place {
                number: place.number,
                before: &cut.after,
                boot: &first,
                request: place.request,
                undisturbed: &undisturbed,
                path,
            };
            self.states(&inner, &states, depth - 1);
        }
        states
    }

    /// Follows one crash state only, or one of the boot after it.
    fn follow(&mut self, place: &Place<'_>, recorded: &[Recorded], cuts: &[Cut]) {
        let Some(((at, policy), rest)) = cuts.split_first() else { return };
        let Some(state) = recorded.iter().find(|recorded| recorded.number >= *at) else { return };
        let next = place.boot.world.reboot_from(state, *policy);
        let after = Snapshot::of(&next, &self.drives);
        if rest.is_empty() {
            self.lines = screen(place, state, *policy, &after, None);
            self.look(place, state, *policy, next, after);
            self.recover(place, state, *policy, 1);
            return;
        }
        let before = after.clone();
        let pristine = next.reboot(Survival::All);
        let undisturbed = self.undisturbed(place.number, pristine, place.request);
        next.record_from_now();
        let (boot, _) = self.boot(next, place.request);
        let states = boot.world.take_recorded();
        let path = [place.path.as_slice(), &[(state.number, *policy)]].concat();
        let inner = Place {
            number: place.number,
            before: &before,
            boot: &boot,
            request: place.request,
            undisturbed: &undisturbed,
            path,
        };
        self.follow(&inner, &states, rest);
    }

    fn note(
        &mut self,
        place: &Place<'_>,
        recorded: &Recorded,
        policy: Survival,
        after: &Snapshot,
        chose: Option<String>,
        complaints: Vec<Complaint>,
    ) {
        let mut named = BTreeSet::new();
        for complaint in complaints.into_iter().filter(|complaint| named.insert(complaint.by)) {
            let lines = screen(place, recorded, policy, after, chose.as_deref());
            let again = command(self.argument, place, recorded, policy);
            self.explored.note(Finding::new(self.name, place.number + 1, &complaint, lines, again));
        }
    }
}

fn way(chose: Option<Mode>) -> String {
    chose.map_or_else(|| "nothing".to_owned(), |mode| mode.to_string())
}

/// Every index that is a power of two from the beginning, and the last one.
fn log_spaced(index: usize, count: usize) -> bool {
    (index + 1).is_power_of_two() || index + 1 == count
}
