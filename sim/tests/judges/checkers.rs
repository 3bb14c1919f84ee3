//! Every checker detects its faults: it complains about a world that was tampered with, or about a run on a faulty
//! board, and has no complaint about the same scenario without that.

use crate::faulty::tampering::{flip, put, xz};
use crate::faulty::{cached, leds};
use replicator_engine::report::End;
use replicator_hal::{Board, DeviceName, RelativePath, Status};
use replicator_sim::judge::checkers::{self, Check};
use replicator_sim::judge::readers::decode::decode;
use replicator_sim::run::{Evidence, Snapshot, boots};
use replicator_sim::scenario::builtin;
use replicator_sim::scenario::content::Owner;
use replicator_sim::scenario::image;
use replicator_sim::scenario::schema::Scenario;

fn scenario(name: &str) -> Scenario {
    Scenario::parse(builtin::find(name).unwrap(), name).unwrap()
}

fn run(name: &str) -> Evidence {
    run_on(name, |board| board)
}

fn run_on(name: &str, change: impl Fn(Board) -> Board) -> Evidence {
    boots::run_with(name, &scenario(name), change).unwrap()
}

/// The checker has no complaint about the scenario, and one that contains `text` after `tamper`.
fn detects(check: Check, name: &str, tamper: impl FnOnce(&mut Evidence), text: &str) {
    let mut evidence = run(name);
    assert_eq!(check(&evidence), Vec::<String>::new(), "{name} untouched");
    tamper(&mut evidence);
    complains(&check(&evidence), text);
}

fn complains(complaints: &[String], text: &str) {
    assert!(complaints.iter().any(|complaint| complaint.contains(text)), "{text:?} is not in {complaints:?}");
}

fn last(evidence: &mut Evidence) -> &mut Snapshot {
    &mut evidence.boots.last_mut().unwrap().after
}

/// Every failure is shown as a success.
fn always_success(status: Status) -> Option<Status> {
    Some(if status == Status::Failure { Status::Success } else { status })
}

#[test]
fn use_of_a_medium_that_something_else_holds_is_detected() {
    let held = |evidence: &mut Evidence| {
        evidence.scenario.media.get_mut("sd").unwrap().held_elsewhere = true;
    };
    detects(
        checkers::held_medium::check,
        "capture-single-partition-sd",
        held,
        "sd, which something else holds, was captured",
    );
    detects(checkers::held_medium::check, "write-dd-xz", held, "sd, which something else holds, was changed");
    detects(checkers::held_medium::check, "write-dd-xz", held, "the LEDs show success");
}

#[test]
fn one_changed_bit_of_a_captured_source_is_detected() {
    let tamper = |evidence: &mut Evidence| flip(last(evidence), "sd", 5 << 20);
    detects(checkers::source_unchanged::check, "capture-single-partition-sd", tamper, "sd changed");
}

#[test]
fn one_changed_bit_of_the_drive_in_a_write_is_detected() {
    let tamper = |evidence: &mut Evidence| flip(last(evidence), "drive", 1 << 20);
    detects(checkers::drive_unchanged::check, "write-tar-xz", tamper, "changed the drive");
}

#[test]
fn an_incomplete_image_and_a_wrong_or_missing_sidecar_are_detected() {
    let name = "capture-single-partition-sd";
    let check = checkers::valid_names::check;
    let cut = |evidence: &mut Evidence| put(last(evidence), "sdimage.tar.xz", Some(&xz(&[7; 4096])[..40]));
    detects(check, name, cut, "sdimage.tar.xz");
    let wrong = |evidence: &mut Evidence| put(last(evidence), "sdimage.tar.md5", Some(b"x"));
    detects(check, name, wrong, "sdimage.tar.md5 has");
    let missing = |evidence: &mut Evidence| put(last(evidence), "sdimage.tar.xz.md5", None);
    detects(check, name, missing, "sdimage.tar.xz.md5 is missing");
    let lost = |evidence: &mut Evidence| put(last(evidence), "sdimage.tar.xz", None);
    let check = checkers::old_image::check;
    detects(check, "capture-old-image-survives-failed-recapture", lost, "but has changed");
}

#[test]
fn a_crash_state_without_its_session_is_detected() {
    let tamper = |evidence: &mut Evidence| {
        let after = &mut evidence.boots[0].after;
        for name in [".capture/session.toml", ".capture"] {
            put(after, name, None);
        }
    };
    let name = "capture-power-cut-between-media-all-survives";
    detects(checkers::mode_safety::check, name, tamper, "emmc is not captured");
    let tamper = |evidence: &mut Evidence| flip(last(evidence), "sd", 0);
    detects(checkers::mode_safety::check, name, tamper, "unfinished capture and changed sd");
}

#[test]
fn a_medium_without_an_image_that_changed_is_detected() {
    let tamper = |evidence: &mut Evidence| {
        let bytes = evidence.boots[0].before.media["sd"].clone();
        evidence.boots[0].before.media.insert("sata".into(), bytes.clone());
        evidence.boots[0].after.media.insert("sata".into(), bytes);
        let spec = evidence.scenario.media["sd"].clone();
        evidence.scenario.media.insert("sata".into(), spec);
        flip(last(evidence), "sata", 77);
    };
    detects(checkers::right_target::check, "write-tar-xz", tamper, "no image for sata");
}

#[test]
fn a_capture_instead_of_a_write_is_detected() {
    for name in ["core-image.wic.xz", "backup.tar.gz", "photo.dd~", "raspios.img.zip", "x.img.xz.part"] {
        let tamper = |evidence: &mut Evidence| put(&mut evidence.boots[0].before, name, Some(b"x"));
        detects(checkers::no_image_missed::check, "capture-single-partition-sd", tamper, name);
    }
    let harmless = |evidence: &mut Evidence| {
        for name in ["initrd.img", "Image.gz", "core.wic.bmap", "README.txt"] {
            put(&mut evidence.boots[0].before, name, Some(b"x"));
        }
    };
    let mut evidence = run("capture-single-partition-sd");
    harmless(&mut evidence);
    assert_eq!(checkers::no_image_missed::check(&evidence), Vec::<String>::new());
}

#[test]
fn a_success_with_a_sidecar_that_is_not_a_file_is_detected() {
    let evidence = run("write-dangling-sidecar");
    assert_eq!(checkers::sidecars::check(&evidence), Vec::<String>::new());
    let evidence = run_on("write-dangling-sidecar", leds::that_show(always_success));
    complains(&checkers::sidecars::check(&evidence), "sdimage.dd.xz.md5 is not a file");
}

#[test]
fn one_changed_bit_of_a_written_medium_is_detected() {
    let tamper = |evidence: &mut Evidence| flip(last(evidence), "sd", (7 << 20) + 3);
    detects(checkers::success_is_true::check, "write-dd-xz", tamper, "byte 7340035 differs");
    let tamper = |evidence: &mut Evidence| flip(last(evidence), "sd", 446);
    detects(checkers::success_is_true::check, "write-tar-xz", tamper, "partition table");
    let tamper = |evidence: &mut Evidence| {
        let medium = &last(evidence).media["sd"];
        let text = medium.to_vec();
        let at = text.windows(16).position(|window| window == b"PermitRootLogin ").unwrap();
        flip(last(evidence), "sd", at as u64);
    };
    detects(
        checkers::success_is_true::check,
        "write-tar-xz",
        tamper,
        "/etc/ssh/sshd_config: content differs",
    );
}

#[test]
fn a_file_that_is_not_a_disk_image_and_an_incomplete_one_are_detected() {
    let forbid = |evidence: &mut Evidence| put(&mut evidence.boots[0].before, "replicator.toml", None);
    detects(
        checkers::looks_like_image::check,
        "write-nothing-known-by-option",
        forbid,
        "sdimage.dd.xz is not a disk image, but was written",
    );
    let forbid = |evidence: &mut Evidence| put(&mut evidence.boots[0].before, "replicator.toml", None);
    let reaches = "sdimage.dd: it has 6291456 bytes, but its partition table reaches to 8388608";
    detects(checkers::not_truncated::check, "write-cut-dd-by-option", forbid, reaches);
    let forget = |evidence: &mut Evidence| put(&mut evidence.boots[1].before, "sdimage.source", None);
    detects(checkers::looks_like_image::check, "capture-blank-then-write", forget, "is not a disk image");
}

#[test]
fn a_golden_medium_that_is_overwritten_is_detected() {
    let check = checkers::write_back::check;
    // The clone has the content of the golden medium.
    let same = |evidence: &mut Evidence| {
        let golden = evidence.boots[0].before.media["sd"].clone();
        evidence.boots[2].before.media.insert("sd".into(), golden);
        evidence.scenario.boots.iter_mut().for_each(|boot| boot.new_unit = false);
    };
    let text = "boot 3: sdimage.tar.xz was written to the medium that it was captured from";
    detects(check, "no-identity-clone-is-written-again", same, text);
    let same_serial = |evidence: &mut Evidence| {
        evidence.boots[1].before.media = evidence.boots[0].before.media.clone();
        let drive = evidence.boots[0].after.media["drive"].clone();
        evidence.boots[1].before.media.insert("drive".into(), drive);
        evidence.scenario.boots[1].new_unit = false;
    };
    let text = "boot 2: emmcimage.dd.xz was written to the medium that it was captured from";
    detects(check, "capture-then-write-new-unit", same_serial, text);
    let claimed = |evidence: &mut Evidence| {
        evidence.scenario.drive.files[0].captured_from = Some("sd".into());
    };
    detects(check, "write-tar-xz", claimed, "boot 1: sdimage.tar.xz was written");
    let forbid = |evidence: &mut Evidence| {
        evidence.scenario.drive.files.retain(|file| file.name != "replicator.toml");
    };
    detects(check, "no-identity-write-back-is-allowed", forbid, "boot 2: sdimage.tar.xz was written");
}

#[test]
fn a_gpt_that_does_not_fit_its_medium_is_detected() {
    const LEN: u64 = 12 << 20;
    const SECTOR: u64 = 512;
    // The first header's pointer to the other copy, entries and header of the copy at the end, and the rest of the
    // old copy.
    let places = [
        (SECTOR + 32, "byte 544 differs"),
        (LEN - 33 * SECTOR + 40, "second copy of the GPT is not at the end"),
        (LEN - SECTOR + 24, "second copy of the GPT is not at the end"),
        ((8 << 20) - SECTOR, "byte 8388096 differs"),
    ];
    for (at, text) in places {
        let tamper = |evidence: &mut Evidence| flip(last(evidence), "sd", at);
        detects(checkers::success_is_true::check, "write-gpt-to-larger-medium", tamper, text);
    }
    // The last bytes of a partition on a smaller medium.
    let tamper = |evidence: &mut Evidence| flip(last(evidence), "sd", (8 << 20) - (64 << 10) - 1);
    detects(checkers::success_is_true::check, "write-gpt-to-smaller-medium", tamper, "differs");
}

#[test]
fn an_engine_that_verifies_through_the_page_cache_is_detected() {
    let evidence = run_on("write-card-drops-writes-held-open", |board| Board {
        devices: cached::devices(&board),
        ..board
    });
    assert_eq!(evidence.last().status(), Some(Status::Success), "the LEDs show success");
    complains(&checkers::success_is_true::check(&evidence), "ended in success for sd");
    complains(&checkers::not_bootable::check(&evidence), "sd looks bootable");
}

#[test]
fn a_failure_that_is_not_shown_is_detected() {
    let evidence = run_on("capture-fsck-cannot-repair", leds::that_show(always_success));
    complains(&checkers::failure_visible::check(&evidence), "LEDs do not show it");
}

#[test]
fn a_call_after_the_terminal_status_is_detected() {
    /// The first status is already a terminal one.
    fn success_at_once(_: Status) -> Option<Status> {
        Some(Status::Failure)
    }
    let evidence = run_on("capture-fsck-cannot-repair", leds::that_show(success_at_once));
    complains(&checkers::failure_visible::check(&evidence), "a call followed");
}

#[test]
fn a_success_by_omission_is_detected() {
    for name in ["capture-nothing-is-failure", "names-case-is-refused", "write-dangling-symlink"] {
        assert_eq!(checkers::something_done::check(&run(name)), Vec::<String>::new());
        complains(
            &checkers::something_done::check(&run_on(name, leds::that_show(always_success))),
            "nothing was done",
        );
    }
}

#[test]
fn one_changed_bit_of_a_refused_target_is_detected() {
    let tamper = |evidence: &mut Evidence| flip(last(evidence), "sd", 12_345);
    detects(
        checkers::refused_untouched::check,
        "write-truncated-image",
        tamper,
        "sd is expected to be refused",
    );
}

#[test]
fn a_medium_that_was_erased_for_a_tarball_without_room_is_detected() {
    let tamper = |evidence: &mut Evidence| flip(last(evidence), "sd", 12_345);
    let check = checkers::refused_untouched::check;
    for name in ["write-tarball-too-many-files", "write-tarball-below-a-directory"] {
        detects(check, name, tamper, "boot 1 erased sd without need: the fault of sdimage.tar");
        // A hardware fault cannot be found before erasing.
        let mut evidence = run(name);
        evidence.scenario.expect.media.clear();
        tamper(&mut evidence);
        evidence.scenario.faults = scenario("write-card-drops-all-writes-tarball").faults;
        assert_eq!(check(&evidence), Vec::<String>::new(), "{name}");
    }
}

#[test]
fn a_success_for_a_tarball_of_anything_is_detected() {
    let check = checkers::clone_is_rootfs::check;
    let forbid = |evidence: &mut Evidence| evidence.scenario.drive.files.retain(|file| file.text.is_none());
    let text = "boot 1 ended in success for sd, but it has no root file system";
    detects(check, "write-tarball-without-rootfs-by-option", forbid, text);
    for name in ["write-tarball-below-a-directory", "write-tarball-of-one-file"] {
        assert_eq!(check(&run(name)), Vec::<String>::new());
        complains(&check(&run_on(name, leds::that_show(always_success))), text);
    }
}

#[test]
fn an_unverified_target_with_a_partition_table_is_detected() {
    let tamper = |evidence: &mut Evidence| {
        let table = evidence.boots[0].before.media["sd"].bytes(0, 512);
        last(evidence).media.get_mut("sd").unwrap().write(0, &table);
    };
    detects(checkers::not_bootable::check, "write-wrong-sidecar", tamper, "sd looks bootable");
}

#[test]
fn an_image_with_other_content_is_detected() {
    let check = checkers::captured::check;
    let unsanitised = |evidence: &mut Evidence| {
        let tree = image::rootfs_tree(&Owner { medium: "sd", seed: 0, generation: 0 }).unwrap();
        let packed = xz(&image::tarball(&tree).unwrap());
        put(last(evidence), "sdimage.tar.xz", Some(&packed));
    };
    detects(check, "capture-single-partition-sd", unsanitised, "is missing");
    detects(checkers::no_secret::check, "capture-single-partition-sd", unsanitised, "SECRET-");
    let other = |at: usize| {
        move |evidence: &mut Evidence| {
            let file = last(evidence).drive_files().unwrap()
                [&RelativePath::parse("emmcimage.dd.xz").unwrap()]
                .clone();
            let mut plain = decode("emmcimage.dd.xz", &file.bytes).unwrap().to_vec();
            match at {
                0 => plain.truncate(7 << 20),
                at => plain[at] ^= 1,
            }
            put(last(evidence), "emmcimage.dd.xz", Some(&xz(&plain)));
        }
    };
    detects(check, "capture-multi-partition-emmc", other(0), "it has 7340032 bytes of 8388608");
    detects(check, "capture-multi-partition-emmc", other(5000), "outside of partitions");
}

#[test]
fn a_work_file_left_on_a_full_drive_is_detected() {
    let tamper = |evidence: &mut Evidence| put(last(evidence), ".capture/emmc.image", Some(&[7; 8192]));
    let name = "capture-out-of-space-in-later-medium";
    detects(checkers::out_of_space::check, name, tamper, "left .capture/emmc.image");
}

#[test]
fn a_handle_left_open_is_detected() {
    let evidence = run_on("capture-empty-slot-is-skipped", |board| {
        std::mem::forget(board.devices.open_source(&DeviceName::parse("mmcblk0").unwrap()).unwrap());
        board
    });
    complains(&checkers::nothing_left::check(&evidence), "left 1 open");
    let tamper = |evidence: &mut Evidence| put(last(evidence), ".capture", Some(b""));
    detects(checkers::nothing_left::check, "capture-single-partition-sd", tamper, "a session is left");
}

#[test]
fn a_run_without_an_end_is_detected() {
    /// No terminal status is ever shown.
    fn stuck(status: Status) -> Option<Status> {
        Some(status).filter(|status| *status == Status::Running)
    }
    for name in ["write-tar-xz", "no-drive"] {
        assert_eq!(checkers::terminates::check(&run(name)), Vec::<String>::new());
        complains(
            &checkers::terminates::check(&run_on(name, leds::that_show(stuck))),
            "shows no terminal status",
        );
    }
}

#[test]
fn a_partition_that_the_report_does_not_name_is_detected() {
    let silent = |keep: fn(&str) -> bool| {
        move |evidence: &mut Evidence| {
            let report = evidence.boots.last_mut().unwrap().report.as_mut().unwrap();
            for outcome in &mut report.outcomes {
                if let End::Done(done) = &mut outcome.end {
                    done.notes.retain(|note| keep(note));
                }
            }
        }
    };
    let check = checkers::sanitising_reported::check;
    let data = silent(|note| !note.contains("captured as it is"));
    detects(check, "capture-both-slots", data, "no note about partition 3");
    let slot = silent(|note| !note.starts_with("partition 2,"));
    detects(check, "capture-both-slots", slot, "no note about partition 2");
    let options = silent(|note| !note.starts_with("not sanitised"));
    detects(check, "capture-composed-without-sanitising", options, "no note says that it is not sanitised");
}

#[test]
fn a_second_root_file_system_that_keeps_its_secrets_is_detected() {
    // As left by a capture that looks for only one rootfs.
    let unsanitised = |evidence: &mut Evidence| {
        let source = evidence.boots[0].before.media["emmc"].clone();
        let bytes = source.bytes(0, usize::try_from(source.len_bytes()).unwrap());
        put(last(evidence), "emmcimage.dd.xz", Some(&xz(&bytes)));
    };
    detects(checkers::no_secret::check, "capture-both-slots", unsanitised, "SECRET-");
}

/// Writes bytes of a medium.
fn spoil(evidence: &mut Evidence, medium: &str, at: u64, bytes: &[u8]) {
    last(evidence).media.get_mut(medium).unwrap().write(at, bytes);
}

#[test]
fn a_clone_that_does_not_find_its_root_is_detected() {
    let check = checkers::finds_root::check;
    // Another signature of the disk, and another GUID of the partition.
    let signature = |evidence: &mut Evidence| spoil(evidence, "sd", 440, &[1; 4]);
    detects(check, "root-names-round-trip-of-partition-3", signature, "sd needs PARTUUID=5eed5eed-03");
    let guid = |evidence: &mut Evidence| spoil(evidence, "sd", 1024 + 16, &[1; 16]);
    detects(check, "root-names-round-trip-by-guid", guid, "sd needs PARTUUID=fedcba98");
    // The second medium gets the names of the first one.
    let copy = |evidence: &mut Evidence| {
        let sd = last(evidence).media["sd"].clone();
        last(evidence).media.insert("emmc".into(), sd);
    };
    detects(check, "root-names-two-media-of-one-tarball", copy, "emmc and sd both have UUID=0f0e0d0c");
    // The medium with that name is removed: a clone with another name should have been it.
    let swap = |evidence: &mut Evidence| {
        let emmc = last(evidence).media["emmc"].clone();
        last(evidence).media.insert("sd".into(), emmc);
    };
    detects(check, "root-names-two-media-of-one-tarball", swap, "sd needs UUID=0f0e0d0c");
}

#[test]
fn a_partition_with_another_number_than_in_the_record_is_detected() {
    let moved = |evidence: &mut Evidence| {
        let media = &mut last(evidence).media;
        let entry = media["sd"].bytes(446 + 32, 16).to_vec();
        let pages = media.get_mut("sd").unwrap();
        pages.write(446 + 32, &[0; 16]);
        pages.write(446, &entry);
    };
    let check = checkers::success_is_true::check;
    detects(check, "root-names-round-trip-of-partition-3", moved, "partition 1, not 3");
}
