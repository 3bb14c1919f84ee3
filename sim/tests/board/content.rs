//! File systems in bytes can be copied, nested and damaged, and keep removed data.

use super::*;

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
fn a_copy_of_the_bytes_has_the_same_files_and_an_image_on_the_drive_can_be_mounted() {
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
    let in_image =
        replicator_sim::model::hardware::found::files_in(&image.as_slice().into(), 64 * KIB, 128 * KIB)
            .unwrap();
    let on_medium = world.files_of_partition("emmc", 1).unwrap();
    let names = |files: &replicator_sim::model::hardware::found::FoundFiles| -> Vec<String> {
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
    assert!(!holds(&used, b"SECRET KEY"), "used blocks do not contain it");
    let copied =
        replicator_sim::model::hardware::found::files_in(&used.as_slice().into(), 0, 128 * KIB).unwrap();
    assert_eq!(copied, world.files_of_partition("emmc", 1).unwrap());
    assert_eq!(full, ErrorKind::NoSpace);
    assert!(!holds(&world.medium_bytes("emmc").unwrap().to_vec(), b"SECRET KEY"), "it is overwritten");
}

#[test]
fn a_check_finds_the_damage_of_the_content() {
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
