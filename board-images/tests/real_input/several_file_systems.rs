//! Captures of media with other content than one ext4 root file system: slots, data partitions, btrfs, XFS, encrypted, damaged and
//! full file systems. Either the image contains no secret, or there is no image.

use super::devices::{Medium, Mount};
use super::replicator::{Board, Run, make_drive};
use super::stage::Stage;
use super::tools::{run, shell};
use super::{rootfs, secrets};
use std::fs;
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

const MIB: u64 = 1 << 20;

fn medium(stage: &Stage, len_bytes: u64, table: &str) -> Medium {
    Medium::partitioned(&stage.path("golden-medium"), len_bytes, table)
}

fn make(program: &str, options: &[&str], device: &Path) {
    let options = options.iter().map(AsRef::as_ref).chain([device.as_os_str()]);
    run(program, options.collect::<Vec<&std::ffi::OsStr>>());
}

/// A root file system with secrets, also small and deleted ones.
fn fill(root: &Path) {
    rootfs::small(root, MIB);
    secrets::plant(root);
    fs::write(root.join("etc/ssh/ssh_host_ecdsa_key"), "SECRET-OF-THE-GOLDEN-BOARD-SMALL\n").unwrap();
    secrets::plant_deleted(root);
}

/// Captures `golden` as `emmc` to a new drive with these options; returns the run and the drive.
fn capture(stage: &Stage, golden: &mut Medium, options: &str) -> (Run, Medium) {
    let drive = make_drive(&stage.path("drive"), 384 * MIB);
    let files = Mount::new(&drive.device, &stage.path("drive-files"));
    fs::write(files.path.join("replicator.toml"), options).unwrap();
    drop(files);
    if golden.partition(1).exists() {
        golden.hide_partitions();
    }
    let before = golden.fingerprint();
    let board = Board { stage, drive: &drive, media: vec![("emmc", golden)] };
    let run = board.run();
    assert_eq!(golden.fingerprint(), before, "the golden medium changed");
    (run, drive)
}

/// The captured disk image, unpacked.
fn image(stage: &Stage, drive: &Medium) -> PathBuf {
    let files = Mount::read_only(&drive.device, &stage.path("drive-files"));
    let image = stage.path("image");
    shell("xz -dc \"$1\" > \"$2\"", [&files.path.join("emmcimage.dd.xz"), &image]);
    image
}

/// Asserts that neither the image nor the bytes of the drive contain a secret.
#[track_caller]
fn assert_no_secret(image: &Path, drive: &Medium) {
    assert_eq!(secrets::count(fs::File::open(image).unwrap()), 0, "a secret is in the image");
    drive.flush();
    assert_eq!(secrets::count(fs::File::open(&drive.file).unwrap()), 0, "a secret is on the drive");
}

#[track_caller]
fn assert_notes(run: &Run, wanted: &[&str]) {
    let media = run.report["media"].as_array().unwrap();
    let outcome = media.iter().find(|outcome| outcome["medium"] == "emmc").unwrap();
    let notes: Vec<&str> =
        outcome["notes"].as_array().unwrap().iter().map(|note| note.as_str().unwrap()).collect();
    for note in wanted {
        assert!(notes.contains(note), "{note:?} is not in {notes:#?}");
        assert!(run.console.contains(note), "{note:?} is not on the console");
    }
}

fn kernel_mounts(kind: &str) -> bool {
    let listed = fs::read_to_string("/proc/filesystems").unwrap();
    listed.lines().any(|line| line.trim() == kind)
}

#[test]
fn slots_and_what_fstab_mounts_are_sanitised() {
    let Some(stage) = Stage::new() else { return };
    let table = "label: gpt\nsize=48MiB, type=L\nsize=48MiB, type=L\nsize=24MiB, type=L\ntype=L";
    let mut golden = medium(&stage, 160 * MIB, table);
    for (number, label) in [(3, "homes"), (4, "photos"), (1, "rootA"), (2, "rootB")] {
        make("mkfs.ext4", &["-q", "-L", label], &golden.partition(number));
        let mount = Mount::new(&golden.partition(number), &stage.path("golden"));
        match number {
            1 | 2 => fill(&mount.path),
            3 => {
                fs::create_dir_all(mount.path.join("u/.ssh")).unwrap();
                for name in ["u/.bash_history", "u/.ssh/known_hosts"] {
                    fs::write(mount.path.join(name), "SECRET-OF-THE-GOLDEN-BOARD\n".repeat(500)).unwrap();
                }
                fs::write(mount.path.join("u/work"), "stays").unwrap();
            }
            _ => fs::write(mount.path.join("photo"), "stays").unwrap(),
        }
        if number == 1 {
            let uuid = run("blkid", ["-o", "value", "-s", "UUID", golden.partition(3).to_str().unwrap()]);
            fs::write(mount.path.join("etc/fstab"), format!("UUID={} /home ext4\n", uuid.trim())).unwrap();
        }
    }
    let (run, drive) = capture(&stage, &mut golden, "");
    run.assert_success();
    assert_notes(
        &run,
        &[
            "partition 1, ext4 `rootA`: sanitised",
            "partition 2, ext4 `rootB`: sanitised",
            "partition 3, ext4 `homes`, mounted at /home: sanitised",
            "partition 4, ext4 `photos`: captured as it is",
        ],
    );
    let image = image(&stage, &drive);
    assert_no_secret(&image, &drive);
    let mut clone = Medium::attach(&image);
    clone.show_partitions();
    for (number, file, content) in [(3, "u/work", "stays"), (4, "photo", "stays")] {
        let mount = Mount::read_only(&clone.partition(number), &stage.path("clone"));
        assert_eq!(fs::read_to_string(mount.path.join(file)).unwrap(), content);
    }
    let mount = Mount::read_only(&clone.partition(2), &stage.path("clone"));
    let date = fs::read_to_string(mount.path.join("root.version-cust")).unwrap();
    shell("[ \"$(date -u -d \"$1\" +%Y-%m-%dT%H:%M:%SZ)\" = \"$1\" ]", [date.trim_end()]);
}

#[test]
fn btrfs_is_sanitised_with_its_subvolumes_or_refused() {
    let Some(stage) = Stage::new() else { return };
    if !kernel_mounts("btrfs") {
        return super::stage::skip("this kernel has no btrfs");
    }
    let mut golden = medium(&stage, 200 * MIB, "label: dos\nstart=4MiB, type=83");
    make("mkfs.btrfs", &["-q", "-L", "system"], &golden.partition(1));
    let mount = Mount::new(&golden.partition(1), &stage.path("golden"));
    for name in ["@", "@home", "@data"] {
        make("btrfs", &["-q", "subvolume", "create"], &mount.path.join(name));
    }
    fill(&mount.path.join("@"));
    fs::write(
        mount.path.join("@/etc/fstab"),
        "LABEL=system / btrfs subvol=@\nLABEL=system /home btrfs subvol=@home\n",
    )
    .unwrap();
    fs::create_dir_all(mount.path.join("@home/u")).unwrap();
    fs::write(mount.path.join("@home/u/.bash_history"), "SECRET-OF-THE-GOLDEN-BOARD\n".repeat(9)).unwrap();
    fs::write(mount.path.join("@data/keep"), "stays").unwrap();
    drop(mount);
    let (run, drive) = capture(&stage, &mut golden, "");
    run.assert_success();
    assert_notes(&run, &["partition 1, btrfs `system`, subvolume `@`: sanitised"]);
    assert!(
        run.console.contains("captured as a disk image, because a tarball would restore partition 1, btrfs"),
        "{}",
        run.console
    );
    let image = image(&stage, &drive);
    assert_no_secret(&image, &drive);
    let mut clone = Medium::attach(&image);
    clone.show_partitions();
    make("btrfs", &["check", "--readonly", "--check-data-csum"], &clone.partition(1));
    drop((clone, drive));

    // A read-only snapshot keeps the files that are removed elsewhere.
    golden.show_partitions();
    let mount = Mount::new(&golden.partition(1), &stage.path("golden"));
    let (from, to) = (mount.path.join("@"), mount.path.join("@before"));
    shell("btrfs -q subvolume snapshot -r \"$1\" \"$2\"", [&from, &to]);
    drop(mount);
    let (run, _drive) = capture(&stage, &mut golden, "");
    run.assert_failure("R-SANITISE");
    assert!(run.console.contains("`@before`"), "{}", run.console);
}

#[test]
fn xfs_is_sanitised_or_refused() {
    let Some(stage) = Stage::new() else { return };
    if !kernel_mounts("xfs") {
        return super::stage::skip("this kernel has no xfs");
    }
    let mut golden = medium(&stage, 340 * MIB, "label: dos\nstart=4MiB, type=83");
    make("mkfs.xfs", &["-q", "-L", "system"], &golden.partition(1));
    fill(&Mount::new(&golden.partition(1), &stage.path("golden")).path);
    let (run, drive) = capture(&stage, &mut golden, "");
    run.assert_success();
    assert_notes(&run, &["partition 1, xfs `system`: sanitised"]);
    let image = image(&stage, &drive);
    assert_no_secret(&image, &drive);
    let mut clone = Medium::attach(&image);
    clone.show_partitions();
    make("xfs_repair", &["-n"], &clone.partition(1));
}

#[test]
fn a_file_system_that_cannot_be_inspected_is_refused_and_captured_on_request() {
    let Some(stage) = Stage::new() else { return };
    let overwrite = |medium: &Medium, at: u64, bytes: &[u8]| {
        let mut device = fs::OpenOptions::new().write(true).open(medium.partition(1)).unwrap();
        device.seek(SeekFrom::Start(at)).unwrap();
        device.write_all(bytes).unwrap();
    };
    let cases: [(&str, &[u8], &str); 7] = [
        ("mkfs.f2fs -q \"$1\" >/dev/null", b"", "f2fs"),
        (
            "printf key | cryptsetup luksFormat -q --pbkdf pbkdf2 --pbkdf-force-iterations 1000 \"$1\" -",
            b"",
            "LUKS",
        ),
        ("pvcreate -q -y --config 'devices { use_devicesfile = 0 }' \"$1\"", b"", "LVM"),
        ("mkfs.ext4 -q -F \"$1\"", b"magic", "superblock"),
        ("mkfs.ext4 -q -F -b 1024 \"$1\"", b"block size", "superblock"),
        ("mkfs.ext4 -q -F -b 4096 -t ext2 \"$1\"", b"all of it", "superblock"),
        ("head -c 300000 /dev/urandom > \"$1\"", b"", "none can be read"),
    ];
    for (line, damage, word) in cases {
        // A file system with one block group, without a backup superblock, and one with a second group.
        let mut golden = medium(&stage, 260 * MIB, "label: dos\nstart=4MiB, type=83");
        shell(line, [golden.partition(1)]);
        match damage {
            b"magic" => overwrite(&golden, 1024 + 0x38, &[0, 0]),
            b"block size" => overwrite(&golden, 1024 + 0x18, &[0x55]),
            b"all of it" => overwrite(&golden, 0, &[0; 4096]),
            _ => {}
        }
        golden.flush();
        let (run, drive) = capture(&stage, &mut golden, "");
        run.assert_failure("R-SANITISE");
        assert!(run.console.contains(word), "{word}: {}", run.console);
        drop(drive);
        let (run, _drive) = capture(&stage, &mut golden, "[capture]\nsanitise = false\n");
        run.assert_success();
        assert!(run.console.contains("not sanitised, because sanitise = false is set"), "{}", run.console);
    }
}

#[test]
fn a_full_root_file_system_is_sanitised_or_reported_as_full() {
    let Some(stage) = Stage::new() else { return };
    // A tarball gets the list of digests without the file system; a disk image of two partitions needs space for it there.
    let one = "label: dos\nstart=4MiB, type=83";
    let two = "label: dos\nstart=4MiB, size=40MiB, type=83\nstart=46MiB, type=83";
    for (table, has_logs, is_sanitised) in
        [(one, true, true), (one, false, true), (two, true, true), (two, false, false)]
    {
        let mut golden = medium(&stage, 48 * MIB, table);
        make("mkfs.ext4", &["-q", "-m0", "-N", "256", "-b", "1024"], &golden.partition(1));
        let mount = Mount::new(&golden.partition(1), &stage.path("golden"));
        rootfs::small(&mount.path, MIB);
        let file = if has_logs { "var/log/everything" } else { "usr/everything" };
        shell("cat /dev/zero > \"$1\" 2>/dev/null || true; sync -f \"$1\"", [mount.path.join(file)]);
        // Fill the last blocks, one file after the other.
        shell(
            "i=0; while [ $i -lt 400 ] && echo x > \"$1/f$i\"; do i=$((i+1)); done 2>/dev/null; true",
            [mount.path.join("root")],
        );
        drop(mount);
        let (run, _drive) = capture(&stage, &mut golden, "");
        if is_sanitised {
            run.assert_success();
        } else {
            run.assert_failure("S-FULL");
            assert!(run.console.contains("the root file system of partition 1 inside the image is full"));
            assert!(!run.console.contains("larger drive"), "{}", run.console);
        }
    }
}
