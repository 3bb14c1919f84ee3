//! S4: after a crash the next boot goes the way that the drive asks for.
//!
//! Verified: the next boot opens no medium for writing where the drive asks for a capture, and captures nothing where it
//! asks for a write. Not verified: what it does then, which is the matter of the boots that are followed to their end.

use super::readers::drive_images::{files, mode};
use super::{Case, CheckerId, Judge, by_nothing};
use crate::scenario::schema::Mode;

/// As the registry has it.
pub(super) const JUDGE: Judge =
    Judge { id: CheckerId::NextBoot, applies: |case| case.next_boot.is_some(), misled_by: by_nothing, check };

fn check(case: &Case<'_>) -> Vec<String> {
    let Some(probed) = case.next_boot else { return Vec::new() };
    let wrong = match mode(case.evidence, &files(&case.evidence.last().after)) {
        Mode::Capture if probed.opens_target || probed.chose == Some(Mode::Write) => {
            "the drive asks for a capture, and the next boot writes"
        }
        Mode::Write if probed.chose == Some(Mode::Capture) => {
            "the drive asks for a write, and the next boot captures"
        }
        Mode::Capture | Mode::Write => return Vec::new(),
    };
    vec![wrong.to_owned()]
}
