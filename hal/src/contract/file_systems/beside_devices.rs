//! A device is open as a target, open as a source, or used as a file system: one of them.

use super::fixture::{FileSystemsFixture, format, mount};
use crate::contract::{kind, path, read_all, write_new};
use crate::{Access, DeviceName, ErrorKind, Format, Holder, Result};

/// The device that holds the region.
fn device(fixture: &dyn FileSystemsFixture) -> DeviceName {
    match fixture.region().holder {
        Holder::Device(name) => name,
        Holder::File { .. } => panic!("what holds the fixture's region is a device"),
    }
}

fn in_use(fixture: &dyn FileSystemsFixture) -> Option<String> {
    let name = device(fixture);
    let devices = fixture.devices().list().unwrap();
    devices.into_iter().find(|found| found.name == name).expect("the device is listed").in_use
}

fn format_with_a_file(fixture: &dyn FileSystemsFixture) {
    format(fixture);
    let volume = mount(fixture, Access::ReadWrite);
    write_new(volume.as_ref(), &path("precious"), b"content");
    volume.unmount().unwrap();
}

#[track_caller]
fn assert_untouched(fixture: &dyn FileSystemsFixture) {
    let volume = mount(fixture, Access::ReadOnly);
    assert_eq!(read_all(volume.as_ref(), &path("precious")), b"content");
    volume.unmount().unwrap();
}

/// How each call that changes the region ends.
fn changes(fixture: &dyn FileSystemsFixture) -> [(&'static str, Result<()>); 4] {
    let (file_systems, region) = (fixture.file_systems(), fixture.region());
    let again = Format { flavour: fixture.flavour(), ..Format::default() };
    [
        ("mount", file_systems.mount(&region, Access::ReadWrite).map(drop)),
        ("fsck", file_systems.fsck(&region).map(drop)),
        ("grow", file_systems.grow(&region)),
        ("format", file_systems.format(&region, &again)),
    ]
}

/// What is being written as a medium is no file system until it is closed.
pub fn a_device_that_is_a_target_is_no_file_system(fixture: &dyn FileSystemsFixture) {
    format_with_a_file(fixture);
    let mut target = fixture.devices().open_target(&device(fixture)).unwrap();
    assert_eq!(kind(fixture.file_systems().mount(&fixture.region(), Access::ReadOnly)), ErrorKind::Busy);
    for (call, end) in changes(fixture) {
        assert_eq!(end.map_err(|error| error.kind()), Err(ErrorKind::Busy), "{call}");
    }
    assert!(fixture.file_systems().identify(&fixture.region()).unwrap().is_some(), "looking is allowed");
    fixture.file_systems().used_map(&fixture.region()).unwrap();
    target.close().unwrap();
    assert_untouched(fixture);
    for (call, end) in changes(fixture) {
        assert_eq!(end, Ok(()), "{call} after the target was closed");
    }
}

/// What is mounted is not written as a medium, and says that it is in use.
pub fn a_mounted_device_is_no_target_and_no_source(fixture: &dyn FileSystemsFixture) {
    format_with_a_file(fixture);
    for access in [Access::ReadOnly, Access::ReadWrite] {
        let volume = mount(fixture, access);
        assert_eq!(kind(fixture.devices().open_target(&device(fixture))), ErrorKind::Busy, "{access:?}");
        assert_eq!(kind(fixture.devices().open_source(&device(fixture))), ErrorKind::Busy, "{access:?}");
        fixture.devices().open_shared(&device(fixture)).unwrap().close().unwrap();
        assert!(in_use(fixture).is_some(), "mounted {access:?}");
        assert_eq!(read_all(volume.as_ref(), &path("precious")), b"content");
        volume.unmount().unwrap();
        assert_eq!(in_use(fixture), None);
    }
    fixture.devices().open_target(&device(fixture)).unwrap().close().unwrap();
    assert_untouched(fixture);
}

/// A task that was given up frees its device for the other use.
pub fn a_dropped_use_frees_the_device(fixture: &dyn FileSystemsFixture) {
    format_with_a_file(fixture);
    drop(fixture.devices().open_target(&device(fixture)).unwrap());
    drop(mount(fixture, Access::ReadWrite));
    drop(fixture.devices().open_target(&device(fixture)).unwrap());
    assert_untouched(fixture);
}

/// Nothing mounts or changes the file systems of a medium while it is captured; they can be looked at.
pub fn a_source_keeps_file_systems_as_they_are(fixture: &dyn FileSystemsFixture) {
    format_with_a_file(fixture);
    let before = fixture.region_bytes();
    let mut source = fixture.devices().open_source(&device(fixture)).unwrap();
    for (call, end) in changes(fixture) {
        assert_eq!(end.map_err(|error| error.kind()), Err(ErrorKind::Busy), "{call}");
    }
    assert_eq!(kind(fixture.file_systems().mount(&fixture.region(), Access::ReadOnly)), ErrorKind::Busy);
    assert!(fixture.file_systems().identify(&fixture.region()).unwrap().is_some(), "looking is allowed");
    fixture.file_systems().used_map(&fixture.region()).unwrap();
    source.close().unwrap();
    assert!(fixture.region_bytes() == before, "the region changed");
    assert_untouched(fixture);
    for (call, end) in changes(fixture) {
        assert_eq!(end, Ok(()), "{call} after the source was closed");
    }
}
