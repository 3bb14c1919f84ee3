//! Explores a scenario systematically: cuts the power before every change under every survival policy, lets every
//! call fail once or from then on, and judges each resulting state.
//!
//! One run records the storage before every call that changes something. Each record and policy gives a crash state;
//! equal ones are judged once (`crash`). For every distinct state, judges check the drive as another computer sees
//! it, and the course of the next boot; for as many as time allows, also whether an undisturbed boot reaches the
//! undisturbed end. How a state is printed and reproduced is in `place`. The error sweep is in `sweep`. Every error
//! becomes a [`Finding`] of one screen. Generating scenarios is not here, but in [`crate::fuzz`].

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

/// How much is explored.
#[derive(Debug, Clone)]
pub struct Options {
    /// 1: every boot of the scenario is cut. 2: the boot after that, too.
    pub depth: u32,
    /// At most so many crash states of one boot are followed to the end.
    pub recoveries_max: usize,
    /// So many are followed even after the deadline.
    pub recoveries_min: usize,
    /// Seeds for survival subsets.
    pub subsets: u64,
    /// The end of the scenario's share of the time; after it, its states are still judged, and a few are followed.
    pub deadline: Option<Instant>,
    /// The end of all time: nothing is started after it, and what is left out is counted.
    pub end: Option<Instant>,
    /// Crash states of other scenarios.
    pub judged: Option<Arc<Judged>>,
}

/// Crash states that were already judged in any scenario: scenarios with the same beginning have most of their states
/// in common.
#[derive(Debug, Default)]
pub struct Judged(Mutex<HashSet<u64>>);

impl Judged {
    /// Their number.
    pub fn count(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Adds a state; whether it is new.
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

    /// The policies for every cut.
    fn policies(&self) -> Vec<Survival> {
        let subsets = (1..=self.subsets).map(Survival::Subset);
        [Survival::None, Survival::All, Survival::DataLate]
            .into_iter()
            .chain(subsets)
            .chain([Survival::Garbage(1)])
            .collect()
    }
}

/// The result of an exploration.
#[derive(Debug, Default)]
pub struct Explored {
    /// How much was explored.
    pub totals: Totals,
    /// The findings, each kind once per boot of the scenario.
    pub findings: Vec<Finding>,
}

impl Explored {
    /// Adds the result of another scenario.
    pub fn add(&mut self, other: Explored) {
        self.totals.add(&other.totals);
        self.findings.extend(other.findings);
    }

    /// Notes a finding unless a similar one is known.
    fn note(&mut self, finding: Finding) {
        self.totals.complaints += 1;
        let known = |other: &Finding| other.boot == finding.boot && other.by == finding.by;
        if !self.findings.iter().any(known) {
            self.findings.push(finding);
        }
    }
}

/// Places `0..count` in an order in which every prefix is spread evenly.
fn spread(count: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..count).collect();
    // Multiples of the golden ratio are spread evenly, however many are taken.
    order.sort_by_key(|index| (*index as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    order
}

/// The name of a survival policy on the command line.
pub fn policy_name(survival: Survival) -> String {
    match survival {
        Survival::None => "none".into(),
        Survival::All => "all".into(),
        Survival::DataLate => "data-late".into(),
        Survival::Subset(seed) => format!("subset:{seed}"),
        Survival::Garbage(seed) => format!("garbage:{seed}"),
    }
}

/// The policy with this name on the command line.
///
/// # Errors
/// With the known names.
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
        _ => Err(format!(
            "unknown policy {text:?}; known are none, all, data-late, subset:<seed>, garbage:<seed>"
        )),
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
    struct Look<'a>(&'a mut dyn FnMut(&World, &[Recorded]));

    impl Observer for Look<'_> {
        fn before(&mut self, world: &World, _: &Request) {
            world.record_from_now();
        }

        fn after(&mut self, _: usize, boot: &Boot, _: &Request) {
            (self.0)(&boot.world, &boot.world.take_recorded());
        }
    }

    fn recorded(name: &str, mut look: impl FnMut(&World, &[Recorded])) {
        let scenario = Scenario::parse(builtin::find(name).unwrap(), name).unwrap();
        observe(name, &scenario, &unchanged, &mut Look(&mut look)).unwrap();
    }

    #[test]
    fn recorded_states_share_equal_pages() {
        for name in ["write-dd-xz", "capture-single-partition-sd"] {
            recorded(name, |_, states| {
                let pages_of = |state: &Recorded| -> HashSet<_> {
                    state.storage.disks.values().flat_map(|disk| disk.places()).collect()
                };
                let largest = states.iter().map(|state| pages_of(state).len()).max().unwrap();
                let all: HashSet<_> = states.iter().flat_map(pages_of).collect();
                // Without sharing, the sum would be hundreds of times the largest state.
                assert!(
                    states.len() > 100 && all.len() < 3 * largest,
                    "{name}: {} pages, {largest}",
                    all.len()
                );
            });
        }
    }

    #[test]
    fn without_unflushed_changes_every_policy_leaves_the_same() {
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
    fn every_prefix_of_the_order_is_spread_and_nothing_is_missing() {
        let order = spread(100);
        let mut first: Vec<usize> = order[..10].to_vec();
        first.sort_unstable();
        assert!(first.windows(2).all(|pair| pair[1] - pair[0] < 25), "{first:?}");
        let mut all = order;
        all.sort_unstable();
        assert_eq!(all, (0..100).collect::<Vec<_>>());
    }

    #[test]
    fn policies_parse_as_they_are_written() {
        for policy in
            [Survival::None, Survival::All, Survival::DataLate, Survival::Subset(7), Survival::Garbage(8)]
        {
            assert_eq!(parse_policy(&policy_name(policy)), Ok(policy));
        }
        assert!(parse_policy("some").unwrap_err().contains("data-late"));
    }
}
