//! The table is complete and in order.

use super::*;
use std::collections::BTreeSet;

#[test]
fn every_invariant_of_the_engine_has_a_mutant() {
    let mut broken: Vec<Invariant> = MUTANTS.iter().map(|mutant| mutant.breaks).collect();
    assert!(broken.is_sorted(), "they are in the order of the invariants");
    broken.dedup();
    // The last one is about the simulation.
    let of_the_engine = Invariant::ALL.iter().filter(|invariant| **invariant != M1);
    assert_eq!(broken, of_the_engine.copied().collect::<Vec<Invariant>>());
}

#[test]
fn a_name_is_that_of_one_mutant() {
    let names: BTreeSet<&str> = MUTANTS.iter().map(|mutant| mutant.name).collect();
    assert_eq!(names.len(), MUTANTS.len());
}

#[test]
fn a_mutant_is_detected_by_checkers_of_its_invariant() {
    for Mutant { name, breaks, detected_by, .. } in MUTANTS {
        assert!(!detected_by.is_empty(), "{name}");
        for id in *detected_by {
            assert!(id.invariants().contains(breaks), "{name}: {id} is not about {breaks}");
        }
    }
}
