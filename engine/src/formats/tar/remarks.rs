//! What was left out of an archive or passed over in it: nothing that a file system needs, but to be reported.

use std::collections::BTreeMap;

/// Counts what was left out, by what it is.
#[derive(Debug, Default, Clone)]
pub struct Remarks {
    left_out: BTreeMap<&'static str, (u64, String)>,
    plain: Vec<&'static str>,
}

impl Remarks {
    /// One more of `what`; the first is named.
    pub fn left_out(&mut self, what: &'static str, which: impl FnOnce() -> String) {
        self.left_out.entry(what).or_insert_with(|| (0, which())).0 += 1;
    }

    /// A sentence of its own.
    pub(super) fn say(&mut self, sentence: &'static str) {
        self.plain.push(sentence);
    }

    /// Everything, a line each.
    pub fn lines(&self) -> Vec<String> {
        let counted = self
            .left_out
            .iter()
            .map(|(what, (count, first))| format!("left out: {count} {what}, the first: {first}"));
        counted.chain(self.plain.iter().map(|sentence| (*sentence).to_owned())).collect()
    }
}
