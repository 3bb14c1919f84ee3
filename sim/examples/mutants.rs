//! Runs every deliberate fault of the engine through the stories that matter for it, and fails if one survives.
//!
//! A mutant is killed when the checker of its invariant complains in one of its stories and has nothing to say about the
//! same story with the engine as it is. Other checkers may see the same thing from another side; they are listed. With
//! names as arguments only these are run.

use replicator_engine::boot::Request;
use replicator_engine::mutant::{Mutant, Mutation};
use replicator_sim::judge::checkers;
use replicator_sim::run::boots;
use replicator_sim::scenario::builtin;
use replicator_sim::scenario::schema::Scenario;
use std::collections::BTreeSet;
use std::process::ExitCode;

/// The stories in which a mutant has to show itself.
fn stories(mutant: Mutant) -> &'static [&'static str] {
    match mutant {
        Mutant::FsckOnTheSource => &["capture-dirty-file-system"],
        Mutant::LogsOnTheDrive => &["write-dd-xz"],
        Mutant::NoSyncBeforeRename => &["capture-power-cut-at-the-second-medium"],
        Mutant::SessionEndsEarly => &["capture-out-of-space-in-later-medium"],
        Mutant::AnyDeviceWithTheName => &["write-another-device-takes-the-name"],
        Mutant::BootloaderOfAnyLength => &["firmware-reaches-into-the-next"],
        Mutant::BootloaderIsNotCompared => &["firmware-flash-drops-writes"],
        Mutant::ExitStatusIsBelieved => {
            &["firmware-micro-updater-lies-at-once", "firmware-micro-updater-lies"]
        }
        Mutant::BootloaderStaysBroken => &["firmware-write-fails"],
        Mutant::HangIsNeverCritical => &["firmware-hang-in-the-bootloader"],
        Mutant::AreaStaysWritable => &["firmware-alone-is-written"],
        Mutant::LooksUnprotected => &["firmware-identical-stays-protected", "firmware-is-there-already"],
        Mutant::SourceWithoutClaim => &["capture-held-elsewhere"],
        Mutant::NoReadBack => &["write-half-dead-card", "write-fake-card-limbo"],
        Mutant::LinksAreReplaced => &["write-tarball-overlay-keeps-links"],
        Mutant::FlagsAreForgotten => &["capture-single-partition-sd"],
        Mutant::FlagsAreNotSet => &["write-captured-tarball", "capture-flags-round-trip"],
        Mutant::RootGetsAnyName => &["root-names-round-trip", "root-names-of-a-foreign-tarball"],
        Mutant::FailureIsForgotten => &["capture-out-of-space-in-later-medium"],
        Mutant::NothingIsFine => &["capture-nothing-is-failure"],
        Mutant::StartIsNotReserved => &["write-card-wraps-its-start-into-zeros"],
        Mutant::DanglingSidecarIsNone => &["write-dangling-sidecar"],
        Mutant::UnassignedIsIgnored => &["names-unrenamed-image-is-refused"],
        Mutant::NoCheckOfTheFile => &["write-wrong-file-sidecar"],
        Mutant::AnyTreeIsWritten => &["write-tarball-below-a-directory", "write-tarball-of-one-file"],
        Mutant::RoomIsNotCounted => &["write-tarball-many-files", "write-tarball-too-many-files"],
        Mutant::AnyFileIsWritten => &["write-zip", "write-blank-image"],
        Mutant::GoldenIsOverwritten => &[
            "no-identity-golden-is-not-overwritten",
            "capture-then-reboot-is-refused",
            "write-back-is-refused",
        ],
        Mutant::CutImagesAreWritten => {
            &["write-cut-dd", "write-cut-before-xz", "write-logical-past-the-end-plain"]
        }
        Mutant::StartFirst => &["write-power-cut-keeps-the-start"],
        Mutant::PackStopsShort => &["capture-data-only"],
        Mutant::WorkFilesStay => &["capture-out-of-space-in-tarball", "capture-out-of-space-in-compression"],
        Mutant::OldImageMakesRoom => &["capture-old-image-survives-failed-recapture"],
        Mutant::OneFailsAll => &["write-unreadable-image-beside-a-good-one"],
        Mutant::LinksAreFollowed => &["capture-single-partition-sd"],
        Mutant::SyncTriedAgain => &["capture-directory-flush-error-is-final"],
        Mutant::DriveStaysMounted => &["write-dd-xz"],
        Mutant::UnsanitisedIsUntold => &["capture-both-slots"],
        Mutant::OneRootfsIsEnough => &["capture-both-slots"],
        Mutant::MountsAreIgnored => &["capture-var-on-a-partition"],
        Mutant::FreeBlocksStay => &["capture-secrets-are-gone", "capture-multi-partition-emmc"],
        Mutant::WorkingImageIsUnlinked => {
            &["capture-single-partition-sd", "capture-removed-bytes-everywhere", "capture-power-cut-in-copy"]
        }
        Mutant::SwapFilesStay => &["capture-swap-file"],
        Mutant::CopyIsNotCompared => &["capture-superblock-is-misread"],
        Mutant::WorkingImageNameIsLate => &["capture-cut-before-the-image-is-durable"],
        Mutant::WaitsForEver => &["no-drive"],
        Mutant::SessionIsRefused => &["capture-power-cut-in-copy"],
        Mutant::BlankIsRefused => &["write-power-cut-leaves-garbage"],
        Mutant::RetriesManyTimes => &["capture-source-read-error"],
        Mutant::LeaseOfADay => &["write-dd-xz"],
        Mutant::FailedStartIsDark => &["no-drive", "settings-unknown-key"],
    }
}

/// What the checkers say about a story, by name; with a mutant or without.
fn judge(story: &str, mutant: Option<Mutant>) -> Result<BTreeSet<&'static str>, String> {
    let text = builtin::find(story).ok_or_else(|| format!("there is no story {story}"))?;
    let scenario = Scenario::parse(text, story).map_err(|error| error.to_string())?;
    let adjust = |request: &mut Request| {
        if let Some(mutant) = mutant {
            request.tuning.mutant = Mutation::of(mutant);
        }
    };
    let evidence = boots::run_as(story, &scenario, |board| board, adjust)?;
    Ok(checkers::check_all(&evidence).into_iter().map(|complaint| complaint.by).collect())
}

/// Whether the checker called `name` is that of the invariant.
fn is_of(name: &str, invariant: &str) -> bool {
    let Some((_, list)) = name.split_once('(') else { return false };
    list.trim_end_matches(')').split(", ").any(|one| one == invariant)
}

fn run() -> Result<bool, String> {
    let mut survivors = 0;
    println!("{:<26} {:<4} {:<26} {:<44} also seen by", "mutant", "of", "killed by", "story");
    let asked: Vec<String> = std::env::args().skip(1).collect();
    let is_asked = |mutant: &&Mutant| asked.is_empty() || asked.iter().any(|name| name == mutant.name());
    for mutant in Mutant::ALL.iter().filter(is_asked) {
        let (name, invariant) = (mutant.name(), mutant.invariant());
        let mut killed = false;
        for story in stories(*mutant) {
            let sound = judge(story, None)?;
            if !sound.is_empty() {
                return Err(format!("{story} has complaints without any mutant: {sound:?}"));
            }
            let seen = judge(story, Some(*mutant))?;
            let (own, others): (Vec<&str>, Vec<&str>) = seen.iter().partition(|by| is_of(by, invariant));
            killed |= !own.is_empty();
            let by = if own.is_empty() { "-".to_owned() } else { own.join(", ") };
            println!("{name:<26} {invariant:<4} {by:<26} {story:<44} {}", others.join(", "));
        }
        if !killed {
            survivors += 1;
            println!("{name:<26} {invariant:<4} SURVIVED");
        }
    }
    println!("{} mutants, {survivors} survived", Mutant::ALL.len());
    Ok(survivors == 0)
}

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(what) => {
            eprintln!("mutants: {what}");
            ExitCode::FAILURE
        }
    }
}
