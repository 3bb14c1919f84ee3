//! What a crash state is known by, so that equal ones are judged once, and the scenario that it is judged by.

use crate::judge::readers::drive_images::files;
use crate::judge::{byte_faults, neutral};
use crate::model::bytes::digest::{FOLD_START, fold};
use crate::model::bytes::pages::Pages;
use crate::run::Snapshot;
use crate::scenario::media::DRIVE;
use crate::scenario::schema::{FaultKind, Scenario};
use xxhash_rust::xxh3::xxh3_64;

/// [`neutral`], but for a clock that jumps: what was captured before a cut has its dates.
pub(super) fn with_its_clock(scenario: &Scenario) -> Scenario {
    let jumps = scenario.faults.iter().filter(|fault| fault.kind() == FaultKind::ClockJump);
    Scenario { faults: jumps.cloned().collect(), ..neutral(scenario) }
}

/// All that a crash state is judged by beside the state and what was there before the boot.
pub(super) fn identity(scenario: &Scenario) -> u64 {
    let Scenario { drive, media, seed, wall_clock, firmware, compatible, kernel_lacks, .. } = scenario;
    let jumps = scenario.faults.iter().any(|fault| fault.kind() == FaultKind::ClockJump);
    let board = format!("{firmware:?} {compatible:?} {kernel_lacks:?}");
    let text = format!(
        "{drive:?} {media:?} {seed} {wall_clock:?} {board} {jumps} {}",
        byte_faults(scenario).next().is_some()
    );
    fold(FOLD_START, text.as_bytes())
}

/// What the next boot's way depends on: all files of the drive, but of working files only that they are there.
pub(super) fn decides(after: &Snapshot) -> u64 {
    let files = files(after);
    if files.is_empty() {
        // Empty, or not to be read.
        return after.media.get(DRIVE).map_or(0, Pages::hash);
    }
    files.iter().fold(FOLD_START, |key, (path, file)| {
        let is_work = path.as_bytes().starts_with(b".capture/") && !path.as_bytes().ends_with(b".toml");
        let content = if is_work { u64::from(file.bytes.is_empty()) } else { xxh3_64(&file.bytes) };
        let kind = format!("{:?} {:?}", file.inode.kind, file.inode.text);
        [path.as_bytes(), kind.as_bytes(), &content.to_le_bytes()]
            .iter()
            .fold(key, |key, part| fold(key, part))
    })
}
