//! A failed capture leaves no file with a valid name, and no work files on the drive.

use super::bench::{Bench, medium, names};
use super::{MIB, SINGLE, capture, fill_rootfs};
use crate::capture::session_exists;
use crate::report::{End, Outcome};
use replicator_hal::ErrorKind;
use std::fs;
use std::os::unix::fs::FileExt;

fn failure(outcome: &Outcome) -> &crate::Error {
    match &outcome.end {
        End::Failed(error) => error,
        other => panic!("{}: {other:?}", outcome.medium),
    }
}

fn two_media() -> Bench {
    let mut bench = Bench::new();
    bench.insert("sd", medium(4 * MIB as usize, &[SINGLE]));
    bench.insert("emmc", vec![1; 4096]);
    fill_rootfs(&bench.file_system(SINGLE, Some(vec![0..MIB])));
    bench
}

/// The first medium fails with `code`; the session stays, without work files, and the second medium is not begun.
fn assert_failed(bench: &Bench, code: &str) {
    let outcomes = capture(bench);
    assert_eq!(failure(&outcomes[0]).code(), code, "{}", failure(&outcomes[0]));
    assert!(matches!(&outcomes[1].end, End::Skipped(reason) if reason.starts_with("not begun")));
    assert_eq!(bench.root_names(), [".capture"]);
    assert_eq!(names(&bench.drive_path.join(".capture")), ["session.toml"]);
    assert!(session_exists(&bench.drive).unwrap());
    bench.assert_tidy();
}

#[test]
fn an_unreadable_sector_fails_its_medium_and_stops_the_capture() {
    let bench = two_media();
    bench.world.bad_from.lock().unwrap().insert("blksd".into(), MIB + 500_000);
    assert_failed(&bench, "E-IO");
    let lines = bench.world.lines.lock().unwrap();
    assert!(lines.iter().any(|line| line.starts_with("sd-capture: trying again")), "{lines:?}");
}

#[test]
fn an_unreadable_unused_sector_does_not_matter() {
    let bench = two_media();
    bench.world.bad_from.lock().unwrap().insert("blksd".into(), 2 * MIB);
    let outcomes = capture(&bench);
    assert!(outcomes.iter().all(|outcome| matches!(outcome.end, End::Done(_))), "{outcomes:?}");
}

#[test]
fn a_file_system_beyond_repair_fails_its_medium() {
    let bench = two_media();
    bench.change_file_system(SINGLE.start, |found| found.fsck = Err(ErrorKind::Corrupt));
    assert_failed(&bench, "E-CORRUPT");
}

#[test]
fn a_drive_that_returns_other_bytes_than_were_written_is_detected() {
    let bench = two_media();
    let path = bench.drive_path.join(".capture/sdimage.tar.xz");
    *bench.world.on_log.lock().unwrap() = Some(Box::new(move |line| {
        if line == "verifying" {
            let file = fs::OpenOptions::new().read(true).write(true).open(&path).unwrap();
            let mut byte = [0];
            // In the stream's header, which has no unused bytes.
            file.read_exact_at(&mut byte, 100).unwrap();
            file.write_all_at(&[byte[0] ^ 1], 100).unwrap();
        }
    }));
    assert_failed(&bench, "V-DRIVE");
}

#[test]
fn a_complete_but_different_file_is_detected_too() {
    let mut bench = two_media();
    bench.options.compress = crate::options::CaptureCompression::None;
    let path = bench.drive_path.join(".capture/sdimage.tar");
    *bench.world.on_log.lock().unwrap() = Some(Box::new(move |line| {
        if line == "verifying" {
            fs::OpenOptions::new().write(true).open(&path).unwrap().write_all_at(b"x", 5000).unwrap();
        }
    }));
    assert_failed(&bench, "V-DRIVE");
}

#[test]
fn a_hung_operation_is_a_failure_even_if_it_ends() {
    let bench = two_media();
    bench.world.is_hung.store(true, std::sync::atomic::Ordering::SeqCst);
    let outcomes = capture(&bench);
    assert_eq!(failure(&outcomes[0]).code(), "T-HUNG");
    assert!(matches!(outcomes[1].end, End::Skipped(_)));
    assert!(bench.root_names().contains(&".capture".to_owned()));
}

#[test]
fn no_file_has_a_valid_name_before_it_is_complete() {
    let bench = two_media();
    let drive = bench.drive_path.clone();
    *bench.world.on_log.lock().unwrap() = Some(Box::new(move |_| {
        let names = names(&drive);
        assert!(names.contains(&".capture".to_owned()), "the session is made first and removed last");
        for image in ["sdimage.tar", "emmcimage.dd"] {
            if names.contains(&format!("{image}.xz")) {
                let base = image.split('.').next().unwrap();
                for sidecar in [format!("{image}.md5"), format!("{image}.xz.md5"), format!("{base}.source")] {
                    assert!(names.contains(&sidecar), "{sidecar} comes before its image");
                }
            }
        }
    }));
    let outcomes = capture(&bench);
    assert!(outcomes.iter().all(|outcome| matches!(outcome.end, End::Done(_))), "{outcomes:?}");
    assert!(!session_exists(&bench.drive).unwrap());
}
