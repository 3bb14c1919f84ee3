//! The suite that every backend must pass, so that one that is simulated can stand for one that is real.
//!
//! A case is a plain function over a fixture: it asks for a device, a volume, a clock and checks what the HAL's pages
//! promise. What is here is what a living kernel can show; power cuts and injected faults are the simulation's own
//! tests. Cases about what a file system cannot hold, or what needs privileges, say on standard error that they are
//! skipped, and why.
//!
//! # How a backend uses it
//!
//! 1. Enable the feature `contract` of this crate in the tests.
//! 2. Implement the fixture trait of each area: [`block::DeviceFixture`], [`volume::VolumeFixture`],
//!    [`file_systems::FileSystemsFixture`], [`leds::LedsFixture`], [`clock::ClockFixture`], [`tasks::TasksFixture`],
//!    [`system::SystemFixture`], [`firmware::FirmwareFixture`], [`records::RecordsFixture`]. A fixture is made anew for each case and may be changed freely by it; what must be
//!    cleaned up belongs into its `Drop`.
//! 3. Instantiate all cases of an area in a module of its own, so that one area can serve several fixtures:
//!
//! ```text
//! mod volume_on_ext4 {
//!     replicator_hal::contract_tests!(volume, || Some(super::Ext4Volume::new()));
//! }
//! mod volume_on_vfat {
//!     replicator_hal::contract_tests!(volume, super::vfat_if_root);
//! }
//! ```
//!
//! Each case becomes one `#[test]` of its name, and calls the HAL from the test's own thread. The maker returns `Option<Fixture>`; `None` means that this host cannot
//! have the fixture (no root, no loop devices), and the test says that it is skipped.
//!
//! # How a case is added
//!
//! Write a `pub fn` with one fixture argument and a line that tells the story, in the file of its idea; name it in
//! [`contract_tests!`](crate::contract_tests). A test here finds the ones that were forgotten.

// The suite is test code, in a library only so that other crates can run it.
#![allow(clippy::unwrap_used, clippy::expect_used)]

pub mod block;
pub mod clock;
pub mod file_systems;
pub mod firmware;
pub mod leds;
mod macros;
pub mod records;
pub mod system;
pub mod tasks;
pub mod volume;

use crate::{ErrorKind, RelativePath, Result, Volume, VolumeFile, io};

/// Says that a case does not apply here.
pub fn skipped(case: &str, reason: &str) {
    // In one piece, because tests run beside each other.
    let line = format!("skipped: {case}: {reason}\n");
    eprint!("{line}");
}

/// A path from text that is one.
#[track_caller]
pub(crate) fn path(text: impl AsRef<[u8]>) -> RelativePath {
    RelativePath::parse(text).unwrap()
}

/// The kind of error that `result` must be.
#[track_caller]
pub(crate) fn kind<T>(result: Result<T>) -> ErrorKind {
    match result {
        Ok(_) => panic!("this must fail"),
        Err(error) => error.kind(),
    }
}

/// Creates a file with this content and closes it.
#[track_caller]
pub(crate) fn write_new(volume: &dyn Volume, at: &RelativePath, content: &[u8]) {
    let mut file = volume.create_new(at, 0o644).unwrap();
    io::write_file(file.as_mut(), 0, content).unwrap();
    file.close().unwrap();
}

/// The whole content of a file.
#[track_caller]
pub(crate) fn read_all(volume: &dyn Volume, at: &RelativePath) -> Vec<u8> {
    let mut file = volume.open(at).unwrap();
    let content = read_rest(file.as_mut());
    file.close().unwrap();
    content
}

/// The whole content of an open file.
#[track_caller]
pub(crate) fn read_rest(file: &mut dyn VolumeFile) -> Vec<u8> {
    let mut content = vec![0; usize::try_from(file.len_bytes().unwrap()).unwrap()];
    let len = io::read_file(file, 0, &mut content).unwrap();
    assert_eq!(len, content.len(), "a file ends where its length says");
    content
}

/// Bytes that differ from each other, from zeros, and between seeds.
pub(crate) fn pattern(seed: u8, len: usize) -> Vec<u8> {
    (0..len).map(|index| (index as u8).wrapping_mul(31).wrapping_add((index >> 8) as u8) ^ seed | 1).collect()
}
