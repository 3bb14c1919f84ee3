//! Every built-in story holds, and gives the same trace when it is told again.

// Helpers are test code, but not inside of a test function.
#![allow(clippy::unwrap_used)]

use replicator_sim::runner;
use replicator_sim::scenario::builtin::BUILTIN;
use replicator_sim::scenario::schema::Scenario;
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
