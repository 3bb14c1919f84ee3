//! The bootloader in a boot area of an eMMC, on the virt machine of a newer QEMU: the write protection of the area is off only
//! while it is written; it stays on if nothing is written.

use super::drive::Drive;
use super::machine::{Board, Bus, Kind};
use super::media::{self, MIB};
use super::run;
use super::stage::Stage;
use super::tools::shell;
use replicator_hal::Status;
use std::fs;

const BOOT_AREA_LEN_BYTES: usize = MIB as usize;
const BOOTLOADER_LEN_BYTES: usize = 900_123;

#[test]
fn emmc_bootloader_is_written_and_its_write_protection_restored() {
    let Some(stage) = Stage::new("emmc", Kind::VirtArm64Newer) else { return };
    // Both boot areas come first in QEMU's file; they are filled with random data.
    let emmc = stage.path("emmc.img");
    media::blank(&emmc, 66 * MIB);
    shell(
        "head -c \"$2\" /dev/urandom | dd of=\"$1\" conv=notrunc status=none",
        [emmc.as_os_str(), (3 * MIB).to_string().as_ref()],
    );
    let before = fs::read(&emmc).unwrap();
    let drive = Drive::new(&stage, "drive.img");
    let bootloader: Vec<u8> = (0..BOOTLOADER_LEN_BYTES).map(|at| (at * at % 251) as u8 | 1).collect();
    drive.put("u-boot.bin", &bootloader);

    let mut board = Board::new(&stage, vec![(Bus::Usb, drive.file.as_path()), (Bus::Emmc, emmc.as_path())]);
    board.words = "rdinit=/watch-boot-area";
    let text = run::finish(&stage, &mut board.switch_on("write"), Status::Success);

    assert!(protection(&text).contains(&"0"), "{text}");
    let after = fs::read(&emmc).unwrap();
    assert!(after.starts_with(&bootloader), "the bootloader is not in the boot area");
    assert_eq!(
        after[BOOTLOADER_LEN_BYTES.next_multiple_of(512)..],
        before[BOOTLOADER_LEN_BYTES.next_multiple_of(512)..],
        "more than the bootloader's blocks was written, of {BOOT_AREA_LEN_BYTES} bytes in each area"
    );

    // An identical bootloader is not written again.
    let text = run::finish(&stage, &mut board.switch_on("again"), Status::Success);
    assert!(text.contains("nothing was written"), "{text}");
    assert!(!protection(&text).contains(&"0"), "{text}");
    assert!(fs::read(&emmc).unwrap() == after, "the eMMC was changed");
}

/// The states of the write protection in order; fails unless it is on at the beginning and at the end.
#[track_caller]
fn protection(text: &str) -> Vec<&str> {
    let states: Vec<_> = text.lines().filter_map(|line| line.trim().strip_prefix("force_ro is ")).collect();
    assert_eq!((states.first(), states.last()), (Some(&"1"), Some(&"1")), "{text}");
    states
}
