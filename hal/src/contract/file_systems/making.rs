//! A new file system is as requested, and empty.

use super::fixture::{FileSystemsFixture, format, mount, own_names};
use crate::contract::{kind, path, write_new};
use crate::{Access, ErrorKind, FileSystemKind, Flavour, Format, Uuid};

/// A new file system is identified by its bytes.
pub fn a_new_file_system_is_identified(fixture: &dyn FileSystemsFixture) {
    format(fixture);
    let found = fixture.file_systems().identify(&fixture.region()).unwrap().expect("a file system");
    let expected = match fixture.flavour() {
        Flavour::Ext2 => FileSystemKind::Ext2,
        Flavour::Ext3 => FileSystemKind::Ext3,
        Flavour::Ext4 | Flavour::Ext4Compat => FileSystemKind::Ext4,
    };
    assert_eq!(found.kind, expected);
    assert_eq!(found.label.as_deref(), Some("rootfs"));
    assert!(found.len_bytes.is_none_or(|len_bytes| len_bytes <= fixture.region().len_bytes));
    let volume = mount(fixture, Access::ReadOnly);
    assert_eq!(volume.capabilities().file_system, expected);
    assert!(volume.capabilities().unix);
    volume.unmount().unwrap();
}

/// The root of a clone is found by its UUID and its label.
pub fn a_new_file_system_has_the_given_uuid_and_label(fixture: &dyn FileSystemsFixture) {
    let text = "01234567-89ab-cdef-0123-456789abcdef";
    let uuid = Uuid::parse(text);
    let make = |uuid, label: Option<&str>| {
        let format =
            Format { flavour: fixture.flavour(), label: label.map(str::to_owned), uuid, ..Format::default() };
        fixture.file_systems().format(&fixture.region(), &format).unwrap();
        let found = fixture.file_systems().identify(&fixture.region()).unwrap().expect("a file system");
        (found.uuid, found.label)
    };
    assert_eq!(
        make(uuid, Some("sixteen letters!")),
        (Some(text.to_owned()), Some("sixteen letters!".to_owned()))
    );
    let (other, label) = make(None, None);
    assert!(other.as_deref() != Some(text) && label.is_none(), "{other:?} {label:?}");
}

/// No file of an older file system is left.
pub fn a_new_file_system_is_empty(fixture: &dyn FileSystemsFixture) {
    format(fixture);
    let volume = mount(fixture, Access::ReadWrite);
    assert_eq!(own_names(volume.as_ref()), Vec::<Vec<u8>>::new());
    write_new(volume.as_ref(), &path("old"), b"old");
    volume.create_dir(&path("dir"), 0o755).unwrap();
    write_new(volume.as_ref(), &path("dir/old"), b"old");
    volume.unmount().unwrap();
    format(fixture);
    let volume = mount(fixture, Access::ReadWrite);
    assert_eq!(own_names(volume.as_ref()), Vec::<Vec<u8>>::new());
    volume.unmount().unwrap();
}

/// A blank partition is not an error, but cannot be mounted.
pub fn a_region_without_a_file_system_is_identified_as_none(fixture: &dyn FileSystemsFixture) {
    assert_eq!(fixture.file_systems().identify(&fixture.region()).unwrap(), None);
    let refused = kind(fixture.file_systems().mount(&fixture.region(), Access::ReadOnly));
    assert!(matches!(refused, ErrorKind::Unsupported | ErrorKind::Corrupt), "{refused:?}");
}
