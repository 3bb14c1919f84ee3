//! Images that were packed with common tools and not by the replicator.

use super::devices::{Medium, Mount};
use super::replicator::{Board, make_drive};
use super::stage::Stage;
use super::tools::{run, shell};
use super::{rootfs, tree, zoo};
use std::path::Path;

const MIB: u64 = 1 << 20;

/// Compressors and their extensions.
const PACKERS: [(&str, &str); 5] =
    [("xz -0", ".xz"), ("gzip -1", ".gz"), ("bzip2 -1", ".bz2"), ("zstd -q -1", ".zst"), ("cat", "")];

/// A small golden medium with one partition.
fn golden(stage: &Stage) -> Medium {
    let golden = Medium::partitioned(
        &stage.path("golden-medium"),
        96 * MIB,
        "label: dos\nstart=4MiB, type=83, bootable",
    );
    run("mkfs.ext4", ["-q".as_ref(), "-b4096".as_ref(), golden.partition(1).as_os_str()]);
    let mount = Mount::new(&golden.partition(1), &stage.path("golden"));
    rootfs::small(&mount.path, 2 << 20);
    zoo::make(&mount.path.join("opt"));
    drop(mount);
    golden
}

#[test]
fn tarballs_of_gnu_tar_are_written_completely() {
    let Some(stage) = Stage::new() else { return };
    let golden = golden(&stage);
    for (packer, extension) in PACKERS {
        let drive = make_drive(&stage.path("drive"), 192 * MIB);
        let files = Mount::new(&drive.device, &stage.path("drive-files"));
        let mount = Mount::read_only(&golden.partition(1), &stage.path("golden"));
        let image = files.path.join(format!("emmcimage.tar{extension}"));
        // POSIX.1-2001 headers keep nanoseconds; sparse members are the most complex ones.
        let line = format!(
            "tar --format=posix --sparse --numeric-owner --xattrs --xattrs-include='*' --acls \
             --exclude=./lost+found -C \"$1\" -cf - . | {packer} > \"$2\""
        );
        shell(&line, [&mount.path, &image]);
        let wanted = tree::read(&mount.path);
        drop((files, mount));

        let mut medium = Medium::used(&stage.path("medium"), 128 * MIB);
        let board = Board { stage: &stage, drive: &drive, media: vec![("emmc", &medium)] };
        board.run().assert_success();
        medium.show_partitions();
        run("e2fsck", ["-fn".as_ref(), medium.partition(1).as_os_str()]);
        let mount = Mount::read_only(&medium.partition(1), &stage.path("clone"));
        let differences = tree::differences(&wanted, &tree::read(&mount.path));
        assert!(differences.is_empty(), "{packer}: {}", differences.join("\n"));
    }
}

#[test]
fn disk_images_of_any_compressor_are_written_completely() {
    let Some(stage) = Stage::new() else { return };
    let golden = golden(&stage);
    golden.flush();
    for (packer, extension) in PACKERS {
        let drive = make_drive(&stage.path("drive"), 192 * MIB);
        let files = Mount::new(&drive.device, &stage.path("drive-files"));
        let image = files.path.join(format!("sdimage.dd{extension}"));
        shell(&format!("dd if=\"$1\" bs=1M status=none | {packer} > \"$2\""), [&golden.file, &image]);
        shell(
            "cd \"$1\" && md5sum \"$2\" > \"$2.md5\"",
            [files.path.as_os_str(), image.file_name().unwrap()],
        );
        drop(files);

        let medium = Medium::used(&stage.path("medium"), 100 * MIB);
        let board = Board { stage: &stage, drive: &drive, media: vec![("sd", &medium)] };
        board.run().assert_success();
        assert_same_start(&golden.file, &medium);
    }
}

/// Asserts that the medium starts with the bytes of the image.
fn assert_same_start(image: &Path, medium: &Medium) {
    medium.flush();
    shell("cmp -n \"$(stat -c %s \"$1\")\" \"$1\" \"$2\"", [image, &medium.file]);
}
