//! A capture that is cut: what is on the drive, which way the next boot takes, and where it comes to.

use super::copy::copy;
use super::devices::Medium;
use super::drive::{self, Class};
use super::golden::{Golden, Images};
use super::recorder::{self, Cut};
use super::replicator::{Board, make_drive};
use super::simulated;
use super::stage::Stage;
use super::tools::run;
use super::workers::{chosen, side_by_side};
use super::{tell, timed};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

const DRIVE_LEN_BYTES: u64 = 96 << 20;
/// So many distinct moments are kept at most.
const CUTS_MAX: usize = 150;
/// So many distinct ones are followed to the end.
const BOOTS: usize = 14;
/// So many runs are killed.
const KILLS: u64 = 3;

/// What every boot after a cut is held to.
struct Undisturbed<'a> {
    golden: &'a Golden,
    fingerprints: [u128; 2],
    images: Images,
}

#[test]
fn a_capture_that_is_cut_anywhere_is_finished_by_the_next_boot() {
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
    tell(&format!("capture: {moments} moments in {seconds} s; {requests} requests undisturbed"));

    let distinct: Vec<&Cut> = cuts.iter().collect();
    let (classes, seconds) =
        timed(|| side_by_side(&stage, &distinct, |part, cut| look(part, &undisturbed, cut)));
    let seen = count(&classes);
    tell(&format!("capture: looked at {} distinct in {seconds} s", distinct.len()));
    seen.iter().for_each(|(class, count)| tell(&format!("capture: {count} x {class}")));
    assert!(distinct.len() >= 12 && seen.len() >= 5, "too few kinds of moments were met");
    assert!(seen.keys().any(|class| class.session && class.images == 1), "no cut came between the media");
    assert!(classes.last().expect("the end").is_complete(), "the end of the run was not durable");
    let ((), seconds) = timed(|| simulated::assert_known(&classes));
    tell(&format!("capture: the simulation knows all of them; asked for {seconds} s"));

    let followed = chosen(&distinct, &classes, BOOTS);
    let (ends, seconds) = timed(|| {
        side_by_side(&stage, &followed, |part, cut| {
            let drive = Medium::attach(&cut.files[0]);
            let class = drive::look(part, &drive.file);
            finish(part, &undisturbed, &drive, &class, &cut.to_string());
        })
    });
    tell(&format!("capture: followed {} in {seconds} s", ends.len()));
    let (killed, seconds) = timed(|| kill(&stage, &undisturbed, &blank, requests));
    tell(&format!("capture: killed {killed} in {seconds} s"));
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

fn look(part: &Stage, undisturbed: &Undisturbed<'_>, cut: &Cut) -> Class {
    assert_eq!(cut.fingerprints[1..], undisturbed.fingerprints, "a golden medium was changed");
    drive::look(part, &cut.files[0])
}

/// Runs that are killed: once more from what had reached the drive, and from what the kernel wrote to it afterwards.
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
            let class = drive::look(&part, &drive.file);
            finish(&part, undisturbed, &drive, &class, &format!("{what} at {cut}"));
        }
    }
    killed
}

/// Boots from a drive, and holds the boot to what it was and to what it must come to.
fn finish(part: &Stage, undisturbed: &Undisturbed<'_>, drive: &Medium, class: &Class, what: &str) {
    let golden = undisturbed.golden.again(part);
    let end = Board { stage: part, drive, media: golden.media() }.run();
    assert_eq!(golden.fingerprints(), undisturbed.fingerprints, "{what}: a golden medium was changed");
    if class.is_complete() {
        // Nothing is left to capture: the images would be written, but never back to where they came from.
        end.assert_failure("R-WRITEBACK");
    } else {
        assert_eq!(end.report["mode"], "capture", "{what}: {class:?}");
        end.assert_success();
    }
    run("e2fsck", ["-fn".as_ref(), drive.device.as_os_str()]);
    Images::read(part, drive).assert_equal(&undisturbed.images, what);
}
