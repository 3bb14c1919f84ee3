//! x86-64: drive on USB, SD card and SATA disk behind PCI controllers. No GPIO, so no LED is seen; no device tree, so
//! the kernel's command line names the board.

use super::drive::Drive;
use super::golden::{self, Golden, MARKER};
use super::machine::{Board, Bus, Kind};
use super::media::{self, MIB};
use super::stage::Stage;

#[test]
fn q35_captures_writes_and_the_clone_boots() {
    let Some(stage) = Stage::new("q35", Kind::Q35) else { return };
    let golden = Golden::new(&stage, "golden-sd.img");
    let golden_sata = stage.path("golden-sata.img");
    media::two_partitions(&golden_sata);
    let drive = Drive::new(&stage, "drive.img");
    // It switches itself off after each success.
    drive.put("replicator.toml", b"board = \"qemu-q35\"\nafter = \"poweroff\"\n");

    let disks =
        vec![(Bus::Usb, drive.file.as_path()), (Bus::Sd, &golden.medium), (Bus::Sata, golden_sata.as_path())];
    let mut capture = Board::new(&stage, disks).switch_on("capture");
    capture.wait_for("result: success");
    capture.wait_for_end();
    drive.check();
    golden.assert_untouched();
    stage.tell(&format!("captured: {}", drive.names().join(" ")));

    let sd = stage.path("blank-sd.img");
    let sata = stage.path("blank-sata.img");
    media::blank(&sd, golden::LEN_BYTES);
    media::blank(&sata, 100 * MIB);
    // Every SD card of the emulator is the same unit by its CID.
    drive.put("IR_WRITE_BACK", b"");
    let disks = vec![(Bus::Usb, drive.file.as_path()), (Bus::Sd, &sd), (Bus::Sata, sata.as_path())];
    let mut write = Board::new(&stage, disks).switch_on("write");
    write.wait_for("result: success");
    write.wait_for_end();
    golden.compare(&sd);
    drive.compare("sataimage.dd.xz", &sata);

    let mut clone = Board::new(&stage, vec![(Bus::Sd, &sd)]);
    clone.words = "rdinit=/clone-boot clone.root=mmcblk0p1";
    clone.switch_on("clone").wait_for(MARKER);
}
