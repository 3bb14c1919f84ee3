//! QEMU's virt machine with a 64-bit processor: drive on USB; SD card, SATA and NVMe disk; LEDs by the LED driver of the kernel
//! on the PL061, described in a device tree.

use super::drive::Drive;
use super::golden::{self, Golden, MARKER};
use super::machine::{Board, Bus, Kind};
use super::media::{self, MIB};
use super::run;
use super::stage::Stage;
use super::tools;
use replicator_hal::Status;
use std::path::{Path, PathBuf};
use std::process::Command;

#[test]
fn arm64_clones_to_every_kind_of_medium() {
    let Some(stage) = Stage::new("arm64", Kind::VirtArm64) else { return };
    let tree = device_tree_with_leds(&stage);
    let golden = Golden::new(&stage, "golden-sd.img");
    let golden_sata = stage.path("golden-sata.img");
    media::two_partitions(&golden_sata);
    let drive = Drive::new(&stage, "drive.img");
    let board = |disks| Board { device_tree: Some(&tree), ..Board::new(&stage, disks) };

    let media = vec![(Bus::Usb, drive.file.as_path()), (Bus::Sd, &golden.medium), (Bus::Sata, &golden_sata)];
    run::finish(&stage, &mut board(media).switch_on("capture"), Status::Success);
    drive.check();
    golden.assert_untouched();
    stage.print(&format!("captured: {}", drive.names().join(" ")));

    // One tarball for two media. All SD cards of QEMU have the same CID, so they count as one unit.
    drive.change(|root| {
        std::os::unix::fs::symlink("sdimage.tar.xz", root.join("nvmeimage.tar.xz")).unwrap();
        std::fs::write(root.join("IR_WRITE_BACK"), "").unwrap();
    });
    let [sd, sata, nvme] = ["blank-sd.img", "blank-sata.img", "blank-nvme.img"].map(|name| stage.path(name));
    media::blank(&sd, golden::LEN_BYTES);
    media::blank(&sata, 100 * MIB);
    media::blank(&nvme, 200 * MIB);
    let media = vec![
        (Bus::Usb, drive.file.as_path()),
        (Bus::Sd, sd.as_path()),
        (Bus::Sata, sata.as_path()),
        (Bus::Nvme, nvme.as_path()),
    ];
    run::finish(&stage, &mut board(media).switch_on("write"), Status::Success);
    golden.compare(&sd);
    golden.compare(&nvme);
    drive.compare_on_larger("sataimage.dd.xz", &sata);

    let mut clone = Board::new(&stage, vec![(Bus::Nvme, &nvme)]);
    clone.words = "rdinit=/clone-boot clone.root=nvme0n1p1";
    clone.switch_on("clone").wait_for(MARKER);
}

/// The device tree of the machine, with the LEDs added on lines of its PL061.
pub(crate) fn device_tree_with_leds(stage: &Stage) -> PathBuf {
    let tree = stage.path("leds.dtb");
    let mut words: Vec<String> = stage.kind.machine().iter().map(|word| (*word).to_owned()).collect();
    words[1].push_str(&format!(",dumpdtb={}", tree.display()));
    let dumped = Command::new(stage.kind.program()).args(words).args(["-display", "none"]).output().unwrap();
    assert!(dumped.status.success() && tree.exists(), "{dumped:?}");
    let controller = "/pl061@9030000";
    let phandle = tools::run("fdtget", ["-t", "x", path(&tree), controller, "phandle"]);
    let put = |words: &[&str]| drop(tools::run("fdtput", words));
    put(&["-c", path(&tree), "/leds"]);
    put(&["-t", "s", path(&tree), "/leds", "compatible", "gpio-leds"]);
    let wiring = stage.kind.wiring().unwrap();
    for (node, label, line) in
        [("/leds/red", "red:status", wiring.red), ("/leds/green", "green:power", wiring.green)]
    {
        put(&["-c", path(&tree), node]);
        put(&["-t", "s", path(&tree), node, "label", label]);
        put(&["-t", "x", path(&tree), node, "gpios", phandle.trim(), &format!("{line:x}"), "0"]);
        // The state of the LED before a program sets it.
        put(&["-t", "s", path(&tree), node, "default-state", "off"]);
    }
    tree
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}
