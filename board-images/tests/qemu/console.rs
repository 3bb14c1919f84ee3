//! Somebody at the console, and a run that hangs, is killed or is frozen: what the first process, the LEDs and the
//! watchdog make of it, on QEMU's virt machine with a 64-bit processor.

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

/// Without food for so long, the watchdog of `short-watchdog` bites.
const BITES_AFTER: Duration = Duration::from_secs(12);
/// The drive asks for a reboot so long after a success.
const REBOOT_AFTER: Duration = Duration::from_secs(10);
const SETTINGS: &[u8] = b"after = \"reboot\"\n";
/// The LEDs have told before the kernel's disk drivers, which wait for 30 s, reset the disk.
const SHORT_LEASES: &[u8] = b"after = \"reboot\"\n[timeouts]\nio_seconds = 8\ntool_seconds = 8\n";
const CAPTURING: &str = "sata: capturing";
/// Place of the medium among the board's disks.
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
        // Whatever this is, it is captured, and takes its time.
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
fn arm64_with_shell_only_does_nothing_but_give_a_shell() {
    let Some(scene) = Scene::new("shell-only") else { return };
    scene.drive.put("IR_SHELL_ONLY", b"");
    let drive_before = fingerprint(&scene.drive.file);
    let mut machine = scene.switch_on(&scene.drive, "boot");
    let text = run::finish(&scene.stage, &mut machine, Status::Failure);
    assert!(text.contains("IR_SHELL_ONLY is on the drive: nothing is done"), "{text}");

    machine.open_shell(1);
    assert_eq!(machine.ask("readlink /proc/1/exe"), "/init");
    assert_eq!(machine.ask("grep -c /dev/sd /proc/mounts"), "0", "the drive or a medium is mounted");
    machine.keyboard.press("sleep 100000\n");
    machine.wait_for("sleep 100000");
    machine.interrupt();
    assert_eq!(machine.ask("exit 7 | true; echo still here"), "still here");
    machine.keyboard.press("exit\n");
    machine.open_shell(2);
    assert_eq!(machine.ask("echo $((6 * 7))"), "42");

    // It has been fed for longer than it waits, and a failure is no reason to reboot.
    sleep(REBOOT_AFTER);
    let shown = run::wait_for_leds(&machine, Status::Failure);
    scene.stage.tell(&format!("at last: {shown}"));
    machine.assert_still_on();
    drop(machine);
    assert_eq!(fingerprint(&scene.drive.file), drive_before, "the drive was changed");
    scene.assert_nothing_captured();
}

#[test]
fn arm64_survives_a_run_that_hangs_or_is_killed_but_not_one_that_is_frozen() {
    let Some(scene) = Scene::new("first-process") else { return };
    hangs(&scene);
    is_killed(&scene);
    is_frozen(&scene);
}

/// The LEDs show failure, the board is not reset, and stays failed even if the run goes on.
fn hangs(scene: &Scene) {
    let drive = scene.drive.copy(&scene.stage, "hung.img");
    drive.put("replicator.toml", SHORT_LEASES);
    let mut machine = scene.switch_on(&drive, "hung");
    machine.wait_for(CAPTURING);
    machine.stall(MEDIUM, true);
    let shown = run::wait_for_leds(&machine, Status::Failure);
    scene.stage.tell(&format!("hung: {shown}"));
    assert!(!machine.text().contains("result:"), "{}", machine.text());
    machine.stall(MEDIUM, false);
    assert_eq!(machine.wait_for("result:").trim_end(), "result: failure");
    let shown = run::wait_for_leds(&machine, Status::Failure);
    scene.stage.tell(&format!("went on: {shown}"));
    machine.assert_still_on();
    drop(machine);
    assert_eq!(fingerprint(&scene.medium), scene.before, "the medium was changed");
    // Whole, but not the end of the matter: the next boot captures.
    drive.check();
    assert!(drive.names().contains(&".capture".to_owned()), "{:?}", drive.names());
}

/// The first process takes over: LEDs, watchdog, a line on the console.
fn is_killed(scene: &Scene) {
    let mut machine = scene.switch_on(&scene.drive, "killed");
    machine.wait_for(CAPTURING);
    machine.stall(MEDIUM, true);
    machine.open_shell(1);
    let shown = run::wait_for_leds(&machine, Status::Running);
    scene.stage.tell(&format!("running: {shown}"));
    // The kernel acts as if memory had run out. A process is not gone before its disk has answered.
    machine.ask("echo f >/proc/sysrq-trigger");
    machine.stall(MEDIUM, false);
    machine.wait_for("replicator: the work ended unexpectedly: killed by SIGKILL; FAILED");
    let killed = Instant::now();
    let shown = run::wait_for_leds(&machine, Status::Failure);
    scene.stage.tell(&format!("killed: {shown}"));
    let devices = machine.ask("ls -l /proc/1/fd");
    assert!(devices.contains("-> /dev/watchdog"), "{devices}");
    assert_eq!(machine.ask("busybox pidof exe"), "", "the work still runs");
    sleep((BITES_AFTER * 3 / 2).saturating_sub(killed.elapsed()));
    machine.assert_still_on();
    drop(machine);
    scene.assert_nothing_captured();
}

/// The next boot finishes what the others have left; a shell that comes and goes does not disturb it. Then nobody feeds
/// the watchdog any more.
fn is_frozen(scene: &Scene) {
    scene.drive.put("replicator.toml", b"after = \"wait\"\n");
    let mut machine = scene.switch_on(&scene.drive, "frozen");
    machine.wait_for(CAPTURING);
    machine.open_shell(1);
    assert_eq!(machine.ask("echo 1"), "1");
    machine.keyboard.press("exit\n");
    run::finish(&scene.stage, &mut machine, Status::Success);
    machine.open_shell(2);
    assert_eq!(machine.ask("echo 2"), "2");
    machine.assert_still_on();
    machine.keyboard.press("kill -STOP $(busybox pidof exe)\n");
    let (how, watchdog_bit) = machine.wait_for_end();
    assert_eq!((how.as_str(), watchdog_bit), ("guest-reset", true));
    assert_eq!(fingerprint(&scene.medium), scene.before, "the medium was changed");
    scene.drive.check();
    scene.drive.compare("sataimage.dd.xz", &scene.medium);
}
