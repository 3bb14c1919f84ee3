//! A run fits into the memory of a small board, however many cores it has.

use super::devices::{Medium, Mount};
use super::memory_group::MemoryGroup;
use super::replicator::{Board, make_drive};
use super::rootfs;
use super::stage::{Stage, skip};
use super::tools::{run, shell};
use std::fs;

const MIB: u64 = 1 << 20;
/// What the kernel leaves of 64 MiB counts too: page cache and slabs of the run are in the group.
const LIMIT_BYTES: u64 = 64 * MIB;
const MEDIUM_LEN_BYTES: u64 = 128 * MIB;
/// More than 16 workers would have in hand.
const CONTENT_LEN_BYTES: u64 = 72 * MIB;

/// A medium with two partitions, one of them with a root file system of half random and half repeated bytes.
fn golden(stage: &Stage) -> Medium {
    let table = "label: dos\nstart=1MiB, size=1MiB, type=c\nstart=4MiB, type=83";
    let mut golden = Medium::partitioned(&stage.path("golden-medium"), MEDIUM_LEN_BYTES, table);
    run("mkfs.ext4", ["-q".as_ref(), "-F".as_ref(), golden.partition(2).as_os_str()]);
    let mount = Mount::new(&golden.partition(2), &stage.path("golden"));
    rootfs::small(&mount.path, CONTENT_LEN_BYTES / 2);
    let line = "a line that compresses\n";
    fs::write(mount.path.join("usr/text"), line.repeat(CONTENT_LEN_BYTES as usize / 2 / line.len())).unwrap();
    drop(mount);
    golden.hide_partitions();
    golden
}

fn set_up(stage: &Stage, drive: &Medium, settings: &str) {
    let files = Mount::new(&drive.device, &stage.path("drive-files"));
    fs::write(files.path.join("replicator.toml"), settings).unwrap();
}

/// The md5 of the files in the root file system of `medium`.
fn content(stage: &Stage, medium: &mut Medium) -> String {
    medium.show_partitions();
    let mount = Mount::read_only(&medium.partition(2), &stage.path("look"));
    let sums = shell("cd \"$1\" && md5sum usr/ballast usr/text", [mount.path.as_os_str()]);
    drop(mount);
    medium.hide_partitions();
    sums
}

#[test]
fn a_disk_is_captured_and_written_in_64_mib_on_1_to_16_cores() {
    let Some(stage) = Stage::new() else { return };
    let group = match MemoryGroup::new(LIMIT_BYTES) {
        Ok(group) => group,
        Err(why) => return skip(&why),
    };
    let mut golden = golden(&stage);
    let wanted = content(&stage, &mut golden);
    for (threads, compress) in [(1, "xz"), (2, "zstd"), (4, "xz"), (16, "zstd"), (16, "xz")] {
        let drive = make_drive(&stage.path("drive"), 512 * MIB);
        let settings = format!("[capture]\ncompress = \"{compress}\"\n[limits]\nthreads = {threads}\n");
        set_up(&stage, &drive, &settings);
        let board = Board { stage: &stage, drive: &drive, media: vec![("sd", &golden)] };
        board.run_with_memory(&group).assert_success();
        let mut clone = Medium::used(&stage.path("clone"), MEDIUM_LEN_BYTES);
        let board = Board { stage: &stage, drive: &drive, media: vec![("sd", &clone)] };
        board.run_with_memory(&group).assert_success();
        assert_eq!(content(&stage, &mut clone), wanted, "{threads} threads, {compress}");
        let log = fs::read_to_string(stage.path("logs/start")).unwrap();
        assert!(log.contains("memory for workers and buffers: 24"), "{log}");
    }
}
