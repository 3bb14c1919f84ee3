//! Runs that must fail, and the data that they must not change.

use super::devices::{Medium, Mount};
use super::replicator::{Board, make_drive};
use super::rootfs;
use super::stage::Stage;
use super::tools::{partition, run, shell};
use nix::sys::signal::Signal;
use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Child;
use std::time::Duration;

const MIB: u64 = 1 << 20;

/// A medium with one partition and a small root file system, whose capture takes a few seconds.
fn golden(stage: &Stage, ballast_len_bytes: u64) -> Medium {
    let mut golden =
        Medium::partitioned(&stage.path("golden-medium"), 160 * MIB, "label: dos\nstart=4MiB, type=83");
    run("mkfs.ext4", ["-q".as_ref(), golden.partition(1).as_os_str()]);
    rootfs::small(&Mount::new(&golden.partition(1), &stage.path("golden")).path, ballast_len_bytes);
    golden.hide_partitions();
    golden
}

/// A drive whose root is filled by `fill`.
fn drive_with(stage: &Stage, fill: impl FnOnce(&Path)) -> Medium {
    let drive = make_drive(&stage.path("drive"), 128 * MIB);
    let files = Mount::new(&drive.device, &stage.path("drive-files"));
    fill(&files.path);
    drop(files);
    drive
}

/// A disk image of 8 MiB.
fn disk_image(stage: &Stage) -> std::path::PathBuf {
    let image = stage.path("image");
    shell("head -c 8M /dev/urandom > \"$1\"", [&image]);
    partition(&image, "label: dos\nstart=1MiB, type=83");
    image
}

/// A plan without the numbers of loop devices.
fn assert_plan(name: &str, plan: &str) {
    let mut settings = insta::Settings::clone_current();
    settings.add_filter(r"loop\d+", "loopN");
    settings.set_prepend_module_to_snapshot(false);
    settings.bind(|| insta::assert_snapshot!(name, plan));
}

#[test]
fn a_plan_prints_the_actions_and_changes_nothing() {
    let Some(stage) = Stage::new() else { return };
    let image = disk_image(&stage);
    let golden = golden(&stage, MIB);
    let drive = drive_with(&stage, |_| {});
    let before = (drive.fingerprint(), golden.fingerprint());
    let board = Board { stage: &stage, drive: &drive, media: vec![("sd", &golden)] };
    let (exit, plan) = board.plan();
    assert_eq!(exit, 0, "{plan}");
    assert_plan("plan_of_a_capture", &plan);
    assert_eq!((drive.fingerprint(), golden.fingerprint()), before, "a plan changed something");
    drop(drive);

    let drive = drive_with(&stage, |root| {
        shell("cp \"$2\" \"$1/emmcimage.dd\"; gzip -c \"$2\" > \"$1/sdimage.dd.xz\"", [root, &image]);
        shell("cd \"$1\" && md5sum emmcimage.dd > emmcimage.dd.md5 && touch IR_TYPO", [root]);
    });
    let emmc = Medium::blank(&stage.path("emmc"), 64 * MIB);
    let before = drive.fingerprint();
    let board = Board { stage: &stage, drive: &drive, media: vec![("sd", &golden), ("emmc", &emmc)] };
    let (exit, plan) = board.plan();
    assert_eq!(exit, 1, "{plan}");
    assert_plan("plan_of_a_write", &plan);
    assert_eq!(drive.fingerprint(), before, "a plan changed something");
}

#[test]
fn an_image_that_the_pre_flight_refuses_never_changes_the_medium() {
    let Some(stage) = Stage::new() else { return };
    let image = disk_image(&stage);
    let cases: [(&str, &str, &str); 7] = [
        (
            "truncated xz",
            "xz -0 -c \"$2\" > \"$1/x\"; head -c -20 \"$1/x\" > \"$1/sdimage.dd.xz\"; rm \"$1/x\"",
            "F-",
        ),
        (
            "too large for the medium",
            "truncate -s 65M \"$1/sdimage.dd\"; printf '2048,,L\\n' | sfdisk -q \"$1/sdimage.dd\"",
            "R-TOOLARGE",
        ),
        (
            "too large for the medium, packed",
            "truncate -s 65M \"$1/x\"; printf '2048,,L\\n' | sfdisk -q \"$1/x\"; \
             xz -0 -c \"$1/x\" > \"$1/sdimage.dd.xz\"; rm \"$1/x\"",
            "R-TOOLARGE",
        ),
        ("content that does not match the name", "gzip -c \"$2\" > \"$1/sdimage.dd.xz\"", "R-CONTENT"),
        (
            "a sidecar that cannot be parsed",
            "cp \"$2\" \"$1/sdimage.dd\"; echo hello > \"$1/sdimage.dd.md5\"",
            "R-SIDECAR",
        ),
        ("a misspelt name", "cp \"$2\" \"$1/SDIMAGE.DD\"", "R-NAMES"),
        ("a dangling link", "ln -s nowhere \"$1/sdimage.dd\"", "R-"),
    ];
    for (what, make, code) in cases {
        println!("--- {what}");
        let drive = drive_with(&stage, |root| {
            shell(make, [root, &image]);
        });
        let medium = Medium::used(&stage.path("medium"), 64 * MIB);
        let before = (drive.fingerprint(), medium.fingerprint());
        let board = Board { stage: &stage, drive: &drive, media: vec![("sd", &medium)] };
        let (exit, plan) = board.plan();
        assert_eq!(exit, 1, "{what}: {plan}");
        let end = board.run();
        assert_eq!((end.exit, &end.report["status"]), (1, &"failure".into()), "{what}: {}", end.console);
        assert!(end.report.to_string().contains(&format!("\"code\":\"{code}")), "{what}: {:#}", end.report);
        assert_eq!((drive.fingerprint(), medium.fingerprint()), before, "{what}: something was changed");
    }
}

#[test]
fn a_wrong_checksum_never_leaves_a_medium_that_looks_bootable() {
    let Some(stage) = Stage::new() else { return };
    let image = disk_image(&stage);
    for make in [
        "xz -0 -c \"$2\" > \"$1/sdimage.dd.xz\"; echo \"0123456789abcdef0123456789abcdef  sdimage.dd\" > \"$1/sdimage.dd.md5\"",
        "cp \"$2\" \"$1/sdimage.dd\"; echo \"0123456789abcdef0123456789abcdef  sdimage.dd\" > \"$1/sdimage.dd.md5\"",
    ] {
        let drive = drive_with(&stage, |root| {
            shell(make, [root, &image]);
        });
        let medium = Medium::used(&stage.path("medium"), 64 * MIB);
        let before = drive.fingerprint();
        Board { stage: &stage, drive: &drive, media: vec![("sd", &medium)] }.run().assert_failure("V-DIGEST");
        assert_eq!(drive.fingerprint(), before, "the drive was changed");
        medium.flush();
        shell("! sfdisk --dump \"$1\" >&2", [&medium.file]);
    }
}

#[test]
fn one_bad_medium_leaves_the_other_good() {
    let Some(stage) = Stage::new() else { return };
    let image = disk_image(&stage);
    let drive = drive_with(&stage, |root| {
        fs::copy(&image, root.join("golden.img")).unwrap();
        symlink("golden.img", root.join("emmcimage.dd")).unwrap();
        shell("xz -0 -c \"$2\" | head -c -20 > \"$1/sdimage.dd.xz\"", [root, &image]);
    });
    let sd = Medium::used(&stage.path("sd"), 64 * MIB);
    let emmc = Medium::used(&stage.path("emmc"), 64 * MIB);
    let before = sd.fingerprint();
    let end = Board { stage: &stage, drive: &drive, media: vec![("sd", &sd), ("emmc", &emmc)] }.run();
    assert_eq!(end.exit, 1, "{}", end.console);
    assert_eq!(sd.fingerprint(), before);
    let media = end.report["media"].as_array().unwrap();
    let result = |name: &str| {
        media.iter().find(|medium| medium["medium"] == name).map(|medium| medium["result"].clone()).unwrap()
    };
    assert_eq!(result("sd"), "failed");
    if result("emmc") == "ok" {
        emmc.flush();
        shell("cmp -n 8388608 \"$1\" \"$2\"", [&image, &emmc.file]);
    } else {
        assert_eq!(result("emmc"), "skipped", "{}", end.console);
    }
}

#[test]
fn a_full_drive_stays_usable_and_the_next_run_finishes() {
    let Some(stage) = Stage::new() else { return };
    let golden = golden(&stage, 16 * MIB);
    let before = golden.fingerprint();
    let drive = make_drive(&stage.path("drive"), 256 * MIB);
    let files = Mount::new(&drive.device, &stage.path("drive-files"));
    // Leaves about 10 MiB, too little for the working image. With more, how soon its packed part is given back decides.
    shell(
        "fallocate -l \"$(($(stat -f -c '%a * %S' \"$1\") - 10 * 1048576))\" \"$1/holiday.mp4\"",
        [&files.path],
    );
    drop(files);
    let board = Board { stage: &stage, drive: &drive, media: vec![("sd", &golden)] };
    let end = board.run();
    assert_eq!(end.exit, 1, "{}", end.console);
    let text = end.report.to_string();
    assert!(text.contains("R-DRIVESPACE") || text.contains("E-NOSPACE"), "{text}");
    assert_eq!(golden.fingerprint(), before);

    let files = Mount::new(&drive.device, &stage.path("drive-files"));
    for entry in fs::read_dir(&files.path).unwrap() {
        let name = entry.unwrap().file_name();
        assert!(!name.to_string_lossy().contains("image"), "{name:?} is incomplete");
    }
    fs::remove_file(files.path.join("holiday.mp4")).unwrap();
    drop(files);
    board.run().assert_success();
    assert_captured(&stage, &drive);
    assert_eq!(golden.fingerprint(), before);
}

#[test]
fn the_next_run_completes_a_killed_capture() {
    let Some(stage) = Stage::new() else { return };
    let golden = golden(&stage, 16 * MIB);
    let before = golden.fingerprint();
    let drive = make_drive(&stage.path("drive"), 512 * MIB);
    let board = Board { stage: &stage, drive: &drive, media: vec![("sd", &golden)] };
    let mut cut = 0;
    for pause_ms in [300, 1500, 3000] {
        let mut child = board.begin();
        std::thread::sleep(Duration::from_millis(pause_ms));
        cut += u32::from(child.try_wait().unwrap().is_none());
        child.kill().unwrap();
        child.wait().unwrap();
        board.wait_until_free();
        assert_eq!(golden.fingerprint(), before);
    }
    assert!(cut > 0, "every run ended before it was killed");
    // If the last run finished, the next one would write its image back; another test covers that.
    if !is_captured(&stage, &drive) {
        board.run().assert_success();
    }
    assert_captured(&stage, &drive);
    assert_eq!(golden.fingerprint(), before);
}

#[test]
fn a_terminated_run_leaves_nothing_mounted() {
    let Some(stage) = Stage::new() else { return };
    assert_interrupted_run_ends_clean(&stage, |board| board.begin(), Signal::SIGTERM);
}

/// As when a network connection breaks: writes to the terminal fail, then the run gets SIGHUP.
#[test]
fn a_run_whose_terminal_is_closed_leaves_nothing_mounted() {
    let Some(stage) = Stage::new() else { return };
    let full = || fs::File::options().write(true).open("/dev/full").unwrap();
    assert_interrupted_run_ends_clean(&stage, |board| board.begin_on(full()), Signal::SIGHUP);
}

/// Waits until the log of the capture has this line.
fn wait_until_logged(stage: &Stage, line: &str) {
    let log = stage.path("logs").join("sd-capture");
    for _ in 0..600 {
        if fs::read_to_string(&log).is_ok_and(|text| text.contains(line)) {
            return;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("{line:?} is not in {}", log.display());
}

/// Asserts that a capture which gets `signal` ends and releases its devices.
fn assert_interrupted_run_ends_clean(stage: &Stage, begin: impl FnOnce(&Board<'_>) -> Child, signal: Signal) {
    let mut golden = golden(stage, 0);
    golden.show_partitions();
    // Data that compresses a little takes the encoder longer than data that does not compress.
    let mount = Mount::new(&golden.partition(1), &stage.path("golden"));
    shell("head -c 64M /dev/urandom | base64 >\"$1\"", [mount.path.join("usr/text")]);
    drop(mount);
    golden.hide_partitions();
    let drive = make_drive(&stage.path("drive"), 512 * MIB);
    let board = Board { stage, drive: &drive, media: vec![("sd", &golden)] };
    let mut child = begin(&board);
    wait_until_logged(stage, "compressing");
    let pid = nix::unistd::Pid::from_raw(i32::try_from(child.id()).unwrap());
    nix::sys::signal::kill(pid, signal).unwrap();
    let mut ended = None;
    for _ in 0..600 {
        ended = child.try_wait().unwrap();
        if ended.is_some() {
            break;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    if ended.is_none() {
        child.kill().unwrap();
    }
    let status = child.wait().unwrap();
    assert!(
        ended.is_some_and(|status| status.signal().is_some()),
        "{status}, ended by the signal: {ended:?}"
    );
    board.wait_until_free();
    let read_only = shell("blockdev --getro \"$1\"", [&golden.device]);
    assert_eq!(read_only.trim(), "0", "the golden medium stays write-protected");
}

fn is_captured(stage: &Stage, drive: &Medium) -> bool {
    let files = Mount::new(&drive.device, &stage.path("drive-files"));
    files.path.join("sdimage.tar.xz").exists() && !files.path.join(".capture").exists()
}

fn assert_captured(stage: &Stage, drive: &Medium) {
    let files = Mount::read_only(&drive.device, &stage.path("drive-files"));
    shell("cd \"$1\" && xz -t sdimage.tar.xz && md5sum -c --strict sdimage.tar.xz.md5", [&files.path]);
    let sum = shell("xz -dc \"$1/sdimage.tar.xz\" | tee >(tar -t > /dev/null) | md5sum", [&files.path]);
    let expected = fs::read_to_string(files.path.join("sdimage.tar.md5")).unwrap();
    assert_eq!(expected.split_whitespace().next(), sum.split_whitespace().next());
    assert!(!files.path.join(".capture").exists(), "the session still exists");
}
