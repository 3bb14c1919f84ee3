//! Files that are not disk images, truncated disk images, and disk images for another medium: refused before anything is erased,
//! or adapted to the medium.

use super::devices::Medium;
use super::devices::Mount;
use super::replicator::{Board, Run, make_drive};
use super::stage::Stage;
use super::tools::{partition, run, shell};
use std::path::{Path, PathBuf};

const MIB: u64 = 1 << 20;

/// A stage with images of 32 MiB that tests use as they are, truncate or pack: `mbr`, `gpt`, `ext4`, `fat`.
struct Images {
    stage: Stage,
    drive: Medium,
}

impl Images {
    fn new() -> Option<Self> {
        let stage = Stage::new()?;
        let at = |name: &str| stage.path(name);
        for name in ["mbr", "gpt", "ext4", "fat", "file-system"] {
            let len = if name == "file-system" { 20 * MIB } else { 32 * MIB };
            std::fs::File::create(at(name)).unwrap().set_len(len).unwrap();
        }
        // Fill it with data other than zeros.
        shell(
            "mkfs.ext4 -q -F \"$1\" && mkfs.ext4 -q -F \"$2\" && mkfs.vfat \"$3\"",
            [at("file-system"), at("ext4"), at("fat")],
        );
        partition(
            &at("mbr"),
            "label: dos\nstart=2MiB, size=1MiB, type=c\nstart=4MiB, size=20MiB, type=83, bootable",
        );
        partition(&at("gpt"), "label: gpt\nstart=4MiB, size=20MiB, type=L, name=rootfs");
        for name in ["mbr", "gpt"] {
            shell(
                "dd if=\"$1\" of=\"$2\" bs=1M seek=4 conv=notrunc status=none",
                [at("file-system"), at(name)],
            );
        }
        let drive = make_drive(&stage.path("drive"), 160 * MIB);
        Some(Self { stage, drive })
    }

    /// Puts an image on the drive. The shell line writes it to `$1`; its working directory is the stage.
    fn put(&self, name: &str, line: &str, settings: &str) {
        let files = Mount::new(&self.drive.device, &self.stage.path("drive-files"));
        shell("rm -f \"$1\"/*image* \"$1\"/replicator.toml", [&files.path]);
        if !settings.is_empty() {
            std::fs::write(files.path.join("replicator.toml"), settings).unwrap();
        }
        let image = files.path.join(name);
        shell(&format!("cd \"$2\"; {line}"), [image.as_path(), self.stage.path("").as_path()]);
    }

    #[track_caller]
    fn write(&self, medium: &Medium) -> Run {
        let board = Board { stage: &self.stage, drive: &self.drive, media: vec![("sd", medium)] };
        board.run()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.stage.path(name)
    }
}

#[test]
fn a_file_that_is_not_a_complete_disk_image_never_changes_the_medium() {
    let Some(images) = Images::new() else { return };
    let medium = Medium::used(&images.path("medium"), 40 * MIB);
    let before = medium.fingerprint();
    let page = "(echo '<!DOCTYPE html><html><title>Sign in</title>'; yes '<p>Please log in</p>' | head -c 40000 || true)";
    let web_page = format!("{page} > \"$1\"");
    let packed_page = format!("{page} | gzip > \"$1\"");
    let cases = [
        ("sdimage.dd", &*web_page, "R-NOIMAGE", "web page"),
        ("sdimage.dd.gz", &packed_page, "R-NOIMAGE", "web page"),
        ("sdimage.dd.xz", &*web_page, "R-CONTENT", "web page"),
        ("sdimage.dd", "zip -q x.zip mbr; mv x.zip \"$1\"; truncate -s %512 \"$1\"", "R-NOIMAGE", "unzip"),
        ("sdimage.dd", "bsdtar --format=7zip -cf \"$1\" mbr", "R-NOIMAGE", "7z"),
        ("sdimage.dd.zst", "echo mbr | cpio -o --quiet -H newc | zstd -q > \"$1\"", "R-NOIMAGE", "cpio"),
        ("sdimage.dd.xz", "tar -cf - mbr | xz -0 > \"$1\"", "R-CONTENT", "tar archive"),
        ("sdimage.dd.xz", "img2simg ext4 s; xz -0 < s > \"$1\"", "R-NOIMAGE", "simg2img"),
        ("sdimage.dd", "qemu-img convert -O qcow2 mbr \"$1\"", "R-NOIMAGE", "qemu-img convert -O raw"),
        ("sdimage.dd.gz", "qemu-img convert -O vmdk mbr v; gzip < v > \"$1\"", "R-NOIMAGE", "VMDK"),
        ("sdimage.dd", "qemu-img convert -O vdi mbr \"$1\"", "R-NOIMAGE", "VDI"),
        ("sdimage.dd", "qemu-img convert -O vhdx mbr \"$1\"", "R-NOIMAGE", "VHDX"),
        ("sdimage.dd", "qemu-img convert -O vpc mbr \"$1\"", "R-NOIMAGE", "VHD"),
        ("sdimage.dd.xz", "gzip < mbr | xz -0 > \"$1\"", "R-NOIMAGE", "compressed twice"),
        ("sdimage.dd", "xz -0 --format=lzma < mbr > \"$1\"", "R-NOIMAGE", "lzma"),
        (
            "sdimage.dd",
            "printf '\\x04\\x22\\x4d\\x18\\x64\\x40\\xa7' > \"$1\"; head -c 99999 mbr >> \"$1\"",
            "R-NOIMAGE",
            "lz4",
        ),
        ("sdimage.dd", "head -c 1M /dev/zero > \"$1\"", "R-NOIMAGE", "zeros"),
        (
            "sdimage.dd.bz2",
            "head -c 1M /dev/urandom | bzip2 > \"$1\"",
            "R-NOIMAGE",
            "neither a partition table",
        ),
        ("sdimage.dd", "cp /bin/true \"$1\"", "R-NOIMAGE", "ELF"),
        (
            "sdimage.dd",
            "head -c 2M mbr > \"$1\"; dd if=/dev/zero of=\"$1\" bs=1 seek=446 count=64 conv=notrunc status=none",
            "R-NOIMAGE",
            "without any partition",
        ),
        // Truncated by one byte, in the middle, right after the table; before and after compression.
        ("sdimage.dd", "head -c 25165823 mbr > \"$1\"", "R-CUT", "partition 2 ends at byte 25165824"),
        ("sdimage.dd", "head -c 9M mbr > \"$1\"", "R-CUT", "partition 2"),
        ("sdimage.dd", "head -c 512 mbr > \"$1\"", "R-CUT", "partition 2"),
        ("sdimage.dd", "head -c 33554431 gpt > \"$1\"", "R-CUT", "backup of its GPT ends at byte 33554432"),
        ("sdimage.dd.xz", "head -c 26M gpt | xz -0 > \"$1\"", "R-CUT", "backup of its GPT"),
        ("sdimage.dd.gz", "head -c 20M gpt | gzip -1 > \"$1\"", "R-CUT", "partition 1"),
        (
            "sdimage.dd",
            "head -c 31M ext4 > \"$1\"",
            "R-CUT",
            "ext4 file system that has 32.0 MiB (33554432 bytes)",
        ),
        ("sdimage.dd.zst", "head -c 31M fat | zstd -q > \"$1\"", "R-CUT", "vfat file system"),
        // A file system that is larger than its partition.
        (
            "sdimage.dd",
            "cp mbr \"$1\"; printf 'start=4MiB, size=16MiB, type=83' | sfdisk -q -N 2 \"$1\"",
            "R-CUT",
            "broken copy",
        ),
        (
            "sdimage.dd.gz",
            "cp mbr b; printf 'start=4MiB, size=16MiB, type=83' | sfdisk -q -N 2 b; gzip -1 < b > \"$1\"",
            "R-CUT",
            "broken copy",
        ),
    ];
    for (name, line, code, words) in cases {
        images.put(name, line, "");
        let run = images.write(&medium);
        run.assert_failure(code);
        assert!(run.console.contains(words), "{line}: {words:?} is not in {}", run.console);
        assert_eq!(medium.fingerprint(), before, "{line}");
    }
    // Written with any_content.
    images.put("sdimage.dd", "zip -q x.zip mbr; mv x.zip \"$1\"", "[write]\nany_content = true\n");
    let run = images.write(&medium);
    run.assert_success();
    assert!(run.console.contains("because of any_content"), "{}", run.console);
    assert!(std::fs::read(&medium.file).unwrap().starts_with(b"PK\x03\x04"));
}

/// Asserts that the medium starts with the bytes of `image`.
#[track_caller]
fn assert_holds(image: &Path, medium: &Medium) {
    medium.flush();
    let len = std::fs::metadata(image).unwrap().len().min(std::fs::metadata(&medium.file).unwrap().len());
    run("cmp", ["-n", &len.to_string(), image.to_str().unwrap(), medium.file.to_str().unwrap()]);
}

#[test]
fn images_without_a_table_and_hybrids_are_disk_images() {
    let Some(images) = Images::new() else { return };
    let medium = Medium::used(&images.path("medium"), 40 * MIB);
    // An ISO image of xorriso for USB sticks: one file system over the whole image, which is also the first partition of a
    // table; the second partition is a part of it.
    let hybrid = "truncate -s 32M hybrid; printf '0,65536,17,*\\n4,100,ef\\n' > entries; \
        printf '\\x01CD001\\x01' | dd of=hybrid bs=1 seek=32768 conv=notrunc status=none; \
        printf '\\x00\\x40\\0\\0' | dd of=hybrid bs=1 seek=32848 conv=notrunc status=none; \
        printf '\\x80\\0\\x01\\0\\x17\\xfe\\xff\\xff\\0\\0\\0\\0\\0\\0\\x01\\0\\0\\xfe\\xff\\xff\\xef\\xfe\\xff\\xff\\x04\\0\\0\\0\\x64\\0\\0\\0' \
        | dd of=hybrid bs=1 seek=446 conv=notrunc status=none; \
        printf '\\x55\\xaa' | dd of=hybrid bs=1 seek=510 conv=notrunc status=none; xz -0 < hybrid > \"$1\"";
    let cases = [
        ("ext4", "sdimage.dd.xz", "xz -0 < ext4 > \"$1\"", "one ext4 file system without a partition table"),
        ("fat", "sdimage.dd", "cp fat \"$1\"", "one vfat file system"),
        ("mbr", "sdimage.dd.gz", "gzip -1 < mbr > \"$1\"", "OK"),
        ("hybrid", "sdimage.dd.xz", hybrid, "OK"),
    ];
    for (image, name, line, words) in cases {
        images.put(name, line, "");
        let run = images.write(&medium);
        run.assert_success();
        assert!(run.console.contains(words), "{image}: {}", run.console);
        assert_holds(&images.path(image), &medium);
    }
}

/// Asserts that both tables are in their places, the file system is complete, and no older table is left.
#[track_caller]
fn assert_gpt(images: &Images, medium: &mut Medium) {
    medium.flush();
    let result = run("sgdisk", ["-v".as_ref(), medium.file.as_os_str()]);
    assert!(result.contains("No problems found"), "{result}");
    assert_eq!(shell("grep -abo 'EFI PART' \"$1\" | wc -l", [&medium.file]).trim(), "2");
    let parts = |file: &Path| shell("sfdisk --dump \"$1\" | grep -o 'start=.*'", [file]);
    assert_eq!(parts(&medium.file), parts(&images.path("gpt")));
    medium.show_partitions();
    run("e2fsck", ["-fn".as_ref(), medium.partition(1).as_os_str()]);
    run(
        "cmp",
        ["-n20971520".as_ref(), medium.partition(1).as_os_str(), images.path("file-system").as_os_str()],
    );
    medium.hide_partitions();
}

#[test]
fn a_gpt_fits_every_medium() {
    let Some(images) = Images::new() else { return };
    for (name, line) in [
        ("sdimage.dd.xz", "xz -0 --block-size=4MiB < gpt > \"$1\""),
        ("sdimage.dd.gz", "gzip -1 < gpt > \"$1\""),
        ("sdimage.dd", "cp gpt \"$1\""),
    ] {
        images.put(name, line, "");
        let awkward: &[u64] =
            if name == "sdimage.dd.xz" { &[32 * MIB - 512, 32 * MIB + 4096, 33 * MIB] } else { &[] };
        for len_bytes in [25 * MIB, 32 * MIB, 60 * MIB].iter().chain(awkward).copied() {
            let mut medium = Medium::blank(&images.path("medium"), len_bytes);
            partition(&medium.file, "label: gpt\nstart=2MiB, size=8MiB, type=L, name=OLD");
            let run = images.write(&medium);
            run.assert_success();
            assert_eq!(
                run.console.contains("moved to the end of the medium"),
                len_bytes != 32 * MIB,
                "{}",
                run.console
            );
            assert_gpt(&images, &mut medium);
        }
        let medium = Medium::blank(&images.path("medium"), 24 * MIB);
        images.write(&medium).assert_failure("R-TOOLARGE");
    }
    // One copy of the GPT in the image may be damaged.
    for at in [512 + 56, 32 * MIB - 512 + 56] {
        let line = format!("cp gpt \"$1\"; printf X | dd of=\"$1\" bs=1 seek={at} conv=notrunc status=none");
        images.put("sdimage.dd", &line, "");
        let mut medium = Medium::used(&images.path("medium"), 48 * MIB);
        let run = images.write(&medium);
        run.assert_success();
        assert!(run.console.contains("damaged"), "{}", run.console);
        assert_gpt(&images, &mut medium);
    }
}

#[test]
fn zeros_after_the_partitions_need_no_room() {
    let Some(images) = Images::new() else { return };
    let lines = [
        ("sdimage.dd.xz", "xz -0"),
        ("sdimage.dd.gz", "gzip -1"),
        ("sdimage.dd.bz2", "bzip2 -1"),
        ("sdimage.dd.zst", "zstd -q -1"),
        ("sdimage.dd", "cat"),
    ];
    for (name, packer) in lines {
        images.put(name, &format!("{packer} < mbr > \"$1\""), "");
        let medium = Medium::used(&images.path("medium"), 31 * MIB);
        let run = images.write(&medium);
        run.assert_success();
        assert!(
            run.console.contains("last 1.0 MiB (1048576 bytes) of the image are unused"),
            "{}",
            run.console
        );
        assert_holds(&images.path("mbr"), &medium);

        let before = medium.fingerprint();
        let tail = "cp mbr data; printf X | dd of=data bs=1 seek=33000000 conv=notrunc status=none;";
        images.put(name, &format!("{tail} {packer} < data > \"$1\""), "");
        let run = images.write(&medium);
        run.assert_failure("R-TOOLARGE");
        assert!(run.console.contains("data at byte 33000000"), "{}", run.console);
        assert_eq!(medium.fingerprint(), before);
    }
}

#[test]
fn a_table_for_other_sectors_is_refused() {
    let Some(images) = Images::new() else { return };
    let large = Medium::with_sectors(&images.path("large-sectors"), 40 * MIB, 4096);
    let small = Medium::used(&images.path("small-sectors"), 40 * MIB);
    // The same images for media with large sectors.
    for (label, name) in [("dos", "mbr4k"), ("gpt", "gpt4k")] {
        let made = Medium::with_sectors(&images.path(name), 32 * MIB, 4096);
        partition(&made.device, &format!("label: {label}\nstart=1MiB, size=24MiB, type=L"));
        shell(
            "dd if=\"$1\" of=\"$2\" bs=1M seek=1 conv=notrunc status=none",
            [images.path("file-system"), made.device.clone()],
        );
        made.flush();
        std::fs::copy(&made.file, images.path(&format!("{name}.img"))).unwrap();
    }
    for (image, medium, fits) in [
        ("mbr", &large, false),
        ("gpt", &large, false),
        ("mbr4k.img", &large, true),
        ("gpt4k.img", &large, true),
        ("mbr4k.img", &small, false),
        ("gpt4k.img", &small, false),
    ] {
        for (name, packer) in [("sdimage.dd", "cat"), ("sdimage.dd.xz", "xz -0")] {
            images.put(name, &format!("{packer} < {image} > \"$1\""), "");
            let before = medium.fingerprint();
            let run = images.write(medium);
            if fits {
                run.assert_success();
            } else {
                run.assert_failure("R-SECTORS");
                assert_eq!(medium.fingerprint(), before, "{image}");
            }
        }
    }
}

#[test]
fn a_captured_blank_medium_is_written_to_the_next_unit() {
    let Some(images) = Images::new() else { return };
    images.put("x", "true", "");
    let golden = Medium::blank(&images.path("golden"), 24 * MIB);
    images.write(&golden).assert_success();
    let medium = Medium::used(&images.path("medium"), 24 * MIB);
    let run = images.write(&medium);
    run.assert_success();
    assert!(run.console.contains("so did the medium that it was captured from"), "{}", run.console);
    assert_holds(&golden.file, &medium);
}
