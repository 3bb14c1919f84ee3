//! Runs a story: builds its world, boots it as often as it says, and keeps everything that judges may want to see.
//!
//! What must hold afterwards is not decided here: the story's own expectations are in [`expectations`], what must
//! hold in every story in [`crate::checkers`].

pub mod boots;
pub mod evidence;
pub mod expectations;
mod faults;
mod setup;

pub use evidence::{Boot, Evidence, Snapshot};
pub use setup::{COMPATIBLE, identity_of, media_names, wall_clock};

use crate::checkers;
use crate::oracle::{self, Mismatch};
use crate::scenario::schema::Scenario;

/// One thing that is not as it must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Complaint {
    /// Who says so: a checker's name, or `expect`.
    pub by: &'static str,
    /// What is wrong.
    pub what: String,
}

impl Complaint {
    /// A complaint.
    pub fn new(by: &'static str, what: impl Into<String>) -> Self {
        Self { by, what: what.into() }
    }
}

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
