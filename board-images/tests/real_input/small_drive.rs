//! A drive that holds the working image of a root file system or its tarball, but not both.

use super::devices::{Medium, Mount};
use super::replicator::{Board, make_drive};
use super::rootfs;
use super::stage::Stage;
use super::tools::{run, shell};
use std::fs;

const MIB: u64 = 1 << 20;
const MEDIUM_LEN_BYTES: u64 = 256 * MIB;
/// Half of it in one file, half of it in small ones.
const CONTENT_LEN_BYTES: u64 = 96 * MIB;
/// More than the content, and less than twice of it.
const DRIVE_LEN_BYTES: u64 = 144 * MIB;

/// A medium with one partition with a root file system of files that do not compress. Some have two names, holes, or blocks
/// that were allocated in advance.
fn golden(stage: &Stage, flavour: &str) -> Medium {
    let mut golden = Medium::partitioned(
        &stage.path("golden-medium"),
        MEDIUM_LEN_BYTES,
        "label: dos\nstart=1MiB, type=83",
    );
    let device = golden.partition(1);
    run(flavour, ["-q".as_ref(), "-F".as_ref(), device.as_os_str()]);
    let mount = Mount::new(&device, &stage.path("golden"));
    rootfs::small(&mount.path, CONTENT_LEN_BYTES / 2);
    let script = "cd \"$1\" && mkdir usr/lib var/lib && for n in $(seq 512); do head -c 90000 /dev/urandom > usr/lib/$n; done \
                  && ln usr/lib/7 var/lib/second-name && ln usr/ballast var/lib/second-ballast \
                  && dd if=/dev/urandom of=var/lib/holes bs=64k count=8 seek=100 status=none \
                  && dd if=/dev/urandom of=var/lib/holes bs=64k count=1 seek=3 conv=notrunc status=none \
                  && { fallocate -l 2M var/lib/reserved || head -c 2M /dev/zero > var/lib/reserved; } \
                  && printf text | dd of=var/lib/reserved conv=notrunc bs=1 seek=1000000 status=none && truncate -s 64M var/lib/empty";
    shell(script, [mount.path.as_os_str()]);
    drop(mount);
    golden.hide_partitions();
    golden
}

/// The md5 of every file below `usr` and `var/lib`, in the root file system of `medium`, which is sound.
fn content(stage: &Stage, medium: &mut Medium) -> String {
    medium.show_partitions();
    run("e2fsck", ["-f".as_ref(), "-n".as_ref(), medium.partition(1).as_os_str()]);
    let mount = Mount::read_only(&medium.partition(1), &stage.path("look"));
    let sums = shell(
        "cd \"$1\" && find usr var/lib -type f | sort | xargs md5sum && stat -c %h usr/lib/7",
        [mount.path.as_os_str()],
    );
    drop(mount);
    medium.hide_partitions();
    sums
}

fn captured_and_written(flavour: &str) {
    let Some(stage) = Stage::new() else { return };
    let mut golden = golden(&stage, flavour);
    let wanted = content(&stage, &mut golden);
    let drive = make_drive(&stage.path("drive"), DRIVE_LEN_BYTES);
    let files = Mount::new(&drive.device, &stage.path("drive-files"));
    fs::write(files.path.join("replicator.toml"), "[capture]\ncompress = \"none\"\n").unwrap();
    drop(files);
    let board = Board { stage: &stage, drive: &drive, media: vec![("sd", &golden)] };
    board.run().assert_success();
    let log = fs::read_to_string(stage.path("logs/sd-capture")).unwrap();
    assert!(log.contains("of the working image were given back to the drive"), "{log}");
    let mut clone = Medium::used(&stage.path("clone"), MEDIUM_LEN_BYTES);
    let board = Board { stage: &stage, drive: &drive, media: vec![("sd", &clone)] };
    board.run().assert_success();
    assert_eq!(content(&stage, &mut clone), wanted);
}

#[test]
fn a_root_file_system_is_captured_to_a_drive_without_room_for_it_twice() {
    captured_and_written("mkfs.ext4");
}

#[test]
fn files_without_extents_are_given_back_too() {
    captured_and_written("mkfs.ext3");
}
