//! Contract of [`Format::shape`]: a new file system has the computed room.

use super::fixture::{FileSystemsFixture, mount};
use crate::contract::{kind, path, skipped};
use crate::{Access, ErrorKind, ExtShape, Format};

/// Inodes that are in use in a new ext file system.
const INODES_OF_ITS_OWN: u64 = 11;

fn format(fixture: &dyn FileSystemsFixture, shape: ExtShape) -> crate::Result<()> {
    let format = Format { flavour: fixture.flavour(), shape: Some(shape), ..Format::default() };
    fixture.file_systems().format(&fixture.region(), &format)
}

fn usual(fixture: &dyn FileSystemsFixture) -> ExtShape {
    ExtShape::usual(fixture.flavour(), fixture.region().len_bytes, 512)
}

/// As many files fit as there are inodes, and no more than the rounding up to whole blocks of inodes allows.
pub fn a_new_file_system_has_the_given_shape(fixture: &dyn FileSystemsFixture) {
    let len_bytes = fixture.region().len_bytes;
    let shape = ExtShape { inodes: 300, ..usual(fixture) };
    let room = shape.room(fixture.flavour(), len_bytes).expect("a shape with room");
    format(fixture, shape).unwrap();
    let volume = mount(fixture, Access::ReadWrite);
    let new = |number: u64| volume.create_new(&path(number.to_string()), 0o644);
    for number in 0..shape.inodes - INODES_OF_ITS_OWN {
        new(number).unwrap_or_else(|error| panic!("file {number}: {error}")).close().unwrap();
    }
    if fixture.region_bytes().is_none() {
        volume.unmount().unwrap();
        return skipped("a_new_file_system_has_the_given_shape", "the backend stores files in another way");
    }
    let refused = (shape.inodes..=shape.inodes + room.inodes).find_map(|number| match new(number) {
        Ok(mut file) => {
            file.close().unwrap();
            None
        }
        Err(error) => Some(error.kind()),
    });
    assert_eq!(refused, Some(ErrorKind::NoSpace));
    volume.unmount().unwrap();
}

/// A shape that cannot be made is refused, and not changed to another one.
pub fn a_shape_without_room_is_refused(fixture: &dyn FileSystemsFixture) {
    let shape = ExtShape { inodes: 1 << 40, ..usual(fixture) };
    assert_eq!(shape.room(fixture.flavour(), fixture.region().len_bytes), None);
    assert_eq!(kind(format(fixture, shape)), ErrorKind::NoSpace);
}
