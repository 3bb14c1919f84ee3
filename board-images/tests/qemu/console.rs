//! A user at the console, and a run that hangs, is killed or is stopped by SIGSTOP: what process 1, the LEDs and the watchdog
//! do then, on QEMU's virt machine with a 64-bit processor.

use super::devices::fingerprint;
use super::drive::Drive;
use super::machine::{Board, Bus, Kind, Machine};
use super::media;
use super::run;
use super::stage::Stage;
use super::tools::shell;
use replicator_hal::Status;
use std::path::PathBuf;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Timeout of the watchdog of `short-watchdog`.
const WATCHDOG_TIMEOUT: Duration = Duration::from_secs(12);
/// Time after a success until the board would reboot.
const REBOOT_AFTER: Duration = Duration::from_secs(10);
const SETTINGS: &[u8] = b"after = \"reboot\"\n";
/// The leases expire before the disk drivers of the kernel, which wait for 30 s, reset the disk.
const SHORT_LEASES: &[u8] = b"after = \"reboot\"\n[timeouts]\nio_seconds = 8\ntool_seconds = 8\n";
const CAPTURING: &str = "sata: capturing";
/// Index of the medium among the disks of the board.
const MEDIUM: usize = 1;

struct Scene {
    stage: Stage,
    medium: PathBuf,
    before: u128,
    drive: Drive,
}

impl Scene {
    fn new(name: &'static str) -> Option<Self> {
        let stage = Stage::new(name, Kind::VirtArm64)?;
        let medium = stage.path("sata.img");
        media::two_partitions(&medium);
        // Random data is captured too, and makes the capture slow.
        shell("head -c 6M /dev/urandom | dd of=\"$1\" bs=1M seek=28 conv=notrunc status=none", [&medium]);
        let drive = Drive::new(&stage, "drive.img");
        drive.put("replicator.toml", SETTINGS);
        Some(Self { before: fingerprint(&medium), stage, medium, drive })
    }

    fn switch_on(&self, drive: &Drive, boot: &str) -> Machine {
        let disks = vec![(Bus::Usb, drive.file.as_path()), (Bus::Sata, self.medium.as_path())];
        let mut board = Board::new(&self.stage, disks);
        board.watchdog = true;
        board.words = "rdinit=/short-watchdog";
        board.switch_on(boot)
    }

    #[track_caller]
    fn assert_nothing_captured(&self) {
        assert_eq!(fingerprint(&self.medium), self.before, "the medium was changed");
        let names = self.drive.names();
        assert!(!names.iter().any(|name| name.contains("image")), "{names:?}");
    }
}

#[test]
fn arm64_with_shell_only_only_starts_a_shell() {
    let Some(scene) = Scene::new("shell-only") else { return };
    scene.drive.put("IR_SHELL_ONLY", b"");
    let drive_before = fingerprint(&scene.drive.file);
    let mut machine = scene.switch_on(&scene.drive, "boot");
    let text = run::finish(&scene.stage, &mut machine, Status::Failure);
    assert!(text.contains("IR_SHELL_ONLY is on the drive: nothing is done"), "{text}");

    machine.open_shell(1);
    assert_eq!(machine.run_command("readlink /proc/1/exe"), "/init");
    assert_eq!(machine.run_command("grep -c /dev/sd /proc/mounts"), "0", "the drive or a medium is mounted");
    machine.keyboard.press("sleep 100000\n");
    machine.wait_for("sleep 100000");
    machine.interrupt();
    assert_eq!(machine.run_command("exit 7 | true; echo still here"), "still here");
    machine.keyboard.press("exit\n");
    machine.open_shell(2);
    assert_eq!(machine.run_command("echo $((6 * 7))"), "42");

    // The watchdog has been fed for longer than its timeout, and a failure does not reboot the board.
    sleep(REBOOT_AFTER);
    let shown = run::wait_for_leds(&machine, Status::Failure);
    scene.stage.print(&format!("at last: {shown}"));
    machine.assert_still_on();
    drop(machine);
    assert_eq!(fingerprint(&scene.drive.file), drive_before, "the drive was changed");
    scene.assert_nothing_captured();
}

#[test]
fn arm64_is_reset_if_the_run_is_stopped_but_not_if_it_hangs_or_is_killed() {
    let Some(scene) = Scene::new("first-process") else { return };
    hangs(&scene);
    is_killed(&scene);
    is_stopped(&scene);
}

/// The LEDs show failure, the board is not reset, and the result stays a failure even if the run continues.
fn hangs(scene: &Scene) {
    let drive = scene.drive.copy(&scene.stage, "hung.img");
    drive.put("replicator.toml", SHORT_LEASES);
    let mut machine = scene.switch_on(&drive, "hung");
    machine.wait_for(CAPTURING);
    machine.stall(MEDIUM, true);
    let shown = run::wait_for_leds(&machine, Status::Failure);
    scene.stage.print(&format!("hung: {shown}"));
    assert!(!machine.text().contains("result:"), "{}", machine.text());
    machine.stall(MEDIUM, false);
    assert_eq!(machine.wait_for("result:").trim_end(), "result: failure");
    let shown = run::wait_for_leds(&machine, Status::Failure);
    scene.stage.print(&format!("continued: {shown}"));
    machine.assert_still_on();
    drop(machine);
    assert_eq!(fingerprint(&scene.medium), scene.before, "the medium was changed");
    // The image is complete, but the session stays: the next boot captures.
    drive.check();
    assert!(drive.names().contains(&".capture".to_owned()), "{:?}", drive.names());
}

/// Process 1 takes over: it shows failure, feeds the watchdog, and prints a line on the console.
fn is_killed(scene: &Scene) {
    let mut machine = scene.switch_on(&scene.drive, "killed");
    machine.wait_for(CAPTURING);
    machine.stall(MEDIUM, true);
    machine.open_shell(1);
    let shown = run::wait_for_leds(&machine, Status::Running);
    scene.stage.print(&format!("running: {shown}"));
    // Make the kernel kill a process as if memory had run out. The process does not end before its disk responds.
    machine.run_command("echo f >/proc/sysrq-trigger");
    machine.stall(MEDIUM, false);
    machine.wait_for("replicator: the run ended unexpectedly: killed by SIGKILL; FAILED");
    let killed = Instant::now();
    let shown = run::wait_for_leds(&machine, Status::Failure);
    scene.stage.print(&format!("killed: {shown}"));
    let devices = machine.run_command("ls -l /proc/1/fd");
    assert!(devices.contains("-> /dev/watchdog"), "{devices}");
    assert_eq!(machine.run_command("busybox pidof exe"), "", "the run still exists");
    sleep((WATCHDOG_TIMEOUT * 3 / 2).saturating_sub(killed.elapsed()));
    machine.assert_still_on();
    drop(machine);
    scene.assert_nothing_captured();
}

/// The next boot completes the capture, also while a shell is opened and closed. Then SIGSTOP stops the process that feeds the
/// watchdog, and the board is reset.
fn is_stopped(scene: &Scene) {
    scene.drive.put("replicator.toml", b"after = \"wait\"\n");
    let mut machine = scene.switch_on(&scene.drive, "stopped");
    machine.wait_for(CAPTURING);
    machine.open_shell(1);
    assert_eq!(machine.run_command("echo 1"), "1");
    machine.keyboard.press("exit\n");
    run::finish(&scene.stage, &mut machine, Status::Success);
    machine.open_shell(2);
    assert_eq!(machine.run_command("echo 2"), "2");
    machine.assert_still_on();
    machine.keyboard.press("kill -STOP $(busybox pidof exe)\n");
    let (how, by_watchdog) = machine.wait_for_end();
    assert_eq!((how.as_str(), by_watchdog), ("guest-reset", true));
    assert_eq!(fingerprint(&scene.medium), scene.before, "the medium was changed");
    scene.drive.check();
    scene.drive.compare("sataimage.dd.xz", &scene.medium);
}
