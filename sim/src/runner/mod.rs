//! Runs a story: builds its world, boots it as often as it says, and keeps everything that judges may want to see.
//!
//! What must hold afterwards is not decided here: the story's own expectations are in [`expectations`], what must
//! hold in every story in [`crate::checkers`].

pub mod boots;
pub mod evidence;
pub mod expectations;
mod faults;
pub(crate) mod setup;

pub use evidence::{Boot, Evidence, Snapshot};
pub use setup::{COMPATIBLE, identity_of, media_names, wall_clock};

use crate::checkers;
use crate::oracle::{self, Mismatch};
use crate::scenario::schema::Scenario;

/// So many words say of which kind a complaint is.
const KIND_WORDS: usize = 6;

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

    /// What kind of complaint it is: its first words and every error code, without numbers, names and quoted texts, which
    /// differ between stories that fail in the same way.
    pub fn kind(&self, scenario: &Scenario) -> String {
        let unquoted: Vec<&str> = self.what.split('"').step_by(2).collect();
        let unquoted = unquoted.join(" ");
        let plain = |word: &&str| {
            let odd = |letter: char| letter.is_ascii_digit() || "/._".contains(letter);
            !word.is_empty() && !word.contains(odd) && !scenario.media.contains_key(*word)
        };
        let trimmed =
            unquoted.split_whitespace().map(|word| word.trim_matches(|end| ",.:;()`".contains(end)));
        let words: Vec<&str> = trimmed.filter(plain).collect();
        let is_code =
            |word: &&&str| word.contains('-') && !word.contains(|letter: char| letter.is_lowercase());
        let codes = words.iter().skip(KIND_WORDS).filter(is_code);
        words.iter().take(KIND_WORDS).chain(codes).copied().collect::<Vec<_>>().join(" ")
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn complaints_of_one_kind_differ_in_names_and_numbers_only() {
        let text = "about = \"x.\"\n[media.sd]\n[media.emmc]\n[expect]\nstatus = \"success\"\n";
        let scenario = Scenario::parse(text, "x").unwrap();
        let kind = |what: &str| Complaint::new("x", what).kind(&scenario);
        assert_eq!(
            kind("after boot 1: sdimage.tar.xz has \"SECRET-a b\" at byte 17"),
            kind("after boot 2: emmcimage.dd has \"SECRET-c\" at byte 4")
        );
        assert_ne!(kind("sd: /etc/x is missing"), kind("sd: bytes outside of partitions differ"));
        let failed = |code| kind(&format!("the last boot that nobody disturbs ends in failure: {code}: x"));
        assert_ne!(failed("R-FILE"), failed("V-MISMATCH"));
    }
}
