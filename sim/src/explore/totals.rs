//! How much was explored.

use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;

/// Sums over scenarios.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Totals {
    /// Scenarios.
    pub scenarios: u64,
    /// Cuts times policies; if nothing is unflushed, all policies leave the same state, which is made once.
    pub crash_states: u64,
    /// States with other bytes on media or drive than all others of the boot.
    pub distinct: u64,
    /// Boots that were stopped once their course was clear.
    pub probes: u64,
    /// Crash states that were followed by an undisturbed boot and another one.
    pub recoveries: u64,
    /// Runs of the error sweep.
    pub error_runs: u64,
    /// Generated scenarios.
    pub fuzz_runs: u64,
    /// Scenarios that were not started because the time was over.
    pub left_out_scenarios: u64,
    /// Crash states that were not judged.
    pub left_out_states: u64,
    /// Crash states that had to be followed in any case, and were not.
    pub left_out_recoveries: u64,
    /// Runs of the error sweep that were not made.
    pub left_out_error_runs: u64,
    /// All complaints of judges, including repetitions.
    pub complaints: u64,
    /// How often a fault of each kind was reached.
    pub faults_reached: BTreeMap<String, u64>,
    /// How many generated scenarios have each content on a medium or in an image.
    pub contents: BTreeMap<String, u64>,
}

impl Totals {
    /// Adds other sums.
    pub fn add(&mut self, other: &Totals) {
        self.scenarios += other.scenarios;
        self.crash_states += other.crash_states;
        self.distinct += other.distinct;
        self.probes += other.probes;
        self.recoveries += other.recoveries;
        self.error_runs += other.error_runs;
        self.fuzz_runs += other.fuzz_runs;
        self.left_out_scenarios += other.left_out_scenarios;
        self.left_out_states += other.left_out_states;
        self.left_out_recoveries += other.left_out_recoveries;
        self.left_out_error_runs += other.left_out_error_runs;
        self.complaints += other.complaints;
        for (kind, count) in &other.faults_reached {
            *self.faults_reached.entry(kind.clone()).or_default() += count;
        }
        for (word, count) in &other.contents {
            *self.contents.entry(word.clone()).or_default() += count;
        }
    }

    /// One more fault of this kind.
    pub(crate) fn reach(&mut self, kind: impl Into<String>) {
        *self.faults_reached.entry(kind.into()).or_default() += 1;
    }
}

fn listed(counts: &BTreeMap<String, u64>) -> String {
    let counts: Vec<String> = counts.iter().map(|(name, count)| format!("{name} {count}")).collect();
    if counts.is_empty() { "none".to_owned() } else { counts.join(", ") }
}

/// The counts that are not 0.
fn counted(counts: &[(&str, u64)]) -> String {
    let counts = counts.iter().filter(|(_, count)| *count > 0);
    counts.map(|(name, count)| format!("{count} {name}")).collect::<Vec<_>>().join(", ")
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = [
            ("scenarios", self.scenarios),
            ("crash states", self.crash_states),
            ("distinct", self.distinct),
            ("next boots probed", self.probes),
            ("followed to the end", self.recoveries),
            ("error-sweep runs", self.error_runs),
            ("fuzz runs", self.fuzz_runs),
        ];
        let left_out = [
            ("scenarios", self.left_out_scenarios),
            ("crash states", self.left_out_states),
            ("states to be followed", self.left_out_recoveries),
            ("error-sweep runs", self.left_out_error_runs),
        ];
        writeln!(f, "{}", counted(&counts))?;
        if left_out.iter().any(|(_, count)| *count > 0) {
            writeln!(f, "left out, because time was over: {}", counted(&left_out))?;
        }
        if !self.contents.is_empty() {
            writeln!(f, "contents drawn: {}", listed(&self.contents))?;
        }
        write!(f, "faults reached: {}", listed(&self.faults_reached))
    }
}
