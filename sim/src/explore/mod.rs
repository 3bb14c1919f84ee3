//! Looks into every corner of a scenario: cuts the power before every change under every survival policy, lets every call
//! fail once and for good, and judges each state that comes of it.
//!
//! One run records the storage before every call that changes something; each record and policy gives a crash state, equal
//! ones are looked at once (`crash`). Of every distinct state it is judged what a PC sees and which way the next boot
//! takes; of as many as time allows, whether an undisturbed boot comes to the undisturbed end (`judge`). How a state is told
//! and shown again is in `place`. The error sweep is in `sweep`. What is wrong becomes a [`Finding`], one screen long.
//! Making scenarios up is not done here, but in [`crate::fuzz`].

mod crash;
mod finding;
mod place;
mod state;
mod sweep;
mod totals;

pub use crash::{Cut, explore, one_state};
pub use finding::Finding;
pub use sweep::{one_failure, sweep};
pub use totals::Totals;

pub(crate) use finding::{console as console_lines, drive as drive_lines, operations as operation_lines};

use crate::model::hardware::simfs::Survival;
use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

/// How far to go.
#[derive(Debug, Clone)]
pub struct Options {
    /// 1: every boot of the scenario is cut. 2: the boot after that, too.
    pub depth: u32,
    /// So many crash states of one boot are followed to the end, at most.
    pub recoveries_max: usize,
    /// So many are followed even after the deadline.
    pub recoveries_min: usize,
    /// Seeds for survival subsets.
    pub subsets: u64,
    /// When the scenario's share of the time is over; its states are judged all the same, and a few are followed.
    pub deadline: Option<Instant>,
    /// When all time is over: nothing is begun after this, and what is left out is counted.
    pub end: Option<Instant>,
    /// Crash states that other scenarios had, too.
    pub judged: Option<Arc<Judged>>,
}

/// Crash states that were judged already, in any scenario: those that begin alike have most of their states in common.
#[derive(Debug, Default)]
pub struct Judged(Mutex<HashSet<u64>>);

impl Judged {
    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Whether this is the first time that the state is seen.
    fn is_new(&self, state: u64) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(state)
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            depth: 1,
            recoveries_max: 12,
            recoveries_min: 4,
            subsets: 2,
            deadline: None,
            end: None,
            judged: None,
        }
    }
}

impl Options {
    fn time_is_up(&self) -> bool {
        self.deadline.is_some_and(|deadline| Instant::now() >= deadline)
    }

    fn is_over(&self) -> bool {
        self.end.is_some_and(|end| Instant::now() >= end)
    }

    /// The policies under which every cut is tried.
    fn policies(&self) -> Vec<Survival> {
        let subsets = (1..=self.subsets).map(Survival::Subset);
        [Survival::None, Survival::All, Survival::DataLate]
            .into_iter()
            .chain(subsets)
            .chain([Survival::Garbage(1)])
            .collect()
    }
}

/// What came of it.
#[derive(Debug, Default)]
pub struct Explored {
    /// How much was done.
    pub totals: Totals,
    /// What is wrong, each kind once per boot of the scenario.
    pub findings: Vec<Finding>,
}

impl Explored {
    /// Takes over what another scenario gave.
    pub fn add(&mut self, other: Explored) {
        self.totals.add(&other.totals);
        self.findings.extend(other.findings);
    }

    /// Notes a finding unless its like is known.
    fn note(&mut self, finding: Finding) {
        self.totals.complaints += 1;
        let known = |other: &Finding| other.boot == finding.boot && other.by == finding.by;
        if !self.findings.iter().any(known) {
            self.findings.push(finding);
        }
    }
}

/// Places `0..count` in an order whose every beginning is spread evenly.
fn spread(count: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..count).collect();
    // The golden ratio's multiples are spread evenly however many of them are taken.
    order.sort_by_key(|index| (*index as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    order
}

/// A survival policy as the command line says it.
pub fn policy_name(survival: Survival) -> String {
    match survival {
        Survival::None => "none".into(),
        Survival::All => "all".into(),
        Survival::DataLate => "data-late".into(),
        Survival::Subset(seed) => format!("subset:{seed}"),
        Survival::Garbage(seed) => format!("garbage:{seed}"),
    }
}

/// The policy that a word of the command line means.
///
/// # Errors
/// With the words that are known.
pub fn parse_policy(text: &str) -> Result<Survival, String> {
    let seeded = |prefix| text.strip_prefix(prefix).map(str::parse);
    if let Some(Ok(seed)) = seeded("garbage:") {
        return Ok(Survival::Garbage(seed));
    }
    match (text, seeded("subset:")) {
        ("none", _) => Ok(Survival::None),
        ("all", _) => Ok(Survival::All),
        ("data-late", _) => Ok(Survival::DataLate),
        (_, Some(Ok(seed))) => Ok(Survival::Subset(seed)),
        _ => {
            Err(format!("no policy {text:?}; known are none, all, data-late, subset:<seed>, garbage:<seed>"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::board::world::World;
    use crate::model::hardware::machine::Recorded;
    use crate::run::boots::{Observer, observe};
    use crate::run::{Boot, Drives, Snapshot, unchanged};
    use crate::scenario::builtin;
    use crate::scenario::schema::Scenario;
    use replicator_engine::boot::Request;

    /// Calls `look` with the recorded states of a scenario's only boot.
    struct Looker<'a>(&'a mut dyn FnMut(&World, &[Recorded]));

    impl Observer for Looker<'_> {
        fn before(&mut self, world: &World, _: &Request) {
            world.record_from_now();
        }

        fn after(&mut self, _: usize, boot: &Boot, _: &Request) {
            (self.0)(&boot.world, &boot.world.take_recorded());
        }
    }

    fn recorded(name: &str, mut look: impl FnMut(&World, &[Recorded])) {
        let scenario = Scenario::parse(builtin::find(name).unwrap(), name).unwrap();
        observe(name, &scenario, &unchanged, &mut Looker(&mut look)).unwrap();
    }

    #[test]
    fn recorded_states_share_what_they_have_in_common() {
        for name in ["write-dd-xz", "capture-single-partition-sd"] {
            recorded(name, |_, states| {
                let pages_of = |state: &Recorded| -> HashSet<_> {
                    state.storage.disks.values().flat_map(|disk| disk.places()).collect()
                };
                let largest = states.iter().map(|state| pages_of(state).len()).max().unwrap();
                let all: HashSet<_> = states.iter().flat_map(pages_of).collect();
                // Every state for itself would be hundreds of times the largest one.
                assert!(
                    states.len() > 100 && all.len() < 3 * largest,
                    "{name}: {} pages, {largest}",
                    all.len()
                );
            });
        }
    }

    #[test]
    fn where_nothing_is_on_its_way_every_policy_leaves_the_same() {
        for name in ["write-dd-xz", "capture-single-partition-sd", "capture-to-vfat"] {
            recorded(name, |world, states| {
                let (synced, open): (Vec<_>, Vec<_>) =
                    states.iter().partition(|state| state.storage.is_synced());
                let hashes = |state: &Recorded| -> HashSet<u64> {
                    let policies = Options::default().policies().into_iter();
                    policies
                        .map(|policy| {
                            Snapshot::of(&world.reboot_from(state, policy), &Drives::default()).hash()
                        })
                        .collect()
                };
                assert!(synced.len() > 1 && open.len() > 10, "{name}: {} {}", synced.len(), open.len());
                assert!(synced.iter().all(|state| hashes(state).len() == 1), "{name}");
                assert!(open.iter().any(|state| hashes(state).len() > 2), "{name}");
            });
        }
    }

    #[test]
    fn every_beginning_of_the_order_is_spread_and_nothing_is_missing() {
        let order = spread(100);
        let mut first: Vec<usize> = order[..10].to_vec();
        first.sort_unstable();
        assert!(first.windows(2).all(|pair| pair[1] - pair[0] < 25), "{first:?}");
        let mut all = order;
        all.sort_unstable();
        assert_eq!(all, (0..100).collect::<Vec<_>>());
    }

    #[test]
    fn policies_read_as_they_are_written() {
        for policy in
            [Survival::None, Survival::All, Survival::DataLate, Survival::Subset(7), Survival::Garbage(8)]
        {
            assert_eq!(parse_policy(&policy_name(policy)), Ok(policy));
        }
        assert!(parse_policy("some").unwrap_err().contains("data-late"));
    }
}
