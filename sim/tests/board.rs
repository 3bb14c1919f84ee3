//! The simulated board itself: determinism, ends of the world, caches, power cuts, faults.

// Helpers are test code, but not inside of a test function.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use replicator_hal::{
    Access, Board, DeviceKind, DeviceName, ErrorKind, FileSystems, FsckOutcome, Holder, Hook, Led, Region,
    RelativePath, Result, Status, Task, TaskEnd, Volume, io,
};
use replicator_sim::content::{Content, Entry, FileSystemContent, PartitionContent, stamped};
use replicator_sim::faults::{Fault, FaultKind, FsckScript, Trigger};
use replicator_sim::op::Timing;
use replicator_sim::simfs::{Damage, Kind};
use replicator_sim::{End, Limits, Medium, RunOutcome, Survival, World, WorldBuilder};
use std::collections::BTreeSet;
use std::time::Duration;

const KIB: u64 = 1024;

fn path(text: &str) -> RelativePath {
    RelativePath::parse(text).unwrap()
}

fn device(name: &str) -> DeviceName {
    DeviceName::new(name)
}

fn partition_region(name: &str, len_bytes: u64) -> Region {
    Region { holder: Holder::Device(device(name)), offset_bytes: 0, len_bytes }
}

fn drive(kind: Kind, entries: Vec<Entry>) -> Medium {
    Medium::drive(1024 * KIB, FileSystemContent::new(kind, entries).label("REPLICATOR"))
}

fn mount_drive(board: &Board, access: Access) -> Box<dyn Volume> {
    board.file_systems.mount(&partition_region("sda1", 992 * KIB), access).unwrap()
}

fn emmc() -> Medium {
    Medium::new("emmc", "mmcblk0", DeviceKind::Emmc, 128 * KIB).content(Content::Stamped("emmc".into(), 0))
}

fn fault(on: &str, kind: FaultKind, when: Trigger) -> Fault {
    Fault { on: on.to_owned(), kind, when }
}

fn write_file(volume: &dyn Volume, name: &str, content: &[u8]) -> Result<()> {
    let mut file = volume.create_new(&path(name), 0o644)?;
    io::write_file(file.as_mut(), 0, content)?;
    file.sync()?;
    file.close()
}

fn read_file(volume: &dyn Volume, name: &str) -> Result<Vec<u8>> {
    let mut file = volume.open(&path(name))?;
    let mut content = vec![0; file.len_bytes()? as usize];
    io::read_file(file.as_mut(), 0, &mut content)?;
    file.close()?;
    Ok(content)
}

/// Three tasks that capture three media to the drive, about as an engine would.
fn capture_three(board: &Board) -> Vec<TaskEnd> {
    let volume = mount_drive(board, Access::ReadWrite);
    let media = ["mmcblk0", "mmcblk1", "sdb"];
    let tasks = media.map(|name| {
        let (board, volume) = (board.clone(), &*volume);
        let body = move || {
            let mut source = board.devices.open_source(&device(name)).unwrap();
            let mut file = volume.create_new(&path(&format!("{name}.part")), 0o644).unwrap();
            let (mut buffer, mut done) = (vec![0; 16 * 1024], 0);
            loop {
                let len = io::read_source(source.as_mut(), done, &mut buffer).unwrap();
                if len == 0 {
                    break;
                }
                io::write_file(file.as_mut(), done, &buffer[..len]).unwrap();
                board.leds.renew(Duration::from_secs(5));
                done += len as u64;
            }
            file.sync().unwrap();
            volume.rename(&path(&format!("{name}.part")), &path(&format!("{name}.dd"))).unwrap();
            volume.sync_dir(&RelativePath::root()).unwrap();
        };
        Task { name: name.to_owned(), body: Box::new(body) }
    });
    let ends = board.tasks.run(tasks.into());
    volume.unmount().unwrap();
    ends
}

fn three_media(seed: u64) -> World {
    let medium = |name: &str, device: &str, kind| {
        Medium::new(name, device, kind, 64 * KIB).content(Content::Stamped(name.to_owned(), 0))
    };
    WorldBuilder::new()
        .seed(seed)
        .medium(drive(Kind::Ext4, vec![]))
        .medium(medium("emmc", "mmcblk0", DeviceKind::Emmc))
        .medium(medium("sd", "mmcblk1", DeviceKind::Sd))
        .medium(medium("sata", "sdb", DeviceKind::Sata))
        .build()
        .unwrap()
}

#[test]
fn one_seed_gives_one_trace_and_other_seeds_give_others() {
    let run = |seed| {
        let world = three_media(seed);
        let end = world.run(|board| capture_three(&board));
        assert_eq!(end.outcome, RunOutcome::Finished);
        assert_eq!(end.value.unwrap(), vec![TaskEnd::Finished; 3]);
        let files = world.drive_files().unwrap();
        assert_eq!(files[&path("mmcblk1.dd")].bytes, stamped("sd", 0, 64 * KIB));
        assert!(world.mounts_left().is_empty() && world.handles_left() == 0);
        end.trace_hash
    };
    let same: BTreeSet<u64> = (0..50).map(|_| run(7)).collect();
    assert_eq!(same.len(), 1);
    let others: BTreeSet<u64> = (0..50).map(run).collect();
    assert_eq!(others.len(), 50);
}

#[test]
fn tasks_interleave_by_the_speed_of_their_media() {
    let world = three_media(1);
    world.run(|board| capture_three(&board)).value.unwrap();
    let trace = world.trace();
    let switches =
        trace.events().zip(trace.events().skip(1)).filter(|(one, two)| one.task != two.task).count();
    assert!(switches > 10, "{switches} switches");
    assert!(trace.events().all(|event| !event.to_string().is_empty()));
}

#[test]
fn a_task_that_blocks_outside_of_the_hal_is_named() {
    let limits = Limits { stuck_after: Duration::from_millis(50), ..Limits::default() };
    let world = WorldBuilder::new().limits(limits).medium(emmc()).build().unwrap();
    let end = world.run(|board| {
        let clock = &board.clock;
        let blocks = || {
            clock.sleep(Duration::from_millis(1));
            std::thread::sleep(Duration::from_millis(400));
        };
        board.tasks.run(vec![
            Task { name: "blocks".into(), body: Box::new(blocks) },
            Task { name: "waits".into(), body: Box::new(|| clock.sleep(Duration::from_secs(1))) },
        ])
    });
    let RunOutcome::Ended(End::Stuck(text)) = end.outcome else { panic!("{:?}", end.outcome) };
    assert!(text.contains("task blocks") && text.contains("sleep"), "{text}");
}

#[test]
fn bounds_end_a_run_that_would_not_end() {
    let limits = Limits { virtual_time_max: Duration::from_secs(10), ops_max: 1000, ..Limits::default() };
    let spin = |step: Duration| {
        let world = WorldBuilder::new().limits(limits).medium(emmc()).build().unwrap();
        let end = world.run(|board| {
            while board.devices.list().is_ok() {
                board.clock.sleep(step);
            }
        });
        end.outcome
    };
    assert_eq!(spin(Duration::from_secs(1)), RunOutcome::Ended(End::TimeBound));
    assert_eq!(spin(Duration::from_millis(1)), RunOutcome::Ended(End::OpBound));
}

#[test]
fn a_power_cut_freezes_the_world_and_spinning_after_it_is_found() {
    let cut = fault("emmc", FaultKind::PowerCut { timing: Timing::Before }, Trigger::nth("write", 2));
    let world = WorldBuilder::new().medium(emmc()).fault(cut).build().unwrap();
    let end = world.run(|board| {
        let mut target = board.devices.open_target(&device("mmcblk0")).unwrap();
        target.write_at(0, &[1; 512]).unwrap();
        target.sync().unwrap();
        assert_eq!(target.write_at(512, &[1; 512]).unwrap_err().kind(), ErrorKind::PowerLost);
        assert_eq!(target.sync().unwrap_err().kind(), ErrorKind::PowerLost);
        board.leds.show(Status::Success);
    });
    assert!(matches!(end.outcome, RunOutcome::Ended(End::PowerCut { .. })), "{:?}", end.outcome);
    assert_eq!(world.leds().final_status(), None, "nothing has an effect after the cut");
    let bytes = world.reboot(Survival::All).medium_bytes("emmc").unwrap();
    assert_eq!((bytes.bytes(0, 1), bytes.bytes(512, 1)), (vec![1], vec![b'[']));

    let at_once = fault("*", FaultKind::PowerCut { timing: Timing::Before }, Trigger::at_op(1));
    let world = WorldBuilder::new().medium(emmc()).fault(at_once).build().unwrap();
    let end = world.run(|board| while board.devices.list().is_err() {});
    let RunOutcome::Panicked(text) = end.outcome else { panic!("{:?}", end.outcome) };
    assert!(text.contains("spins after power loss"), "{text}");
}

#[test]
fn a_hang_ends_in_bounded_virtual_time_and_shows_failure() {
    let hang = fault("emmc", FaultKind::Hang { millis: None }, Trigger::nth("read", 2));
    let world = WorldBuilder::new().medium(emmc()).fault(hang).build().unwrap();
    let end = world.run(|board| {
        board.leds.show(Status::Running);
        board.leds.renew(Duration::from_secs(30));
        let mut source = board.devices.open_source(&device("mmcblk0")).unwrap();
        source.read_at(0, &mut [0; 512]).unwrap();
        let error = source.read_at(512, &mut [0; 512]).unwrap_err();
        board.leds.show(Status::Success);
        error.kind()
    });
    assert_eq!(end.value, Some(ErrorKind::TimedOut));
    assert_eq!(end.outcome, RunOutcome::Ended(End::Hung));
    assert!(end.virtual_time < Duration::from_secs(1));
    assert_eq!(world.leds().final_status(), Some(Status::Failure));
    assert!(world.leds().lease_expired());
    assert_eq!(world.faults_reached(), [true]);
}

#[test]
fn a_hang_that_ends_lets_the_others_go_on_and_costs_its_lease() {
    let hang = fault("emmc", FaultKind::Hang { millis: Some(60_000) }, Trigger::nth("read", 1));
    let world = WorldBuilder::new().medium(emmc()).fault(hang).build().unwrap();
    let end = world.run(|board| {
        board.leds.show(Status::Running);
        board.leds.renew(Duration::from_secs(30));
        let mut source = board.devices.open_source(&device("mmcblk0")).unwrap();
        source.read_at(0, &mut [0; 512]).unwrap();
        board.leds.show(Status::Success);
        board.leds.lease_expired()
    });
    assert_eq!((end.value, end.outcome), (Some(true), RunOutcome::Finished));
    assert_eq!(world.leds().final_status(), Some(Status::Failure));
    let [red, green] =
        world.leds().wave_form(Duration::from_secs(31)..Duration::from_secs(35), Duration::from_millis(125));
    assert_eq!(red.chars().filter(|character| *character == '█').count(), 16, "{red} {green}");
}

#[test]
fn a_half_dead_card_passes_through_the_cache_and_fails_past_it() {
    for another_holder in [false, true] {
        let dead = FaultKind::DropWrites { start_bytes: 64 * KIB, end_bytes: None };
        let medium = emmc().with(|identity| identity.another_holder = another_holder);
        let world =
            WorldBuilder::new().medium(medium).fault(fault("emmc", dead, Trigger::always())).build().unwrap();
        let end = world.run(|board| {
            let image = vec![0x5a; 128 * KIB as usize];
            let equal = |target: &mut dyn replicator_hal::Target| {
                let mut back = vec![0; image.len()];
                io::read_target(target, 0, &mut back).unwrap();
                back == image
            };
            let mut target = board.devices.open_target(&device("mmcblk0")).unwrap();
            io::write_target(target.as_mut(), 0, &image).unwrap();
            target.sync().unwrap();
            let while_open = equal(target.as_mut());
            target.close().unwrap();
            let mut target = board.devices.open_target(&device("mmcblk0")).unwrap();
            let after_reopen = equal(target.as_mut());
            target.begin_verify().unwrap();
            (while_open, after_reopen, equal(target.as_mut()))
        });
        // Only a page that stays cached can lie: while it is open, and after that if somebody else holds the device.
        assert_eq!(end.value, Some((true, another_holder, false)));
        assert_eq!(world.faults_reached(), [true]);
    }
}

#[test]
fn a_failed_sync_is_final() {
    let broken = fault("emmc", FaultKind::IoError, Trigger::nth("sync", 1));
    let world = WorldBuilder::new().medium(emmc()).fault(broken).build().unwrap();
    let end = world.run(|board| {
        let mut target = board.devices.open_target(&device("mmcblk0")).unwrap();
        io::write_target(target.as_mut(), 0, &[7; 4096]).unwrap();
        let first = target.sync().unwrap_err();
        assert!(first.injected().is_some());
        target.sync().unwrap();
        first.kind()
    });
    assert_eq!(end.value, Some(ErrorKind::Io));
    assert_eq!(
        world.medium_bytes("emmc").unwrap().bytes(0, 1),
        b"[",
        "the data is gone although the second sync was fine"
    );
}

/// Writes a file the careful way up to `steps`, then the power goes; what do the files look like?
fn names_after_cut(kind: Kind, careful_steps: usize, survival: Survival) -> Vec<(String, usize)> {
    let world =
        WorldBuilder::new().medium(drive(kind, vec![Entry::file("old", b"old".to_vec())])).build().unwrap();
    world.run(|board| {
        let volume = mount_drive(&board, Access::ReadWrite);
        let mut file = volume.create_new(&path("a.part"), 0o644).unwrap();
        io::write_file(file.as_mut(), 0, &[5; 10_000]).unwrap();
        if careful_steps >= 1 {
            file.sync().unwrap();
        }
        file.close().unwrap();
        volume.rename(&path("a.part"), &path("a")).unwrap();
        if careful_steps >= 2 {
            volume.sync_dir(&RelativePath::root()).unwrap();
        }
        // The power goes with everything still open.
        std::mem::forget(volume);
    });
    let files = world.reboot(survival).drive_files().unwrap();
    files.into_iter().map(|(path, file)| (path.to_string(), file.bytes.len())).collect()
}

#[test]
fn what_a_power_cut_leaves_of_files() {
    let old = ("old".to_owned(), 3);
    let new = |len| ("a".to_owned(), len);
    for kind in [Kind::Ext4, Kind::Ext2, Kind::Vfat] {
        let after = |steps, survival| names_after_cut(kind, steps, survival);
        assert_eq!(after(0, Survival::None), std::slice::from_ref(&old));
        assert_eq!(after(0, Survival::All), [new(10_000), old.clone()]);
        assert_eq!(after(0, Survival::DataLate), [new(0), old.clone()], "the missing sync of the file");
        assert_eq!(after(1, Survival::DataLate), [new(10_000), old.clone()]);
        assert_eq!(after(1, Survival::None), std::slice::from_ref(&old), "the missing sync of the directory");
        for survival in [Survival::None, Survival::All, Survival::DataLate, Survival::Subset(1)] {
            assert_eq!(after(2, survival), [new(10_000), old.clone()], "{kind:?} {survival:?}");
        }
    }
}

#[test]
fn a_random_part_survives_and_journals_keep_the_order() {
    let states = |kind| -> BTreeSet<Vec<(String, usize)>> {
        (0..60).map(|seed| names_after_cut(kind, 0, Survival::Subset(seed))).collect()
    };
    let journalled = states(Kind::Ext4);
    let unordered = states(Kind::Vfat);
    assert!(journalled.len() > 3 && unordered.len() > 3, "{journalled:?} {unordered:?}");
    let both = |names: &Vec<(String, usize)>| {
        let has = |wanted: &str| names.iter().any(|(name, _)| name == wanted);
        has("a") && has("a.part")
    };
    assert!(!journalled.iter().any(both), "a rename is old or new with a journal");
    assert!(unordered.iter().any(both), "without one both names can be there");
    assert_eq!(
        names_after_cut(Kind::Vfat, 0, Survival::Subset(4)),
        names_after_cut(Kind::Vfat, 0, Survival::Subset(4))
    );
}

#[test]
fn a_drive_that_lost_power_is_dirty_and_a_check_mends_it() {
    let world = WorldBuilder::new().medium(drive(Kind::Vfat, vec![])).build().unwrap();
    world.run(|board| std::mem::forget(mount_drive(&board, Access::ReadWrite)));
    let next = world.reboot(Survival::None);
    let end = next.run(|board| {
        let region = partition_region("sda1", 992 * KIB);
        let outcome = |systems: &dyn FileSystems| systems.fsck(&region).unwrap().outcome;
        let map_before = board.file_systems.used_map(&region).unwrap().is_some();
        let both = (outcome(&*board.file_systems), outcome(&*board.file_systems));
        (map_before, both, board.file_systems.used_map(&region).unwrap().is_some())
    });
    assert_eq!(end.value, Some((false, (FsckOutcome::Repaired, FsckOutcome::Clean), true)));
}

fn rootfs() -> FileSystemContent {
    let mut content = FileSystemContent::new(
        Kind::Ext4,
        vec![
            Entry::directory("etc"),
            Entry::file("etc/hostname", b"golden\n".to_vec()).owner(0, 42).mode(0o640),
            Entry::file("usr/bin/tool", stamped("tool", 0, 5000)).mode(0o4755).xattr("user.a", b"1"),
            Entry::symlink("bin", "usr/bin"),
        ],
    );
    content.removed = vec![Entry::file("etc/secret", b"SECRET KEY MATERIAL ".repeat(100))];
    content
}

fn board_with_rootfs() -> World {
    let partition = |start_kib, file_system| PartitionContent {
        mbr_type: 0x83,
        start_bytes: start_kib * KIB,
        len_bytes: 128 * KIB,
        file_system,
    };
    let content =
        Content::Partitions("emmc".into(), vec![partition(64, Some(rootfs())), partition(192, None)]);
    WorldBuilder::new()
        .medium(drive(Kind::Ext4, vec![]))
        .medium(Medium::new("emmc", "mmcblk0", DeviceKind::Emmc, 320 * KIB).content(content))
        .build()
        .unwrap()
}

#[test]
fn copying_bytes_copies_files_and_an_image_on_the_drive_mounts() {
    let world = board_with_rootfs();
    let end = world.run(|board| {
        let drive = mount_drive(&board, Access::ReadWrite);
        let mut source = board.devices.open_source(&device("mmcblk0")).unwrap();
        let mut bytes = vec![0; source.len_bytes() as usize];
        io::read_source(source.as_mut(), 0, &mut bytes).unwrap();
        source.close().unwrap();
        write_file(&*drive, "emmc.img", &bytes).unwrap();
        let region = Region {
            holder: Holder::File { volume: drive.id(), path: path("emmc.img") },
            offset_bytes: 64 * KIB,
            len_bytes: 128 * KIB,
        };
        let tree = board.file_systems.mount(&region, Access::ReadWrite).unwrap();
        assert_eq!(read_file(&*tree, "etc/hostname").unwrap(), b"golden\n");
        assert_eq!(tree.resolve(&path("bin/tool")).unwrap(), path("usr/bin/tool"));
        assert_eq!(drive.unmount().unwrap_err().kind(), ErrorKind::Busy, "an image on it is mounted");
        write_file(&*tree, "etc/first-boot", b"").unwrap();
        tree.remove_file(&path("etc/hostname")).unwrap();
        tree.unmount().unwrap();
        drive.unmount().unwrap();
    });
    assert_eq!(end.outcome, RunOutcome::Finished);
    let image = &world.drive_files().unwrap()[&path("emmc.img")].bytes;
    let in_image = replicator_sim::inspect::files_in(&image.as_slice().into(), 64 * KIB, 128 * KIB).unwrap();
    let on_medium = world.files_of_partition("emmc", 1).unwrap();
    let names = |files: &replicator_sim::inspect::FoundFiles| -> Vec<String> {
        files.keys().map(ToString::to_string).collect()
    };
    assert_eq!(names(&on_medium), ["bin", "etc", "etc/hostname", "usr", "usr/bin", "usr/bin/tool"]);
    assert_eq!(names(&in_image), ["bin", "etc", "etc/first-boot", "usr", "usr/bin", "usr/bin/tool"]);
    assert_eq!(in_image[&path("usr/bin/tool")], on_medium[&path("usr/bin/tool")]);
}

fn holds(bytes: &[u8], text: &[u8]) -> bool {
    bytes.windows(text.len()).any(|window| window == text)
}

#[test]
fn removed_data_stays_in_free_blocks_until_it_is_zeroed() {
    let world = board_with_rootfs();
    assert!(holds(&world.medium_bytes("emmc").unwrap().to_vec(), b"SECRET KEY"));
    let region = partition_region("mmcblk0p1", 128 * KIB);
    let end = world.run(|board| {
        let map = board.file_systems.used_map(&region).unwrap().unwrap();
        let mut source = board.devices.open_source(&device("mmcblk0p1")).unwrap();
        let mut used = vec![0; 128 * KIB as usize];
        for range in map.used {
            io::read_source(
                source.as_mut(),
                range.start,
                &mut used[range.start as usize..range.end as usize],
            )
            .unwrap();
        }
        source.close().unwrap();
        let volume = board.file_systems.mount(&region, Access::ReadWrite).unwrap();
        let mut zeros = volume.create_new(&path("zeros"), 0o600).unwrap();
        let mut offset = 0;
        let full = loop {
            match zeros.write_at(offset, &[0; 4096]) {
                Ok(len) => offset += len as u64,
                Err(error) => break error.kind(),
            }
        };
        zeros.sync().unwrap();
        zeros.close().unwrap();
        volume.remove_file(&path("zeros")).unwrap();
        volume.unmount().unwrap();
        (used, full)
    });
    let (used, full) = end.value.unwrap();
    assert!(!holds(&used, b"SECRET KEY"), "used blocks do not have it");
    let copied = replicator_sim::inspect::files_in(&used.as_slice().into(), 0, 128 * KIB).unwrap();
    assert_eq!(copied, world.files_of_partition("emmc", 1).unwrap());
    assert_eq!(full, ErrorKind::NoSpace);
    assert!(!holds(&world.medium_bytes("emmc").unwrap().to_vec(), b"SECRET KEY"), "it is overwritten");
}

#[test]
fn out_of_space_leaves_a_prefix_and_a_usable_volume() {
    let full = fault("drive", FaultKind::OutOfSpace { capacity_bytes: 100 * KIB }, Trigger::always());
    let world = WorldBuilder::new().medium(drive(Kind::Vfat, vec![])).fault(full).build().unwrap();
    let end = world.run(|board| {
        let volume = mount_drive(&board, Access::ReadWrite);
        let error = write_file(&*volume, "a", &stamped("a", 0, 200 * KIB)).unwrap_err();
        let free = volume.space().unwrap().free_bytes;
        let left = read_file(&*volume, "a").unwrap();
        volume.remove_file(&path("a")).unwrap();
        write_file(&*volume, "b", &[1; 50_000]).unwrap();
        volume.unmount().unwrap();
        (error.kind(), left, free)
    });
    let (kind, left, free) = end.value.unwrap();
    assert_eq!((kind, free), (ErrorKind::NoSpace, 0));
    assert_eq!(left.len() as u64, 100 * KIB);
    assert_eq!(left, stamped("a", 0, 100 * KIB));
    assert_eq!(world.drive_files().unwrap().len(), 1);
}

#[test]
fn recorded_states_boot_again() {
    let world = WorldBuilder::new().medium(drive(Kind::Ext4, vec![])).record_states(true).build().unwrap();
    world.run(|board| {
        let volume = mount_drive(&board, Access::ReadWrite);
        write_file(&*volume, "a", &[1; 3000]).unwrap();
        volume.sync_dir(&RelativePath::root()).unwrap();
        volume.unmount().unwrap();
    });
    let recorded = world.take_recorded();
    let names: Vec<&str> = recorded.iter().map(|state| state.op.name).collect();
    assert_eq!(names, ["mount", "create", "write", "sync", "sync-dir", "unmount"]);
    let counts: Vec<usize> = recorded
        .iter()
        .map(|state| world.reboot_from(state, Survival::None).drive_files().unwrap().len())
        .collect();
    assert_eq!(counts, [0, 0, 0, 0, 0, 1]);
}

/// Reads, writes and syncs the eMMC and the drive; the kinds of the errors met, in order.
fn exercise(board: &Board) -> Vec<ErrorKind> {
    fn devices(board: &Board) -> Result<()> {
        board.devices.list()?;
        let mut source = board.devices.open_source(&device("mmcblk0"))?;
        let mut buffer = vec![0; 8192];
        for step in 0..16 {
            io::read_source(source.as_mut(), step * 8192, &mut buffer)?;
        }
        source.close()?;
        let mut target = board.devices.open_target(&device("mmcblk0"))?;
        for step in 0..16 {
            io::write_target(target.as_mut(), step * 8192, &buffer)?;
        }
        target.sync()?;
        target.close()
    }
    fn drive(board: &Board) -> Result<()> {
        let region = partition_region("sda1", 992 * KIB);
        board.file_systems.fsck(&region)?;
        let volume = board.file_systems.mount(&region, Access::ReadWrite)?;
        write_file(&*volume, "a", &[1; 20_000])?;
        if let Err(error) = volume.unmount() {
            volume.unmount()?;
            return Err(error);
        }
        Ok(())
    }
    board.leds.show(Status::Running);
    [devices(board), drive(board)]
        .into_iter()
        .filter_map(|result| result.err().map(|error| error.kind()))
        .collect()
}

#[test]
fn every_kind_of_fault_is_reached_and_has_its_effect() {
    use ErrorKind::*;
    let once = |op| Trigger::nth(op, 1);
    let cases: Vec<(&str, FaultKind, Trigger, Vec<ErrorKind>)> = vec![
        ("emmc", FaultKind::Absent, Trigger::always(), vec![NotFound]),
        ("emmc", FaultKind::EmptySlot, Trigger::always(), vec![DeviceGone]),
        ("emmc", FaultKind::Vanishes, Trigger::nth("read", 3), vec![DeviceGone]),
        ("drive", FaultKind::Vanishes, Trigger::nth("sync", 1), vec![DeviceGone]),
        ("emmc", FaultKind::ReadOnly, Trigger::always(), vec![ReadOnly]),
        ("drive", FaultKind::ReadOnly, Trigger::nth("write", 1), vec![ReadOnly]),
        ("drive", FaultKind::OutOfSpace { capacity_bytes: 4096 }, Trigger::always(), vec![NoSpace]),
        ("emmc", FaultKind::DropWrites { start_bytes: 0, end_bytes: Some(512) }, Trigger::always(), vec![]),
        ("emmc", FaultKind::FlipBits { at_bytes: 9, mask: 1 }, once("close"), vec![]),
        ("emmc", FaultKind::IoError, Trigger::range("read", 50_000..50_001), vec![Io]),
        ("emmc", FaultKind::IoError, Trigger::nth("write", 5), vec![Io]),
        ("drive", FaultKind::IoError, Trigger::nth("sync", 1).file("a"), vec![Io]),
        ("*", FaultKind::Interrupted, Trigger::default().times(3), vec![]),
        ("*", FaultKind::Short { len_max_bytes: 1000 }, Trigger::default(), vec![]),
        ("emmc", FaultKind::Hang { millis: Some(5) }, once("read"), vec![]),
        ("drive", FaultKind::Busy, once("unmount"), vec![Busy]),
        ("drive", FaultKind::Fsck { outcome: FsckScript::Corrupt }, Trigger::default(), vec![Corrupt]),
        ("drive", FaultKind::Fsck { outcome: FsckScript::ToolFailed }, Trigger::default(), vec![ToolFailed]),
        ("drive", FaultKind::Fsck { outcome: FsckScript::TimedOut }, Trigger::default(), vec![TimedOut]),
        ("drive", FaultKind::Fsck { outcome: FsckScript::Repaired }, Trigger::default(), vec![]),
        ("leds", FaultKind::Fails, Trigger::default(), vec![]),
        ("emmc", FaultKind::PowerCut { timing: Timing::After }, once("sync"), vec![PowerLost, PowerLost]),
    ];
    for (on, kind, when, expected) in cases {
        let name = format!("{on} {kind:?} {when:?}");
        let world = WorldBuilder::new()
            .medium(emmc())
            .medium(drive(Kind::Ext4, vec![]))
            .fault(fault(on, kind, when))
            .build()
            .unwrap();
        let end = world.run(|board| exercise(&board));
        assert_eq!(end.value, Some(expected), "{name}");
        assert_eq!(world.faults_reached(), [true], "{name}");
    }
}

#[test]
fn a_fault_that_nothing_meets_is_not_reached() {
    let unmet = fault("emmc", FaultKind::IoError, Trigger::nth("read", 1000));
    let world =
        WorldBuilder::new().medium(emmc()).medium(drive(Kind::Ext4, vec![])).fault(unmet).build().unwrap();
    assert_eq!(world.run(|board| exercise(&board)).value, Some(vec![]));
    assert_eq!(world.faults_reached(), [false]);
}

#[test]
fn damage_is_what_a_check_finds() {
    for (damage, expected) in
        [(Damage::Repairable, Ok(FsckOutcome::Repaired)), (Damage::Fatal, Err(ErrorKind::Corrupt))]
    {
        let content = FileSystemContent { damage, ..rootfs() };
        let medium =
            Medium::new("sd", "mmcblk1", DeviceKind::Sd, 128 * KIB).content(Content::FileSystem(content));
        let world = WorldBuilder::new().medium(medium).build().unwrap();
        let end = world.run(|board| {
            let fsck = board.file_systems.fsck(&partition_region("mmcblk1", 128 * KIB));
            fsck.map(|fsck| fsck.outcome).map_err(|error| error.kind())
        });
        assert_eq!(end.value, Some(expected));
    }
}

#[test]
fn hooks_are_small_scripts() {
    let script = "#!/bin/sh\nprint hello\nwrite etc/motd welcome\nremove old\nexit 3\nprint never\n";
    let entries = vec![
        Entry::file("hook", script.as_bytes()).mode(0o755),
        Entry::file("hangs", b"hang\n".to_vec()),
        Entry::file("binary", b"\x7fELF".to_vec()),
        Entry::file("old", b"".to_vec()),
        Entry::directory("etc"),
    ];
    let world = WorldBuilder::new().medium(drive(Kind::Ext4, entries)).build().unwrap();
    let end = world.run(|board| {
        let volume = mount_drive(&board, Access::ReadWrite);
        let run = |program: &str| {
            let (id, timeout) = (volume.id(), Duration::from_secs(60));
            board.system.run_hook(&Hook {
                program_volume: id,
                program: path(program),
                tree: id,
                environment: vec![],
                timeout,
            })
        };
        let end = run("hook").unwrap();
        assert_eq!((end.exit_status, end.output.as_str()), (Some(3), "hello\n"));
        assert_eq!(read_file(&*volume, "etc/motd").unwrap(), b"welcome");
        assert_eq!(volume.metadata(&path("old")).unwrap_err().kind(), ErrorKind::NotFound);
        ["hangs", "binary", "missing"].map(|program| run(program).unwrap_err().kind())
    });
    assert_eq!(end.value, Some([ErrorKind::TimedOut, ErrorKind::ToolFailed, ErrorKind::NotFound]));
    assert!(end.virtual_time > Duration::from_secs(60));
}

#[test]
fn the_leds_of_a_run_are_a_wave_form() {
    let world = WorldBuilder::new().build().unwrap();
    world.run(|board| {
        board.leds.show(Status::Running);
        board.clock.sleep(Duration::from_secs(1));
        board.leds.show(Status::Critical);
    });
    let log = world.leds();
    assert_eq!(log.final_status(), Some(Status::Critical));
    let (since, _) = log.shown()[1];
    assert!(replicator_hal::level(Status::Critical, Led::Red, Duration::ZERO));
    let [red, green] = log.wave_form(since..since + Duration::from_millis(960), Duration::from_millis(120));
    assert_eq!((red.as_str(), green.as_str()), ("█·█·█·█·", "········"));
}

#[test]
fn media_are_kept_as_files() {
    let directory = tempfile::tempdir().unwrap();
    let world = three_media(0);
    world.keep(directory.path()).unwrap();
    assert_eq!(std::fs::read(directory.path().join("sd.img")).unwrap(), stamped("sd", 0, 64 * KIB));
    assert_eq!(std::fs::metadata(directory.path().join("drive.img")).unwrap().len(), 1024 * KIB);
}
