//! The checkers about faults, and the oracle, see what they are there for: each has nothing to say about a story as it is,
//! and complains about the same story with lying LEDs, with an engine that is tuned wrongly, or with tampered bytes.

// Helpers are test code, but not inside of a test function.
#![allow(clippy::unwrap_used)]

use replicator_engine::boot::Request;
use replicator_hal::{Board, Leds, RelativePath, Result, Status, Timestamp};
use replicator_sim::checkers::{self, Check};
use replicator_sim::oracle::{self, Mismatch};
use replicator_sim::pages::Pages;
use replicator_sim::runner::{Evidence, Snapshot, boots};
use replicator_sim::scenario::builtin;
use replicator_sim::scenario::content::Owner;
use replicator_sim::scenario::image;
use replicator_sim::scenario::schema::Scenario;
use replicator_sim::simfs::{Backing, SimFs};
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

/// Where the drive's partition starts.
const DRIVE_START_BYTES: u64 = 32 << 10;

fn run(name: &str, change: impl Fn(Board) -> Board, adjust: impl Fn(&mut Request)) -> Evidence {
    let scenario = Scenario::parse(builtin::find(name).unwrap(), name).unwrap();
    boots::run_as(name, &scenario, change, adjust).unwrap()
}

fn sound(name: &str) -> Evidence {
    run(name, |board| board, |_| {})
}

/// LEDs that show `instead` in place of `shown`.
struct LyingLeds {
    inner: Arc<dyn Leds>,
    shown: Status,
    instead: Option<Status>,
}

impl Leds for LyingLeds {
    fn show(&self, status: Status) {
        match (status == self.shown, self.instead) {
            (true, None) => {}
            (true, Some(instead)) => self.inner.show(instead),
            (false, _) => self.inner.show(status),
        }
    }

    fn renew(&self, lease: Duration) {
        self.inner.renew(lease);
    }

    fn lease_expired(&self) -> bool {
        self.inner.lease_expired()
    }
}

fn lying(name: &str, shown: Status, instead: Option<Status>) -> Evidence {
    let change = |board: Board| Board {
        leds: Arc::new(LyingLeds { inner: Arc::clone(&board.leds), shown, instead }),
        ..board
    };
    run(name, change, |_| {})
}

fn complains(check: Check, evidence: &Evidence, text: &str) {
    let complaints = check(evidence);
    assert!(complaints.iter().any(|complaint| complaint.contains(text)), "{text:?} is not in {complaints:?}");
}

/// Silent about the story, and not after `tamper`.
fn sees(check: Check, name: &str, tamper: impl FnOnce(&mut Snapshot), text: &str) {
    let mut evidence = sound(name);
    assert_eq!(check(&evidence), Vec::<String>::new(), "{name} untouched");
    tamper(&mut evidence.boots.last_mut().unwrap().after);
    complains(check, &evidence, text);
}

fn flip(snapshot: &mut Snapshot, medium: &str, at: u64) {
    let pages = snapshot.media.get_mut(medium).unwrap();
    let byte = pages.bytes(at, 1)[0];
    pages.write(at, &[byte ^ 1]);
}

struct Drive<'a>(&'a mut Pages);

impl Backing for Drive<'_> {
    fn read(&mut self, offset_bytes: u64, buffer: &mut [u8]) -> Result<()> {
        self.0.read(DRIVE_START_BYTES + offset_bytes, buffer);
        Ok(())
    }

    fn write(&mut self, offset_bytes: u64, data: &[u8]) -> Result<()> {
        self.0.write(DRIVE_START_BYTES + offset_bytes, data);
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        Ok(())
    }
}

/// Gives a file of the drive other content.
fn replace(snapshot: &mut Snapshot, name: &str, content: &[u8]) {
    let pages: &mut Pages = snapshot.media.get_mut("drive").unwrap();
    let len = pages.len_bytes() - DRIVE_START_BYTES;
    let (path, now) = (RelativePath::parse(name).unwrap(), Timestamp::default());
    let mut backing = Drive(pages);
    let mut fs = SimFs::load(&mut backing, len).unwrap();
    let inode = fs.lookup(&path).unwrap();
    fs.set_len(&mut backing, inode, 0, now).unwrap();
    let mut done = 0;
    while done < content.len() {
        done += fs.write(&mut backing, inode, done as u64, &content[done..], now).unwrap();
    }
    fs.sync(&mut backing).unwrap();
}

fn xz(plain: &[u8]) -> Vec<u8> {
    let mut encoder = xz2::write::XzEncoder::new(Vec::new(), 0);
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn an_image_that_shows_less_than_the_medium_and_an_end_that_is_missing() {
    let check = checkers::not_truncated::check;
    let short = |after: &mut Snapshot| replace(after, "sdimage.dd.xz", &xz(&vec![0; 7 << 20]));
    sees(check, "capture-data-only", short, "shows 7340032 bytes of 8388608");
    sees(check, "write-dd-xz", |after| flip(after, "sd", (8 << 20) - 1), "the end of sdimage.dd.xz");
}

#[test]
fn a_new_sidecar_beside_an_old_image() {
    let tamper = |after: &mut Snapshot| replace(after, "sdimage.tar.md5", b"new");
    let name = "capture-old-image-survives-failed-recapture";
    sees(checkers::old_image::check, name, tamper, "sdimage.tar.md5 was beside an old image");
}

#[test]
fn a_neighbour_that_is_not_what_it_is_without_the_fault() {
    let tamper = |after: &mut Snapshot| flip(after, "emmc", 5 << 20);
    let name = "write-unreadable-image-beside-a-good-one";
    sees(checkers::isolation::check, name, tamper, "what is wrong with sd changed what became of emmc");
}

#[test]
fn a_file_that_went_with_the_link_to_it() {
    let tamper = |after: &mut Snapshot| {
        let mut tree = image::rootfs_tree(&Owner { medium: "sd", seed: 0, generation: 0 }).unwrap();
        tree.remove(&RelativePath::parse("etc/ssh/sshd_config").unwrap());
        replace(after, "sdimage.tar.xz", &xz(&image::tarball(&tree).unwrap()));
    };
    sees(checkers::containment::check, "capture-single-partition-sd", tamper, "/etc/ssh/sshd_config is gone");
}

#[test]
fn a_failed_flush_that_ends_in_success() {
    let check = checkers::flush_final::check;
    for name in ["capture-flush-error-is-final", "write-flush-error-is-final"] {
        assert_eq!(check(&sound(name)), Vec::<String>::new());
        let evidence = lying(name, Status::Failure, Some(Status::Success));
        complains(check, &evidence, "failed, and success is shown");
    }
}

#[test]
fn a_boot_after_cuts_that_does_not_finish() {
    let check = checkers::converges::check;
    for name in ["capture-power-cut-in-copy", "write-power-cut-late-in-dd"] {
        assert_eq!(check(&sound(name)), Vec::<String>::new());
        let evidence = lying(name, Status::Success, Some(Status::Failure));
        complains(check, &evidence, "the undisturbed boot after them does not succeed");
    }
}

#[test]
fn a_budget_without_an_end_and_a_lease_without_one() {
    let name = "capture-source-read-error";
    let (retries, progress) = (checkers::retries::check, checkers::progress::check);
    assert_eq!([retries(&sound(name)), progress(&sound(name))], [Vec::<String>::new(), Vec::new()]);
    let tries = run(name, |board| board, |request| request.tuning.retries = 200);
    complains(retries, &tries, "was tried 201 times");
    let waits = |request: &mut Request| request.tuning.io_lease = Duration::from_secs(86_400);
    complains(progress, &run(name, |board| board, waits), "nothing need be heard for 86400 s");
}

#[test]
fn a_start_that_failed_in_the_dark() {
    for name in ["no-drive", "settings-unknown-key"] {
        assert_eq!(checkers::start_up::check(&sound(name)), Vec::<String>::new());
        complains(checkers::start_up::check, &lying(name, Status::Failure, None), "shows no end");
    }
}

#[test]
fn what_the_oracle_knows_to_be_impossible() {
    assert_eq!(oracle::check(&sound("write-half-dead-card")), []);
    let lie = oracle::check(&lying("write-half-dead-card", Status::Failure, Some(Status::Success)));
    assert!(matches!(lie[..], [Mismatch::Status { shown: Some(Status::Success), .. }]), "{lie:?}");
    let mut evidence = sound("write-dd-xz");
    flip(&mut evidence.boots[0].after, "sd", 6 << 20);
    let lost = oracle::check(&evidence);
    assert!(matches!(&lost[..], [Mismatch::MustSucceed { medium, .. }] if medium == "sd"), "{lost:?}");
}
