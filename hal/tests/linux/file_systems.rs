//! Making, checking, growing and identifying file systems, on devices and inside images.

use replicator_hal::contract::loop_media::{Bench, MIB, run};
use replicator_hal::{
    Access, BlockDevices, ErrorKind, FileSystemKind, FileSystems, Flavour, Format, FsckOutcome, Holder,
    Region, RelativePath,
};
use std::fs::File;
use std::os::unix::fs::FileExt;

fn format(flavour: Flavour) -> Format {
    Format { flavour, label: Some("rootfs".to_owned()), ..Format::default() }
}

fn path(text: &str) -> RelativePath {
    RelativePath::parse(text).unwrap()
}

#[test]
fn a_file_system_is_made_grown_and_keeps_its_files() {
    let Some(bench) = Bench::new("a_file_system_is_made_grown_and_keeps_its_files") else { return };
    let medium = bench.medium("sd", 128 * MIB);
    let small = medium.region(4 * MIB, 40 * MIB);
    let large = medium.region(4 * MIB, 124 * MIB);
    let file_systems = &bench.file_systems;
    for (flavour, kind) in [
        (Flavour::Ext2, FileSystemKind::Ext2),
        (Flavour::Ext3, FileSystemKind::Ext3),
        (Flavour::Ext4, FileSystemKind::Ext4),
        (Flavour::Ext4Compat, FileSystemKind::Ext4),
    ] {
        file_systems.format(&small, &format(flavour)).unwrap();
        let found = file_systems.identify(&small).unwrap().unwrap();
        assert_eq!((&found.kind, found.label.as_deref()), (&kind, Some("rootfs")));
        assert_eq!(found.len_bytes, Some(40 * MIB));
        let volume = file_systems.mount(&small, Access::ReadWrite).unwrap();
        let mut file = volume.create_new(&path("here"), 0o644).unwrap();
        file.write_at(0, b"still").unwrap();
        file.close().unwrap();
        volume.unmount().unwrap();
        file_systems.grow(&large).unwrap();
        assert_eq!(file_systems.identify(&large).unwrap().unwrap().len_bytes, Some(124 * MIB));
        assert_eq!(file_systems.fsck(&large).unwrap().outcome, FsckOutcome::Clean, "{flavour:?}");
        let volume = file_systems.mount(&large, Access::ReadOnly).unwrap();
        let mut text = [0; 5];
        volume.open(&path("here")).unwrap().read_at(0, &mut text).unwrap();
        assert_eq!(&text, b"still");
        assert!(volume.space().unwrap().total_bytes > 90 * MIB);
        volume.unmount().unwrap();
        let used = file_systems.used_map(&large).unwrap().expect("a clean file system has a map");
        let used: u64 = used.used.iter().map(|range| range.end - range.start).sum();
        assert!(used < 40 * MIB, "{flavour:?}: {used}");
    }
    // Bytes before the region are unchanged.
    assert!(std::fs::read(&medium.image).unwrap()[..(4 * MIB) as usize].iter().all(|byte| *byte == 0));
    bench.assert_clean(&[&medium]);
}

#[test]
fn a_partition_known_to_the_kernel_is_used_as_such() {
    let Some(bench) = Bench::new("a_partition_known_to_the_kernel_is_used_as_such") else { return };
    let medium = bench.medium("sd", 64 * MIB);
    medium.partition(4 * MIB, 60 * MIB);
    let region = medium.region(4 * MIB, 60 * MIB);
    bench.file_systems.format(&region, &format(Flavour::Ext4)).unwrap();
    let volume = bench.file_systems.mount(&region, Access::ReadWrite).unwrap();
    let mounts = std::fs::read_to_string("/proc/thread-self/mountinfo").unwrap();
    assert!(mounts.contains(&format!(" {}p1 ", medium.node())), "not by its partition");
    let error = bench.file_systems.mount(&region, Access::ReadOnly).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Busy);
    let by_name = Region {
        holder: Holder::Device(replicator_hal::DeviceName::parse(format!("{}p1", medium.name)).unwrap()),
        offset_bytes: 0,
        len_bytes: 60 * MIB,
    };
    for result in [
        bench.file_systems.fsck(&by_name).map(drop),
        bench.file_systems.format(&by_name, &format(Flavour::Ext4)),
        bench.file_systems.grow(&by_name),
        bench.file_systems.mount(&by_name, Access::ReadOnly).map(drop),
        bench.devices.open_target(&medium.name).map(drop),
    ] {
        assert_eq!(result.unwrap_err().kind(), ErrorKind::Busy);
    }
    volume.unmount().unwrap();
    bench.file_systems.fsck(&by_name).unwrap();
    bench.assert_clean(&[&medium]);
}

#[test]
fn an_image_on_a_drive_is_repaired_and_mounted() {
    let Some(bench) = Bench::new("an_image_on_a_drive_is_repaired_and_mounted") else { return };
    let medium = bench.medium("usb", 96 * MIB);
    medium.mkfs(&["-t", "ext4"]);
    let drive = bench.file_systems.mount(&medium.whole(), Access::ReadWrite).unwrap();
    let mut image = drive.create_new(&path("work.dd"), 0o644).unwrap();
    image.set_len(40 * MIB).unwrap();
    image.close().unwrap();
    let region = Region {
        holder: Holder::File { volume: drive.id(), path: path("work.dd") },
        offset_bytes: MIB,
        len_bytes: 32 * MIB,
    };
    bench.file_systems.format(&region, &format(Flavour::Ext4Compat)).unwrap();
    // A wrong free count, as after a power cut.
    let mut image = drive.open_write(&path("work.dd")).unwrap();
    image.write_at(MIB + 1024 + 0xc, &[0xff, 0xff]).unwrap();
    image.close().unwrap();
    assert_eq!(bench.file_systems.fsck(&region).unwrap().outcome, FsckOutcome::Repaired);

    let rootfs = bench.file_systems.mount(&region, Access::ReadWrite).unwrap();
    rootfs.create_dir(&path("etc"), 0o755).unwrap();
    assert_eq!(bench.file_systems.mount(&region, Access::ReadOnly).err().unwrap().kind(), ErrorKind::Busy);
    assert_eq!(drive.unmount().unwrap_err().kind(), ErrorKind::Busy, "its image is mounted");
    rootfs.unmount().unwrap();
    assert_eq!(rootfs.list(&path("")).unwrap_err().kind(), ErrorKind::NotFound);

    drive.remount(Access::ReadOnly).unwrap();
    let rootfs = bench.file_systems.mount(&region, Access::ReadOnly).unwrap();
    assert!(rootfs.list(&path("")).unwrap().iter().any(|entry| entry.name == b"etc"));
    assert_eq!(rootfs.remount(Access::ReadWrite).unwrap_err().kind(), ErrorKind::ReadOnly);
    rootfs.unmount().unwrap();
    let too_long = Region { len_bytes: 40 * MIB, ..region };
    assert_eq!(bench.file_systems.identify(&too_long).unwrap_err().kind(), ErrorKind::OutOfRange);
    drive.unmount().unwrap();
    bench.assert_clean(&[&medium]);
}

#[test]
fn damage_and_foreign_content_are_reported() {
    let Some(bench) = Bench::new("damage_and_foreign_content_are_reported") else { return };
    let medium = bench.medium("sd", 16 * MIB);
    let whole = medium.whole();
    let file_systems = &bench.file_systems;
    assert_eq!(file_systems.identify(&whole).unwrap(), None);
    assert_eq!(file_systems.mount(&whole, Access::ReadOnly).err().unwrap().kind(), ErrorKind::Unsupported);
    assert_eq!(file_systems.fsck(&whole).unwrap_err().kind(), ErrorKind::Unsupported);
    assert_eq!(file_systems.grow(&whole).unwrap_err().kind(), ErrorKind::Unsupported);
    let error = file_systems.format(&medium.region(0, 16 << 10), &format(Flavour::Ext2)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoSpace);
    let error = file_systems.format(&medium.region(0, MIB), &format(Flavour::Ext3)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoSpace, "no room for a journal");
    let error = file_systems.format(&medium.region(0, 17 * MIB), &format(Flavour::Ext2)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::OutOfRange);

    medium.mkfs(&["-t", "ext4", "-O", "^metadata_csum"]);
    // The group descriptors are overwritten: the kernel refuses to mount it.
    let node = File::options().write(true).open(&medium.node).unwrap();
    node.write_all_at(&[0xff; 1024], 2048).unwrap();
    node.sync_all().unwrap();
    drop(node);
    assert_eq!(file_systems.mount(&whole, Access::ReadOnly).err().unwrap().kind(), ErrorKind::Corrupt);
    assert_eq!(file_systems.used_map(&whole).unwrap(), None);
    bench.assert_clean(&[&medium]);
}

#[test]
fn fat_is_identified_and_checked() {
    let Some(bench) = Bench::new("fat_is_identified_and_checked") else { return };
    if !std::path::Path::new("/usr/sbin/fsck.fat").exists() {
        println!("skipped: fat_is_identified_and_checked (needs dosfstools)");
        return;
    }
    let medium = bench.medium("usb", 64 * MIB);
    run("mkfs.vfat", &["-n", "REPLICATOR", medium.node()]);
    let found = bench.file_systems.identify(&medium.whole()).unwrap().unwrap();
    assert_eq!((found.kind, found.label.as_deref()), (FileSystemKind::Vfat, Some("REPLICATOR")));
    assert_eq!(bench.file_systems.fsck(&medium.whole()).unwrap().outcome, FsckOutcome::Clean);
    let map = bench.file_systems.used_map(&medium.whole()).unwrap().expect("an empty file system has a map");
    let used: u64 = map.used.iter().map(|range| range.end - range.start).sum();
    assert!(map.used[0].start == 0 && used < MIB, "{map:?}");
    assert_eq!(bench.file_systems.grow(&medium.whole()).unwrap_err().kind(), ErrorKind::Unsupported);
    let drivers = std::fs::read_to_string("/proc/filesystems").unwrap();
    match bench.file_systems.mount(&medium.whole(), Access::ReadWrite) {
        Ok(volume) => volume.unmount().unwrap(),
        Err(error) => {
            assert!(!drivers.contains("vfat"), "{error}");
            assert_eq!(error.kind(), ErrorKind::Unsupported);
            println!("skipped: mounting vfat (this kernel has no driver for it)");
        }
    }
    bench.assert_clean(&[&medium]);
}
