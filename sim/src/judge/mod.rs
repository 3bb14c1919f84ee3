//! Judges what a run left: the scenario's own expectations, an oracle that reads the scenario alone, and a checker per
//! invariant. A judge looks at evidence, and calls the engine only through [`crate::run`].

pub mod checkers;
mod complaint;
pub mod expectations;
pub mod oracle;

pub use complaint::Complaint;

use crate::run::{Evidence, boots};
use crate::scenario::schema::Scenario;
use oracle::Mismatch;

/// A story that was run and judged.
pub struct Judged {
    /// What happened.
    pub evidence: Evidence,
    /// How it differs from what the oracle said; each is among the complaints too.
    pub mismatches: Vec<Mismatch>,
    /// What is wrong with it; empty if it passed.
    pub complaints: Vec<Complaint>,
}

impl Judged {
    /// Whether everything is as it must be.
    pub fn passed(&self) -> bool {
        self.complaints.is_empty()
    }
}

/// Runs and judges a story.
///
/// # Errors
/// If the story makes no sense, in words.
pub fn run(name: &str, scenario: &Scenario) -> Result<Judged, String> {
    let evidence = boots::run(name, scenario)?;
    let mut complaints = expectations::check(&evidence);
    complaints.extend(checkers::check_all(&evidence));
    let mismatches = oracle::check(&evidence);
    complaints.extend(mismatches.iter().map(|mismatch| Complaint::new("oracle", mismatch.to_string())));
    Ok(Judged { evidence, mismatches, complaints })
}
