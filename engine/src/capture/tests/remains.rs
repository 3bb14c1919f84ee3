//! Removed data does not stay on the drive: only root can read the working image, and it is overwritten.

use super::bench::{Bench, medium};
use super::{MIB, capture, done, fill_rootfs};
use replicator_hal::FileSystemKind;
use std::fs;
use std::ops::Range;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

const FIRST: Range<u64> = MIB..2 * MIB;
const SECOND: Range<u64> = 2 * MIB..3 * MIB;
const HALF: u64 = MIB / 2;

/// A root file system and a second partition, every byte of both a secret.
fn bench() -> Bench {
    let mut bench = Bench::new();
    let mut content = medium(4 * MIB as usize, &[FIRST, SECOND]);
    content[FIRST.start as usize..SECOND.end as usize].fill(b'S');
    bench.insert("sd", content);
    fill_rootfs(&bench.file_system(FIRST, Some(vec![0..MIB])));
    bench.file_system(SECOND, Some(vec![0..MIB]));
    bench
}

/// Gives the working image a second name, so that it can be examined after its removal. From then on its file systems use
/// these bytes.
fn keep_a_name(bench: &Bench, used: Vec<Range<u64>>) {
    let (drive, kept) = (bench.drive_path.clone(), bench.drive_path.join("kept"));
    let world = bench.world.clone();
    *bench.world.on_log.lock().unwrap() = Some(Box::new(move |line| {
        if line.starts_with("sanitising partition 1") && !kept.exists() {
            let image = drive.join(".capture/sd.image");
            let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
            assert_eq!((mode(&drive.join(".capture")), mode(&image)), (0o700, 0o600));
            fs::hard_link(image, &kept).unwrap();
            for start in [FIRST.start, SECOND.start] {
                world.change_file_system(start, |found| found.used = Some(used.clone()));
            }
        }
    }));
}

fn secrets(path: &Path, bytes: Range<u64>) -> usize {
    let content = fs::read(path).unwrap();
    content[bytes.start as usize..bytes.end as usize].iter().filter(|byte| **byte == b'S').count()
}

#[test]
fn blocks_that_become_unused_are_overwritten_in_place() {
    let bench = bench();
    keep_a_name(&bench, vec![0..HALF, MIB - 100..MIB]);
    done(&capture(&bench)[0]);
    let kept = bench.drive_path.join("kept");
    for part in [FIRST, SECOND] {
        assert_eq!(secrets(&kept, part.start..part.start + HALF), HALF as usize);
        assert_eq!(secrets(&kept, part.start + HALF..part.end), 100);
    }
}

#[test]
fn swap_space_and_unknown_file_systems_are_reported() {
    let bench = bench();
    bench.change_file_system(SECOND.start, |found| found.kind = FileSystemKind::Swap);
    let notes = done(&capture(&bench)[0]).notes.clone();
    assert_eq!(notes, ["partition 1, ext4: sanitised", "partition 2, swap: content cleared"]);

    let bench = self::bench();
    bench.change_file_system(SECOND.start, |found| (found.kind, found.used) = (FileSystemKind::Ntfs, None));
    let notes = done(&capture(&bench)[0]).notes.clone();
    assert_eq!(
        notes.last().map(String::as_str),
        Some("partition 2, ntfs: what was deleted on it may be in the image and stay on the drive")
    );
}

#[test]
fn the_whole_working_image_is_overwritten_after_a_failure_and_after_a_power_cut() {
    let bench = bench();
    keep_a_name(&bench, vec![0..MIB]);
    fs::write(bench.drive_path.join("sanitise-after"), "#!/bin/sh\n").unwrap();
    *bench.world.hook_status.lock().unwrap() = Some(1);
    let outcomes = capture(&bench);
    assert!(matches!(outcomes[0].end, crate::report::End::Failed(_)), "{outcomes:?}");
    let kept = bench.drive_path.join("kept");
    assert_eq!(secrets(&kept, 0..4 * MIB), 0);

    // The remains of an interrupted capture.
    fs::write(&kept, b"S".repeat(300_000)).unwrap();
    fs::hard_link(&kept, bench.drive_path.join(".capture/sd.image")).unwrap();
    *bench.world.hook_status.lock().unwrap() = Some(0);
    *bench.world.on_log.lock().unwrap() = None;
    done(&capture(&bench)[0]);
    assert_eq!(secrets(&kept, 0..300_000), 0);
}

#[test]
fn nothing_is_overwritten_without_sanitising() {
    let mut bench = bench();
    bench.options.settings.capture.sanitise = false;
    let kept = bench.drive_path.join("kept");
    fs::write(&kept, b"S".repeat(300_000)).unwrap();
    fs::create_dir(bench.drive_path.join(".capture")).unwrap();
    fs::hard_link(&kept, bench.drive_path.join(".capture/sd.image")).unwrap();
    done(&capture(&bench)[0]);
    assert_eq!(secrets(&kept, 0..300_000), 300_000);
}
