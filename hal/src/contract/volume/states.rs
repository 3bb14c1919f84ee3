//! Space, read-only, unmounted.

use super::fixture::VolumeFixture;
use crate::contract::{kind, path, pattern, read_all, read_rest, skipped, write_new};
use crate::{Access, ErrorKind, NodeKind, Owner, RelativePath, Result, Timestamp, Volume, VolumeFile, Xattr};
use std::time::{Duration, Instant};

/// Limit for the bytes that fill a small volume.
const FILL_LEN_MAX_BYTES: u64 = 128 << 20;
/// How long a copy of an open file may exist in a program that is being started.
const COPY_PATIENCE: Duration = Duration::from_secs(10);

/// Free space must not grow while a file is extended.
pub fn free_space_never_grows_while_a_file_does(fixture: &dyn VolumeFixture) {
    let volume = fixture.volume();
    if !fixture.may_be_filled() {
        let space = volume.space().unwrap();
        assert!(space.free_bytes <= space.total_bytes && space.total_bytes > 0);
        return skipped("free_space_never_grows_while_a_file_does", "others use the same file system");
    }
    let first = volume.space().unwrap();
    assert!(first.free_bytes <= first.total_bytes);
    let mut last = first;
    let mut file = volume.create_new(&path("a"), 0o644).unwrap();
    for round in 0..8_u64 {
        crate::io::write_file(file.as_mut(), round << 16, &pattern(3, 1 << 16)).unwrap();
        file.sync().unwrap();
        let now = volume.space().unwrap();
        assert!(now.free_bytes <= last.free_bytes, "{now:?} after {last:?}");
        assert_eq!(now.total_bytes, first.total_bytes);
        last = now;
    }
    file.close().unwrap();
    assert!(first.free_bytes - last.free_bytes >= 8 << 16);
    volume.remove_file(&path("a")).unwrap();
    wait_for_space(volume, last.free_bytes + 1);
}

/// A removed file uses its space while it is open.
pub fn a_removed_file_frees_its_space_when_it_is_closed(fixture: &dyn VolumeFixture) {
    let volume = fixture.volume();
    if !fixture.may_be_filled() {
        return skipped(
            "a_removed_file_frees_its_space_when_it_is_closed",
            "others use the same file system",
        );
    }
    write_new(volume, &path("a"), &pattern(7, 1 << 19));
    volume.sync().unwrap();
    let held = volume.space().unwrap().free_bytes;
    let mut open = volume.open(&path("a")).unwrap();
    volume.remove_file(&path("a")).unwrap();
    volume.sync().unwrap();
    let removed = volume.space().unwrap().free_bytes;
    assert!(removed < held + (1 << 19), "{removed} bytes free after {held}");
    assert!(read_rest(open.as_mut()) == pattern(7, 1 << 19));
    open.close().unwrap();
    wait_for_space(volume, held + (1 << 19));
}

/// Waits a limited time until this much is free: a program that another thread starts has a copy of every open file
/// until its exec, and with it the space of a removed file.
#[track_caller]
fn wait_for_space(volume: &dyn Volume, wanted_bytes: u64) {
    let deadline = Instant::now() + COPY_PATIENCE;
    loop {
        volume.sync().unwrap();
        let free_bytes = volume.space().unwrap().free_bytes;
        if free_bytes >= wanted_bytes {
            break;
        }
        assert!(Instant::now() < deadline, "{free_bytes} bytes are free, and not {wanted_bytes}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// An error for missing space keeps the bytes that were written, and the volume stays usable.
pub fn a_full_volume_keeps_a_prefix(fixture: &dyn VolumeFixture) {
    let volume = fixture.volume();
    if !fixture.may_be_filled() {
        return skipped("a_full_volume_keeps_a_prefix", "the volume is too large to be filled");
    }
    write_new(volume, &path("older"), b"older");
    let mut file = volume.create_new(&path("big"), 0o644).unwrap();
    let chunk = pattern(5, 1 << 16);
    let mut written = 0;
    let error = loop {
        match file.write_at(written, &chunk) {
            Ok(0) => break ErrorKind::NoSpace,
            Ok(len) => written += len as u64,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => break error.kind(),
        }
        assert!(written < FILL_LEN_MAX_BYTES, "the volume is not small");
    };
    assert_eq!(error, ErrorKind::NoSpace);
    assert!(file.len_bytes().unwrap() >= written);
    check_prefix(file.as_mut(), written, &chunk);
    file.close().unwrap();
    let full = volume.space().unwrap();
    volume.remove_file(&path("big")).unwrap();
    wait_for_space(volume, full.free_bytes + written / 2);
    write_new(volume, &path("after"), &chunk);
    assert!(read_all(volume, &path("after")) == chunk);
    assert_eq!(read_all(volume, &path("older")), b"older");
}

fn check_prefix(file: &mut dyn VolumeFile, len_bytes: u64, chunk: &[u8]) {
    let content = read_rest(file);
    assert!(content[..chunk.len().min(len_bytes as usize)] == chunk[..chunk.len().min(len_bytes as usize)]);
    assert!(content[..len_bytes as usize].iter().all(|byte| *byte != 0), "the prefix has no holes");
}

fn every_change(volume: &dyn Volume) -> Vec<(&'static str, Result<()>)> {
    let (file, new) = (path("file"), path("new"));
    let xattr = Xattr { name: b"user.a".to_vec(), value: b"b".to_vec() };
    let mut changes = vec![
        ("open_write", volume.open_write(&file).map(drop)),
        ("create_new", volume.create_new(&new, 0o644).map(drop)),
        ("create_dir", volume.create_dir(&new, 0o755)),
        ("set_modified", volume.set_modified(&file, Timestamp { seconds: 5, nanos: 0 })),
        ("rename", volume.rename(&file, &new)),
        ("remove_file", volume.remove_file(&file)),
        ("remove_dir", volume.remove_dir(&path("dir"))),
    ];
    if volume.capabilities().unix {
        changes.extend([
            ("symlink", volume.symlink(&new, b"x")),
            ("hard_link", volume.hard_link(&file, &new)),
            ("make_node", volume.make_node(&new, NodeKind::Fifo, 0o644)),
            ("set_owner", volume.set_owner(&file, Owner::default())),
            ("set_mode", volume.set_mode(&file, 0o600)),
            ("set_xattr", volume.set_xattr(&file, &xattr)),
        ]);
    }
    changes
}

/// A read-only volume is not changed by any call, and can be made writable again.
pub fn a_read_only_volume_refuses_every_change(fixture: &dyn VolumeFixture) {
    let volume = fixture.volume();
    write_new(volume, &path("file"), b"content");
    volume.create_dir(&path("dir"), 0o755).unwrap();
    let before = volume.metadata(&path("file")).unwrap();
    volume.remount(Access::ReadOnly).unwrap();
    for (call, result) in every_change(volume) {
        match result {
            Ok(()) => panic!("{call} changed a read-only volume"),
            Err(error) => assert_eq!(error.kind(), ErrorKind::ReadOnly, "{call}: {error}"),
        }
    }
    assert_eq!(volume.metadata(&path("file")).unwrap(), before);
    assert_eq!(read_all(volume, &path("file")), b"content");
    assert_eq!(volume.list(&path("dir")).unwrap(), []);
    volume.remount(Access::ReadOnly).unwrap();
    volume.remount(Access::ReadWrite).unwrap();
    write_new(volume, &path("new"), b"");
    volume.remove_file(&path("file")).unwrap();
}

/// Files that are open for writing keep a volume read-write; files open for reading do not.
pub fn a_writer_keeps_a_volume_writable(fixture: &dyn VolumeFixture) {
    let volume = fixture.volume();
    let mut writer = volume.create_new(&path("a"), 0o644).unwrap();
    assert_eq!(kind(volume.remount(Access::ReadOnly)), ErrorKind::Busy);
    crate::io::write_file(writer.as_mut(), 0, b"content").unwrap();
    writer.close().unwrap();
    let mut reader = volume.open(&path("a")).unwrap();
    volume.remount(Access::ReadOnly).unwrap();
    assert_eq!(read_rest(reader.as_mut()), b"content");
    reader.close().unwrap();
    volume.remount(Access::ReadWrite).unwrap();
    drop(volume.open_write(&path("a")).unwrap());
    volume.remount(Access::ReadOnly).unwrap();
}

/// An unmount fails while a file is open; afterwards every call fails.
pub fn open_files_keep_a_volume_mounted(fixture: &dyn VolumeFixture) {
    let volume = fixture.volume();
    write_new(volume, &path("a"), b"content");
    let mut reader = volume.open(&path("a")).unwrap();
    assert_eq!(kind(volume.unmount()), ErrorKind::Busy);
    assert_eq!(read_rest(reader.as_mut()), b"content");
    assert_eq!(read_all(volume, &path("a")), b"content");
    let dropped = volume.open_write(&path("a")).unwrap();
    reader.close().unwrap();
    assert_eq!(kind(volume.unmount()), ErrorKind::Busy);
    drop(dropped);
    volume.unmount().unwrap();
    let root = RelativePath::root();
    for (call, result) in [
        ("list", volume.list(&root).map(drop)),
        ("metadata", volume.metadata(&root).map(drop)),
        ("resolve", volume.resolve(&path("a")).map(drop)),
        ("open", volume.open(&path("a")).map(drop)),
        ("create_new", volume.create_new(&path("b"), 0o644).map(drop)),
        ("remove_file", volume.remove_file(&path("a"))),
        ("space", volume.space().map(drop)),
        ("sync", volume.sync()),
        ("sync_dir", volume.sync_dir(&root)),
        ("remount", volume.remount(Access::ReadWrite)),
        ("unmount", volume.unmount()),
    ] {
        match result {
            Ok(()) => panic!("{call} on an unmounted volume"),
            Err(error) => assert_eq!(error.kind(), ErrorKind::NotFound, "{call}: {error}"),
        }
    }
}

/// A sync is always allowed, also without changes.
pub fn sync_works_in_every_state(fixture: &dyn VolumeFixture) {
    let volume = fixture.volume();
    volume.create_dir(&path("dir"), 0o755).unwrap();
    write_new(volume, &path("dir/a"), b"x");
    volume.sync_dir(&path("dir")).unwrap();
    volume.sync().unwrap();
    assert_eq!(kind(volume.sync_dir(&path("dir/a"))), ErrorKind::NotADirectory);
    assert_eq!(kind(volume.sync_dir(&path("none"))), ErrorKind::NotFound);
    volume.remount(Access::ReadOnly).unwrap();
    volume.sync_dir(&path("dir")).unwrap();
    volume.sync().unwrap();
    let mut reader = volume.open(&path("dir/a")).unwrap();
    reader.drop_cache().unwrap();
    assert_eq!(read_rest(reader.as_mut()), b"x");
    reader.close().unwrap();
}
