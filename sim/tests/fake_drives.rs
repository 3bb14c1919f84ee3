//! A capture to a drive with less flash than it reports never ends in a success that the next boot contradicts, wherever
//! the flash ends: inside the image, its sidecars, its record, or behind them.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

use replicator_engine::error::Error;
use replicator_engine::report::End;
use replicator_hal::Status;
use replicator_sim::judge;
use replicator_sim::scenario::schema::Scenario;
use std::collections::BTreeSet;

const KIB: u64 = 1024;

/// Captures a medium to a drive whose flash ends at `real_bytes`, and boots again. Returns the codes of both boots.
fn capture(file_system: &str, kind: &str, real_bytes: u64) -> [String; 2] {
    let text = format!(
        r#"about = "A capture to a fake drive, and a boot after it."
[drive]
file_system = "{file_system}"
[media.sd]
content = "single"
[[fault]]
on = "drive"
kind = "{kind}"
real = {real_bytes}
may_be_missed = true
[[boot]]
[[boot]]
[expect]
status = "failure"
"#
    );
    let judged = judge::run("fake-drive", &Scenario::parse(&text, "fake-drive").unwrap()).unwrap();
    let boots = &judged.evidence.boots;
    assert_eq!(boots.len(), 2);
    [0, 1].map(|boot| {
        let report = boots[boot].report.as_ref().unwrap();
        let failed = report.outcomes.iter().filter_map(|outcome| match &outcome.end {
            End::Failed(error) => Some(error),
            _ => None,
        });
        let code = report.failure.iter().chain(failed).next().map(Error::code);
        code.unwrap_or(if report.status == Status::Success { "success" } else { "none" }).to_owned()
    })
}

/// Each `real_bytes` ends in a blame of the drive, or in a success after which the drive is found with its image.
fn check(file_system: &str, kind: &str, ends: impl Iterator<Item = u64>) {
    let mut found = BTreeSet::new();
    for real_bytes in ends {
        let codes = capture(file_system, kind, real_bytes);
        match [codes[0].as_str(), codes[1].as_str()] {
            ["success", "R-WRITEBACK"] | ["V-DRIVE", _] => {}
            _ => panic!("{file_system}, {kind}, {real_bytes}: {codes:?}"),
        }
        found.insert(codes[0].clone());
    }
    assert!(found.contains("V-DRIVE"), "{file_system}, {kind}: no end was found");
}

#[test]
fn a_drive_that_wraps_around_behind_the_image_is_never_a_success() {
    // The image lies at 2664 KiB, the sidecars at 2672 KiB, the record at 2680 KiB.
    check("ext4", "fake-wraparound", (2656..2688).step_by(4).map(|kib| kib * KIB));
}

#[test]
fn a_drive_that_wraps_around_in_its_working_files_is_never_a_success() {
    check("ext4", "fake-wraparound", (2080..2656).step_by(96).map(|kib| kib * KIB));
    check("vfat", "fake-wraparound", (2080..3300).step_by(200).map(|kib| kib * KIB));
}

#[test]
fn a_drive_that_drops_what_is_behind_its_end_is_never_a_success() {
    check("ext4", "fake-limbo", (2656..2688).step_by(8).map(|kib| kib * KIB));
    check("vfat", "fake-limbo", (2080..3300).step_by(400).map(|kib| kib * KIB));
}
