//! The checkers of firmware detect wrong runs: each has no complaint about a scenario as it is, and complains about
//! the same scenario with tampered bytes, with wrong LEDs, or with a changed bootloader area.

use crate::faulty::leds;
use crate::faulty::tampering::{flip, put};
use replicator_hal::{Access, Board, DeviceName, Layer, Layered, Leds, LedsLayer, Status};
use replicator_sim::judge::checkers::{self, Check};
use replicator_sim::run::{Evidence, boots};
use replicator_sim::scenario::builtin;
use replicator_sim::scenario::schema::Scenario;
use std::sync::Arc;

const AREA: &str = "emmc-boot0";
/// A byte in the middle of the SPL's place.
const IN_SPL: u64 = 2000;
/// A byte behind the U-Boot's place.
const BESIDE: u64 = 1_500_000;

fn run(name: &str, change: impl Fn(Board) -> Board) -> Evidence {
    let scenario = Scenario::parse(builtin::find(name).unwrap(), name).unwrap();
    boots::run_as(name, &scenario, change, |_| {}).unwrap()
}

#[track_caller]
fn complains(check: Check, evidence: &Evidence, text: &str) {
    let complaints = check(evidence);
    assert!(complaints.iter().any(|complaint| complaint.contains(text)), "{text:?} is not in {complaints:?}");
}

/// No complaint about the scenario, and one after `tamper`.
#[track_caller]
fn detects(check: Check, name: &str, tamper: impl FnOnce(&mut Evidence), text: &str) {
    let mut evidence = run(name, |board| board);
    assert_eq!(check(&evidence), Vec::<String>::new(), "{name} untouched");
    tamper(&mut evidence);
    complains(check, &evidence, text);
}

/// A complaint about the scenario on a changed board.
#[track_caller]
fn detects_on(check: Check, name: &str, change: impl Fn(Board) -> Board, text: &str) {
    assert_eq!(check(&run(name, |board| board)), Vec::<String>::new(), "{name} as it is");
    complains(check, &run(name, change), text);
}

/// A board whose LEDs never show critical, because `set_at_risk` has no effect.
fn never_at_risk(board: Board) -> Board {
    struct NeverAtRisk(Arc<dyn Leds>);
    impl Layer for NeverAtRisk {
        type Below = dyn Leds;

        fn below(&self) -> &Self::Below {
            &*self.0
        }
    }
    impl LedsLayer for NeverAtRisk {
        fn set_at_risk(&self, _at_risk: bool) {}
    }
    Board { leds: Arc::new(Layered(NeverAtRisk(Arc::clone(&board.leds)))), ..board }
}

fn shows(instead: Status) -> impl Fn(Status) -> Option<Status> + Copy {
    move |status| Some(if status == Status::Running { status } else { instead })
}

#[test]
fn a_changed_bit_of_the_new_bootloader_and_one_beside_it_are_detected() {
    let check = checkers::firmware::check;
    let name = "firmware-two-files-are-written";
    let bit = |at: u64| move |evidence: &mut Evidence| flip(&mut evidence.boots[0].after, AREA, at);
    detects(check, name, bit(IN_SPL), "success is shown, but the bootloader of the drive is not installed");
    detects(check, name, bit(IN_SPL), "neither old nor new, but the LEDs do not show critical");
    detects(check, name, bit(IN_SPL), "a medium was written, although the bootloader is not installed");
    detects(check, name, bit(BESIDE), "but no file has that place");
}

#[test]
fn a_bootloader_that_was_not_put_back_is_detected() {
    let bit = |evidence: &mut Evidence| flip(&mut evidence.boots[0].after, AREA, IN_SPL);
    detects(checkers::firmware::check, "firmware-write-fails", bit, "neither old nor new");
}

#[test]
fn a_hang_in_a_partly_written_bootloader_shown_as_failure_is_detected() {
    let check = checkers::firmware::check;
    let name = "firmware-hang-in-the-bootloader";
    detects_on(check, name, never_at_risk, "the LEDs do not show critical");
}

#[test]
fn a_bootable_board_shown_as_critical_and_a_critical_one_shown_as_a_failure_are_detected() {
    let check = checkers::firmware::check;
    let name = "firmware-two-files-are-written";
    let critical = leds::that_show(shows(Status::Critical));
    detects_on(check, name, critical, "nothing can have made the board unbootable");
    let shows_failure = leds::that_show(shows(Status::Failure));
    let failure = |board: Board| shows_failure(never_at_risk(board));
    detects_on(
        check,
        "firmware-micro-does-not-answer-after-the-update",
        failure,
        "the microcontroller does not answer",
    );
}

#[test]
fn an_update_that_is_not_installed_is_detected() {
    let success = leds::that_show(shows(Status::Success));
    let text = "success is shown, but the microcontroller does not have the update";
    detects_on(checkers::firmware::check, "firmware-micro-updater-does-not-reset", success, text);
}

#[test]
fn an_area_that_is_left_unprotected_or_unprotected_without_need_is_detected() {
    let check = checkers::protected::check;
    let open = |board: &Board, area| {
        board.firmware.open_bootloader_area(&DeviceName::parse(area).unwrap(), Access::ReadWrite).unwrap()
    };
    let left_open = |board: Board| {
        std::mem::forget(open(&board, "mmcblk0boot0"));
        board
    };
    detects_on(check, "firmware-alone-is-written", left_open, "left emmc-boot0 without write protection");
    let name = "firmware-is-identical";
    let opened = |board: Board| {
        open(&board, "mtdblock0").close().unwrap();
        board
    };
    detects_on(check, name, opened, "but wrote nothing");
    let written = |board: Board| {
        let mut target = open(&board, "mtdblock0");
        target.write_at(BESIDE, &[7; 512]).unwrap();
        target.close().unwrap();
        board
    };
    detects_on(check, name, written, "which already held the drive's bootloader");
}

#[test]
fn a_bootloader_area_that_changed_without_a_bootloader_on_the_drive_is_detected() {
    let tamper = |evidence: &mut Evidence| {
        for name in ["SPL", "u-boot-dtb.bin"] {
            put(&mut evidence.boots[0].before, name, None);
        }
    };
    let text = "but no file has that place";
    detects(checkers::firmware::check, "firmware-alone-is-written", tamper, text);
}
