//! Collects what was left out of an archive or ignored in it, for the report. A file system does not need it.

use std::collections::BTreeMap;

/// Remarks, and the number of things that were left out, by kind.
#[derive(Debug, Default, Clone)]
pub struct Remarks {
    left_out: BTreeMap<&'static str, (u64, String)>,
    plain: Vec<&'static str>,
}

impl Remarks {
    /// Counts one more of `what`; the first one is named.
    pub fn left_out(&mut self, what: &'static str, which: impl FnOnce() -> String) {
        self.left_out.entry(what).or_insert_with(|| (0, which())).0 += 1;
    }

    /// Adds a sentence.
    pub(super) fn add(&mut self, sentence: &'static str) {
        self.plain.push(sentence);
    }

    /// All remarks, a line each.
    pub fn lines(&self) -> Vec<String> {
        let counted = self
            .left_out
            .iter()
            .map(|(what, (count, first))| format!("left out: {count} {what}, the first: {first}"));
        counted.chain(self.plain.iter().map(|sentence| (*sentence).to_owned())).collect()
    }
}
