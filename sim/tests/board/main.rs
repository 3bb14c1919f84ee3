//! The simulated board itself: determinism, ends of a run, caches, power cuts, faults.

// Helpers are test code, but not inside of a test function.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod caches;
mod content;
mod ends;
mod faults;

use replicator_hal::{
    Access, Board, DeviceKind, DeviceName, ErrorKind, FileSystems, FsckOutcome, Holder, Hook, Led, Region,
    RelativePath, Result, Status, Task, TaskEnd, Volume, io,
};
use replicator_sim::model::bytes::size::{ByteRange, Size};
use replicator_sim::model::hardware::content::{
    Content, Entry, FileSystemContent, PartitionContent, stamped,
};
use replicator_sim::model::hardware::fault::Fault;
use replicator_sim::model::hardware::faults::FaultSpec;
use replicator_sim::model::hardware::simfs::{Damage, Kind};
use replicator_sim::model::hardware::trigger::Trigger;
use replicator_sim::model::time::cause::Caused;
use replicator_sim::model::time::op_name::OpName;
use replicator_sim::{End, Limits, Medium, RunOutcome, Survival, World, WorldBuilder};
use std::collections::BTreeSet;
use std::time::Duration;

const KIB: u64 = 1024;

fn path(text: &str) -> RelativePath {
    RelativePath::parse(text).unwrap()
}

fn device(name: &str) -> DeviceName {
    DeviceName::parse(name).unwrap()
}

fn partition_region(name: &str, len_bytes: u64) -> Region {
    Region { holder: Holder::Device(device(name)), offset_bytes: 0, len_bytes }
}

fn drive(kind: Kind, entries: Vec<Entry>) -> Medium {
    Medium::drive(1024 * KIB, FileSystemContent::new(kind, entries).label("REPLICATOR"))
}

fn mount_drive(board: &Board, access: Access) -> Box<dyn Volume> {
    board.file_systems.mount(&partition_region("sda1", 992 * KIB), access).unwrap()
}

fn emmc() -> Medium {
    Medium::new("emmc", "mmcblk0", DeviceKind::Emmc, 128 * KIB).content(Content::Stamped("emmc".into(), 0))
}

fn fault(on: &str, fault: Fault, when: Trigger) -> FaultSpec {
    FaultSpec::new(on, fault, when)
}

fn write_file(volume: &dyn Volume, name: &str, content: &[u8]) -> Result<()> {
    let mut file = volume.create_new(&path(name), 0o644)?;
    io::write_file(file.as_mut(), 0, content)?;
    file.sync()?;
    file.close()
}

fn read_file(volume: &dyn Volume, name: &str) -> Result<Vec<u8>> {
    let mut file = volume.open(&path(name))?;
    let mut content = vec![0; file.len_bytes()? as usize];
    io::read_file(file.as_mut(), 0, &mut content)?;
    file.close()?;
    Ok(content)
}
