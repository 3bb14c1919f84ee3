//! Mounting, checking and growing.

use super::fixture::{FileSystemsFixture, format, mount, own_names};
use crate::contract::{kind, path, read_all, skipped, write_new};
use crate::{Access, ErrorKind, Format, FsckOutcome, io};

/// Files are still there after an unmount and a mount.
pub fn files_survive_an_unmount(fixture: &dyn FileSystemsFixture) {
    format(fixture);
    let volume = mount(fixture, Access::ReadWrite);
    volume.create_dir(&path("boot"), 0o755).unwrap();
    write_new(volume.as_ref(), &path("boot/zImage"), &[0x5a; 100_000]);
    volume.symlink(&path("vmlinuz"), b"boot/zImage").unwrap();
    volume.unmount().unwrap();
    let volume = mount(fixture, Access::ReadOnly);
    let at = volume.resolve(&path("vmlinuz")).unwrap();
    assert_eq!(at, path("boot/zImage"));
    assert!(read_all(volume.as_ref(), &at) == [0x5a; 100_000]);
    assert_eq!(own_names(volume.as_ref()).len(), 2);
    volume.unmount().unwrap();
}

/// A mounted file system cannot be mounted again, formatted or checked.
pub fn a_mounted_file_system_is_busy(fixture: &dyn FileSystemsFixture) {
    format(fixture);
    let (file_systems, region) = (fixture.file_systems(), fixture.region());
    let volume = mount(fixture, Access::ReadWrite);
    write_new(volume.as_ref(), &path("precious"), b"content");
    assert_eq!(kind(file_systems.mount(&region, Access::ReadOnly)), ErrorKind::Busy);
    let again = Format { flavour: fixture.flavour(), ..Format::default() };
    assert_eq!(kind(file_systems.format(&region, &again)), ErrorKind::Busy);
    file_systems.fsck(&region).unwrap_err();
    assert_eq!(read_all(volume.as_ref(), &path("precious")), b"content");
    volume.unmount().unwrap();
    let volume = mount(fixture, Access::ReadOnly);
    assert_eq!(read_all(volume.as_ref(), &path("precious")), b"content");
    volume.unmount().unwrap();
}

/// An aborted task leaves no mount behind.
pub fn dropping_a_volume_unmounts_it(fixture: &dyn FileSystemsFixture) {
    format(fixture);
    let volume = mount(fixture, Access::ReadWrite);
    write_new(volume.as_ref(), &path("a"), b"content");
    drop(volume);
    let volume = mount(fixture, Access::ReadOnly);
    assert_eq!(read_all(volume.as_ref(), &path("a")), b"content");
    volume.unmount().unwrap();
}

/// A region in a file has the id of its volume, so two mounts must have different ids.
pub fn each_volume_has_its_own_id(fixture: &dyn FileSystemsFixture) {
    format(fixture);
    let first = mount(fixture, Access::ReadOnly);
    let first_id = first.id();
    assert_eq!(first.id(), first_id);
    first.unmount().unwrap();
    let second = mount(fixture, Access::ReadOnly);
    assert_ne!(second.id(), first_id);
    second.unmount().unwrap();
}

/// Mounting read-only and reading changes no byte.
pub fn a_read_only_mount_changes_nothing(fixture: &dyn FileSystemsFixture) {
    format(fixture);
    let volume = mount(fixture, Access::ReadWrite);
    write_new(volume.as_ref(), &path("a"), b"content");
    volume.unmount().unwrap();
    let before = fixture.region_bytes();
    let volume = mount(fixture, Access::ReadOnly);
    assert_eq!(read_all(volume.as_ref(), &path("a")), b"content");
    assert_eq!(kind(volume.remove_file(&path("a"))), ErrorKind::ReadOnly);
    assert_eq!(kind(volume.create_new(&path("b"), 0o644)), ErrorKind::ReadOnly);
    volume.sync().unwrap();
    volume.unmount().unwrap();
    if before.is_none() {
        return skipped(
            "a_read_only_mount_changes_nothing, bytes",
            "the backend stores files in another way",
        );
    }
    assert!(fixture.region_bytes() == before, "the region changed");
}

/// A file system that was unmounted is clean, and a check keeps its files.
pub fn a_clean_file_system_passes_the_check(fixture: &dyn FileSystemsFixture) {
    format(fixture);
    assert_eq!(fixture.file_systems().fsck(&fixture.region()).unwrap().outcome, FsckOutcome::Clean);
    let volume = mount(fixture, Access::ReadWrite);
    write_new(volume.as_ref(), &path("a"), b"content");
    volume.unmount().unwrap();
    assert_eq!(fixture.file_systems().fsck(&fixture.region()).unwrap().outcome, FsckOutcome::Clean);
    let volume = mount(fixture, Access::ReadOnly);
    assert_eq!(read_all(volume.as_ref(), &path("a")), b"content");
    volume.unmount().unwrap();
}

/// A grown file system fills its partition and still has its files.
pub fn growing_keeps_the_files(fixture: &dyn FileSystemsFixture) {
    format(fixture);
    let volume = mount(fixture, Access::ReadWrite);
    write_new(volume.as_ref(), &path("a"), b"content");
    volume.unmount().unwrap();
    let Some(larger) = fixture.larger_region() else {
        fixture.file_systems().grow(&fixture.region()).unwrap();
        let volume = mount(fixture, Access::ReadOnly);
        assert_eq!(read_all(volume.as_ref(), &path("a")), b"content");
        volume.unmount().unwrap();
        return skipped("growing_keeps_the_files, larger", "the region cannot be enlarged");
    };
    let file_systems = fixture.file_systems();
    let before = file_systems.identify(&larger).unwrap().unwrap();
    file_systems.grow(&larger).unwrap();
    let after = file_systems.identify(&larger).unwrap().unwrap();
    assert!(after.len_bytes > before.len_bytes, "{after:?} after {before:?}");
    assert_eq!((after.kind, after.label, after.uuid), (before.kind, before.label, before.uuid));
    let volume = file_systems.mount(&larger, Access::ReadOnly).unwrap();
    assert_eq!(read_all(volume.as_ref(), &path("a")), b"content");
    volume.unmount().unwrap();
}

/// The used ranges are sorted, not overlapping, and inside the region.
pub fn used_ranges_are_in_order_and_inside(fixture: &dyn FileSystemsFixture) {
    format(fixture);
    let volume = mount(fixture, Access::ReadWrite);
    write_new(volume.as_ref(), &path("a"), &[0xa5; 200_000]);
    volume.unmount().unwrap();
    let Some(map) = fixture.file_systems().used_map(&fixture.region()).unwrap() else {
        return skipped("used_ranges_are_in_order_and_inside", "the backend has no map for this file system");
    };
    let mut end = 0;
    for range in &map.used {
        assert!(range.start >= end && range.start < range.end, "{range:?} after {end}");
        end = range.end;
    }
    assert!(end <= fixture.region().len_bytes);
    let used: u64 = map.used.iter().map(|range| range.end - range.start).sum();
    assert!(used >= 200_000 && used < fixture.region().len_bytes, "{used} bytes in use");
    if let Some(bytes) = fixture.region_bytes() {
        let marked =
            bytes.chunks_exact(4096).enumerate().filter(|(_, chunk)| chunk.iter().all(|b| *b == 0xa5));
        for (number, _) in marked {
            let at = number as u64 * 4096;
            assert!(
                map.used.iter().any(|range| range.contains(&at)),
                "file content at {at} counts as unused"
            );
        }
    }
}

/// The extents of a file in its region hold its data, without holes, and no data of another file.
pub fn the_extents_of_a_file_hold_its_data_and_no_other(fixture: &dyn FileSystemsFixture) {
    format(fixture);
    let volume = mount(fixture, Access::ReadWrite);
    // Both have a hole of 1 MiB, and are written in turns.
    let (first, second) = (vec![0x5a; 100_000], vec![0xa5; 100_000]);
    let mut files = [("a", &first), ("b", &second)].map(|(name, data)| {
        let file = volume.create_new(&path(name), 0o644).unwrap();
        (file, data)
    });
    for at in [0, 1 << 20] {
        for (file, data) in &mut files {
            io::write_file(file.as_mut(), at, data).unwrap();
            file.sync().unwrap();
        }
    }
    for (file, _) in &mut files {
        file.close().unwrap();
    }
    volume.unmount().unwrap();
    let bytes = fixture.region_bytes();
    let volume = mount(fixture, Access::ReadOnly);
    let mut seen = Vec::new();
    for name in ["a", "b"] {
        let mut file = volume.open(&path(name)).unwrap();
        seen.push(file.extents().unwrap());
        file.close().unwrap();
        file.extents().unwrap_err();
    }
    volume.unmount().unwrap();
    let Some(bytes) = bytes else {
        assert_eq!(seen, [[], []], "the backend stores files in another way");
        return skipped("the_extents_of_a_file_hold_its_data_and_no_other", "the backend has no region");
    };
    for (extents, byte) in seen.iter().zip([0x5a, 0xa5]) {
        let mut file = vec![0; 2 << 20];
        let mut stored_len = 0;
        for extent in extents {
            let stored = &bytes[extent.place.start as usize..extent.place.end as usize];
            file[extent.offset_bytes as usize..][..stored.len()].copy_from_slice(stored);
            stored_len += stored.len();
        }
        assert!(stored_len < 1 << 20, "{extents:?} contain the hole");
        for at in [0, 1 << 20] {
            assert!(file[at..at + 100_000].iter().all(|stored| *stored == byte), "{extents:?}");
            file[at..at + 100_000].fill(0);
        }
        // The rest of a last block is zeros.
        assert!(file.iter().all(|stored| *stored == 0), "{extents:?}");
    }
}
