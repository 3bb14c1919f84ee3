//! The checkers of faults and the oracle detect wrong runs: each has no complaint about a scenario as it is, and
//! complains about the same scenario with wrong LEDs, with a wrongly tuned engine, or with tampered bytes.

use crate::faulty::leds;
use crate::faulty::tampering::{flip, put, xz};
use replicator_engine::boot::Request;
use replicator_hal::{Board, RelativePath, Status};
use replicator_sim::judge::checkers::{self, Check};
use replicator_sim::judge::oracle::{self, Mismatch};
use replicator_sim::run::{Evidence, Snapshot, boots};
use replicator_sim::scenario::builtin;
use replicator_sim::scenario::content::Owner;
use replicator_sim::scenario::image;
use replicator_sim::scenario::schema::Scenario;
use std::time::Duration;

fn run(name: &str, change: impl Fn(Board) -> Board, adjust: impl Fn(&mut Request)) -> Evidence {
    let scenario = Scenario::parse(builtin::find(name).unwrap(), name).unwrap();
    boots::run_as(name, &scenario, change, adjust).unwrap()
}

fn sound(name: &str) -> Evidence {
    run(name, |board| board, |_| {})
}

/// The scenario on a board whose LEDs show `instead` in place of `shown`.
fn with_wrong_leds(name: &str, shown: Status, instead: Option<Status>) -> Evidence {
    let shows = move |status| if status == shown { instead } else { Some(status) };
    run(name, leds::that_show(shows), |_| {})
}

fn complains(check: Check, evidence: &Evidence, text: &str) {
    let complaints = check(evidence);
    assert!(complaints.iter().any(|complaint| complaint.contains(text)), "{text:?} is not in {complaints:?}");
}

/// No complaint about the scenario, and one after `tamper`.
fn detects(check: Check, name: &str, tamper: impl FnOnce(&mut Snapshot), text: &str) {
    let mut evidence = sound(name);
    assert_eq!(check(&evidence), Vec::<String>::new(), "{name} untouched");
    tamper(&mut evidence.boots.last_mut().unwrap().after);
    complains(check, &evidence, text);
}

#[test]
fn an_image_that_is_shorter_than_the_medium_and_a_missing_end_are_detected() {
    let check = checkers::not_truncated::check;
    let short = |after: &mut Snapshot| put(after, "sdimage.dd.xz", Some(&xz(&vec![0; 7 << 20])));
    detects(check, "capture-data-only", short, "has 7340032 bytes of 8388608");
    detects(check, "write-dd-xz", |after| flip(after, "sd", (8 << 20) - 1), "its end is not on its medium");
}

#[test]
fn a_new_sidecar_beside_an_old_image_is_detected() {
    let tamper = |after: &mut Snapshot| put(after, "sdimage.tar.md5", Some(b"new"));
    let name = "capture-old-image-survives-failed-recapture";
    detects(checkers::old_image::check, name, tamper, "sdimage.tar.md5 belongs to an old image");
}

#[test]
fn a_medium_that_another_mediums_fault_changed_is_detected() {
    let tamper = |after: &mut Snapshot| flip(after, "emmc", 5 << 20);
    let name = "write-unreadable-image-beside-a-good-one";
    detects(checkers::isolation::check, name, tamper, "the faults of sd changed the result of emmc");
}

#[test]
fn a_file_that_was_removed_with_the_link_to_it_is_detected() {
    let tamper = |after: &mut Snapshot| {
        let mut tree = image::rootfs_tree(&Owner { medium: "sd", seed: 0, generation: 0 }).unwrap();
        tree.remove(&RelativePath::parse("etc/ssh/sshd_config").unwrap());
        put(after, "sdimage.tar.xz", Some(&xz(&image::tarball(&tree).unwrap())));
    };
    detects(
        checkers::containment::check,
        "capture-single-partition-sd",
        tamper,
        "/etc/ssh/sshd_config is missing",
    );
}

#[test]
fn a_failed_flush_that_ends_in_success_is_detected() {
    let check = checkers::flush_final::check;
    for name in ["capture-flush-error-is-final", "write-flush-error-is-final"] {
        assert_eq!(check(&sound(name)), Vec::<String>::new());
        let evidence = with_wrong_leds(name, Status::Failure, Some(Status::Success));
        complains(check, &evidence, "failed, but success is shown");
    }
}

#[test]
fn a_boot_after_cuts_that_does_not_succeed_is_detected() {
    let check = checkers::converges::check;
    for name in ["capture-power-cut-in-copy", "write-power-cut-late-in-dd"] {
        assert_eq!(check(&sound(name)), Vec::<String>::new());
        let evidence = with_wrong_leds(name, Status::Success, Some(Status::Failure));
        complains(check, &evidence, "does not succeed");
    }
}

#[test]
fn endless_retries_and_a_lease_that_is_too_long_are_detected() {
    let name = "capture-source-read-error";
    let (retries, progress) = (checkers::retries::check, checkers::progress::check);
    assert_eq!([retries(&sound(name)), progress(&sound(name))], [Vec::<String>::new(), Vec::new()]);
    let tries = run(name, |board| board, |request| request.tuning.retries = 200);
    complains(retries, &tries, "was tried 201 times");
    let waits = |request: &mut Request| request.tuning.io_lease = Duration::from_secs(86_400);
    complains(progress, &run(name, |board| board, waits), "a lease of 86400 s is too long");
}

#[test]
fn a_failed_start_without_a_status_is_detected() {
    for name in ["no-drive", "settings-unknown-key"] {
        assert_eq!(checkers::start_up::check(&sound(name)), Vec::<String>::new());
        complains(
            checkers::start_up::check,
            &with_wrong_leds(name, Status::Failure, None),
            "shows no terminal status",
        );
    }
}

#[test]
fn results_that_the_oracle_excludes_are_detected() {
    assert_eq!(oracle::check(&sound("write-card-drops-writes")), []);
    let mismatches =
        oracle::check(&with_wrong_leds("write-card-drops-writes", Status::Failure, Some(Status::Success)));
    assert!(
        matches!(mismatches[..], [Mismatch::Status { shown: Some(Status::Success), .. }]),
        "{mismatches:?}"
    );
    let mut evidence = sound("write-dd-xz");
    flip(&mut evidence.boots[0].after, "sd", 6 << 20);
    let lost = oracle::check(&evidence);
    assert!(matches!(&lost[..], [Mismatch::MustSucceed { medium, .. }] if medium == "sd"), "{lost:?}");
}
