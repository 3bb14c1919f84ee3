//! File systems that were not unmounted, and the check after that.

use super::fixture::{FileSystemsFixture, format, mount};
use crate::contract::{kind, path, read_all, skipped, write_new};
use crate::{Access, ErrorKind, FileSystem, FsckOutcome};

fn identified(fixture: &dyn FileSystemsFixture) -> FileSystem {
    fixture.file_systems().identify(&fixture.region()).unwrap().expect("a file system")
}

/// The fixture after a power cut while its file system was mounted read-write with a synced file.
fn cut_with_a_file(fixture: &dyn FileSystemsFixture) -> Option<Box<dyn FileSystemsFixture>> {
    format(fixture);
    let volume = mount(fixture, Access::ReadWrite);
    write_new(volume.as_ref(), &path("synced"), &[0x5a; 50_000]);
    volume.sync().unwrap();
    fixture.cut()
}

/// A file system that was not unmounted is reported.
pub fn a_power_cut_while_mounted_needs_recovery(fixture: &dyn FileSystemsFixture) {
    format(fixture);
    assert!(!identified(fixture).needs_recovery, "it is new");
    let volume = mount(fixture, Access::ReadWrite);
    write_new(volume.as_ref(), &path("a"), b"content");
    volume.unmount().unwrap();
    assert!(!identified(fixture).needs_recovery, "it was unmounted");
    let Some(after) = cut_with_a_file(fixture) else {
        return skipped("a_power_cut_while_mounted_needs_recovery, cut", "this backend has no power cuts");
    };
    let after = after.as_ref();
    assert!(identified(after).needs_recovery, "it was never unmounted");
    assert_eq!(after.file_systems().used_map(&after.region()).unwrap(), None, "nothing can be proven unused");
}

/// A check recovers what was synced; a second check finds nothing.
pub fn a_check_recovers_what_was_synced(fixture: &dyn FileSystemsFixture) {
    let Some(after) = cut_with_a_file(fixture) else {
        return skipped("a_check_recovers_what_was_synced", "this backend has no power cuts");
    };
    let after = after.as_ref();
    after.file_systems().fsck(&after.region()).unwrap();
    assert!(!identified(after).needs_recovery, "it was checked");
    assert_eq!(after.file_systems().fsck(&after.region()).unwrap().outcome, FsckOutcome::Clean);
    let volume = mount(after, Access::ReadOnly);
    assert!(read_all(volume.as_ref(), &path("synced")) == [0x5a; 50_000]);
    volume.unmount().unwrap();
}

/// A read-only mount does not replay the journal.
pub fn a_read_only_mount_after_a_power_cut_changes_nothing(fixture: &dyn FileSystemsFixture) {
    let Some(after) = cut_with_a_file(fixture) else {
        return skipped(
            "a_read_only_mount_after_a_power_cut_changes_nothing",
            "this backend has no power cuts",
        );
    };
    let after = after.as_ref();
    let before = after.region_bytes();
    let volume = mount(after, Access::ReadOnly);
    volume.list(&crate::RelativePath::root()).unwrap();
    assert_eq!(kind(volume.create_new(&path("b"), 0o644)), ErrorKind::ReadOnly);
    volume.unmount().unwrap();
    assert!(after.region_bytes() == before, "the region changed");
    assert!(identified(after).needs_recovery, "it was not checked");
}

/// The sequence for a full drive: pulled out, checked, grown.
pub fn growing_after_a_check_keeps_the_files(fixture: &dyn FileSystemsFixture) {
    let after = cut_with_a_file(fixture);
    let after = after.as_deref().unwrap_or(fixture);
    let larger = after.larger_region().unwrap_or_else(|| after.region());
    let file_systems = after.file_systems();
    file_systems.fsck(&larger).unwrap();
    let before = identified(after);
    file_systems.grow(&larger).unwrap();
    let grown = file_systems.identify(&larger).unwrap().expect("a file system");
    assert!(!grown.needs_recovery, "{grown:?}");
    assert!(grown.len_bytes >= before.len_bytes, "{grown:?} after {before:?}");
    assert_eq!(file_systems.fsck(&larger).unwrap().outcome, FsckOutcome::Clean);
    for access in [Access::ReadWrite, Access::ReadOnly] {
        let volume = file_systems.mount(&larger, access).unwrap();
        assert!(read_all(volume.as_ref(), &path("synced")) == [0x5a; 50_000], "{access:?}");
        volume.unmount().unwrap();
    }
    if after.larger_region().is_none() {
        skipped("growing_after_a_check_keeps_the_files, larger", "the region cannot be enlarged");
    }
}
