//! Media that another program uses, media that a run uses, and the write protection that a killed run leaves.

use super::devices::{Medium, Mount};
use super::replicator::{Board, make_drive};
use super::stage::Stage;
use super::tools::{run, shell};
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const MIB: u64 = 1 << 20;

/// A medium with one partition, visible to the kernel, with a small root file system and `ballast_len_bytes` of incompressible
/// data.
fn golden(stage: &Stage, ballast_len_bytes: u64) -> Medium {
    let golden = Medium::partitioned(
        &stage.path("golden-medium"),
        64 * MIB + 2 * ballast_len_bytes,
        "label: dos\nstart=4MiB, type=83",
    );
    run("mkfs.ext4", ["-q".as_ref(), golden.partition(1).as_os_str()]);
    super::rootfs::small(&Mount::new(&golden.partition(1), &stage.path("golden")).path, ballast_len_bytes);
    golden
}

/// A program that uses a device from its first line of output until it is dropped.
struct Holder(Child);

impl Holder {
    #[track_caller]
    fn new(script: &str, argument: &Path) -> Self {
        let script = format!("{script} && echo held && read line");
        let mut child = Command::new("unshare")
            .args(["-m", "--propagation", "private", "bash", "-c", &script, "holder"])
            .arg(argument)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "held\n", "{script}");
        Self(child)
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        if let Err(error) = self.0.wait() {
            eprintln!("the holder: {error}");
        }
    }
}

fn names_on(stage: &Stage, drive: &Medium) -> Vec<String> {
    let files = Mount::read_only(&drive.device, &stage.path("drive-files"));
    let names = fs::read_dir(&files.path).unwrap();
    let mut names: Vec<String> =
        names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.retain(|name| name != "lost+found");
    names.sort();
    names
}

/// Fills the drive's root.
fn fill_drive(stage: &Stage, drive: &Medium, image: Option<&str>) {
    let files = Mount::new(&drive.device, &stage.path("drive-files"));
    for entry in fs::read_dir(&files.path).unwrap().map(|entry| entry.unwrap()) {
        match entry.file_type().unwrap().is_dir() {
            true if entry.file_name() == "lost+found" => {}
            true => fs::remove_dir_all(entry.path()).unwrap(),
            false => fs::remove_file(entry.path()).unwrap(),
        }
    }
    if let Some(image) = image {
        for directory in ["tree/etc", "tree/usr"] {
            fs::create_dir_all(stage.path(directory)).unwrap();
        }
        fs::write(stage.path("tree/etc/hostname"), "new").unwrap();
        shell("tar -C \"$1\" -cf \"$2\" .", [stage.path("tree"), files.path.join(image)]);
    }
}

#[test]
fn a_medium_in_use_is_neither_captured_nor_written() {
    let Some(stage) = Stage::new() else { return };
    let golden = golden(&stage, 0);
    let drive = make_drive(&stage.path("drive"), 512 * MIB);
    let board = Board { stage: &stage, drive: &drive, media: vec![("sd", &golden)] };
    // The user of the device, the code, and the text of the message. A mount is found and refused before the run begins.
    let holders = [
        ("mount -o ro $1p1 /mnt", "R-BUSY", "mounted at /mnt in the mount namespace of process"),
        ("exec 3<>$1", "E-BUSY", "has it open for writing"),
        ("exec 3<>$1p1", "E-BUSY", "has it open for writing"),
    ];
    for (script, code, who) in holders {
        for image in [None, Some("sdimage.tar")] {
            let case = format!("{script}, {image:?}");
            fill_drive(&stage, &drive, image);
            let before = golden.fingerprint();
            let holder = Holder::new(script, &golden.device);
            let run = board.run_beside_others();
            drop(holder);
            run.assert_failure(code);
            assert!(run.console.contains(who), "{case}: {who} is not in {}", run.console);
            assert_eq!(golden.fingerprint(), before, "{case}");
            let images: Vec<String> =
                names_on(&stage, &drive).into_iter().filter(|name| name != ".capture").collect();
            assert_eq!(images, image.into_iter().collect::<Vec<_>>(), "{case}");
        }
    }
    fill_drive(&stage, &drive, None);
    board.run().assert_success();
}

/// Begins a run, and waits until it reads `source`.
fn begin_reading(board: &Board<'_>, source: &Medium) -> Child {
    let mut child = board.begin();
    let started = Instant::now();
    while !is_read_only(&source.device) {
        assert!(started.elapsed() < Duration::from_secs(30), "the run does not begin");
        assert_eq!(child.try_wait().unwrap(), None, "the run ended");
        std::thread::sleep(Duration::from_millis(5));
    }
    child
}

fn is_read_only(device: &Path) -> bool {
    run("blockdev", ["--getro".as_ref(), device.as_os_str()]).trim() == "1"
}

#[test]
fn a_run_locks_its_drive_and_media_and_nothing_else() {
    let Some(stage) = Stage::new() else { return };
    let golden = golden(&stage, 8 * MIB);
    let drive = make_drive(&stage.path("drive"), 512 * MIB);
    let board = Board { stage: &stage, drive: &drive, media: vec![("sd", &golden)] };
    // Mounted when the run begins, like another medium on a bench.
    let foreign = Medium::blank(&stage.path("foreign"), 32 * MIB);
    run("mkfs.ext4", ["-q".as_ref(), "-F".as_ref(), foreign.device.as_os_str()]);
    let mounted = Mount::new(&foreign.device, &stage.path("foreign-files"));
    let mut child = begin_reading(&board, &golden);
    // The run is stopped while others try to use its devices.
    let pid = nix::unistd::Pid::from_raw(i32::try_from(child.id()).unwrap());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGSTOP).unwrap();
    drop(mounted);
    foreign.assert_free();

    // No other run can use the medium meanwhile.
    let other_drive = make_drive(&stage.path("other-drive"), 512 * MIB);
    let part = stage.part("second");
    let same_medium = Board { stage: &part, drive: &other_drive, media: vec![("sd", &golden)] };
    let (report, exit, console) = second_run(&same_medium);
    assert_eq!(exit, Some(1), "{console}");
    assert!(report.contains("E-BUSY") && console.contains("(replicator)"), "{console}");
    // A run with the same drive waits for it, as for a drive that is not plugged in yet.
    let same_drive = Board { stage: &part, drive: &drive, media: vec![("sd", &foreign)] };
    let mut waiting = same_drive.begin();
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(waiting.try_wait().unwrap(), None, "it did not wait");
    waiting.kill().unwrap();
    waiting.wait().unwrap();
    assert_eq!(names_on(&stage, &other_drive), [".capture"], "files of the refused capture");

    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGCONT).unwrap();
    let status = child.wait().unwrap();
    assert!(status.success(), "{}", fs::read_to_string(stage.path("console")).unwrap());
    board.wait_until_free();
}

/// Report, exit status and console of a run that starts while another one runs.
fn second_run(board: &Board<'_>) -> (String, Option<i32>, String) {
    let mut child = board.begin();
    let status = child.wait().unwrap();
    let report = fs::read_to_string(board.stage.path("logs/report.json")).unwrap();
    (report, status.code(), fs::read_to_string(board.stage.path("console")).unwrap())
}

#[test]
fn the_next_run_clears_the_write_protection_that_a_killed_one_left() {
    let Some(stage) = Stage::new() else { return };
    let golden = golden(&stage, 8 * MIB);
    let drive = make_drive(&stage.path("drive"), 512 * MIB);
    let board = Board { stage: &stage, drive: &drive, media: vec![("sd", &golden)] };
    let kill_while_it_reads = || {
        let mut child = begin_reading(&board, &golden);
        child.kill().unwrap();
        child.wait().unwrap();
        board.wait_until_free();
        assert!(is_read_only(&golden.device), "the test needs the flag to stay set");
    };
    // The next run continues the capture, although drive and medium may both be read-only.
    kill_while_it_reads();
    let (exit, plan) = board.plan();
    assert_eq!(exit, 0, "{plan}");
    board.run().assert_success();
    assert!(!is_read_only(&golden.device) && !is_read_only(&drive.device));

    // The same before a write.
    fill_drive(&stage, &drive, None);
    kill_while_it_reads();
    run("blockdev", ["--setrw".as_ref(), drive.device.as_os_str()]);
    fill_drive(&stage, &drive, Some("sdimage.tar"));
    board.run().assert_success();

    // A device that was set read-only by someone else stays read-only, and the message contains the remedy.
    run("blockdev", ["--setro".as_ref(), golden.device.as_os_str()]);
    let refused = board.run();
    refused.assert_failure("R-READONLY");
    let remedy = format!("blockdev --setrw {}", golden.device.display());
    assert!(refused.console.contains(&remedy) && refused.console.contains("switch"), "{}", refused.console);
    assert!(is_read_only(&golden.device));
}

#[test]
fn of_two_runs_that_start_together_with_one_drive_only_one_succeeds() {
    let Some(stage) = Stage::new() else { return };
    let first = golden(&stage, MIB);
    let part = stage.part("other");
    let second = golden(&part, MIB);
    for round in 0..8 {
        let drive = make_drive(&stage.path(&format!("drive-{round}")), 128 * MIB);
        // With different medium names, so that the image of one is not for the other.
        let boards = [
            Board { stage: &stage, drive: &drive, media: vec![("sd", &first)] },
            Board { stage: &part, drive: &drive, media: vec![("emmc", &second)] },
        ];
        let mut children: Vec<Child> = boards.iter().map(Board::begin).collect();
        let statuses: Vec<Option<i32>> =
            children.iter_mut().map(|child| child.wait().unwrap().code()).collect();
        let consoles = boards.iter().map(|board| fs::read_to_string(board.stage.path("console")).unwrap());
        let consoles: Vec<String> = consoles.collect();
        boards[1].wait_until_free();
        let mut sorted = statuses.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, [Some(0), Some(1)], "round {round}: {consoles:#?}");
        let winner = usize::from(statuses[1] == Some(0));
        let image = ["sdimage.tar.xz", "emmcimage.tar.xz"][winner];
        assert!(consoles[winner].contains(image), "{}", consoles[winner]);
        let loser = &consoles[1 - winner];
        // It waited for the drive and found the other image, or reported that the drive is busy.
        let is_clear = loser.contains(&format!("found {image}, but")) || loser.contains("busy");
        assert!(is_clear, "round {round}: {loser}");
        let names = names_on(&stage, &drive);
        let images = names.iter().filter(|name| name.contains("image.tar.xz") && !name.ends_with(".md5"));
        assert_eq!(images.collect::<Vec<_>>(), [image], "{names:?}");
        assert!(!names.contains(&".capture".to_owned()), "{names:?}");
        run("e2fsck", ["-fn".as_ref(), drive.device.as_os_str()]);
    }
}
