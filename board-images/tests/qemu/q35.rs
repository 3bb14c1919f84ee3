//! x86-64: a FAT32 drive on USB; SD card and SATA disk behind PCI controllers; a watchdog. The machine has no GPIO, so LEDs are
//! not checked, and no device tree, so the kernel command line names the board. After a success it reboots or powers off.

use super::devices::fingerprint;
use super::drive::Drive;
use super::golden::{self, Golden, MARKER};
use super::machine::{Board, Bus, Kind};
use super::media::{self, MIB};
use super::stage::Stage;
use std::path::Path;

/// Files on the drive after a capture.
const CAPTURED: [&str; 10] = [
    "sataimage.dd.bmap",
    "sataimage.dd.md5",
    "sataimage.dd.xz",
    "sataimage.dd.xz.md5",
    "sataimage.source",
    "sdimage.source",
    "sdimage.tar.index",
    "sdimage.tar.md5",
    "sdimage.tar.xz",
    "sdimage.tar.xz.md5",
];

#[test]
fn q35_captures_writes_and_the_clone_boots() {
    let Some(stage) = Stage::new("q35", Kind::Q35) else { return };
    let golden = Golden::new(&stage, "golden-sd.img");
    let golden_sata = stage.path("golden-sata.img");
    media::two_partitions(&golden_sata);
    let drive = Drive::new(&stage, "drive.img");
    assert!(media::is_fat(&drive.file));
    let on = |sd: &Path, sata: &Path, boot: &str| {
        let disks = vec![(Bus::Usb, drive.file.as_path()), (Bus::Sd, sd), (Bus::Sata, sata)];
        let mut board = Board::new(&stage, disks);
        // A timeout shorter than the run and the time after it.
        board.words = "rdinit=/short-watchdog";
        board.watchdog = true;
        board.switch_on(boot)
    };

    drive.put("replicator.toml", b"board = \"qemu-q35\"\nafter = \"reboot\"\n");
    let mut capture = on(&golden.medium, &golden_sata, "capture");
    capture.wait_for("result: success");
    assert_eq!(capture.wait_for_end(), ("guest-reset".to_owned(), false));
    drive.check();
    golden.assert_untouched();
    assert_eq!(drive.names(), CAPTURED);

    let sd = stage.path("blank-sd.img");
    let sata = stage.path("blank-sata.img");
    media::blank(&sd, golden::LEN_BYTES);
    media::blank(&sata, 100 * MIB);
    drive.put("replicator.toml", b"board = \"qemu-q35\"\nafter = \"poweroff\"\n");
    // All SD cards of QEMU have the same CID, so they count as one unit.
    drive.put("IR_WRITE_BACK", b"");
    let before = fingerprint(&drive.file);
    let mut write = on(&sd, &sata, "write");
    write.wait_for("result: success");
    assert_eq!(write.wait_for_end(), ("guest-shutdown".to_owned(), false));
    assert_eq!(fingerprint(&drive.file), before, "the drive was changed by a write");
    golden.compare(&sd);
    drive.compare_on_larger("sataimage.dd.xz", &sata);

    let mut clone = Board::new(&stage, vec![(Bus::Sd, &sd)]);
    clone.words = "rdinit=/clone-boot clone.root=mmcblk0p1";
    clone.switch_on("clone").wait_for(MARKER);
}
