//! An i.MX6Q board (sabrelite) from its bootloader on: Debian's U-Boot finds the boot script on the emulated USB drive and loads
//! kernel, device tree and initramfs from it. The LEDs are on lines of the SoC's GPIO controller.

use super::drive::Drive;
use super::golden::{self, Golden, MARKER};
use super::machine::{Board, Bus, Kind, Start};
use super::media;
use super::run;
use super::stage::Stage;
use replicator_hal::Status;

#[test]
fn sabrelite_boots_from_the_drive_and_clones() {
    let Some(stage) = Stage::new("sabrelite", Kind::Sabrelite) else { return };
    let golden = Golden::new(&stage, "golden-sd.img");
    let drive = Drive::new(&stage, "drive.img");
    // The board has no clock, so a file that was written on a PC has a time in the future.
    drive.put("from-a-pc.txt", b"");
    let boot = |sd, name: &str| {
        let disks = vec![(Bus::Usb, drive.file.as_path()), (Bus::Sd, sd)];
        let mut machine = Board { start: Start::Bootloader, ..Board::new(&stage, disks) }.switch_on(name);
        machine.wait_for("Replicator: the drive is usb 0:1");
        machine.wait_for("runs as init");
        machine
    };
    run::finish(&stage, &mut boot(golden.medium.as_path(), "capture"), Status::Success);
    drive.check();
    golden.assert_untouched();

    // The image is not written back to the golden unit.
    let text = run::finish(&stage, &mut boot(golden.medium.as_path(), "write-back"), Status::Failure);
    assert!(text.contains("captured from"), "{text}");
    golden.assert_untouched();

    // All SD cards of QEMU have the same CID, so they count as one unit.
    drive.put("IR_WRITE_BACK", b"");
    let sd = stage.path("blank-sd.img");
    media::blank(&sd, golden::LEN_BYTES);
    run::finish(&stage, &mut boot(sd.as_path(), "write"), Status::Success);
    golden.compare(&sd);

    let tree = stage.drive_file("dtbs/imx6q-sabrelite.dtb");
    let mut clone = Board { device_tree: Some(&tree), ..Board::new(&stage, vec![(Bus::Sd, &sd)]) };
    clone.words = "rdinit=/clone-boot clone.root=mmcblk3p1";
    clone.switch_on("clone").wait_for(MARKER);
}
