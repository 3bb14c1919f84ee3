//! A golden unit is captured, and other media become its clones.

use super::devices::{Medium, Mount, fingerprint};
use super::replicator::{Board, make_drive};
use super::stage::Stage;
use super::tools::{partition, run, shell};
use super::tree::{self, Tree};
use super::{rootfs, secrets, zoo};
use std::fs::{self, File};
use std::os::unix::fs::{FileExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const MIB: u64 = 1 << 20;
const SD_LEN_BYTES: u64 = 640 * MIB;
const EMMC_LEN_BYTES: u64 = 700 * MIB;
const EMMC_ROOT_START_BYTES: u64 = 40 * MIB;

/// One partition from 4 MiB to the end, which is also the layout of a written tarball.
const SINGLE: &str = "label: dos\nlabel-id: 0x5eed5eed\nstart=4MiB, type=83, bootable";
/// A boot partition and a root file system.
const DOUBLE: &str =
    "label: dos\nlabel-id: 0x0badcafe\nstart=4MiB, size=36MiB, type=c, bootable\nstart=40MiB, type=83";

#[test]
fn a_debian_board_is_cloned_with_every_file_and_attribute() {
    let Some(stage) = Stage::new() else { return };
    let Some(tarball) = rootfs::debian() else { return };
    let elsewhere = stage.path("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    fs::write(elsewhere.join("host.log"), "of the host").unwrap();
    let sd = golden_sd(&stage, &tarball);
    let emmc = golden_emmc(&stage, &tarball, &elsewhere);
    let before = [sd.fingerprint(), emmc.fingerprint()];
    for golden in [&sd, &emmc] {
        let planted = secrets::count(File::open(&golden.file).unwrap());
        assert!(planted > 100_000, "only {planted} secrets on {}", golden.file.display());
    }
    let drive = make_drive(&stage.path("drive"), 3 << 30);

    let golden = Board { stage: &stage, drive: &drive, media: vec![("sd", &sd), ("emmc", &emmc)] };
    golden.run().assert_success();
    assert_eq!([sd.fingerprint(), emmc.fingerprint()], before, "a captured medium was changed");
    assert_eq!(
        fs::read(elsewhere.join("host.log")).unwrap(),
        b"of the host",
        "a symlink led out of the image"
    );
    check_images(&stage, &drive);

    let captured = drive.fingerprint();
    let refused = golden.run();
    refused.assert_failure("R-WRITEBACK");
    assert_eq!([sd.fingerprint(), emmc.fingerprint()], before, "a golden medium was written");

    let sd_clone = Medium::used(&stage.path("sd-clone"), 900 * MIB);
    let emmc_clone = Medium::used(&stage.path("emmc-clone"), 800 * MIB);
    let clone = Board { stage: &stage, drive: &drive, media: vec![("sd", &sd_clone), ("emmc", &emmc_clone)] };
    let (exit, plan) = clone.plan();
    assert_eq!(exit, 0, "{plan}");
    assert!(plan.contains("mode: write") && plan.contains("sdimage.tar.xz"), "{plan}");
    clone.run().assert_success();
    assert_eq!(drive.fingerprint(), captured, "the drive was changed by a write");
    compare_sd(&stage, sd, sd_clone);
    compare_emmc(&stage, emmc, emmc_clone);
}

fn golden_sd(stage: &Stage, tarball: &Path) -> Medium {
    let mut sd = Medium::partitioned(&stage.path("sd"), SD_LEN_BYTES, SINGLE);
    run("mkfs.ext4", ["-q".as_ref(), "-Lgolden-sd".as_ref(), sd.partition(1).as_os_str()]);
    populate(stage, &sd.partition(1), tarball, |_| {});
    sd.hide_partitions();
    sd
}

fn golden_emmc(stage: &Stage, tarball: &Path, elsewhere: &Path) -> Medium {
    let mut emmc = Medium::blank(&stage.path("emmc"), EMMC_LEN_BYTES);
    partition(&emmc.device, DOUBLE);
    // A bootloader between the partition table and the first partition.
    let bootloader: Vec<u8> = (0..200_000_u32).map(|index| (index % 251) as u8).collect();
    File::options().write(true).open(&emmc.device).unwrap().write_all_at(&bootloader, 1024).unwrap();
    emmc.show_partitions();
    let boot = emmc.partition(1);
    run("mkfs.vfat", ["-nBOOT".as_ref(), boot.as_os_str()]);
    let kernel = stage.path("kernel");
    fs::write(&kernel, bootloader.repeat(20)).unwrap();
    run("mcopy", ["-i".as_ref(), boot.as_os_str(), kernel.as_os_str(), "::zImage".as_ref()]);
    run("mkfs.ext4", ["-q".as_ref(), "-Lgolden-emmc".as_ref(), emmc.partition(2).as_os_str()]);
    populate(stage, &emmc.partition(2), tarball, |root| {
        // The log directory is a symlink to "another disk"; its target exists on this host too.
        fs::remove_dir_all(root.join("var/log")).unwrap();
        symlink(elsewhere, root.join("var/log")).unwrap();
    });
    emmc.hide_partitions();
    emmc
}

fn populate(stage: &Stage, partition: &Path, tarball: &Path, extra: impl FnOnce(&Path)) {
    let mount = Mount::new(partition, &stage.path("golden"));
    rootfs::unpack(tarball, &mount.path);
    secrets::plant(&mount.path);
    extra(&mount.path);
    zoo::make(&mount.path.join("opt/zoo"));
    secrets::plant_deleted(&mount.path);
}

/// Checks the image files with independent tools.
fn check_images(stage: &Stage, drive: &Medium) {
    let mount = Mount::read_only(&drive.device, &stage.path("drive-files"));
    let mut names: Vec<_> = fs::read_dir(&mount.path)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name != "lost+found")
        .collect();
    names.sort();
    for wanted in [
        "emmcimage.dd.md5",
        "emmcimage.dd.xz",
        "emmcimage.dd.xz.md5",
        "sdimage.tar.index",
        "sdimage.tar.md5",
        "sdimage.tar.xz",
        "sdimage.tar.xz.md5",
    ] {
        assert!(names.iter().any(|name| name == wanted), "{wanted} is not among {names:?}");
    }
    assert!(!names.iter().any(|name| name.starts_with('.')), "{names:?}");
    for image in ["emmcimage.dd", "sdimage.tar"] {
        let packed = mount.path.join(format!("{image}.xz"));
        run("xz", ["-t".as_ref(), packed.as_os_str()]);
        shell(
            "cd \"$1\" && md5sum -c --strict \"$2\"",
            [mount.path.as_os_str(), format!("{image}.xz.md5").as_ref()],
        );
        let unpacked = shell("xz -dc \"$1\" | md5sum", [&packed]);
        let expected = fs::read_to_string(mount.path.join(format!("{image}.md5"))).unwrap();
        assert_eq!(expected.split_whitespace().next(), unpacked.split_whitespace().next(), "{image}");
        assert_eq!(expected.split_whitespace().nth(1), Some(image));
        assert_no_secrets(&packed);
    }
    check_tarball(stage, &mount.path.join("sdimage.tar.xz"));
    check_disk_image(stage, &mount.path.join("emmcimage.dd.xz"));
}

fn assert_no_secrets(packed: &Path) {
    let mut xz = Command::new("xz").arg("-dc").arg(packed).stdout(Stdio::piped()).spawn().unwrap();
    let found = secrets::count(xz.stdout.take().unwrap());
    assert!(xz.wait().unwrap().success());
    assert_eq!(found, 0, "secrets in {}", packed.display());
}

/// GNU tar lists the tarball without a warning, and restores xattrs and holes from it.
fn check_tarball(stage: &Stage, packed: &Path) {
    let listing = shell("xz -dc \"$1\" | tar --numeric-owner -tvf - 2>&1", [packed]);
    assert!(!listing.contains("tar: "), "{listing}");
    assert!(listing.lines().any(|line| line.ends_with("opt/zoo/ping")), "ping is not in the listing");
    let root = stage.path("by-gnu-tar");
    fs::create_dir(&root).unwrap();
    shell(
        "xz -dc \"$1\" | tar --numeric-owner --xattrs --xattrs-include='*' --acls --warning=no-timestamp -C \"$2\" -xpf -",
        [packed, &root],
    );
    let ping = root.join("opt/zoo/ping");
    let capability = xattr::get(&ping, "security.capability").unwrap();
    assert!(capability.is_some_and(|value| value.len() >= 20), "the file capability is lost");
    shell("cd \"$1\" && md5sum --quiet -c md5sums.txt", [&root]);
    fs::remove_dir_all(root).unwrap();
}

/// The image has the length of the medium, and its file system is clean.
fn check_disk_image(stage: &Stage, packed: &Path) {
    let image = stage.path("emmc-unpacked");
    shell("xz -dc \"$1\" > \"$2\"", [packed, &image]);
    assert_eq!(fs::metadata(&image).unwrap().len(), EMMC_LEN_BYTES);
    let mut medium = Medium::attach(&image);
    medium.show_partitions();
    run("e2fsck", ["-fn".as_ref(), medium.partition(2).as_os_str()]);
}

fn compare_sd(stage: &Stage, mut golden: Medium, mut clone: Medium) {
    let table = layout(&clone.device);
    assert_eq!(table["label"], "dos");
    let partitions = table["partitions"].as_array().unwrap();
    assert_eq!(partitions.len(), 1);
    assert_eq!((&partitions[0]["start"], &partitions[0]["bootable"]), (&8192.into(), &true.into()));
    let end = partitions[0]["start"].as_u64().unwrap() + partitions[0]["size"].as_u64().unwrap();
    assert!(900 * MIB / 512 - end < 2048, "the partition ends early, at sector {end}");
    golden.show_partitions();
    clone.show_partitions();
    run("e2fsck", ["-fn".as_ref(), clone.partition(1).as_os_str()]);
    let features = run("dumpe2fs", ["-h".as_ref(), clone.partition(1).as_os_str()]);
    assert!(!features.contains("metadata_csum") && !features.contains("64bit"), "{features}");
    compare_roots(stage, &golden.partition(1), &clone.partition(1));
}

fn compare_emmc(stage: &Stage, mut golden: Medium, mut clone: Medium) {
    assert_eq!(
        layout(&golden.device)["partitions"][1]["start"],
        layout(&clone.device)["partitions"][1]["start"]
    );
    assert_eq!(layout(&golden.device)["id"], layout(&clone.device)["id"]);
    let start = |medium: &Medium, name: &str| -> PathBuf {
        let part = stage.path(name);
        shell(
            "head -c \"$3\" \"$1\" > \"$2\"",
            [medium.file.as_os_str(), part.as_os_str(), EMMC_ROOT_START_BYTES.to_string().as_ref()],
        );
        part
    };
    let (wanted, found) = (start(&golden, "golden-start"), start(&clone, "clone-start"));
    assert_eq!(fingerprint(&wanted), fingerprint(&found), "bootloader or boot partition differ");
    golden.show_partitions();
    clone.show_partitions();
    run("e2fsck", ["-fn".as_ref(), clone.partition(2).as_os_str()]);
    compare_roots(stage, &golden.partition(2), &clone.partition(2));
}

fn layout(device: &Path) -> serde_json::Value {
    let text = run("sfdisk", ["--json".as_ref(), device.as_os_str()]);
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    json["partitiontable"].clone()
}

fn compare_roots(stage: &Stage, golden: &Path, clone: &Path) {
    let golden = Mount::read_only(golden, &stage.path("golden"));
    let clone = Mount::read_only(clone, &stage.path("clone"));
    let (mut wanted, mut found) = (tree::read(&golden.path), tree::read(&clone.path));
    assert!(wanted.len() > 6000, "only {} files", wanted.len());
    sanitised(&mut wanted, &mut found);
    let differences = tree::differences(&wanted, &found);
    assert!(differences.is_empty(), "{} differences:\n{}", differences.len(), differences.join("\n"));
}

/// Checks the changes that sanitising makes, and removes them from both trees. The list is independent of the rules.
fn sanitised(wanted: &mut Tree, found: &mut Tree) {
    for name in ["firstboot", "ssh_regenkeys", "root.version-cust", "md5sums.txt"] {
        assert!(found.remove(Path::new(name)).is_some(), "/{name} is missing");
    }
    let id = found.remove(Path::new("etc/machine-id")).unwrap();
    assert_eq!(id.len_bytes, 0, "the machine id is cloned");
    wanted.remove(Path::new("etc/machine-id"));
    let is_removed = |path: &Path| {
        let text = path.to_string_lossy();
        let below = |directory: &str| path.starts_with(directory) && path != Path::new(directory);
        text.starts_with("etc/ssh/ssh_host_")
            || ["tmp", "var/tmp", "var/backups", "run", "var/log/journal"].into_iter().any(below)
            || text.starts_with("var/cache/apt/pkgcache.bin")
            || text.starts_with("var/cache/apt/srcpkgcache.bin")
            || ["var/lib/dbus/machine-id", "var/lib/systemd/random-seed", "root/.bash_history"]
                .contains(&&*text)
    };
    let is_removed_file = |path: &Path| {
        ["var/log", "var/cache/apt/archives", "var/lib/apt/lists"]
            .iter()
            .any(|directory| path.starts_with(directory))
    };
    let gone: Vec<PathBuf> = wanted
        .iter()
        .filter(|(path, entry)| is_removed(path) || (is_removed_file(path) && entry.content.is_some()))
        .map(|(path, _)| path.clone())
        .collect();
    let mut changed: Vec<&Path> = vec![Path::new("")];
    for path in &gone {
        assert!(!found.contains_key(path), "{} is cloned", path.display());
        wanted.remove(path);
        changed.extend(path.parent());
    }
    // Removing a file changes the time of its directory.
    for path in changed {
        if let (Some(want), Some(have)) = (wanted.get_mut(path), found.get(path)) {
            want.modified = have.modified;
        }
    }
}
