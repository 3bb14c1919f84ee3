//! Calls and bytes of the main jobs, step by step and device by device, as snapshots: a change that reads or writes more
//! fails by a number, on every machine.
//!
//! A number that shrinks, or grows for a reason, is accepted by
//! `INSTA_UPDATE=always cargo test -p replicator-sim --test costs`; the difference of the snapshots is the review. Compressed
//! lengths depend on the versions of the codecs. Memory is held by `engine/tests/peak_memory.rs`.

// Helpers are test code, but not inside of a test function.
#![allow(clippy::unwrap_used)]

use replicator_hal::Status;
use replicator_sim::run::{boots, costs};
use replicator_sim::scenario::builtin;
use replicator_sim::scenario::schema::Scenario;

/// Runs a scenario, which must end in success, and compares its costs with the snapshot of its name.
fn hold(name: &str, text: &str) {
    let scenario = Scenario::parse(text, name).unwrap();
    let evidence = boots::run(name, &scenario).unwrap();
    assert_eq!(evidence.last().status(), Some(Status::Success), "{name} did not succeed");
    insta::assert_snapshot!(name, costs::table(&costs::costs(&evidence)));
}

fn built_in(name: &str) {
    hold(name, builtin::find(name).unwrap());
}

/// A test per scenario, so that one run shows all that changed.
macro_rules! built_in {
    ($($test:ident = $name:literal;)*) => {$(
        #[test]
        fn $test() {
            built_in($name);
        }
    )*};
}

built_in! {
    capture_of_one_partition_to_a_tarball = "capture-single-partition-sd";
    capture_of_several_partitions_to_a_disk_image = "capture-multi-partition-emmc";
    capture_that_overwrites_removed_data_in_every_partition = "capture-removed-bytes-everywhere";
    capture_of_three_media = "capture-three-media";
    own_images_are_written_after_their_capture = "capture-then-write-new-unit";
    write_of_a_tarball = "write-tar-xz";
    write_of_many_small_files = "write-tarball-many-files";
    write_of_a_foreign_disk_image_in_one_xz_block = "write-dd-xz";
    write_of_a_gzip_disk_image = "write-dd-gz";
    write_of_a_zstd_disk_image = "write-dd-zst";
    write_to_a_medium_that_reads_as_zeros_after_a_discard = "write-discard-reads-zeros";
    write_with_a_block_map = "write-map";
    write_of_three_media_in_parallel = "write-three-media-in-parallel";
    firmware_and_a_medium = "firmware-everything-at-once";
}

#[test]
fn capture_of_many_small_files() {
    let text = r#"
about = "A root file system with many small files is captured."
[drive]
len = "24 MiB"
[media.sd]
len = "8 MiB"
[[media.sd.partition]]
holds = "rootfs"
start = "4 MiB"
[[media.sd.partition.file]]
path = "usr/lib/small-"
len = "1 KiB"
count = 500
[expect]
status = "success"
"#;
    hold("capture-many-small-files", text);
}

#[test]
fn capture_of_a_medium_that_is_mostly_unused() {
    let text = r#"
about = "A medium of which a small part is used is captured."
[drive]
len = "48 MiB"
[media.emmc]
len = "40 MiB"
content = "boot-and-root"
[expect]
status = "success"
"#;
    hold("capture-mostly-unused", text);
}

#[test]
fn write_of_a_disk_image_that_is_mostly_zeros() {
    let text = r#"
about = "A disk image of which a small part is not zeros is written."
[[drive.file]]
name = "sdimage.dd.xz"
image = "boot-and-root"
image_len = "40 MiB"
[media.sd]
len = "48 MiB"
content = "stamped"
[expect]
status = "success"
"#;
    hold("write-mostly-zeros", text);
}
