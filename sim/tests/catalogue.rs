//! Every fault of the catalogue is reached by the runs of the scenarios that it names.

// Helpers are test code, but not inside of a test function.
#![allow(clippy::unwrap_used)]

use replicator_sim::run::boots;
use replicator_sim::scenario::schema::Scenario;
use replicator_sim::scenario::{builtin, catalogue};
use std::collections::BTreeSet;

#[test]
fn every_fault_is_reached_by_the_scenarios_of_its_entry() {
    let mut wrong = Vec::new();
    let mut ran = BTreeSet::new();
    for entry in catalogue::entries().unwrap() {
        let mut said = BTreeSet::new();
        for name in &entry.scenarios {
            let Some(text) = builtin::find(name) else {
                wrong.push(format!("{}: there is no scenario {name}", entry.number));
                continue;
            };
            let scenario = Scenario::parse(text, name).unwrap();
            let words = catalogue::words(&scenario);
            if !entry.words.iter().any(|word| words.contains(word)) {
                wrong.push(format!("{}: {name} has none of its words", entry.number));
            }
            said.extend(words);
            if !ran.insert(name.clone()) {
                continue;
            }
            let evidence = boots::run(name, &scenario).unwrap();
            let missed = evidence.faults.iter().filter(|fault| !fault.reached).count();
            if missed + evidence.missed_cuts.len() > 0 {
                wrong.push(format!("{}: {name} does not reach it", entry.number));
            }
        }
        let unsaid = entry.words.iter().filter(|word| !said.contains(*word));
        wrong.extend(unsaid.map(|word| format!("{}: no scenario has {word}", entry.number)));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
