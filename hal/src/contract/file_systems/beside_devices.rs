//! A device is used in one way at a time: as a target, as a source, or by calls on its file system.

use super::fixture::{FileSystemsFixture, format, mount};
use crate::contract::{kind, path, read_all, write_new};
use crate::{Access, DeviceName, ErrorKind, Format, Holder, Result};

/// The device with the region.
fn device(fixture: &dyn FileSystemsFixture) -> DeviceName {
    match fixture.region().holder {
        Holder::Device(name) => name,
        Holder::File { .. } => panic!("the fixture's region is on a device"),
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

/// The result of each call that changes the region.
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

/// File-system calls on a device that is open as a target are busy until it is closed.
pub fn file_system_calls_on_an_open_target_are_busy(fixture: &dyn FileSystemsFixture) {
    format_with_a_file(fixture);
    let mut target = fixture.devices().open_target(&device(fixture)).unwrap();
    assert_eq!(kind(fixture.file_systems().mount(&fixture.region(), Access::ReadOnly)), ErrorKind::Busy);
    for (call, end) in changes(fixture) {
        assert_eq!(end.map_err(|error| error.kind()), Err(ErrorKind::Busy), "{call}");
    }
    assert!(fixture.file_systems().identify(&fixture.region()).unwrap().is_some(), "identify is allowed");
    fixture.file_systems().used_map(&fixture.region()).unwrap();
    target.close().unwrap();
    assert_untouched(fixture);
    for (call, end) in changes(fixture) {
        assert_eq!(end, Ok(()), "{call} after the target was closed");
    }
}

/// A mounted device cannot be written or captured, and the list shows that it is in use.
pub fn a_mounted_device_cannot_be_a_target_or_source(fixture: &dyn FileSystemsFixture) {
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

/// A dropped use frees the device for another use.
pub fn a_dropped_use_frees_the_device(fixture: &dyn FileSystemsFixture) {
    format_with_a_file(fixture);
    drop(fixture.devices().open_target(&device(fixture)).unwrap());
    drop(mount(fixture, Access::ReadWrite));
    drop(fixture.devices().open_target(&device(fixture)).unwrap());
    assert_untouched(fixture);
}

/// While a medium is captured, its file systems cannot be mounted or changed, but can be identified.
pub fn a_source_excludes_changes_of_its_file_systems(fixture: &dyn FileSystemsFixture) {
    format_with_a_file(fixture);
    let before = fixture.region_bytes();
    let mut source = fixture.devices().open_source(&device(fixture)).unwrap();
    for (call, end) in changes(fixture) {
        assert_eq!(end.map_err(|error| error.kind()), Err(ErrorKind::Busy), "{call}");
    }
    assert_eq!(kind(fixture.file_systems().mount(&fixture.region(), Access::ReadOnly)), ErrorKind::Busy);
    assert!(fixture.file_systems().identify(&fixture.region()).unwrap().is_some(), "identify is allowed");
    fixture.file_systems().used_map(&fixture.region()).unwrap();
    source.close().unwrap();
    assert!(fixture.region_bytes() == before, "the region changed");
    assert_untouched(fixture);
    for (call, end) in changes(fixture) {
        assert_eq!(end, Ok(()), "{call} after the source was closed");
    }
}
