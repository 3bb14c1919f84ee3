//! Caches can hide faults, and a power cut leaves only what survives.

use super::*;

#[test]
fn a_card_that_drops_writes_passes_a_read_from_the_cache_and_fails_one_past_it() {
    for another_holder in [false, true] {
        let dead = Fault::DropWrites { range: ByteRange::new(64 * KIB..u64::MAX) };
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
        // Only a cached page returns bytes that the medium does not hold: while the device is open, and later if it
        // has another holder.
        assert_eq!(end.value, Some((true, another_holder, false)));
        assert_eq!(world.faults_reached(), [true]);
    }
}

#[test]
fn a_failed_sync_is_final() {
    let broken = fault("emmc", Fault::IoError, Trigger::nth(OpName::Sync, 1));
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
        "the data is lost although the second sync succeeded"
    );
}

/// Replaces a file safely, up to `careful_steps`, then cuts the power; returns the names and lengths of the files.
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
        // The power fails while everything is open.
        std::mem::forget(volume);
    });
    let files = world.reboot(survival).drive_files().unwrap();
    files.into_iter().map(|(path, file)| (path.to_string(), file.bytes.len())).collect()
}

#[test]
fn syncs_decide_what_a_power_cut_leaves_of_files() {
    let old = ("old".to_owned(), 3);
    let new = |len| ("a".to_owned(), len);
    for kind in [Kind::Ext4, Kind::Ext2, Kind::Vfat] {
        let after = |steps, survival| names_after_cut(kind, steps, survival);
        assert_eq!(after(0, Survival::None), std::slice::from_ref(&old));
        assert_eq!(after(0, Survival::All), [new(10_000), old.clone()]);
        assert_eq!(after(0, Survival::DataLate), [new(0), old.clone()], "without a sync of the file");
        assert_eq!(after(1, Survival::DataLate), [new(10_000), old.clone()]);
        assert_eq!(after(1, Survival::None), std::slice::from_ref(&old), "without a sync of the directory");
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
    assert!(!journalled.iter().any(both), "with a journal a rename is old or new");
    assert!(unordered.iter().any(both), "without a journal both names can exist");
    assert_eq!(
        names_after_cut(Kind::Vfat, 0, Survival::Subset(4)),
        names_after_cut(Kind::Vfat, 0, Survival::Subset(4))
    );
}

#[test]
fn a_drive_that_lost_power_is_dirty_and_a_check_repairs_it() {
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
    let names: Vec<&str> = recorded.iter().map(|state| state.op.name.word()).collect();
    assert_eq!(names, ["mount", "create", "write", "sync", "sync-dir", "unmount"]);
    let counts: Vec<usize> = recorded
        .iter()
        .map(|state| world.reboot_from(state, Survival::None).drive_files().unwrap().len())
        .collect();
    assert_eq!(counts, [0, 0, 0, 0, 0, 1]);
}

#[test]
fn an_image_on_the_drive_loses_only_unsynced_changes() {
    let names = |survival| -> Vec<String> {
        let world = WorldBuilder::new().medium(drive(Kind::Ext4, vec![])).build().unwrap();
        world.run(|board| {
            let volume = mount_drive(&board, Access::ReadWrite);
            write_file(&*volume, "sd.img", &[0; 128 * 1024]).unwrap();
            volume.sync_dir(&RelativePath::root()).unwrap();
            let holder = Holder::File { volume: volume.id(), path: path("sd.img") };
            let region = Region { holder, offset_bytes: 0, len_bytes: 128 * KIB };
            let format = replicator_hal::Format {
                flavour: replicator_hal::Flavour::Ext4,
                ..replicator_hal::Format::default()
            };
            board.file_systems.format(&region, &format).unwrap();
            let tree = board.file_systems.mount(&region, Access::ReadWrite).unwrap();
            write_file(&*tree, "synced", b"1").unwrap();
            tree.sync().unwrap();
            write_file(&*tree, "unsynced", b"1").unwrap();
            std::mem::forget((tree, volume));
        });
        let image = &world.reboot(survival).drive_files().unwrap()[&path("sd.img")].bytes;
        let files =
            replicator_sim::model::hardware::found::files_in(&image.as_slice().into(), 0, 128 * KIB).unwrap();
        files.keys().map(ToString::to_string).collect()
    };
    assert_eq!(names(Survival::None), ["synced"]);
    assert_eq!(names(Survival::All), ["synced", "unsynced"]);
}

#[test]
fn faults_end_with_their_boot() {
    let faults = [Fault::Disappear, Fault::ReadOnlyFlip];
    for lasting in faults {
        let world = WorldBuilder::new()
            .medium(emmc())
            .fault(fault("emmc", lasting.clone(), Trigger::always()))
            .build()
            .unwrap();
        let open = |board: Board| board.devices.open_target(&device("mmcblk0")).is_ok();
        assert_eq!(world.run(open).value, Some(false), "{lasting:?}");
        let next = world.reboot(Survival::None);
        assert_eq!(next.run(open).value, Some(true), "{lasting:?}");
        assert_eq!(next.medium_bytes("emmc").unwrap().to_vec(), stamped("emmc", 0, 128 * KIB));
    }
}
