//! A read-only root file system (squashfs) with an overlay on a data partition: files in the overlay are sanitised, and their
//! bytes are neither in the image nor on the drive.

use super::devices::{Medium, Mount};
use super::replicator::{Board, make_drive};
use super::stage::Stage;
use super::tools::{run, shell};
use super::{rootfs, secrets};
use std::fs;
use std::path::Path;

const MIB: u64 = 1 << 20;

/// Files in the upper directories of an overlay after some use: paths below the root, and contents.
fn fill(upper: impl Fn(&str) -> std::path::PathBuf) {
    let secret = secrets::text(30_000);
    for name in [
        "etc/ssh/ssh_host_ed25519_key",
        "etc/machine-id",
        "var/log/syslog",
        "var/lib/systemd/random-seed",
        "root/.bash_history",
    ] {
        let path = upper(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, &secret).unwrap();
    }
    for name in ["etc/product.conf", "var/lib/product.db"] {
        fs::write(upper(name), "stays").unwrap();
    }
}

/// Captures a medium with a squashfs that has `fstab`, and a data partition that `plant` fills. `kept` lists paths on the data
/// partition that must stay.
fn capture(fstab: &str, plant: impl FnOnce(&Path), kept: &[&str]) {
    let Some(stage) = Stage::new() else { return };
    let root = stage.path("root");
    fs::create_dir(&root).unwrap();
    rootfs::small(&root, MIB);
    fs::create_dir_all(root.join("data")).unwrap();
    fs::write(root.join("etc/fstab"), fstab).unwrap();
    let squashfs = stage.path("squashfs");
    run("mksquashfs", [root.as_os_str(), squashfs.as_os_str(), "-quiet".as_ref(), "-no-progress".as_ref()]);
    let mut golden = Medium::partitioned(
        &stage.path("golden-medium"),
        96 * MIB,
        "label: gpt\nstart=1MiB, size=32MiB, type=L\nstart=33MiB, size=60MiB, type=L",
    );
    shell("dd if=\"$1\" of=\"$2\" bs=1M conv=fsync status=none", [&squashfs, &golden.partition(1)]);
    let data = golden.partition(2);
    run("mkfs.ext4", ["-q".as_ref(), "-L".as_ref(), "data".as_ref(), data.as_os_str()]);
    let mount = Mount::new(&data, &stage.path("golden"));
    plant(&mount.path);
    secrets::plant_deleted(&mount.path);
    drop(mount);
    golden.flush();
    assert!(
        secrets::count(fs::File::open(&golden.file).unwrap()) > 5000,
        "the golden medium has too few secrets"
    );
    golden.hide_partitions();

    let drive = make_drive(&stage.path("drive"), 256 * MIB);
    let end = Board { stage: &stage, drive: &drive, media: vec![("emmc", &golden)] }.run();
    end.assert_success();
    assert!(end.console.contains("partition 2, ext4 `data`"), "{}", end.console);
    assert!(!end.console.contains("partition 2, ext4 `data`: captured as it is"), "{}", end.console);
    let files = Mount::read_only(&drive.device, &stage.path("drive-files"));
    let image = stage.path("image");
    shell("xz -dc \"$1\" > \"$2\"", [&files.path.join("emmcimage.dd.xz"), &image]);
    drop(files);
    assert_eq!(secrets::count(fs::File::open(&image).unwrap()), 0, "a secret is in the image");
    drive.flush();
    assert_eq!(secrets::count(fs::File::open(&drive.file).unwrap()), 0, "a secret is on the drive");

    let mut clone = Medium::attach(&image);
    clone.show_partitions();
    run("e2fsck", ["-fn".as_ref(), clone.partition(2).as_os_str()]);
    let written = stage.path("clone-squashfs");
    shell(
        "dd if=\"$1\" of=\"$2\" bs=1M iflag=fullblock status=none && cmp -n \"$(stat -c %s \"$3\")\" \"$2\" \"$3\"",
        [&clone.partition(1), &written, &squashfs],
    );
    let mount = Mount::read_only(&clone.partition(2), &stage.path("clone"));
    for path in kept {
        assert_eq!(fs::read_to_string(mount.path.join(path)).unwrap(), "stays", "{path}");
    }
}

#[test]
fn overlays_by_fstab_are_sanitised() {
    capture(
        "LABEL=data /data ext4 defaults 0 2\n\
         overlay /etc overlay lowerdir=/etc,upperdir=/data/layers/etc/upper,workdir=/data/layers/etc/work 0 0\n\
         overlay /var overlay lowerdir=/var,upperdir=/data/layers/var/upper,workdir=/data/layers/var/work 0 0\n\
         /data/home-of-root /root none bind 0 0\n",
        |data| {
            for layer in ["etc", "var"] {
                fs::create_dir_all(data.join(format!("layers/{layer}/work"))).unwrap();
            }
            fill(|name| match name.split_once('/').unwrap() {
                ("root", rest) => data.join("home-of-root").join(rest),
                (layer, rest) => data.join("layers").join(layer).join("upper").join(rest),
            });
        },
        &["layers/etc/upper/product.conf", "layers/var/upper/lib/product.db"],
    );
}

#[test]
fn an_overlay_that_an_initramfs_mounts_over_the_root_is_sanitised() {
    capture(
        "# nothing: the initial RAM disk mounts it\n",
        |data| {
            fs::create_dir_all(data.join("work/work")).unwrap();
            fill(|name| data.join("upper").join(name));
        },
        &["upper/etc/product.conf", "upper/var/lib/product.db"],
    );
}
