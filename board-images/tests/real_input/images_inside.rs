//! File systems inside of the partitions of an image, also of logical ones: a truncated one is refused before anything is erased,
//! with any compression. If only decoding the whole image can show it, the medium gets no partition table.

use super::archives::Bench;
use super::stage::Stage;
use super::tools::{partition, run, shell};
use std::path::PathBuf;

/// Packs, with the ending of each.
const PACKERS: [(&str, &str); 6] = [
    ("sdimage.dd", "cat"),
    ("sdimage.dd.xz", "xz -0 --block-size=1MiB"),
    ("sdimage.dd.xz", "xz -0"),
    ("sdimage.dd.gz", "gzip -1"),
    ("sdimage.dd.zst", "zstd -q -1"),
    // With the length in the header, because the input is not a pipe.
    ("sdimage.dd.zst", "sh -c 'cat > pipe && zstd -q -1 -f pipe -o whole && cat whole'"),
];

/// An image of `len` with this table and an ext4 file system of 20 MiB at `start`.
fn image(stage: &Stage, name: &str, len: &str, table: &str, start: &str) -> PathBuf {
    let path = stage.path(name);
    shell("rm -f \"$1\" && truncate -s \"$2\" \"$1\"", [path.to_str().unwrap(), len]);
    partition(&path, table);
    let file_system = stage.path("file-system");
    shell("truncate -s 20M \"$1\" && mkfs.ext4 -q -F \"$1\"", [&file_system]);
    let line = "dd if=\"$1\" of=\"$2\" bs=1M seek=\"$3\" conv=notrunc status=none";
    shell(line, [file_system.as_os_str(), path.as_os_str(), start.as_ref()]);
    path
}

const LOGICAL: &str = "label: dos\nstart=1MiB, size=1MiB, type=c\nstart=2MiB, size=26MiB, type=5\nstart=4MiB, size=20MiB, type=83\nstart=25MiB, size=2MiB, type=83";

#[test]
fn a_truncated_file_system_is_refused_with_any_compression() {
    let Some(stage) = Stage::new() else { return };
    let bench = Bench::new(&stage);
    let before = bench.medium.fingerprint();
    let second = image(
        &stage,
        "second",
        "32M",
        "label: gpt\nstart=1MiB, size=2MiB\nstart=8MiB, size=16MiB, type=L",
        "8",
    );
    let logical = image(&stage, "logical", "32M", LOGICAL, "4");
    shell("printf 'size=16MiB' | sfdisk -q -N 5 \"$1\"", [&logical]);
    // The second logical partition becomes 16 MiB long, longer than its container and the image.
    let past = image(&stage, "past", "32M", LOGICAL, "4");
    let record = shell("sfdisk -d \"$1\" | sed -n 's/.*start= *\\([0-9]*\\).*/\\1/p' | tail -1", [&past]);
    assert_eq!(record.trim(), (25 * 2048).to_string());
    shell(
        "at=$(grep -abo $'\\x83' \"$1\" | cut -d: -f1 | while read -r at; do [ $((at % 512)) = 450 ] && echo $at; done | tail -1); \
         printf '\\0\\x80\\0\\0' | dd of=\"$1\" bs=1 seek=$((at + 8)) conv=notrunc status=none",
        [&past],
    );
    for (image, words) in [
        (
            &second,
            "partition 2 has 16.0 MiB (16777216 bytes), but its ext4 file system 20.0 MiB (20971520 bytes)",
        ),
        (
            &logical,
            "partition 5 has 16.0 MiB (16777216 bytes), but its ext4 file system 20.0 MiB (20971520 bytes)",
        ),
        (&past, "its partition 6 ends at byte 42991616"),
    ] {
        for (name, packer) in PACKERS {
            bench.pack(name, &format!("cd \"${{1%/*}}\"; {packer} < \"$1\" > \"$2\""), &[image]);
            let run = bench.board().run();
            run.assert_failure("R-CUT");
            assert!(run.console.contains(words), "{packer}: {words:?} is not in {}", run.console);
            assert_eq!(bench.medium.fingerprint(), before, "{packer}: {words}");
        }
    }
}

#[test]
fn logical_partitions_are_written_completely() {
    let Some(stage) = Stage::new() else { return };
    let bench = Bench::new(&stage);
    let logical = image(&stage, "logical", "32M", LOGICAL, "4");
    for (name, packer) in PACKERS {
        bench.pack(name, &format!("cd \"${{1%/*}}\"; {packer} < \"$1\" > \"$2\""), &[&logical]);
        bench.board().run().assert_success();
        bench.medium.flush();
        run("cmp", ["-n", "33554432", logical.to_str().unwrap(), bench.medium.file.to_str().unwrap()]);
    }
}

#[test]
fn an_error_that_only_decoding_shows_leaves_no_table() {
    let Some(stage) = Stage::new() else { return };
    let bench = Bench::with_medium(&stage, 160 << 20);
    let far = image(
        &stage,
        "far",
        "128M",
        "label: dos\nstart=1MiB, size=2MiB, type=c\nstart=96MiB, size=16MiB, type=83",
        "96",
    );
    let line = "zstd -q -1 -f \"$1\" -o \"$2\"";
    bench.pack("sdimage.dd.zst", line, &[&far]);
    let failed = bench.board().run();
    failed.assert_failure("V-IMAGE");
    assert!(failed.console.contains("partition 2 has 16.0 MiB (16777216 bytes)"), "{}", failed.console);
    bench.medium.flush();
    shell("cmp -n 1048576 \"$1\" /dev/zero", [&bench.medium.file]);
    // The image is valid if the partition is large enough.
    shell("printf 'size=20MiB' | sfdisk -q -N 2 \"$1\"", [&far]);
    bench.pack("sdimage.dd.zst", line, &[&far]);
    bench.board().run().assert_success();
    bench.medium.flush();
    run("cmp", ["-n", "134217728", far.to_str().unwrap(), bench.medium.file.to_str().unwrap()]);
}
