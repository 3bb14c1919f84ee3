//! The simulation behaves like real systems: random calls give equal results and equal kinds of errors.
//!
//! The simulated ext4 is compared with a directory of the host, and as root with ext4 on a loop device; a simulated
//! medium with a loop device. If they differ, the simulation must be corrected.

// Helpers are test code, but not inside of a test function.
#![allow(clippy::unwrap_used)]

mod blocks;
mod calls;
mod ext4;
mod host;

use replicator_hal::{Access, DeviceKind, DeviceName, Holder, Owner, Region, RelativePath, Volume};
use replicator_sim::model::hardware::content::{Content, FileSystemContent};
use replicator_sim::model::hardware::simfs::Kind;
use replicator_sim::{Medium, World, WorldBuilder};

/// The minimum number of sequences.
fn cases(at_least: u32) -> proptest::test_runner::Config {
    let default = proptest::test_runner::Config::default();
    let cases = default.cases.max(at_least);
    proptest::test_runner::Config { cases, failure_persistence: None, ..default }
}

/// A simulated ext4 of this size, mounted.
fn simulated(len_bytes: u64) -> (World, Box<dyn Volume>) {
    let content = Content::FileSystem(FileSystemContent::new(Kind::Ext4, vec![]));
    let medium = Medium::new("sd", "mmcblk0", DeviceKind::Sd, len_bytes).content(content);
    let world = WorldBuilder::new().medium(medium).build().unwrap();
    let holder = Holder::Device(DeviceName::parse("mmcblk0").unwrap());
    let region = Region { holder, offset_bytes: 0, len_bytes };
    let volume = world.board().file_systems.mount(&region, Access::ReadWrite).unwrap();
    (world, volume)
}

/// Gives the root directories the same owner and mode.
fn begin_equal(volume: &dyn Volume) {
    if calls::is_root() {
        volume.set_owner(&RelativePath::root(), Owner::default()).unwrap();
    }
    volume.set_mode(&RelativePath::root(), 0o755).unwrap();
}
