//! Every built-in scenario passes, and gives the same trace when it is run again: on one core or on several, on an
//! idle machine or on a busy one.

// Helpers are test code, but not inside of a test function.
#![allow(clippy::unwrap_used)]

use replicator_sim::judge;
use replicator_sim::model::time::cores::stay_on_a_core;
use replicator_sim::run::boots;
use replicator_sim::scenario::builtin::{self, BUILTIN};
use replicator_sim::scenario::schema::{FaultKind, Scenario, SurvivalSpec};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

/// The complaints about a scenario that is run first on any core and then on one alone.
fn run_twice(name: &str, text: &str, worker: usize) -> Vec<String> {
    let scenario = Scenario::parse(text, name).unwrap();
    let first = judge::run(name, &scenario).unwrap();
    let mut wrong: Vec<String> = first
        .complaints
        .iter()
        .map(|complaint| format!("{name}: [{}] {}", complaint.by, complaint.what))
        .collect();
    // Affinity belongs to the thread; the threads of the scenario's tasks inherit it.
    let again = std::thread::scope(|scope| {
        let traces = scope.spawn(|| {
            stay_on_a_core(worker);
            boots::run(name, &scenario).unwrap().trace_hash()
        });
        traces.join().unwrap()
    });
    if first.evidence.trace_hash() != again {
        wrong.push(format!("{name}: the second run has another trace"));
    }
    wrong
}

/// Threads that compute all the time, so that the tasks of a scenario are preempted anywhere.
struct Load(Arc<AtomicBool>, Vec<std::thread::JoinHandle<()>>);

impl Load {
    fn new(threads: usize) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let busy = |_| {
            let stop = Arc::clone(&stop);
            std::thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            })
        };
        let threads = (0..threads).map(busy).collect();
        Self(stop, threads)
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
        for thread in self.1.drain(..) {
            thread.join().unwrap();
        }
    }
}

#[test]
fn every_scenario_passes_and_is_deterministic() {
    let wrong = Mutex::new(Vec::new());
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for worker in 0..std::thread::available_parallelism().unwrap().get() {
            let (wrong, next) = (&wrong, &next);
            scope.spawn(move || {
                while let Some((name, text)) = BUILTIN.get(next.fetch_add(1, Ordering::Relaxed)) {
                    wrong.lock().unwrap().extend(run_twice(name, text, worker));
                }
            });
        }
    });
    let wrong = wrong.into_inner().unwrap();
    assert!(wrong.is_empty(), "{} complaints:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn a_busy_machine_changes_nothing() {
    // Scenarios with several tasks, cuts and hangs, in which timing could have an effect.
    let names = [
        "capture-three-media",
        "write-three-media-in-parallel",
        "capture-power-cut-between-media",
        "hang-in-write",
        "write-card-is-unplugged",
    ];
    let scenarios = names.map(|name| Scenario::parse(builtin::find(name).unwrap(), name).unwrap());
    let hashes = || {
        scenarios
            .iter()
            .map(|scenario| boots::run("scenario", scenario).unwrap().trace_hash())
            .collect::<Vec<u64>>()
    };
    let quiet = hashes();
    let load = Load::new(2 * std::thread::available_parallelism().unwrap().get());
    let busy = hashes();
    let elsewhere = std::thread::scope(|scope| {
        let traces = [(); 2].map(|()| scope.spawn(hashes));
        traces.map(|thread| thread.join().unwrap())
    });
    drop(load);
    assert_eq!(busy, quiet);
    assert_eq!(elsewhere, [quiet.clone(), quiet]);
}

#[test]
fn every_kind_of_fault_and_of_survival_is_in_a_scenario() {
    let scenarios: Vec<Scenario> =
        BUILTIN.iter().map(|(name, text)| Scenario::parse(text, name).unwrap()).collect();
    let faults = scenarios.iter().flat_map(|scenario| &scenario.faults).filter(|fault| !fault.may_be_missed);
    let faults: BTreeSet<String> = faults.map(|fault| format!("{:?}", fault.kind())).collect();
    let kinds = FaultKind::all().filter(|kind| *kind != FaultKind::PowerCut);
    assert_eq!(faults, kinds.map(|kind| format!("{kind:?}")).collect());
    let cut = scenarios.iter().flat_map(|scenario| &scenario.boots).filter(|boot| boot.cut.is_some());
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

/// S14: the result of one medium is the same with and without a fault on another.
#[test]
fn a_fault_on_one_medium_changes_no_byte_of_another() {
    for (name, untouched) in [("write-card-is-unplugged", "emmc"), ("capture-drive-is-unplugged", "sd")] {
        let with =
            Scenario::parse(BUILTIN.iter().find(|(known, _)| *known == name).unwrap().1, name).unwrap();
        let mut without = with.clone();
        without.faults.clear();
        let [with, without] = [with, without].map(|scenario| judge::run(name, &scenario).unwrap().evidence);
        assert_eq!(with.last().after.media[untouched], without.last().after.media[untouched], "{name}");
        assert_ne!(with.last().status(), without.last().status(), "{name}");
    }
}
