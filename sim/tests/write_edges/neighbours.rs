//! What happens to one medium never changes what is said of another.

use super::*;
use std::time::Duration;

/// Both media are written from disk images; a sync of the eMMC hangs for a while.
fn write_while_a_sync_hangs(hang: Duration) -> Report {
    let image = vec![0x5a; MIB as usize * 3];
    let files =
        vec![Entry::file("sdimage.dd", image.clone()), Entry::file("emmcimage.dd", image), any_content()];
    let duration_ms = Some(u64::try_from(hang.as_millis()).unwrap());
    // The first sync is that of the erased ends, the second the one before everything is verified.
    let slow = fault("emmc", Fault::Hang { duration_ms }, Trigger::nth(OpName::BeginVerify, 1));
    let builder = WorldBuilder::new().medium(drive(files)).medium(medium("sd")).medium(medium("emmc"));
    let (world, report) = run(builder.fault(slow));
    assert_eq!(world.faults_reached(), [true]);
    report
}

#[test]
fn a_slow_sync_has_its_long_lease_although_a_neighbour_has_a_short_one() {
    let tuning = Tuning::default();
    let report = write_while_a_sync_hangs(tuning.io_lease * 3);
    assert_eq!(report.status, Status::Success, "{:?}", report.lines());
}

#[test]
fn a_sync_that_hangs_for_too_long_is_told_of_its_own_medium_only() {
    let tuning = Tuning::default();
    let report = write_while_a_sync_hangs(tuning.tool_lease + tuning.io_lease);
    assert_eq!((end_of(&report, "sd"), end_of(&report, "emmc")), ("ok", "T-HUNG"));
    assert_eq!(report.status, Status::Failure);
}

#[test]
fn a_hang_is_found_although_a_neighbour_is_busy() {
    // The SD card hangs in a write for longer than the lease, while the eMMC goes on for a long time.
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
