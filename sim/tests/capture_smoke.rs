//! Captures on the simulated board are complete, and a power cut at any point leaves no wrong image.

// Helpers are test code, but not inside of a test function.
#![allow(clippy::unwrap_used)]

use replicator_engine::capture;
use replicator_engine::context::Context;
use replicator_engine::formats::codec::{self, Limits};
use replicator_engine::formats::digest::{Algorithm, Digest};
use replicator_engine::formats::sidecar;
use replicator_engine::media::Medium as BoardMedium;
use replicator_engine::names;
use replicator_engine::options::{Options, Settings};
use replicator_engine::profile::Profile;
use replicator_engine::report::{End, Outcome};
use replicator_engine::tuning::Tuning;
use replicator_hal::{
    Access, Board, Compute, DeviceKind, DeviceName, Holder, Region, RelativePath, Timestamp,
};
use replicator_sim::model::bytes::size::Size;
use replicator_sim::model::hardware::content::{Content, Entry, FileSystemContent, PartitionContent};
use replicator_sim::model::hardware::fault::Fault;
use replicator_sim::model::hardware::faults::FaultSpec;
use replicator_sim::model::hardware::found::FoundFiles;
use replicator_sim::model::hardware::simfs::Kind;
use replicator_sim::model::hardware::trigger::Trigger;
use replicator_sim::{Medium, RunOutcome, Survival, World, WorldBuilder};
use std::io::Read;

const KIB: u64 = 1024;
const MEDIA: [&str; 2] = ["sd", "emmc"];
/// Content of files that sanitising removes.
const SECRET: &[u8] = b"-----BEGIN OPENSSH PRIVATE KEY----- this must not be cloned";

fn rootfs() -> FileSystemContent {
    let mut content = FileSystemContent::new(
        Kind::Ext4,
        vec![
            Entry::file("etc/hostname", "board\n"),
            Entry::file("etc/machine-id", SECRET).mode(0o444),
            Entry::file("etc/ssh/ssh_host_ed25519_key", SECRET.repeat(20)).mode(0o600),
            Entry::file("usr/bin/ping", vec![7; 9000]).xattr("security.capability", b"\x01\x00\x00\x02"),
            Entry::symlink("bin", "usr/bin"),
            Entry::symlink("var/log", "/data/log"),
            Entry::file("data/log/syslog", SECRET),
        ],
    );
    content.removed = vec![Entry::file("etc/old-key", SECRET)];
    content
}

/// Without a file system its type is not a Linux type: the stamped content needs no sanitising.
fn partition(start_kib: u64, len_kib: u64, file_system: Option<FileSystemContent>) -> PartitionContent {
    let mbr_type = if file_system.is_some() { 0x83 } else { 0xDA };
    PartitionContent { mbr_type, start_bytes: start_kib * KIB, len_bytes: len_kib * KIB, file_system }
}

fn builder(drive: Kind) -> WorldBuilder {
    let single = Content::Partitions("sd".into(), vec![partition(64, 448, Some(rootfs()))]);
    let several = Content::Partitions(
        "emmc".into(),
        vec![partition(64, 64, None), partition(128, 384, Some(rootfs()))],
    );
    WorldBuilder::new()
        .seed(7)
        .wall_clock(Timestamp { seconds: 1_767_323_045, nanos: 0 })
        .medium(Medium::drive(8 << 20, FileSystemContent::new(drive, vec![]).label("REPLICATOR")))
        .medium(Medium::new("sd", "mmcblk0", DeviceKind::Sd, 512 * KIB).content(single))
        .medium(Medium::new("emmc", "mmcblk1", DeviceKind::Emmc, 512 * KIB).content(several))
}

fn tuning() -> Tuning {
    Tuning { chunk_len_bytes: 64 * 1024, ..Tuning::default() }
}

/// The media of the board, as discovery would find them.
fn media(board: &Board) -> replicator_engine::Result<(Profile, Vec<BoardMedium>)> {
    let text: String = MEDIA
        .iter()
        .map(|name| {
            format!(
                "[[medium]]\nname = \"{name}\"\nkind = \"{name}\"\ncontroller = \"{name}-controller\"\n\
                 bootloader_in_gap = false\n"
            )
        })
        .collect();
    let profile = Profile::parse(&format!("name = \"sim\"\n{text}"), "sim.toml").unwrap();
    let listing = replicator_engine::Error::hal("listing devices");
    let devices = board.devices.list().map_err(listing)?;
    let media =
        replicator_engine::media::find(&profile, &[], &devices, &DeviceName::parse("sda").unwrap(), None)?;
    Ok((profile, media))
}

/// One boot that captures: mounts the drive, captures, unmounts.
fn boot(board: &Board) -> replicator_engine::Result<Vec<Outcome>> {
    let listing = replicator_engine::Error::hal("listing devices");
    let devices = board.devices.list().map_err(listing)?;
    let drive = devices.iter().find(|device| device.kind == DeviceKind::Usb).unwrap();
    let region = Region {
        holder: Holder::Device(drive.partitions[0].name.clone()),
        offset_bytes: 0,
        len_bytes: drive.partitions[0].len_bytes,
    };
    let volume = board
        .file_systems
        .mount(&region, Access::ReadOnly)
        .map_err(replicator_engine::Error::hal("mounting the drive"))?;
    let outcomes = media(board).and_then(|(profile, media)| {
        let context = Context {
            board,
            tuning: &tuning(),
            profile: &profile,
            compatible: &[],
            media: &media,
            drive: &*volume,
            options: &Options::new(&[], Settings::default(), &[]),
            version: "1.2.3",
        };
        capture::plan(&context).map(|items| capture::run(&context, items))
    });
    volume.unmount().map_err(replicator_engine::Error::hal("unmounting the drive"))?;
    outcomes.map(capture::Captured::unchecked)
}

fn all_done(outcomes: &[Outcome]) -> bool {
    outcomes.len() == MEDIA.len() && outcomes.iter().all(|outcome| matches!(outcome.end, End::Done(_)))
}

fn find<'a>(files: &'a FoundFiles, name: &str) -> Option<&'a [u8]> {
    files.get(&RelativePath::parse(name).unwrap()).map(|found| found.bytes.as_slice())
}

/// Checks that every file under a valid image name is complete and matches its sidecars. Returns the decoded images.
fn check_images(files: &FoundFiles, context: &str) -> Vec<(String, Vec<u8>)> {
    let mut images = Vec::new();
    for name in MEDIA.iter().flat_map(|medium| names::accepted(medium)) {
        let Some(mut bytes) = find(files, &name.to_string()) else { continue };
        let sidecar_of = |name: &str| {
            let text = find(files, &format!("{name}.md5"));
            let text = text.unwrap_or_else(|| panic!("{context}: {name}.md5 is missing"));
            sidecar::parse(text, Algorithm::Md5, &[name])
                .unwrap_or_else(|error| panic!("{context}: {error}"))
                .digest
        };
        assert_eq!(sidecar_of(&name.to_string()), Digest::of(Algorithm::Md5, bytes), "{context}: {name}");
        let mut content = Vec::new();
        codec::decoder(name.compression, &mut bytes, Compute::Inline, Limits::default())
            .unwrap()
            .read_to_end(&mut content)
            .unwrap_or_else(|error| panic!("{context}: {name}: {error}"));
        let expected = sidecar_of(&name.uncompressed());
        assert_eq!(expected, Digest::of(Algorithm::Md5, &content), "{context}: {name}");
        let record = format!("{}image.source", name.medium);
        assert!(find(files, &record).is_some(), "{context}: {record} is missing");
        images.push((name.to_string(), content));
    }
    images
}

fn has_session(files: &FoundFiles) -> bool {
    files.contains_key(&RelativePath::parse(".capture").unwrap())
}

fn assert_complete(world: &World, context: &str) -> Vec<(String, Vec<u8>)> {
    let files = world.drive_files().unwrap();
    let images = check_images(&files, context);
    let names: Vec<&str> = images.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["sdimage.tar.xz", "emmcimage.dd.xz"], "{context}");
    assert!(!has_session(&files), "{context}: the session is left");
    assert_eq!(world.mounts_left(), Vec::<String>::new(), "{context}");
    assert_eq!(world.handles_left(), 0, "{context}");
    assert_eq!(world.volumes_dropped(), 0, "{context}");
    images
}

#[test]
fn an_undisturbed_capture_is_complete_and_sanitised_and_leaves_the_sources_unchanged() {
    for kind in [Kind::Ext4, Kind::Vfat, Kind::Exfat] {
        let world = builder(kind).build().unwrap();
        let before = MEDIA.map(|name| world.medium_bytes(name).unwrap().hash());
        let end = world.run(|board| boot(&board));
        assert_eq!(end.outcome, RunOutcome::Finished, "{kind:?}");
        let outcomes = end.value.unwrap().unwrap();
        assert!(all_done(&outcomes), "{kind:?}: {outcomes:?}");
        for (name, content) in assert_complete(&world, &format!("{kind:?}")) {
            let secret = content.windows(SECRET.len()).position(|window| window == SECRET);
            assert_eq!(secret, None, "{kind:?}: {name} holds a removed file");
        }
        assert_eq!(MEDIA.map(|name| world.medium_bytes(name).unwrap().hash()), before, "{kind:?}");
    }
}

#[test]
fn the_same_capture_makes_the_same_calls() {
    let hash = || builder(Kind::Vfat).build().unwrap().run(|board| boot(&board).map(drop)).trace_hash;
    assert_eq!(hash(), hash());
}

/// Cuts before every call that changes something, with every survival policy.
fn cut_everywhere(kind: Kind) {
    let world = builder(kind).record_states(true).build().unwrap();
    let outcomes = world.run(|board| boot(&board)).value.unwrap().unwrap();
    assert!(all_done(&outcomes), "{outcomes:?}");
    let recorded = world.take_recorded();
    assert!(recorded.len() > 100, "{}", recorded.len());
    for (index, state) in recorded.iter().enumerate() {
        let seed = index as u64;
        let policies = [
            Survival::None,
            Survival::All,
            Survival::DataLate,
            Survival::Subset(seed),
            Survival::Subset(!seed),
        ];
        for (policy, survival) in policies.into_iter().enumerate() {
            let next = world.reboot_from(state, survival);
            let context =
                format!("{kind:?}, cut before call {} ({:?}), {survival:?}", state.number, state.op);
            let files = next.drive_files().unwrap_or_else(|error| panic!("{context}: {error}"));
            let images = check_images(&files, &context);
            if !images.is_empty() && !has_session(&files) {
                // Only a finished capture may leave a drive that requests a write.
                assert_eq!(images.len(), MEDIA.len(), "{context}: the next boot would write");
                continue;
            }
            // Continuing takes time: it is done once for every state, each time with another policy.
            if index % policies.len() != policy {
                continue;
            }
            let end = next.run(|board| boot(&board));
            assert_eq!(end.outcome, RunOutcome::Finished, "{context}");
            let outcomes = end.value.unwrap().unwrap_or_else(|error| panic!("{context}: {error}"));
            assert!(all_done(&outcomes), "{context}: {outcomes:?}");
            assert_complete(&next, &context);
        }
    }
}

#[test]
fn a_cut_at_any_point_leaves_no_wrong_image_on_a_journalled_drive() {
    cut_everywhere(Kind::Ext4);
}

#[test]
fn a_cut_at_any_point_leaves_no_wrong_image_on_a_drive_without_a_journal() {
    cut_everywhere(Kind::Vfat);
}

/// After a boot with a fault: no wrong image under a valid name, nothing open, unchanged sources; and the next boot
/// completes the capture.
fn assert_recovers(world: &World, before: [u64; 2], context: &str) {
    let files = world.drive_files().unwrap_or_else(|error| panic!("{context}: {error}"));
    let images = check_images(&files, context);
    assert!(
        images.is_empty() || images.len() == MEDIA.len() || has_session(&files),
        "{context}: the next boot would write"
    );
    assert_eq!(world.handles_left(), 0, "{context}");
    assert_eq!(world.mounts_left(), Vec::<String>::new(), "{context}");
    let next = world.reboot(Survival::None);
    let files = next.drive_files().unwrap();
    if check_images(&files, context).len() < MEDIA.len() || has_session(&files) {
        let end = next.run(|board| boot(&board));
        let outcomes = end.value.unwrap().unwrap_or_else(|error| panic!("{context}: {error}"));
        assert!(all_done(&outcomes), "{context}: {outcomes:?}");
    }
    assert_complete(&next, context);
    assert_eq!(MEDIA.map(|name| next.medium_bytes(name).unwrap().hash()), before, "{context}");
}

#[test]
fn any_call_may_fail_once() {
    let builder = builder(Kind::Vfat);
    let world = builder.clone().build().unwrap();
    let before = MEDIA.map(|name| world.medium_bytes(name).unwrap().hash());
    let ops = world.run(|board| boot(&board)).ops;
    let workers = std::thread::available_parallelism().unwrap().get();
    std::thread::scope(|scope| {
        for worker in 0..workers {
            // Only every second call, to keep the test short, with alternating kinds of errors.
            let calls = (1..=ops).step_by(2).skip(worker).step_by(workers);
            scope.spawn(move || calls.for_each(|at_op| may_fail_once(at_op, before)));
        }
    });
}

fn may_fail_once(at_op: u64, before: [u64; 2]) {
    let fault = if at_op % 4 == 1 { Fault::Fails } else { Fault::IoError };
    let context = format!("{fault:?} at call {at_op}");
    let fault = FaultSpec::new("*", fault, Trigger::at(at_op));
    let world = builder(Kind::Vfat).fault(fault).build().unwrap();
    let end = world.run(|board| boot(&board));
    assert_eq!(end.outcome, RunOutcome::Finished, "{context}");
    if end.value.unwrap().is_ok_and(|outcomes| all_done(&outcomes)) {
        assert_complete_files(&world, &context);
    }
    assert_recovers(&world, before, &context);
}

#[test]
fn the_drive_may_disappear_at_any_time() {
    let builder = builder(Kind::Ext4);
    let world = builder.clone().build().unwrap();
    let ops = world.run(|board| boot(&board)).ops;
    let mut reached = 0;
    for at_op in (20..ops - 20).step_by(9) {
        let fault = FaultSpec::new("drive", Fault::Disappear, Trigger::at(at_op));
        let world = builder.clone().fault(fault).build().unwrap();
        let end = world.run(|board| boot(&board));
        assert_eq!(end.outcome, RunOutcome::Finished, "call {at_op}");
        if !world.faults_reached()[0] {
            // The call was not on the drive.
            continue;
        }
        reached += 1;
        let is_success = end.value.unwrap().is_ok_and(|outcomes| all_done(&outcomes));
        assert!(!is_success, "call {at_op}: a success without a drive");
        check_images(&world.drive_files().unwrap(), &format!("call {at_op}"));
    }
    assert!(reached > 10, "{reached}");
}

/// A success requires complete files on the drive.
fn assert_complete_files(world: &World, context: &str) {
    let files = world.drive_files().unwrap();
    assert_eq!(check_images(&files, context).len(), MEDIA.len(), "{context}: a false success");
    assert!(!has_session(&files), "{context}: a success with a session left");
}

#[test]
fn a_full_drive_keeps_no_work_files() {
    for kind in [Kind::Ext4, Kind::Vfat] {
        let mut failures = 0;
        for capacity_kib in (16..1600).step_by(24) {
            let context = format!("{kind:?}, {capacity_kib} KiB");
            let space = Size(capacity_kib * KIB);
            let fault = FaultSpec::new("drive", Fault::OutOfSpace { space }, Trigger::always());
            let world = builder(kind).fault(fault).build().unwrap();
            let before = MEDIA.map(|name| world.medium_bytes(name).unwrap().hash());
            let outcomes = world.run(|board| boot(&board)).value.unwrap().unwrap();
            if !all_done(&outcomes) {
                failures += 1;
                let files = world.drive_files().unwrap();
                let work: Vec<String> = files
                    .keys()
                    .map(|path| path.to_string())
                    .filter(|path| path.starts_with(".capture/") && path != ".capture/session.toml")
                    .collect();
                assert_eq!(work, Vec::<String>::new(), "{context}: work files remain");
            }
            assert_recovers(&world, before, &context);
        }
        assert!(failures > 3, "{kind:?}: the drive was never full");
    }
}
