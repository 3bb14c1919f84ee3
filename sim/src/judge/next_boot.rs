//! S4: after a crash the next boot has the mode that the drive requests.
//!
//! Verified: the next boot opens no medium for writing if the drive requests a capture, and captures nothing if it
//! requests a write. Not verified: the further course; crash states that are followed to their end show that.

use super::readers::drive_images::{files, mode};
use super::{Case, CheckerId, Judge, by_nothing};
use crate::scenario::schema::Mode;

/// The entry in the registry.
pub(super) const JUDGE: Judge =
    Judge { id: CheckerId::NextBoot, applies: |case| case.next_boot.is_some(), misled_by: by_nothing, check };

fn check(case: &Case<'_>) -> Vec<String> {
    let Some(probed) = case.next_boot else { return Vec::new() };
    let wrong = match mode(case.evidence, &files(&case.evidence.last().after)) {
        Mode::Capture if probed.opens_target || probed.chose == Some(Mode::Write) => {
            "the drive requests a capture, but the next boot writes"
        }
        Mode::Write if probed.chose == Some(Mode::Capture) => {
            "the drive requests a write, but the next boot captures"
        }
        Mode::Capture | Mode::Write => return Vec::new(),
    };
    vec![wrong.to_owned()]
}
