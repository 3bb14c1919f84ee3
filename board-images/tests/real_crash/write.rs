//! A write that is cut: no medium looks bootable before it is whole, and the next boot writes it.

use super::copy::{copy, fingerprint};
use super::devices::Medium;
use super::golden::{self, Golden, Images};
use super::recorder::{self, Cut};
use super::replicator::{Board, make_drive};
use super::stage::Stage;
use super::tools::{partition, run};
use super::workers::{chosen, side_by_side};
use super::{tell, timed};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

const DRIVE_LEN_BYTES: u64 = 96 << 20;
const MEDIUM_LEN_BYTES: u64 = 40 << 20;
/// So many distinct moments are kept at most.
const CUTS_MAX: usize = 150;
/// So many distinct ones are followed to the end.
const BOOTS: usize = 14;
/// So many runs are killed.
const KILLS: u64 = 3;

/// What a medium looks like to whoever boots from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Looks {
    /// Not one byte has changed.
    Old,
    /// Nothing to boot from.
    NotBootable,
    /// The image, and whole.
    New,
}

/// What is written, and over what.
struct Story {
    /// The file behind the drive, with a tarball for the SD card and a disk image for the eMMC.
    drive: PathBuf,
    drive_fingerprint: u128,
    images: Images,
    /// The disk image, unpacked.
    disk: PathBuf,
    /// Used media, with partition tables.
    old: [PathBuf; 2],
    old_fingerprints: [u128; 2],
}

impl Story {
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

    /// Drive and media as they are before the write.
    fn begin(&self, stage: &Stage) -> [Medium; 3] {
        [(&self.drive, "drive"), (&self.old[0], "sd"), (&self.old[1], "emmc")].map(|(kept, name)| {
            copy(kept, &stage.path(name));
            Medium::attach(&stage.path(name))
        })
    }

    /// What a medium looks like. Fails if it looks bootable and is not whole.
    fn looks(&self, part: &Stage, cut: &Cut, number: usize) -> Looks {
        if cut.fingerprints[number] == self.old_fingerprints[number - 1] {
            return Looks::Old;
        }
        let file = &cut.files[number];
        if !has_partitions(file) {
            return Looks::NotBootable;
        }
        let copied = part.path("looked-at");
        copy(file, &copied);
        self.assert_written(part, &mut Medium::attach(&copied), number, &cut.to_string());
        Looks::New
    }

    /// Fails unless a medium is what its image says.
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

    /// Writes to media in whatever state, and checks what comes of it.
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

/// Whether anything finds a partition table.
fn has_partitions(file: &Path) -> bool {
    let found = Command::new("sfdisk").arg("--dump").arg(file).output().unwrap();
    found.status.success()
}

#[test]
fn a_write_that_is_cut_anywhere_never_leaves_half_a_system() {
    let Some(stage) = Stage::in_memory() else { return };
    let story = Story::new(&stage);
    let requests = with_board(&stage, &story.begin(&stage), recorder::undisturbed);
    let record = |board: &Board<'_>| recorder::record(board, &stage, CUTS_MAX);
    let ((cuts, moments), seconds) = timed(|| with_board(&stage, &story.begin(&stage), record));
    tell(&format!("write: {moments} moments in {seconds} s; {requests} requests undisturbed"));

    let distinct: Vec<&Cut> = cuts.iter().collect();
    let (classes, seconds) = timed(|| side_by_side(&stage, &distinct, |part, cut| look(part, &story, cut)));
    let mut seen: BTreeMap<[Looks; 2], usize> = BTreeMap::new();
    for class in &classes {
        *seen.entry(*class).or_default() += 1;
    }
    tell(&format!("write: looked at {} distinct in {seconds} s: {seen:?}", distinct.len()));
    assert!(distinct.len() >= 6, "too few moments were met");
    for number in [0, 1] {
        let is_erased = classes.iter().any(|class| class[number] == Looks::NotBootable);
        assert!(is_erased, "no cut came while a medium was written");
    }
    assert_eq!(classes.last(), Some(&[Looks::New; 2]), "the end of the run was not durable");

    let followed = chosen(&distinct, &classes, BOOTS);
    let (ends, seconds) = timed(|| {
        side_by_side(&stage, &followed, |part, cut| {
            let media = [0, 1, 2].map(|number| Medium::attach(&cut.files[number]));
            story.finish(part, media, &cut.to_string());
        })
    });
    tell(&format!("write: followed {} in {seconds} s", ends.len()));
    let (killed, seconds) = timed(|| kill(&stage, &story, requests));
    tell(&format!("write: killed {killed} in {seconds} s"));
    assert!(killed >= 2, "runs ended before they were killed");
}

/// Does something with a board of these: drive, SD card, eMMC.
fn with_board<R>(stage: &Stage, media: &[Medium; 3], work: impl FnOnce(&Board<'_>) -> R) -> R {
    let [drive, sd, emmc] = media;
    work(&Board { stage, drive, media: vec![("sd", sd), ("emmc", emmc)] })
}

fn look(part: &Stage, story: &Story, cut: &Cut) -> [Looks; 2] {
    assert_eq!(cut.fingerprints[0], story.drive_fingerprint, "the drive was changed");
    [story.looks(part, cut, 1), story.looks(part, cut, 2)]
}

/// Runs that are killed: once more from what had reached the media, and from what the kernel wrote to them afterwards.
fn kill(stage: &Stage, story: &Story, requests: u64) -> usize {
    let mut killed = 0;
    for number in 1..=KILLS {
        let part = stage.part("killed");
        let media = story.begin(&part);
        let wanted = requests * number / (KILLS + 1);
        let kill = |board: &Board<'_>| recorder::kill_at(board, &part, wanted);
        let Some(cut) = with_board(&part, &media, kill) else { continue };
        killed += 1;
        look(&part, story, &cut);
        story.finish(&part, media, &format!("the devices at {cut}"));
        let media = [0, 1, 2].map(|number| Medium::attach(&cut.files[number]));
        story.finish(&part, media, &cut.to_string());
    }
    killed
}
