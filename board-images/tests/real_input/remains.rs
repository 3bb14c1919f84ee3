//! No byte of a removed file is left in the image or in the free blocks of the drive.

use super::devices::{Medium, Mount};
use super::replicator::{Board, make_drive};
use super::rootfs;
use super::secrets;
use super::stage::Stage;
use super::tools::{partition, run, shell};
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

const MIB: u64 = 1 << 20;

/// A root file system with removed files in its journal, in free blocks and in free inodes.
fn make_rootfs(device: &Path, root: &Path) {
    run("mkfs.ext4", ["-q".as_ref(), "-F".as_ref(), device.as_os_str()]);
    run("tune2fs", ["-o".as_ref(), "journal_data".as_ref(), device.as_os_str()]);
    let mounted = Mount::new(device, root);
    rootfs::small(&mounted.path, MIB);
    secrets::plant(&mounted.path);
    secrets::plant_deleted(&mounted.path);
}

/// Writes pages full of secrets behind the first 64 KiB.
fn fill_with_secrets(path: &Path, len_bytes: u64) {
    let text = secrets::text(64 * 1024);
    let file = File::options().write(true).open(path).unwrap();
    for at in (64 * 1024..len_bytes).step_by(256 * 1024) {
        file.write_all_at(&text, at).unwrap();
    }
    file.sync_all().unwrap();
}

/// Writes secrets to a reserved block of `name` on the device, as the kernel does when it swaps. The file system still marks the
/// block as unwritten.
fn write_below_a_file(device: &Path, name: &str) {
    let extents = run("debugfs", ["-R".as_ref(), format!("ex {name}").as_ref(), device.as_os_str()]);
    let unwritten = extents.lines().find(|line| line.contains("Uninit")).expect("a reserved extent");
    let fields: Vec<&str> = unwritten.split_whitespace().collect();
    // Level, entries, logical range, physical range, length, flag.
    let dash = fields.iter().rposition(|field| *field == "-").unwrap();
    let block: u64 = fields[dash - 1].parse().unwrap();
    let file = File::options().write(true).open(device).unwrap();
    let block_len: u64 = shell("dumpe2fs -h \"$1\" 2>/dev/null | sed -n 's/^Block size: *//p'", [device])
        .trim()
        .parse()
        .unwrap();
    file.write_all_at(&secrets::text(8192), block * block_len).unwrap();
    file.sync_all().unwrap();
}

/// The decoded image, the only one on the drive.
fn decoded(stage: &Stage, drive: &Medium, name: &str) -> PathBuf {
    let files = Mount::read_only(&drive.device, &stage.path("drive-files"));
    let image = stage.path("decoded");
    shell("xz -dc \"$1\" > \"$2\"", [&files.path.join(name), &image]);
    image
}

#[track_caller]
fn assert_no_secret(what: &str, path: &Path) {
    assert_eq!(secrets::count(File::open(path).unwrap()), 0, "{what} has secrets");
}

#[test]
fn every_kind_of_partition_is_cleared_in_the_image_and_on_the_drive() {
    let Some(stage) = Stage::new() else { return };
    let mut golden = Medium::blank(&stage.path("golden-medium"), 256 * MIB);
    partition(
        &golden.device,
        "label: dos\nstart=1MiB, size=34MiB, type=c\nstart=36MiB, size=100MiB, type=83\n\
         start=136MiB, size=40MiB, type=82\nstart=176MiB, type=83",
    );
    golden.show_partitions();
    let fat = golden.partition(1);
    run("mkfs.vfat", ["-F".as_ref(), "32".as_ref(), "-s".as_ref(), "1".as_ref(), fat.as_os_str()]);
    fs::write(stage.path("wpa"), secrets::text(50_000)).unwrap();
    fs::write(stage.path("config"), "console=ttyS0").unwrap();
    shell(
        "export MTOOLS_SKIP_CHECK=1; mcopy -i \"$1\" \"$2\" ::wpa.conf; mdel -i \"$1\" ::wpa.conf; mcopy -i \"$1\" \"$3\" ::config.txt",
        [&fat, &stage.path("wpa"), &stage.path("config")],
    );
    make_rootfs(&golden.partition(2), &stage.path("golden"));
    let swap = golden.partition(3);
    shell("mkswap -q -L memory -U 01234567-89ab-cdef-0123-456789abcdef \"$1\"", [&swap]);
    fill_with_secrets(&swap, 40 * MIB);
    // A data partition after a power cut: its journal must be replayed.
    let data = golden.partition(4);
    run("mkfs.ext4", ["-q".as_ref(), "-F".as_ref(), "-Ldata".as_ref(), data.as_os_str()]);
    let copy = stage.path("dirty");
    {
        let mounted = Mount::new(&data, &stage.path("data"));
        fs::write(mounted.path.join("kept"), "kept").unwrap();
        secrets::plant_deleted(&mounted.path);
        nix::unistd::syncfs(File::open(&mounted.path).unwrap()).unwrap();
        shell("dd if=\"$1\" of=\"$2\" bs=1M iflag=direct status=none", [&data, &copy]);
    }
    shell("dd if=\"$2\" of=\"$1\" bs=1M oflag=direct conv=notrunc status=none", [&data, &copy]);
    golden.flush();
    assert!(
        secrets::count(File::open(&golden.file).unwrap()) > 5000,
        "the golden medium has too few secrets"
    );
    golden.hide_partitions();
    let drive = make_drive(&stage.path("drive"), 512 * MIB);
    let board = Board { stage: &stage, drive: &drive, media: vec![("sd", &golden)] };
    let end = board.run();
    end.assert_success();
    assert!(end.console.contains("partition 3, swap `memory`: content cleared"), "{}", end.console);

    let image = decoded(&stage, &drive, "sdimage.dd.xz");
    assert_no_secret("the image", &image);
    drive.flush();
    assert_no_secret("the drive", &drive.file);
    drop(drive);

    let mut clone = Medium::attach(&image);
    clone.show_partitions();
    for number in [2, 4] {
        run("e2fsck", ["-f".as_ref(), "-n".as_ref(), clone.partition(number).as_os_str()]);
    }
    run("fsck.vfat", ["-n".as_ref(), clone.partition(1).as_os_str()]);
    let config = shell("MTOOLS_SKIP_CHECK=1 mtype -i \"$1\" ::config.txt", [&clone.partition(1)]);
    assert_eq!(config, "console=ttyS0");
    let found = shell("blkid -p -o export \"$1\"", [&clone.partition(3)]);
    for line in ["TYPE=swap", "LABEL=memory", "UUID=01234567-89ab-cdef-0123-456789abcdef"] {
        assert!(found.contains(line), "{line} is not in {found}");
    }
    let mounted = Mount::new(&clone.partition(4), &stage.path("clone-data"));
    assert_eq!(fs::read_to_string(mounted.path.join("kept")).unwrap(), "kept");
}

#[test]
fn swap_files_keep_their_length_and_header_in_a_tarball_and_nothing_else() {
    let Some(stage) = Stage::new() else { return };
    let mut golden =
        Medium::partitioned(&stage.path("golden-medium"), 160 * MIB, "label: dos\nstart=4MiB, type=83");
    make_rootfs(&golden.partition(1), &stage.path("golden"));
    {
        let mounted = Mount::new(&golden.partition(1), &stage.path("golden"));
        let root = &mounted.path;
        for (name, make) in [("swapfile", "fallocate -l 12M"), ("var/swap", "truncate -s 8M")] {
            let path = root.join(name);
            shell(&format!("{make} \"$1\"; chmod 600 \"$1\""), [&path]);
            if name == "var/swap" {
                fs::write(&path, vec![1; 8 << 20]).unwrap();
            }
            shell("mkswap -q -L memory \"$1\"", [&path]);
            let len = fs::metadata(&path).unwrap().len();
            fill_with_secrets(&path, len);
        }
    }
    write_below_a_file(&golden.partition(1), "/swapfile");
    golden.hide_partitions();
    let drive = make_drive(&stage.path("drive"), 256 * MIB);
    let end = Board { stage: &stage, drive: &drive, media: vec![("sd", &golden)] }.run();
    end.assert_success();
    assert!(
        end.console.contains("content of the swap files /swapfile, /var/swap cleared"),
        "{}",
        end.console
    );
    let image = decoded(&stage, &drive, "sdimage.tar.xz");
    assert_no_secret("the tarball", &image);
    drive.flush();
    assert_no_secret("the drive", &drive.file);

    let clone = Medium::used(&stage.path("clone-medium"), 192 * MIB);
    let end = Board { stage: &stage, drive: &drive, media: vec![("sd", &clone)] }.run();
    end.assert_success();
    let mut clone = clone;
    clone.show_partitions();
    let mounted = Mount::new(&clone.partition(1), &stage.path("clone"));
    for (name, len) in [("swapfile", 12 * MIB), ("var/swap", 8 * MIB)] {
        let path = mounted.path.join(name);
        assert_eq!(fs::metadata(&path).unwrap().len(), len);
        let map = shell("blkid -p -o export \"$1\"; filefrag -e \"$1\"; du -B1 \"$1\"", [&path]);
        assert!(map.contains("TYPE=swap") && map.contains("LABEL=memory"), "{map}");
        let allocated: u64 = map.lines().last().unwrap().split_whitespace().next().unwrap().parse().unwrap();
        assert!(allocated >= len, "/{name} has holes: {map}");
    }
}

#[test]
fn a_hibernated_system_is_not_cloned() {
    let Some(stage) = Stage::new() else { return };
    let mut golden = Medium::partitioned(
        &stage.path("golden-medium"),
        160 * MIB,
        "label: dos\nstart=4MiB, size=80MiB, type=83\nstart=84MiB, type=82",
    );
    make_rootfs(&golden.partition(1), &stage.path("golden"));
    let swap = golden.partition(2);
    shell("mkswap -q -L memory \"$1\"", [&swap]);
    fill_with_secrets(&swap, 70 * MIB);
    File::options().write(true).open(&swap).unwrap().write_all_at(b"SWAPSPACE2S1SUSPEND\0", 4076).unwrap();
    golden.flush();
    golden.hide_partitions();
    let drive = make_drive(&stage.path("drive"), 400 * MIB);
    let end = Board { stage: &stage, drive: &drive, media: vec![("sd", &golden)] }.run();
    end.assert_success();
    let image = decoded(&stage, &drive, "sdimage.dd.xz");
    assert_no_secret("the image", &image);
    drive.flush();
    assert_no_secret("the drive", &drive.file);
    drop(drive);
    let mut clone = Medium::attach(&image);
    clone.show_partitions();
    let found = shell("blkid -p -o export \"$1\"", [&clone.partition(2)]);
    assert!(found.contains("TYPE=swap\n") && found.contains("LABEL=memory"), "{found}");
}

#[test]
fn the_files_of_a_killed_or_failed_capture_are_overwritten() {
    let Some(stage) = Stage::new() else { return };
    let mut golden =
        Medium::partitioned(&stage.path("golden-medium"), 160 * MIB, "label: dos\nstart=4MiB, type=83");
    make_rootfs(&golden.partition(1), &stage.path("golden"));
    {
        let mounted = Mount::new(&golden.partition(1), &stage.path("golden"));
        shell("head -c 60M /dev/urandom > \"$1\"", [mounted.path.join("usr/ballast")]);
    }
    golden.hide_partitions();
    // Room for a part of the working image; then for all of it, but not for the packed image.
    for len in [40 * MIB, 84 * MIB] {
        let drive = make_drive(&stage.path("drive"), len);
        let end = Board { stage: &stage, drive: &drive, media: vec![("sd", &golden)] }.run();
        assert_eq!(end.exit, 1, "{}", end.console);
        drive.flush();
        assert_no_secret("the full drive", &drive.file);
    }

    let drive = make_drive(&stage.path("drive"), 400 * MIB);
    let board = Board { stage: &stage, drive: &drive, media: vec![("sd", &golden)] };
    let mut child = board.begin();
    // After the copy, before the image is complete.
    for _ in 0..600 {
        if fs::read_to_string(stage.path("console")).unwrap().contains("checking the file system") {
            break;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    board.wait_until_free();
    golden.allow_writes();
    drive.flush();
    assert!(secrets::count(File::open(&drive.file).unwrap()) > 0, "the run was killed too early or too late");
    let end = board.run();
    end.assert_success();
    drive.flush();
    assert_no_secret("the drive", &drive.file);
}
