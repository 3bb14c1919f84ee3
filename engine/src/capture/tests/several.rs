//! Of a medium with several partitions, each is sanitised, reported or refused.

use super::bench::{Bench, medium};
use super::{MIB, SINGLE, capture, done, fill_rootfs};
use crate::report::{End, Outcome};
use replicator_hal::{ErrorKind, FileSystemKind, FsckOutcome};
use std::fs;
use std::ops::Range;

const FIRST: Range<u64> = MIB..2 * MIB;
const SECOND: Range<u64> = 2 * MIB..3 * MIB;
const THIRD: Range<u64> = 3 * MIB..4 * MIB;

fn bench() -> Bench {
    let mut bench = Bench::new();
    bench.insert("sd", medium(4 * MIB as usize, &[FIRST, SECOND, THIRD]));
    bench
}

fn refusal(outcome: &Outcome) -> String {
    match &outcome.end {
        End::Failed(error) => format!("{} {error}", error.code()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_root_file_system_is_sanitised_and_the_rest_is_named() {
    let mut bench = bench();
    let trees = [FIRST, SECOND].map(|bytes| bench.file_system(bytes, Some(vec![0..4096])));
    trees.iter().for_each(|tree| fill_rootfs(tree));
    let data = bench.file_system(THIRD, Some(vec![0..4096]));
    fs::write(data.join("photo"), "x").unwrap();
    bench.change_file_system(SECOND.start, |found| found.label = Some("rootB".into()));
    bench.change_file_system(THIRD.start, |found| found.label = Some("data".into()));
    bench.media[0].profile.rootfs_partition = 2;
    fs::write(bench.drive_path.join("sanitise-after"), "#!/bin/sh\n").unwrap();
    *bench.world.hook_status.lock().unwrap() = Some(0);
    let outcomes = capture(&bench);
    assert_eq!(
        done(&outcomes[0]).notes,
        [
            "partition 2, ext4 `rootB`: sanitised",
            "partition 1, ext4: sanitised",
            "partition 3, ext4 `data`: captured as it is",
        ]
    );
    for tree in &trees {
        assert!(!tree.join("var/log/syslog").exists() && tree.join("firstboot").exists());
        assert_eq!(fs::read(tree.join("root.version-cust")).unwrap(), b"2026-01-02T03:04:05Z\n");
    }
    assert_eq!(fs::read_dir(&data).unwrap().count(), 1, "no file is made outside of a root file system");
    let hooks = bench.world.hooks.lock().unwrap();
    let numbers: Vec<_> = hooks.iter().map(|hook| hook.environment.last().unwrap().clone()).collect();
    assert_eq!(numbers, ["2", "1"].map(|number| ("REPLICATOR_PARTITION".to_owned(), number.to_owned())));
    drop(hooks);
    bench.assert_tidy();
}

#[test]
fn a_partition_that_cannot_be_examined_is_refused_before_it_is_copied() {
    for kind in [FileSystemKind::Luks, FileSystemKind::Lvm, FileSystemKind::F2fs, FileSystemKind::Jfs] {
        let mut bench = bench();
        fill_rootfs(&bench.file_system(FIRST, Some(vec![0..4096])));
        bench.file_system(SECOND, None);
        bench.change_file_system(SECOND.start, |found| found.kind = kind.clone());
        bench.file_system(THIRD, Some(vec![0..4096]));
        // All reads of the medium fail except those of the table and of signatures.
        bench.world.bad_from.lock().unwrap().insert("blksd".into(), 4 * MIB - 4096);
        let why = refusal(&capture(&bench)[0]);
        assert!(why.starts_with(&format!("R-SANITISE partition 2, {kind}: ")), "{why}");
        bench.assert_tidy();
        bench.world.bad_from.lock().unwrap().clear();
        bench.options.settings.capture.sanitise = false;
        let outcomes = capture(&bench);
        assert_eq!(done(&outcomes[0]).notes, ["not sanitised, because sanitise = false is set"]);
    }
}

#[test]
fn without_a_driver_in_the_kernel_the_medium_is_refused_at_once() {
    let bench = bench();
    for bytes in [FIRST, SECOND, THIRD] {
        fill_rootfs(&bench.file_system(bytes, Some(vec![0..4096])));
    }
    bench.world.unmountable.lock().unwrap().push(FileSystemKind::Ext4);
    let why = refusal(&capture(&bench)[0]);
    assert!(why.contains("partition 1, ext4: this kernel cannot mount it"), "{why}");
    bench.assert_tidy();
}

#[test]
fn a_linux_partition_without_a_known_file_system_is_refused() {
    let mut bench = bench();
    fill_rootfs(&bench.file_system(FIRST, Some(vec![0..4096])));
    bench.file_system(THIRD, Some(vec![0..4096]));
    let why = refusal(&capture(&bench)[0]);
    assert!(
        why.starts_with("R-SANITISE partition 2, no known file system: its type or name is that of a Linux"),
        "{why}"
    );
    assert_eq!(bench.root_names(), [".capture"]);
    bench.options.settings.capture.sanitise = false;
    done(&capture(&bench)[0]);
}

#[test]
fn read_only_and_foreign_file_systems_are_captured_as_they_are() {
    let bench = bench();
    fill_rootfs(&bench.file_system(FIRST, Some(vec![0..4096])));
    for (bytes, kind, used) in
        [(SECOND, FileSystemKind::Squashfs, None), (THIRD, FileSystemKind::Vfat, Some(vec![0..4096]))]
    {
        bench.file_system(bytes.clone(), used);
        bench.change_file_system(bytes.start, |found| found.kind = kind.clone());
    }
    assert_eq!(
        done(&capture(&bench)[0]).notes,
        [
            "partition 1, ext4: sanitised",
            "partition 2, squashfs: captured as it is",
            "partition 3, vfat: captured as it is",
        ]
    );
}

#[test]
fn a_file_system_that_may_be_a_damaged_root_is_refused() {
    type Case = (&'static str, &'static [&'static str], Option<&'static str>, FsckOutcome, bool);
    let cases: [Case; 6] = [
        ("lost /etc", &["usr/bin", "lib"], None, FsckOutcome::Clean, false),
        ("lost in its repair", &["lost+found/#12"], None, FsckOutcome::Repaired, false),
        ("lost before", &["lost+found/#12"], None, FsckOutcome::Clean, true),
        ("named like one", &["ostree"], Some("rootfs"), FsckOutcome::Clean, false),
        ("named, but new", &["lost+found"], Some("rootfs"), FsckOutcome::Clean, true),
        ("data", &["usr", "photos"], None, FsckOutcome::Repaired, true),
    ];
    for (what, directories, label, fsck, is_captured) in cases {
        let mut bench = Bench::new();
        bench.insert("sd", medium(4 * MIB as usize, &[SINGLE]));
        // A file system without a block map is checked.
        let used = if fsck == FsckOutcome::Repaired { None } else { Some(vec![0..4096]) };
        let tree = bench.file_system(SINGLE, used);
        directories.iter().for_each(|directory| fs::create_dir_all(tree.join(directory)).unwrap());
        bench.change_file_system(SINGLE.start, |found| {
            found.label = label.map(str::to_owned);
            found.fsck = Ok(fsck);
        });
        let outcomes = capture(&bench);
        assert_eq!(matches!(outcomes[0].end, End::Done(_)), is_captured, "{what}: {:?}", outcomes[0].end);
        if !is_captured {
            assert!(refusal(&outcomes[0]).starts_with("R-SANITISE"), "{what}");
            bench.options.settings.capture.sanitise = false;
            done(&capture(&bench)[0]);
        }
    }
}

#[test]
fn a_failed_check_of_any_partition_fails_the_capture() {
    let bench = bench();
    fill_rootfs(&bench.file_system(FIRST, Some(vec![0..4096])));
    for bytes in [SECOND, THIRD] {
        bench.file_system(bytes.clone(), None);
    }
    bench.change_file_system(SECOND.start, |found| found.fsck = Err(ErrorKind::Corrupt));
    assert!(refusal(&capture(&bench)[0]).contains("partition 2"));
    bench.assert_tidy();
}
