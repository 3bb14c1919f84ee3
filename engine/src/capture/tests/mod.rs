//! Whole captures on a board in memory: one or several partitions, with and without sanitising, hooks, plans.

// The drive of a test is a directory on this host.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)]

mod bench;
mod beside;
mod failures;
mod image_reader;
mod remains;
mod resume;
mod sanitising;
mod several;

use super::{Item, plan, run};
use crate::formats::codec::{self, Compression, Limits};
use crate::formats::digest::{Algorithm, Digest};
use crate::formats::sidecar;
use crate::formats::tar::{EntryKind, Reader, ReaderLimits};
use crate::report::{Done, End, Outcome};
use bench::{Bench, medium, names};
use replicator_hal::{Compute, FsckOutcome};
use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::ops::Range;
use std::os::unix::fs as unix;
use std::path::Path;

const MIB: u64 = 1 << 20;
/// The only partition of a medium with one.
const SINGLE: Range<u64> = MIB..4 * MIB;

fn capture(bench: &Bench) -> Vec<Outcome> {
    let items = plan(&bench.context()).unwrap();
    run(&bench.context(), items).unchecked()
}

fn done(outcome: &Outcome) -> &Done {
    match &outcome.end {
        End::Done(done) => done,
        other => panic!("{}: {other:?}", outcome.medium),
    }
}

/// Makes a small root file system.
fn fill_rootfs(tree: &Path) {
    for directory in ["etc", "usr/bin", "var/log"] {
        fs::create_dir_all(tree.join(directory)).unwrap();
    }
    unix::symlink("usr/bin", tree.join("bin")).unwrap();
    fs::write(tree.join("etc/hostname"), "board\n").unwrap();
    fs::write(tree.join("usr/bin/tool"), vec![7; 100_000]).unwrap();
    fs::hard_link(tree.join("usr/bin/tool"), tree.join("usr/bin/tool-2")).unwrap();
    fs::write(tree.join("var/log/syslog"), "it was me\n").unwrap();
    let sparse = fs::File::create(tree.join("usr/sparse")).unwrap();
    sparse.set_len(10 * MIB).unwrap();
}

fn decode(compression: Compression, content: &[u8]) -> Vec<u8> {
    let mut input = content;
    let mut decoded = Vec::new();
    codec::decoder(compression, &mut input, Compute::Inline, Limits::default())
        .unwrap()
        .read_to_end(&mut decoded)
        .unwrap();
    decoded
}

/// The files of an archive with their data.
fn entries(archive: &[u8]) -> BTreeMap<String, (EntryKind, Vec<u8>)> {
    let mut reader = Reader::new(archive, ReaderLimits::default());
    let mut found = BTreeMap::new();
    while let Some(entry) = reader.next_entry().unwrap() {
        let mut content = Vec::new();
        let mut buffer = [0; 4096];
        while let Some((_, len)) = reader.read_data(&mut buffer).unwrap() {
            content.extend_from_slice(&buffer[..len]);
        }
        found.insert(entry.path.to_string(), (entry.kind, content));
    }
    found
}

fn assert_sidecar(bench: &Bench, name: &str, content: &[u8]) {
    let digest = sidecar::parse(&bench.read(&format!("{name}.md5")), Algorithm::Md5, &[name]).unwrap().digest;
    assert_eq!(digest, Digest::of(Algorithm::Md5, content), "{name}");
}

#[test]
fn one_partition_becomes_a_tarball_of_its_files() {
    let mut bench = Bench::new();
    bench.insert("sd", medium(4 * MIB as usize, &[SINGLE]));
    let before = bench.source("sd");
    let tree = bench.file_system(SINGLE, Some(vec![0..MIB]));
    fill_rootfs(&tree);
    let outcomes = capture(&bench);
    let done = done(&outcomes[0]);
    assert_eq!(done.notes, ["partition 1, ext4: sanitised"]);
    assert_eq!(outcomes[0].image.as_deref(), Some("sdimage.tar.xz"));
    assert_eq!(
        bench.root_names(),
        ["sdimage.source", "sdimage.tar.index", "sdimage.tar.md5", "sdimage.tar.xz", "sdimage.tar.xz.md5"]
    );
    let packed = bench.read("sdimage.tar.xz");
    let archive = decode(Compression::Xz, &packed);
    assert_eq!(done.file_len_bytes, packed.len() as u64);
    assert_eq!(done.content_len_bytes, archive.len() as u64);
    assert_sidecar(&bench, "sdimage.tar.xz", &packed);
    assert_sidecar(&bench, "sdimage.tar", &archive);
    let entries = entries(&archive);
    assert_eq!(entries["etc/hostname"].1, b"board\n");
    assert!(
        matches!(&entries["usr/bin/tool-2"].0, EntryKind::HardLink { existing } if existing.to_string() == "usr/bin/tool")
    );
    assert!(matches!(&entries["bin"].0, EntryKind::Symlink { text } if text == b"usr/bin"));
    assert!(
        matches!(&entries["usr/sparse"].0, EntryKind::File { len_bytes, data } if *len_bytes == 10 * MIB && data.is_empty())
    );
    assert!(!entries.contains_key("var/log/syslog"), "logs are removed");
    let version = String::from_utf8(entries["root.version-cust"].1.clone()).unwrap();
    assert_eq!(version, "2026-01-02T03:04:05Z\n", "the date alone");
    assert_list(&entries);
    assert_eq!(bench.source("sd"), before);
    bench.assert_tidy();
}

/// The list has the digest of every regular file under each of its names, also of holes, and not of itself.
fn assert_list(entries: &BTreeMap<String, (EntryKind, Vec<u8>)>) {
    let digest_of = |name: &str| match &entries[name] {
        (EntryKind::HardLink { existing }, _) => {
            Some(Digest::of(Algorithm::Md5, &entries[&existing.to_string()].1))
        }
        (EntryKind::File { len_bytes, .. }, content) if content.is_empty() => {
            Some(Digest::of(Algorithm::Md5, &vec![0; usize::try_from(*len_bytes).unwrap()]))
        }
        (EntryKind::File { .. }, content) => Some(Digest::of(Algorithm::Md5, content)),
        _ => None,
    };
    let wanted: Vec<String> = entries
        .keys()
        .filter(|name| *name != "md5sums.txt")
        .filter_map(|name| digest_of(name).map(|digest| format!("{digest}  ./{name}")))
        .collect();
    let list = String::from_utf8(entries["md5sums.txt"].1.clone()).unwrap();
    let mut found: Vec<&str> = list.lines().collect();
    found.sort_by_key(|line| line.split("  ").nth(1));
    assert_eq!(found, wanted);
    assert!(list.contains("./usr/bin/tool-2\n") && list.contains("./usr/sparse\n"), "{list}");
}

#[test]
fn a_list_of_digests_that_is_longer_than_a_chunk_is_complete() {
    let mut bench = Bench::new();
    bench.tuning.chunk_len_bytes = 150;
    bench.insert("sd", medium(4 * MIB as usize, &[SINGLE]));
    let tree = bench.file_system(SINGLE, Some(vec![0..MIB]));
    fill_rootfs(&tree);
    for number in 0..50 {
        fs::write(tree.join(format!("etc/setting-{number}")), number.to_string()).unwrap();
    }
    done(&capture(&bench)[0]);
    let entries = entries(&decode(Compression::Xz, &bench.read("sdimage.tar.xz")));
    assert!(entries["md5sums.txt"].1.len() > 2000);
    assert_list(&entries);
    bench.assert_tidy();
}

#[test]
fn the_list_of_an_older_capture_is_replaced_and_the_new_one_comes_last() {
    let mut bench = Bench::new();
    bench.insert("sd", medium(4 * MIB as usize, &[SINGLE]));
    let tree = bench.file_system(SINGLE, Some(vec![0..MIB]));
    fill_rootfs(&tree);
    fs::write(tree.join("md5sums.txt"), "old\n").unwrap();
    done(&capture(&bench)[0]);
    let archive = decode(Compression::Xz, &bench.read("sdimage.tar.xz"));
    let mut reader = Reader::new(&archive[..], ReaderLimits::default());
    let mut names = Vec::new();
    while let Some(entry) = reader.next_entry().unwrap() {
        names.push(entry.path.to_string());
    }
    assert_eq!(names.iter().filter(|name| *name == "md5sums.txt").count(), 1);
    assert_eq!(names.last().map(String::as_str), Some("md5sums.txt"));
    assert_list(&entries(&archive));
}

#[test]
fn several_partitions_become_a_disk_image_without_unused_bytes() {
    let mut bench = Bench::new();
    let (data, root) = (MIB..2 * MIB, 2 * MIB..4 * MIB);
    let mut content = medium(4 * MIB as usize, &[data, root.clone()]);
    content[446 + 4] = 0xda;
    bench.insert("emmc", content);
    let tree = bench.file_system(root.clone(), Some(vec![0..100_000, 300_000..MIB]));
    fill_rootfs(&tree);
    bench.change_file_system(root.start, |found| {
        found.len_bytes = MIB + 4096;
        found.fsck = Ok(FsckOutcome::Repaired);
    });
    let outcomes = capture(&bench);
    assert_eq!(
        done(&outcomes[0]).notes,
        [
            "file system of partition 2 repaired",
            "partition 2, ext4: sanitised",
            "partition 1, no known file system: captured as it is",
        ]
    );
    let packed = bench.read("emmcimage.dd.xz");
    let image = decode(Compression::Xz, &packed);
    let mut expected = bench.source("emmc");
    let base = root.start as usize;
    expected[base + 100_000..base + 300_000].fill(0);
    // The file system ends here; of the bytes behind its end nothing is proven.
    expected[base + MIB as usize..base + MIB as usize + 4096].fill(0);
    assert!(image == expected, "the image is the medium with zeros in place of unused blocks");
    assert_sidecar(&bench, "emmcimage.dd", &image);
    assert_sidecar(&bench, "emmcimage.dd.xz", &packed);
    assert!(!tree.join("var/log/syslog").exists());
    bench.assert_tidy();
}

#[test]
fn a_blank_medium_and_one_without_rootfs_are_captured_as_they_are() {
    let mut bench = Bench::new();
    bench.insert("sd", vec![0; 3 * MIB as usize]);
    let mut second = medium(2 * MIB as usize, &[]);
    second[510] = 0;
    bench.insert("sd1", second.clone());
    bench.options.compress = crate::options::CaptureCompression::None;
    let outcomes = capture(&bench);
    for outcome in &outcomes {
        assert_eq!(done(outcome).notes, ["no Linux rootfs found: not sanitised"]);
    }
    assert_eq!(
        bench.root_names(),
        [
            "sd1image.dd",
            "sd1image.dd.bmap",
            "sd1image.dd.md5",
            "sd1image.source",
            "sdimage.dd",
            "sdimage.dd.bmap",
            "sdimage.dd.md5",
            "sdimage.source"
        ]
    );
    assert!(bench.read("sdimage.dd") == vec![0; 3 * MIB as usize]);
    assert!(bench.read("sd1image.dd") == second);
    assert_sidecar(&bench, "sd1image.dd", &second);
    bench.assert_tidy();
}

#[test]
fn without_sanitising_the_files_stay_as_they_are() {
    let mut bench = Bench::new();
    bench.insert("sd", medium(4 * MIB as usize, &[SINGLE]));
    let tree = bench.file_system(SINGLE, Some(vec![0..4096]));
    fill_rootfs(&tree);
    let before = names(&tree);
    bench.options.settings.capture.sanitise = false;
    let outcomes = capture(&bench);
    assert_eq!(done(&outcomes[0]).notes, ["not sanitised, because sanitise = false is set"]);
    assert_eq!(names(&tree), before);
    let entries = entries(&decode(Compression::Xz, &bench.read("sdimage.tar.xz")));
    assert!(entries.contains_key("var/log/syslog"));
}

#[test]
fn free_space_that_cannot_be_proven_is_filled_with_zeros() {
    let mut bench = Bench::new();
    bench.insert("sd", medium(4 * MIB as usize, &[SINGLE]));
    let tree = bench.file_system(SINGLE, None);
    fill_rootfs(&tree);
    // The directory could fill the whole disk of the host, so making the first file must fail.
    fs::create_dir(tree.join(".replicator-zeros-0")).unwrap();
    let outcomes = capture(&bench);
    let End::Failed(error) = &outcomes[0].end else { panic!("{:?}", outcomes[0].end) };
    assert_eq!(error.code(), "E-ISDIR", "{error}");
    assert_eq!(bench.root_names(), [".capture"]);
    bench.assert_tidy();
}

#[test]
fn hooks_run_on_the_image_and_a_failed_hook_fails_the_capture() {
    for (status, succeeds) in [(Some(0), true), (Some(3), false), (None, false)] {
        let mut bench = Bench::new();
        bench.insert("sd", medium(4 * MIB as usize, &[SINGLE]));
        let tree = bench.file_system(SINGLE, Some(vec![0..4096]));
        fill_rootfs(&tree);
        fs::write(bench.drive_path.join("sanitise-after"), "#!/bin/sh\n").unwrap();
        *bench.world.hook_status.lock().unwrap() = status;
        let outcomes = capture(&bench);
        assert_eq!(matches!(outcomes[0].end, End::Done(_)), succeeds, "{:?}", outcomes[0].end);
        let hooks = bench.world.hooks.lock().unwrap();
        assert_eq!(hooks.len(), 1);
        assert_eq!(hooks[0].program.to_string(), "sanitise-after");
        assert_ne!(hooks[0].tree, hooks[0].program_volume);
        assert!(hooks[0].environment.contains(&("REPLICATOR_MEDIUM".into(), "sd".into())));
        if let End::Failed(error) = &outcomes[0].end {
            assert_eq!(error.code(), "S-RULE");
        }
    }
}

#[test]
fn a_plan_only_reads() {
    let mut bench = Bench::new();
    bench.insert("sd", vec![1; 4096]);
    bench.insert("emmc", vec![1; 4096]);
    bench.insert("sata", vec![1; 4096]);
    bench.media[1].device = None;
    bench.options.skip_capture.insert("sata".into());
    let items = plan(&bench.context()).unwrap();
    let skips: Vec<_> = items.iter().map(|item: &Item| item.skip.as_deref()).collect();
    assert_eq!(skips, [None, Some("no medium inserted"), Some("an option excludes it")]);
    assert!(bench.root_names().is_empty());
    bench.media.remove(0);
    assert_eq!(plan(&bench.context()).unwrap_err().code(), "R-NOTHING");
    bench.assert_tidy();
}

#[test]
fn a_medium_in_use_is_refused() {
    let mut bench = Bench::new();
    bench.insert("sd", vec![1; 4096]);
    if let Some(device) = &mut bench.media[0].device {
        device.in_use = Some("mounted at /".into());
    }
    assert_eq!(plan(&bench.context()).unwrap_err().code(), "R-BUSY");
}
