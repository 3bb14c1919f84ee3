//! Every kind of fault is reached and has its effect.

use super::*;
use replicator_hal::AreaKind;

#[test]
fn out_of_space_leaves_a_prefix_and_a_usable_volume() {
    let full = fault("drive", Fault::OutOfSpace { space: Size(100 * KIB) }, Trigger::always());
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

/// Reads, writes and syncs the eMMC and the drive; returns the kinds of the errors, in order.
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
    let always = Trigger::always;
    let exits = |exit| Fault::FsckExit { exit };
    let cases: Vec<(&str, Fault, Trigger, Vec<ErrorKind>)> = vec![
        ("emmc", Fault::Disappear, always(), vec![DeviceGone]),
        ("emmc", Fault::Disappear, Trigger::nth(OpName::Read, 3), vec![DeviceGone]),
        ("drive", Fault::Disappear, once(OpName::Sync), vec![DeviceGone]),
        ("emmc", Fault::ReadOnlyFlip, always(), vec![ReadOnly]),
        ("drive", Fault::ReadOnlyFlip, once(OpName::Write), vec![ReadOnly]),
        ("drive", Fault::OutOfSpace { space: Size(4096) }, always(), vec![NoSpace]),
        ("drive", Fault::OutOfSpace { space: Size(0) }, once(OpName::Write), vec![NoSpace]),
        ("emmc", Fault::DropWrites { range: ByteRange::new(0..512) }, always(), vec![]),
        ("emmc", Fault::BitFlip { range: ByteRange::at(9, 1) }, always(), vec![]),
        ("emmc", Fault::IoError, Trigger::op(OpName::Read).range(50_000..50_001), vec![Io]),
        ("emmc", Fault::IoError, Trigger::nth(OpName::Write, 5), vec![Io]),
        ("drive", Fault::IoError, once(OpName::Sync).file("a"), vec![Io]),
        ("drive", Fault::Fails, once(OpName::Create), vec![Other]),
        ("*", Fault::Interrupted, always().times(3), vec![]),
        ("*", Fault::ShortIo, always(), vec![]),
        ("emmc", Fault::Hang { duration_ms: Some(5) }, once(OpName::Read), vec![]),
        ("drive", Fault::UnmountBusy, always().times(1), vec![Busy]),
        ("drive", Fault::FsckFails, always(), vec![Corrupt]),
        ("drive", exits(4), always(), vec![Corrupt]),
        ("drive", exits(8), always(), vec![ToolFailed]),
        ("drive", exits(1), always(), vec![]),
        ("leds", Fault::LedFails, always(), vec![]),
        ("emmc", Fault::PowerCut { after: true }, once(OpName::Sync), vec![DeviceGone, DeviceGone]),
    ];
    for (on, what, when, expected) in cases {
        let name = format!("{on} {what:?} {when:?}");
        let world = WorldBuilder::new()
            .medium(emmc())
            .medium(drive(Kind::Ext4, vec![]))
            .fault(fault(on, what, when))
            .build()
            .unwrap();
        let end = world.run(|board| exercise(&board));
        assert_eq!(end.value, Some(expected), "{name}");
        assert_eq!(world.faults_reached(), [true], "{name}");
    }
}

#[test]
fn a_fault_that_no_call_meets_is_not_reached() {
    let unmet = fault("emmc", Fault::IoError, Trigger::nth(OpName::Read, 1000));
    let world =
        WorldBuilder::new().medium(emmc()).medium(drive(Kind::Ext4, vec![])).fault(unmet).build().unwrap();
    assert_eq!(world.run(|board| exercise(&board)).value, Some(vec![]));
    assert_eq!(world.faults_reached(), [false]);
}

#[test]
fn a_hub_reset_ends_open_handles_and_exchanges_names() {
    let reset = Fault::HubReset { with: vec!["emmc".to_owned()] };
    let fault = fault("drive", reset, Trigger::nth(OpName::Write, 1));
    let world =
        WorldBuilder::new().medium(emmc()).medium(drive(Kind::Ext4, vec![])).fault(fault).build().unwrap();
    let end = world.run(|board| {
        let volume = mount_drive(&board, Access::ReadWrite);
        let mut source = board.devices.open_source(&device("mmcblk0")).unwrap();
        let written = write_file(&*volume, "a", &[1; 100]).unwrap_err().kind();
        let read = source.read_at(0, &mut [0; 512]).unwrap_err().kind();
        let mut names: Vec<(String, String)> = board
            .devices
            .list()
            .unwrap()
            .into_iter()
            .map(|found| (found.name.to_string(), found.identity.unwrap_or_default()))
            .collect();
        names.sort();
        (written, read, names)
    });
    let (written, read, names) = end.value.unwrap();
    assert_eq!((written, read), (ErrorKind::DeviceGone, ErrorKind::DeviceGone));
    let name = |device: &str, medium: &str| (device.to_owned(), format!("serial-of-{medium}"));
    assert_eq!(names, [name("mmcblk0", "drive"), name("sda", "emmc")]);
}

#[test]
fn the_boot_areas_of_an_emmc_are_present_if_it_is() {
    let boot_area = || {
        let mut area = Medium::new("emmc-boot0", "mmcblk0boot0", DeviceKind::Emmc, 4 * KIB);
        area.area = Some(AreaKind::EmmcBoot { device: device("mmcblk0"), number: 0 });
        area
    };
    let areas_after = |what: Fault| {
        let fault = fault("emmc", what, Trigger::nth(OpName::OpenSource, 1));
        let world = WorldBuilder::new().medium(emmc()).medium(boot_area()).fault(fault).build().unwrap();
        let end = world.run(|board| {
            assert!(board.devices.open_source(&device("mmcblk0")).is_err());
            board.firmware.bootloader_areas().unwrap()
        });
        let areas = end.value.unwrap();
        areas.into_iter().map(|area| (area.name.to_string(), area.kind)).collect::<Vec<_>>()
    };
    assert_eq!(areas_after(Fault::Disappear), []);
    let elsewhere = Fault::Replug { device: "mmcblk8".into(), taken_by: None };
    let kind = AreaKind::EmmcBoot { device: device("mmcblk8"), number: 0 };
    assert_eq!(areas_after(elsewhere), [("mmcblk8boot0".to_owned(), kind)]);
}
