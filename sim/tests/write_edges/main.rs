//! Writing works at its limits: unusual archives, other media that hang, start-up failures.

// Helpers are test code, but not inside of a test function.
#![allow(clippy::unwrap_used)]

mod archives;
mod discards;
mod disk_images;
mod neighbours;
mod start;

use replicator_engine::boot::{self, Request};
use replicator_engine::drive::DriveChoice;
use replicator_engine::formats::tar::{Entry as TarEntry, EntryKind, Writer};
use replicator_engine::profile::{BoardChoice, Profile};
use replicator_engine::report::{End, Outcome, Report};
use replicator_engine::tuning::Tuning;
use replicator_hal::{DeviceKind, FileKind, Owner, RelativePath, Status, Timestamp};
use replicator_sim::model::bytes::size::ByteRange;
use replicator_sim::model::hardware::content::{Content, Entry, FileSystemContent, PartitionContent};
use replicator_sim::model::hardware::fault::Fault;
use replicator_sim::model::hardware::faults::FaultSpec;
use replicator_sim::model::hardware::found::FoundFiles;
use replicator_sim::model::hardware::simfs::Kind;
use replicator_sim::model::hardware::trigger::Trigger;
use replicator_sim::model::time::op_name::OpName;
use replicator_sim::{Medium, World, WorldBuilder};

const MIB: u64 = 1 << 20;
const MEDIUM_LEN_BYTES: u64 = 8 * MIB;
/// Where a tarball's partition starts.
const PARTITION_BYTES: u64 = 4 * MIB;

fn path(text: &str) -> RelativePath {
    RelativePath::parse(text).unwrap()
}

fn request() -> Request {
    let text: String = ["sd", "emmc"]
        .iter()
        .map(|name| {
            format!("[[medium]]\nname = \"{name}\"\nkind = \"{name}\"\ncontroller = \"{name}-controller\"\n")
        })
        .collect();
    Request {
        board: BoardChoice::Named(Box::new(
            Profile::parse(&format!("name = \"sim\"\n{text}"), "sim.toml").unwrap(),
        )),
        firmware_names: Vec::new(),
        drive: DriveChoice::Discover,
        media: None,
        tuning: Tuning { chunk_len_bytes: 64 << 10, ..Tuning::default() },
        version: "0.1.0".into(),
    }
}

fn drive(entries: Vec<Entry>) -> Medium {
    Medium::drive(16 * MIB, FileSystemContent::new(Kind::Ext4, entries).label("REPLICATOR"))
}

/// The settings that allow an image of any content.
fn any_content() -> Entry {
    Entry::file("replicator.toml", "[write]\nany_content = true\n")
}

/// A medium with a bootable content.
fn medium(name: &str) -> Medium {
    let (device, kind) = match name {
        "sd" => ("mmcblk0", DeviceKind::Sd),
        _ => ("mmcblk1", DeviceKind::Emmc),
    };
    Medium::new(name, device, kind, MEDIUM_LEN_BYTES).content(Content::Stamped(name.into(), 0))
}

fn fault(on: &str, fault: Fault, when: Trigger) -> FaultSpec {
    FaultSpec::new(on, fault, when)
}

/// Runs one boot; nothing may be left open, or be closed by a drop only.
fn run(builder: WorldBuilder) -> (World, Report) {
    run_with(builder, request().tuning)
}

fn run_with(builder: WorldBuilder, tuning: Tuning) -> (World, Report) {
    let world = builder.build().unwrap();
    let end = world.run(|board| boot::run(&board, &Request { tuning, ..request() }));
    let report = end.value.unwrap();
    assert_eq!(world.mounts_left(), Vec::<String>::new());
    assert_eq!(world.handles_left(), 0);
    let shown = world.leds().final_status();
    assert_eq!(shown, Some(report.status), "the LEDs and the report differ");
    (world, report)
}

fn outcome<'a>(report: &'a Report, medium: &str) -> &'a Outcome {
    report.outcomes.iter().find(|outcome| outcome.medium == medium).unwrap()
}

/// `ok`, or the code of the error.
fn end_of(report: &Report, medium: &str) -> &'static str {
    match &outcome(report, medium).end {
        End::Done(_) => "ok",
        End::Skipped(_) => "skipped",
        End::Failed(error) => error.code(),
    }
}

fn written_files(world: &World, medium: &str) -> FoundFiles {
    world.volume_at(medium, PARTITION_BYTES, MEDIUM_LEN_BYTES - PARTITION_BYTES).unwrap()
}

fn looks_bootable(world: &World, medium: &str) -> bool {
    let sector = world.medium_bytes(medium).unwrap().bytes(0, 512);
    // Zeros, or the placeholder of a table that is not written yet.
    sector.iter().any(|byte| *byte != 0) && sector.iter().any(|byte| *byte != 0xff)
}
