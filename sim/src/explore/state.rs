//! The keys of crash states, so that equal ones are judged once, and the scenario by which they are judged.

use crate::judge::readers::drive_images::files;
use crate::judge::{byte_faults, neutral};
use crate::model::bytes::pages::Pages;
use crate::run::Snapshot;
use crate::scenario::media::DRIVE;
use crate::scenario::schema::{FaultKind, Scenario};
use std::hash::{DefaultHasher, Hash, Hasher};
use xxhash_rust::xxh3::xxh3_64;

/// The question for the hash of a file.
#[derive(PartialEq, Eq, Hash)]
struct Hashed;

/// [`neutral`] with the clock jumps of the scenario: a capture before a cut has dates from that clock.
pub(super) fn with_its_clock(scenario: &Scenario) -> Scenario {
    let jumps = scenario.faults.iter().filter(|fault| fault.kind() == FaultKind::ClockJump);
    Scenario { faults: jumps.cloned().collect(), ..neutral(scenario) }
}

/// Everything that affects the judgement of a crash state, apart from the state itself and the state before the boot.
pub(super) fn identity(scenario: &Scenario) -> u64 {
    let Scenario { drive, media, seed, wall_clock, firmware, compatible, kernel_lacks, .. } = scenario;
    let jumps = scenario.faults.iter().any(|fault| fault.kind() == FaultKind::ClockJump);
    let has_byte_faults = byte_faults(scenario).next().is_some();
    hash(&(drive, media, seed, wall_clock, firmware, compatible, kernel_lacks, jumps, has_byte_faults))
}

/// A hash that is the same within one process: states are only compared there.
fn hash(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

/// What decides the course of the next boot: all files of the drive; of working files only their names, and whether
/// they are empty.
pub(super) fn decides(after: &Snapshot) -> u64 {
    let files = files(after);
    if files.is_empty() {
        // The drive is empty or unreadable.
        return after.media.get(DRIVE).map_or(0, Pages::hash);
    }
    let files = files.iter().map(|(path, file)| {
        let is_work = path.as_bytes().starts_with(b".capture/") && !path.as_bytes().ends_with(b".toml");
        let hash = || file.bytes.cached(Hashed, |bytes| xxh3_64(bytes));
        let content = if is_work { u64::from(file.bytes.is_empty()) } else { hash() };
        (path.as_bytes(), file.inode.kind, &file.inode.text, content)
    });
    hash(&files.collect::<Vec<_>>())
}
