//! Power cuts in a capture: what is on the drive, whether the next boot captures or writes, and its result.

use super::copy::copy;
use super::devices::Medium;
use super::drive::{self, Class};
use super::golden::{Golden, Images};
use super::recorder::{self, Cut};
use super::replicator::{Board, make_drive};
use super::simulated;
use super::stage::Stage;
use super::tools::run;
use super::workers::{chosen, in_parallel};
use super::{print, timed};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

const DRIVE_LEN_BYTES: u64 = 96 << 20;
/// Most distinct cuts that are kept.
const CUTS_MAX: usize = 150;
/// Distinct cuts that are followed by a boot to its end.
const BOOTS: usize = 14;
/// Runs that are killed.
const KILLS: u64 = 3;

/// The undisturbed result, with which every boot after a cut is compared.
struct Undisturbed<'a> {
    golden: &'a Golden,
    fingerprints: [u128; 2],
    images: Images,
}

#[test]
fn after_any_power_cut_the_next_boot_completes_the_capture() {
    let Some(stage) = Stage::in_memory() else { return };
    let golden = Golden::new(&stage);
    let fingerprints = golden.fingerprints();
    let drive = make_drive(&stage.path("drive"), DRIVE_LEN_BYTES);
    let blank = stage.path("blank-drive");
    copy(&drive.file, &blank);
    let requests = recorder::undisturbed(&Board { stage: &stage, drive: &drive, media: golden.media() });
    let undisturbed = Undisturbed { golden: &golden, fingerprints, images: Images::read(&stage, &drive) };
    drop(drive);

    let drive = Medium::attach(&blank_drive(&stage, &blank));
    let board = Board { stage: &stage, drive: &drive, media: golden.media() };
    let ((cuts, moments), seconds) = timed(|| recorder::record(&board, &stage, CUTS_MAX));
    drop(drive);
    print(&format!("capture: {moments} cuts in {seconds} s; {requests} requests in an undisturbed run"));

    let distinct: Vec<&Cut> = cuts.iter().collect();
    let (classes, seconds) =
        timed(|| in_parallel(&stage, &distinct, |part, cut| inspect(part, &undisturbed, cut)));
    let seen = count(&classes);
    print(&format!("capture: checked {} distinct cuts in {seconds} s", distinct.len()));
    seen.iter().for_each(|(class, count)| print(&format!("capture: {count} x {class}")));
    assert!(distinct.len() >= 12 && seen.len() >= 5, "too few kinds of cuts were recorded");
    assert!(
        seen.keys().any(|class| class.session && class.images == 1),
        "no cut was recorded between the media"
    );
    assert!(classes.last().expect("the end").is_complete(), "the end of the run was not durable");
    let ((), seconds) = timed(|| simulated::assert_known(&classes));
    print(&format!("capture: the simulation leaves all of these classes; simulated in {seconds} s"));

    let followed = chosen(&distinct, &classes, BOOTS);
    let (ends, seconds) = timed(|| {
        in_parallel(&stage, &followed, |part, cut| {
            let drive = Medium::attach(&cut.files[0]);
            let class = drive::inspect(part, &drive.file);
            finish(part, &undisturbed, &drive, &class, &cut.to_string());
        })
    });
    print(&format!("capture: {} cuts followed by a boot in {seconds} s", ends.len()));
    let (killed, seconds) = timed(|| kill(&stage, &undisturbed, &blank, requests));
    print(&format!("capture: {killed} runs killed in {seconds} s"));
    assert!(killed >= 2, "runs ended before they were killed");
    assert_eq!(golden.fingerprints(), fingerprints, "a golden medium was changed");
}

fn blank_drive(stage: &Stage, blank: &Path) -> PathBuf {
    let file = stage.path("drive");
    copy(blank, &file);
    file
}

fn count(classes: &[Class]) -> BTreeMap<&Class, usize> {
    let mut counts = BTreeMap::new();
    for class in classes {
        *counts.entry(class).or_default() += 1;
    }
    counts
}

fn inspect(part: &Stage, undisturbed: &Undisturbed<'_>, cut: &Cut) -> Class {
    assert_eq!(cut.fingerprints[1..], undisturbed.fingerprints, "a golden medium was changed");
    drive::inspect(part, &cut.files[0])
}

/// Kills runs. The next boot starts from the drive as it was at the kill, and from the drive after the kernel's write-back.
fn kill(stage: &Stage, undisturbed: &Undisturbed<'_>, blank: &Path, requests: u64) -> usize {
    let mut killed = 0;
    for number in 1..=KILLS {
        let part = stage.part("killed");
        let drive = Medium::attach(&blank_drive(&part, blank));
        let golden = undisturbed.golden.again(&part);
        let board = Board { stage: &part, drive: &drive, media: golden.media() };
        let Some(cut) = recorder::kill_at(&board, &part, requests * number / (KILLS + 1)) else { continue };
        drop(golden);
        killed += 1;
        assert_eq!(cut.fingerprints[1..], undisturbed.fingerprints, "a golden medium was changed");
        drive.flush();
        for (drive, what) in [(drive, "the device"), (Medium::attach(&cut.files[0]), "its copy")] {
            let class = drive::inspect(&part, &drive.file);
            finish(&part, undisturbed, &drive, &class, &format!("{what} at {cut}"));
        }
    }
    killed
}

/// Boots from a drive and checks the mode and the result of the boot.
fn finish(part: &Stage, undisturbed: &Undisturbed<'_>, drive: &Medium, class: &Class, what: &str) {
    let golden = undisturbed.golden.again(part);
    let end = Board { stage: part, drive, media: golden.media() }.run();
    assert_eq!(golden.fingerprints(), undisturbed.fingerprints, "{what}: a golden medium was changed");
    if class.is_complete() {
        // Nothing is left to capture. The images would be written, but not back to their golden unit.
        end.assert_failure("R-WRITEBACK");
    } else {
        assert_eq!(end.report["mode"], "capture", "{what}: {class:?}");
        end.assert_success();
    }
    run("e2fsck", ["-fn".as_ref(), drive.device.as_os_str()]);
    Images::read(part, drive).assert_equal(&undisturbed.images, what);
}
