//! Power cuts in a write: no medium looks bootable before it is complete, and the next boot writes it.

use super::copy::{copy, fingerprint};
use super::devices::Medium;
use super::golden::{self, Golden, Images};
use super::recorder::{self, Cut};
use super::replicator::{Board, make_drive};
use super::stage::Stage;
use super::tools::{partition, run};
use super::workers::{chosen, in_parallel};
use super::{print, timed};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

const DRIVE_LEN_BYTES: u64 = 96 << 20;
const MEDIUM_LEN_BYTES: u64 = 40 << 20;
/// Most distinct cuts that are kept.
const CUTS_MAX: usize = 150;
/// Distinct cuts that are followed by a boot to its end.
const BOOTS: usize = 14;
/// Runs that are killed.
const KILLS: u64 = 3;

/// The state of a medium for a board that boots from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum State {
    /// No byte has changed.
    Old,
    /// No partition table.
    NotBootable,
    /// The complete image.
    New,
}

/// The images to write, and the old content of the media.
struct Fixture {
    /// The file of the drive, with a tarball for the SD card and a disk image for the eMMC.
    drive: PathBuf,
    drive_fingerprint: u128,
    images: Images,
    /// The disk image, unpacked.
    disk: PathBuf,
    /// Used media, with partition tables.
    old: [PathBuf; 2],
    old_fingerprints: [u128; 2],
}

impl Fixture {
    fn new(stage: &Stage) -> Self {
        let golden = Golden::new(stage);
        let drive = make_drive(&stage.path("captured"), DRIVE_LEN_BYTES);
        Board { stage, drive: &drive, media: golden.media() }.run().assert_success();
        let images = Images::read(stage, &drive);
        let disk = golden::unpack_disk(stage, &drive);
        let kept = stage.path("kept-drive");
        copy(&drive.file, &kept);
        let old = ["sd", "emmc"].map(|name| {
            let medium = Medium::used(&stage.path("used"), MEDIUM_LEN_BYTES);
            partition(&medium.device, "label: dos\nstart=1MiB, type=83, bootable");
            medium.flush();
            let file = stage.path(&format!("kept-{name}"));
            copy(&medium.file, &file);
            file
        });
        let old_fingerprints = [fingerprint(&old[0]), fingerprint(&old[1])];
        Self { drive_fingerprint: fingerprint(&kept), drive: kept, images, disk, old, old_fingerprints }
    }

    /// Drive and media in their state before the write.
    fn begin(&self, stage: &Stage) -> [Medium; 3] {
        [(&self.drive, "drive"), (&self.old[0], "sd"), (&self.old[1], "emmc")].map(|(kept, name)| {
            copy(kept, &stage.path(name));
            Medium::attach(&stage.path(name))
        })
    }

    /// The state of a medium. Fails if it looks bootable and is incomplete.
    fn state(&self, part: &Stage, cut: &Cut, number: usize) -> State {
        if cut.fingerprints[number] == self.old_fingerprints[number - 1] {
            return State::Old;
        }
        let file = &cut.files[number];
        if !has_partitions(file) {
            return State::NotBootable;
        }
        let copied = part.path("inspected");
        copy(file, &copied);
        self.assert_written(part, &mut Medium::attach(&copied), number, &cut.to_string());
        State::New
    }

    /// Fails unless a medium has the content of its image.
    fn assert_written(&self, part: &Stage, medium: &mut Medium, number: usize, what: &str) {
        if number == 2 {
            let len = std::fs::metadata(&self.disk).unwrap().len().to_string();
            medium.flush();
            let files = [self.disk.as_os_str(), medium.file.as_os_str()];
            run("cmp", ["-n".as_ref(), len.as_ref()].into_iter().chain(files));
            return;
        }
        medium.show_partitions();
        let tree = golden::read_partition(part, &medium.partition(1));
        medium.hide_partitions();
        let differences = super::tree::differences(&self.images.sd, &tree);
        assert!(differences.is_empty(), "{what}: the card differs:\n{}", differences.join("\n"));
    }

    /// Writes to media in any state, and checks the result.
    fn finish(&self, part: &Stage, mut media: [Medium; 3], what: &str) {
        let end = with_board(part, &media, |board| board.run());
        assert_eq!(end.report["mode"], "write", "{what}");
        end.assert_success();
        media[0].flush();
        assert_eq!(fingerprint(&media[0].file), self.drive_fingerprint, "{what}: the drive was changed");
        self.assert_written(part, &mut media[1], 1, what);
        self.assert_written(part, &mut media[2], 2, what);
    }
}

/// Whether sfdisk finds a partition table.
fn has_partitions(file: &Path) -> bool {
    let found = Command::new("sfdisk").arg("--dump").arg(file).output().unwrap();
    found.status.success()
}

#[test]
fn no_power_cut_in_a_write_leaves_a_bootable_incomplete_medium() {
    let Some(stage) = Stage::in_memory() else { return };
    let fixture = Fixture::new(&stage);
    let requests = with_board(&stage, &fixture.begin(&stage), recorder::undisturbed);
    let record = |board: &Board<'_>| recorder::record(board, &stage, CUTS_MAX);
    let ((cuts, moments), seconds) = timed(|| with_board(&stage, &fixture.begin(&stage), record));
    print(&format!("write: {moments} cuts in {seconds} s; {requests} requests in an undisturbed run"));

    let distinct: Vec<&Cut> = cuts.iter().collect();
    let (classes, seconds) =
        timed(|| in_parallel(&stage, &distinct, |part, cut| inspect(part, &fixture, cut)));
    let mut seen: BTreeMap<[State; 2], usize> = BTreeMap::new();
    for class in &classes {
        *seen.entry(*class).or_default() += 1;
    }
    print(&format!("write: checked {} distinct cuts in {seconds} s: {seen:?}", distinct.len()));
    assert!(distinct.len() >= 6, "too few cuts were recorded");
    for number in [0, 1] {
        let is_erased = classes.iter().any(|class| class[number] == State::NotBootable);
        assert!(is_erased, "no cut was recorded while a medium was written");
    }
    assert_eq!(classes.last(), Some(&[State::New; 2]), "the end of the run was not durable");

    let followed = chosen(&distinct, &classes, BOOTS);
    let (ends, seconds) = timed(|| {
        in_parallel(&stage, &followed, |part, cut| {
            let media = [0, 1, 2].map(|number| Medium::attach(&cut.files[number]));
            fixture.finish(part, media, &cut.to_string());
        })
    });
    print(&format!("write: {} cuts followed by a boot in {seconds} s", ends.len()));
    let (killed, seconds) = timed(|| kill(&stage, &fixture, requests));
    print(&format!("write: {killed} runs killed in {seconds} s"));
    assert!(killed >= 2, "runs ended before they were killed");
}

/// Runs `work` with a board of drive, SD card and eMMC.
fn with_board<R>(stage: &Stage, media: &[Medium; 3], work: impl FnOnce(&Board<'_>) -> R) -> R {
    let [drive, sd, emmc] = media;
    work(&Board { stage, drive, media: vec![("sd", sd), ("emmc", emmc)] })
}

fn inspect(part: &Stage, fixture: &Fixture, cut: &Cut) -> [State; 2] {
    assert_eq!(cut.fingerprints[0], fixture.drive_fingerprint, "the drive was changed");
    [fixture.state(part, cut, 1), fixture.state(part, cut, 2)]
}

/// Kills runs. The next boot starts from the media after the kernel's write-back, and from the media as they were at the kill.
fn kill(stage: &Stage, fixture: &Fixture, requests: u64) -> usize {
    let mut killed = 0;
    for number in 1..=KILLS {
        let part = stage.part("killed");
        let media = fixture.begin(&part);
        let wanted = requests * number / (KILLS + 1);
        let kill = |board: &Board<'_>| recorder::kill_at(board, &part, wanted);
        let Some(cut) = with_board(&part, &media, kill) else { continue };
        killed += 1;
        inspect(&part, fixture, &cut);
        fixture.finish(&part, media, &format!("the devices at {cut}"));
        let media = [0, 1, 2].map(|number| Medium::attach(&cut.files[number]));
        fixture.finish(&part, media, &cut.to_string());
    }
    killed
}
