//! Events on one medium never change the result of another.

use super::*;
use std::time::Duration;

/// Writes both media from disk images, while a sync of the eMMC hangs for some time.
fn write_while_a_sync_hangs(hang: Duration) -> Report {
    let image = vec![0x5a; MIB as usize * 3];
    let files =
        vec![Entry::file("sdimage.dd", image.clone()), Entry::file("emmcimage.dd", image), any_content()];
    let duration_ms = Some(u64::try_from(hang.as_millis()).unwrap());
    // The first sync is that of the erased ends, the second the one before the verification.
    let slow = fault("emmc", Fault::Hang { duration_ms }, Trigger::nth(OpName::BeginVerify, 1));
    let builder = WorldBuilder::new().medium(drive(files)).medium(medium("sd")).medium(medium("emmc"));
    let (world, report) = run(builder.fault(slow));
    assert_eq!(world.faults_reached(), [true]);
    report
}

#[test]
fn a_slow_sync_keeps_its_long_lease_beside_a_short_one_of_another_medium() {
    let tuning = Tuning::default();
    let report = write_while_a_sync_hangs(tuning.io_lease * 3);
    assert_eq!(report.status, Status::Success, "{:?}", report.lines());
}

#[test]
fn a_sync_that_hangs_for_too_long_is_reported_for_its_own_medium_only() {
    let tuning = Tuning::default();
    let report = write_while_a_sync_hangs(tuning.tool_lease + tuning.io_lease);
    assert_eq!((end_of(&report, "sd"), end_of(&report, "emmc")), ("ok", "T-HUNG"));
    assert_eq!(report.status, Status::Failure);
}

#[test]
fn a_hang_is_detected_although_another_medium_makes_progress() {
    // The SD card hangs in a write for longer than the lease, while the eMMC makes progress.
    let tuning = Tuning::default();
    let image = vec![0x5a; MIB as usize * 5];
    let files =
        vec![Entry::file("sdimage.dd", image.clone()), Entry::file("emmcimage.dd", image), any_content()];
    let duration_ms = Some(u64::try_from(tuning.io_lease.as_millis()).unwrap() * 2);
    let hang = fault("sd", Fault::Hang { duration_ms }, Trigger::nth(OpName::Write, 3));
    let busy = Trigger::op(OpName::Write);
    let slow = fault("emmc", Fault::Hang { duration_ms: Some(10_000) }, busy);
    let builder = WorldBuilder::new().medium(drive(files)).medium(medium("sd")).medium(medium("emmc"));
    let (_, report) = run(builder.fault(hang).fault(slow));
    assert_eq!((end_of(&report, "sd"), end_of(&report, "emmc")), ("T-HUNG", "ok"), "{:?}", report.lines());
    assert_eq!(report.status, Status::Failure);
}
