//! Every built-in story holds, and gives the same trace when it is told again.

// Helpers are test code, but not inside of a test function.
#![allow(clippy::unwrap_used)]

use replicator_sim::runner;
use replicator_sim::scenario::builtin::BUILTIN;
use replicator_sim::scenario::schema::{FaultKind, Scenario, SurvivalSpec};
use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Runs a story twice; what is wrong with it.
fn tell_twice(name: &str, text: &str) -> Vec<String> {
    let scenario = Scenario::parse(text, name).unwrap();
    let [first, second] = [(), ()].map(|()| runner::run(name, &scenario).unwrap());
    let mut wrong: Vec<String> = first
        .complaints
        .iter()
        .map(|complaint| format!("{name}: [{}] {}", complaint.by, complaint.what))
        .collect();
    if first.evidence.trace_hash() != second.evidence.trace_hash() {
        wrong.push(format!("{name}: told again, it went otherwise"));
    }
    wrong
}

#[test]
fn every_story_holds_and_is_deterministic() {
    let wrong = Mutex::new(Vec::new());
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().unwrap().get() {
            scope.spawn(|| {
                while let Some((name, text)) = BUILTIN.get(next.fetch_add(1, Ordering::Relaxed)) {
                    wrong.lock().unwrap().extend(tell_twice(name, text));
                }
            });
        }
    });
    let wrong = wrong.into_inner().unwrap();
    assert!(wrong.is_empty(), "{} complaints:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn every_kind_of_fault_and_of_survival_is_in_a_story() {
    let stories: Vec<Scenario> =
        BUILTIN.iter().map(|(name, text)| Scenario::parse(text, name).unwrap()).collect();
    let faults = stories.iter().flat_map(|story| &story.faults).filter(|fault| !fault.may_be_missed);
    let faults: BTreeSet<String> = faults.map(|fault| format!("{:?}", fault.kind)).collect();
    assert_eq!(faults, FaultKind::ALL.map(|kind| format!("{kind:?}")).into());
    let cut = stories.iter().flat_map(|story| &story.boots).filter(|boot| boot.cut.is_some());
    let survivals: BTreeSet<String> = cut.map(|boot| format!("{:?}", boot.survive)).collect();
    let all = [
        SurvivalSpec::None,
        SurvivalSpec::All,
        SurvivalSpec::DataLate,
        SurvivalSpec::Subset,
        SurvivalSpec::Garbage,
    ];
    assert_eq!(survivals, all.map(|survival| format!("{survival:?}")).into());
}

/// S14: what becomes of one medium is the same with and without a fault on another.
#[test]
fn a_fault_on_one_medium_changes_no_byte_of_another() {
    for (name, untouched) in [("write-card-is-pulled", "emmc"), ("capture-drive-is-pulled", "sd")] {
        let with =
            Scenario::parse(BUILTIN.iter().find(|(known, _)| *known == name).unwrap().1, name).unwrap();
        let mut without = with.clone();
        without.faults.clear();
        let [with, without] = [with, without].map(|story| runner::run(name, &story).unwrap().evidence);
        assert_eq!(with.last().after.media[untouched], without.last().after.media[untouched], "{name}");
        assert_ne!(with.last().status(), without.last().status(), "{name}");
    }
}
