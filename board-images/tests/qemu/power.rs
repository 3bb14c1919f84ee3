//! QEMU's virt machine with a 64-bit and a 32-bit processor, LEDs on GPIO lines: a clone is made in spite of power cuts and an
//! unplugged drive during capture and write.

use super::drive::Drive;
use super::golden::{self, Golden, MARKER};
use super::machine::{Board, Bus, Kind};
use super::media;
use super::run;
use super::stage::Stage;
use replicator_hal::Status;

#[test]
fn arm64_clones_after_power_cuts_and_an_unplugged_drive() {
    clones_after_interruptions("arm64-power", Kind::VirtArm64);
}

#[test]
fn armv7_clones_after_power_cuts_and_an_unplugged_drive() {
    clones_after_interruptions("armv7", Kind::VirtArmv7);
}

fn clones_after_interruptions(name: &'static str, kind: Kind) {
    let Some(stage) = Stage::new(name, kind) else { return };
    let golden = Golden::new(&stage, "golden-nvme.img");
    let drive = Drive::new(&stage, "drive.img");
    let on = |boot: &str| {
        let media = vec![(Bus::Usb, drive.file.as_path()), (Bus::Nvme, golden.medium.as_path())];
        Board::new(&stage, media).switch_on(boot)
    };
    let no_image = |when: &str| {
        golden.assert_untouched();
        let names = drive.names();
        assert!(!names.iter().any(|name| name.contains("image")), "{when}: {names:?}");
    };

    let mut machine = on("capture-cut");
    machine.wait_for("nvme: compressing");
    drop(machine);
    no_image("power cut while compressing");

    let mut machine = on("capture-unplugged");
    machine.wait_for("nvme: compressing");
    machine.unplug_drive();
    let text = run::finish(&stage, &mut machine, Status::Failure);
    stage.print(text.lines().rfind(|line| line.contains("FAILED")).unwrap());
    drop(machine);
    no_image("drive unplugged while compressing");

    run::finish(&stage, &mut on("capture"), Status::Success);
    drive.check();
    golden.assert_untouched();
    let names = drive.names();
    assert!(
        names.contains(&"nvmeimage.tar.xz".to_owned()) && !names.contains(&".capture".to_owned()),
        "{names:?}"
    );
    stage.print(&format!("captured: {}", names.join(" ")));
    write(&stage, &golden, &drive);
}

fn write(stage: &Stage, golden: &Golden, drive: &Drive) {
    drive.change(|root| {
        for name in ["sdimage.tar.xz", "sataimage.tar.xz"] {
            std::os::unix::fs::symlink("nvmeimage.tar.xz", root.join(name)).unwrap();
        }
    });
    let [sd, sata, nvme] = ["blank-sd.img", "blank-sata.img", "blank-nvme.img"].map(|name| stage.path(name));
    for medium in [&sd, &sata, &nvme] {
        media::blank(medium, golden::LEN_BYTES);
    }
    let on = |boot: &str| {
        let media = vec![
            (Bus::Usb, drive.file.as_path()),
            (Bus::Sd, sd.as_path()),
            (Bus::Sata, sata.as_path()),
            (Bus::Nvme, nvme.as_path()),
        ];
        Board::new(stage, media).switch_on(boot)
    };
    let before = super::devices::fingerprint(&drive.file);
    let mut machine = on("write-cut");
    machine.wait_for("verifying");
    drop(machine);
    // Fast media may be complete already. A medium that looks bootable is complete.
    let (complete, cut): (Vec<_>, Vec<_>) =
        [&sd, &sata, &nvme].into_iter().partition(|medium| media::has_partition_table(medium));
    assert!(!cut.is_empty(), "all media were complete before the cut");
    for medium in complete {
        golden.compare(medium);
    }
    run::finish(stage, &mut on("write"), Status::Success);
    assert_eq!(super::devices::fingerprint(&drive.file), before, "the drive was changed by a write");
    for medium in [&sd, &sata, &nvme] {
        golden.compare(medium);
    }

    let mut clone = Board::new(stage, vec![(Bus::Sd, &sd)]);
    clone.words = "rdinit=/clone-boot clone.root=mmcblk0p1";
    clone.switch_on("clone").wait_for(MARKER);
}
