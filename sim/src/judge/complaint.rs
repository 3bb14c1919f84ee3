//! A complaint of a judge.

use super::CheckerId;
use crate::scenario::schema::Scenario;

/// How many words make the kind of a complaint.
const KIND_WORDS: usize = 6;

/// Something that is not as it must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Complaint {
    /// The judge.
    pub by: CheckerId,
    /// What is wrong.
    pub what: String,
}

impl Complaint {
    /// A complaint.
    pub fn new(by: CheckerId, what: impl Into<String>) -> Self {
        Self { by, what: what.into() }
    }

    /// The kind of the complaint: its first words and every error code, without numbers, names and quoted texts,
    /// which differ between scenarios that fail in the same way.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn complaints_of_one_kind_differ_in_names_and_numbers_only() {
        let text = "about = \"x.\"\n[media.sd]\n[media.emmc]\n[expect]\nstatus = \"success\"\n";
        let scenario = Scenario::parse(text, "x").unwrap();
        let kind = |what: &str| Complaint::new(CheckerId::Captured, what).kind(&scenario);
        assert_eq!(
            kind("after boot 1: sdimage.tar.xz has \"SECRET-a b\" at byte 17"),
            kind("after boot 2: emmcimage.dd has \"SECRET-c\" at byte 4")
        );
        assert_ne!(kind("sd: /etc/x is missing"), kind("sd: bytes outside of partitions differ"));
        let failed = |code| kind(&format!("the last boot without a disturbance ends in failure: {code}: x"));
        assert_ne!(failed("R-FILE"), failed("V-MISMATCH"));
    }
}
