//! S9: what is refused before the first destructive byte leaves the medium untouched.
//!
//! Verified: all bytes of media that the story calls refused, untouched, skipped or captured, or failed with a refusal's
//! code. Not verified: failures that come later, which are `not-bootable`'s matter.

use crate::runner::Evidence;
use crate::runner::expectations::MediumWord;

/// What is wrong.
pub fn check(evidence: &Evidence) -> Vec<String> {
    let last = evidence.last();
    let words = evidence.scenario.expect.media.iter();
    let untouched = words.filter(|(_, word)| MediumWord::of(word).untouched());
    let changed = untouched.filter(|(name, _)| last.before.media.get(*name) != last.after.media.get(*name));
    changed.map(|(name, word)| format!("{name} is said to be {word}, but it changed")).collect()
}
