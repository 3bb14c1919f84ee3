//! The bootloader in a boot area of an eMMC, on QEMU's virt machine of a newer emulator: the area's write protection is
//! off for as long as it is written, and on again; it stays on where there is nothing to write.

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
fn emmc_gets_its_bootloader_and_its_protection_back() {
    let Some(stage) = Stage::new("emmc", Kind::VirtArm64Newer) else { return };
    // Both boot areas come first in the emulator's file; whatever was in them is not zeros.
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

    // What is there already is left alone.
    let text = run::finish(&stage, &mut board.switch_on("again"), Status::Success);
    assert!(text.contains("nothing was written"), "{text}");
    assert!(!protection(&text).contains(&"0"), "{text}");
    assert!(fs::read(&emmc).unwrap() == after, "the eMMC was changed");
}

/// What the boot area's protection was, one after the other; fails unless it was on at first and is on at last.
#[track_caller]
fn protection(text: &str) -> Vec<&str> {
    let states: Vec<_> = text.lines().filter_map(|line| line.trim().strip_prefix("force_ro is ")).collect();
    assert_eq!((states.first(), states.last()), (Some(&"1"), Some(&"1")), "{text}");
    states
}
