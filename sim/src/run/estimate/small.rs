//! Runs a job on a small simulated board, and reduces its calls to what decides the time on a real one.

use super::Capture;
use crate::board::world::{RunOutcome, World, WorldBuilder};
use crate::model::bytes::pages::Pages;
use crate::model::hardware::content::{Content, Entry, FileSystemContent, PartitionContent};
use crate::model::hardware::disk::Disk;
use crate::model::hardware::identity::{Discard, Speed};
use crate::model::hardware::medium::Medium;
use crate::model::hardware::simfs::{Kind, Survival};
use crate::model::time::op::Op;
use crate::model::time::op_name::{Cost, OpName};
use crate::run::costs::{self, Call};
use crate::run::setup;
use crate::scenario::content::{Owner, golden};
use crate::scenario::schema::Scenario;
use replicator_engine::boot::{self, Request};
use replicator_engine::report::{End, Report};
use replicator_engine::tuning::Tuning;
use replicator_hal::{DeviceKind, Status};

/// The medium.
const MEDIUM: &str = "sd";
/// Length of a file: the mean of a Debian system.
const FILE_LEN_BYTES: usize = 32 << 10;
/// The part of a file that no codec compresses. The rest compresses almost to nothing, so that a root file system shrinks to
/// three tenths, as a Debian system does.
const NOISE_LEN_BYTES: usize = 9 << 10;
/// Where the root file system begins.
const START_BYTES: u64 = 8 << 20;

/// The calls of one device class.
#[derive(Debug, Clone, Default)]
pub(super) struct Io {
    calls: Vec<(Cost, u64)>,
}

impl Io {
    fn add(&mut self, op: &Op) {
        let len_bytes = if op.name == OpName::Zero { 0 } else { op.len_bytes };
        self.calls.push((op.name.cost(), len_bytes));
    }

    /// The time that the device takes, in seconds.
    pub(super) fn seconds(&self, speed: Speed) -> f64 {
        self.calls.iter().map(|(class, len_bytes)| speed.time_of(*class, *len_bytes).as_secs_f64()).sum()
    }
}

/// Bytes that a core computes on.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Coding {
    /// Content that is not zeros and is encoded, or decoded.
    pub(super) encoded: f64,
    pub(super) decoded: f64,
    /// Zeros that are encoded or decoded.
    pub(super) zeros: f64,
    /// Bytes of images, encoded or not, that md5 reads.
    pub(super) digested: f64,
    /// Bytes of files that md5 reads.
    pub(super) hashed: f64,
    /// Bytes that a read-back compares.
    pub(super) compared: f64,
}

/// One step of a job.
#[derive(Debug, Clone, Default)]
pub(super) struct Step {
    pub(super) name: String,
    pub(super) drive: Io,
    pub(super) medium: Io,
    pub(super) coding: Coding,
}

/// A capture and a write of the medium that it captured.
pub(super) struct Both {
    pub(super) capture: Vec<Step>,
    pub(super) write: Vec<Step>,
}

/// Captures a medium of `medium_len_bytes` with `used_len_bytes` of files, and writes its image to another unit.
pub(super) fn run(capture: &Capture, medium_len_bytes: u64, used_len_bytes: u64) -> Result<Both, String> {
    let request = request()?;
    let world = world(capture, medium_len_bytes, used_len_bytes)?;
    let (captured, image) = boot(capture, &world, &request, None)?;
    let world = world.reboot(Survival::All);
    world.change_medium(MEDIUM, |disk| {
        let mut identity = disk.identity.clone();
        identity.serial = Some("another-unit".to_owned());
        // As most cards and disks.
        identity.discard = Discard::Zeros;
        *disk = Disk::new(identity, Pages::zeros(medium_len_bytes));
    });
    let (write, _) = boot(capture, &world, &request, Some(image))?;
    Ok(Both { capture: captured, write })
}

/// The engine's request, with the sizes of a real board.
fn request() -> Result<Request, String> {
    let text = "about = \"One medium.\"\n[media.sd]\n[expect]\nstatus = \"success\"\n";
    let scenario = Scenario::parse(text, "estimate").map_err(|error| error.to_string())?;
    let mut request = setup::request(&scenario)?;
    request.tuning = Tuning::default();
    Ok(request)
}

fn world(capture: &Capture, medium_len_bytes: u64, used_len_bytes: u64) -> Result<World, String> {
    let mut rootfs = golden(&Owner { medium: MEDIUM, seed: 0, generation: 0 }, None).file_system();
    rootfs.entries.push(Entry::directory("usr/share"));
    for number in 0..used_len_bytes / FILE_LEN_BYTES as u64 {
        rootfs.entries.push(Entry::file(&format!("usr/share/file-{number}"), content(number)));
    }
    let boot = FileSystemContent::new(Kind::Vfat, vec![Entry::file("uboot.env", "a=b\n")]);
    let boot = PartitionContent {
        mbr_type: 0x0c,
        start_bytes: START_BYTES / 2,
        len_bytes: START_BYTES / 2,
        file_system: Some(boot),
    };
    let root = PartitionContent {
        mbr_type: 0x83,
        start_bytes: START_BYTES,
        len_bytes: medium_len_bytes - START_BYTES,
        file_system: Some(rootfs),
    };
    let partitions = if capture.several_partitions { vec![boot, root] } else { vec![root] };
    let content = Content::Partitions(MEDIUM.to_owned(), partitions);
    let mut pages = content.build(medium_len_bytes).map_err(|error| error.to_string())?;
    if !capture.several_partitions {
        // A bootloader in the gap would make it a disk image.
        pages.write(512, &vec![0; START_BYTES as usize - 512]);
    }
    let medium =
        Medium::new(MEDIUM, "mmcblk0", DeviceKind::Sd, medium_len_bytes).content(Content::Pages(pages));
    let settings = Entry::file("replicator.toml", capture.codec.settings().1.as_bytes());
    let drive = FileSystemContent::new(Kind::Ext4, vec![settings]).label("REPLICATOR");
    let drive = Medium::drive(medium_len_bytes + (32 << 20), drive);
    let builder = WorldBuilder::new().compatible(setup::COMPATIBLE).keep_trace(true);
    builder.medium(drive).medium(medium).build().map_err(|error| error.to_string())
}

/// The content of a file.
fn content(number: u64) -> Vec<u8> {
    let mut state = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut noise = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    let mut bytes: Vec<u8> = (0..NOISE_LEN_BYTES / 8).flat_map(|_| noise()).collect();
    let text = format!("line of file {number}, the same for all of it\n");
    bytes.extend(text.bytes().cycle().take(FILE_LEN_BYTES - NOISE_LEN_BYTES));
    bytes
}

/// What an image file holds for each of its bytes: content that is not zeros, and zeros.
#[derive(Debug, Clone, Copy)]
struct Image {
    data: f64,
    zeros: f64,
}

/// One boot, and the image that it captured or wrote.
fn boot(
    capture: &Capture,
    world: &World,
    request: &Request,
    image: Option<Image>,
) -> Result<(Vec<Step>, Image), String> {
    let end = world.run(|board| boot::run(&board, request));
    let report = end.value.as_ref().filter(|report| report.status == Status::Success);
    let (Some(report), RunOutcome::Finished) = (report, &end.outcome) else {
        return Err(format!("the small run fails: {}", world.records().console.join("; ")));
    };
    let kind = if capture.several_partitions { ".dd." } else { ".tar." };
    if !report.outcomes.iter().any(|outcome| outcome.image.as_ref().is_some_and(|image| image.contains(kind)))
    {
        return Err(format!("the small run: no image is a {kind}"));
    }
    let calls = costs::calls(world);
    let image = image.map_or_else(|| captured(report, &calls), Ok)?;
    let mut steps: Vec<Step> = Vec::new();
    for call in &calls {
        let index = steps.iter().position(|step| step.name == call.step);
        let index = index.unwrap_or_else(|| {
            steps.push(Step { name: call.step.clone(), ..Step::default() });
            steps.len() - 1
        });
        let step = &mut steps[index];
        let op = &call.event.op;
        match op.device.as_deref() {
            None => continue,
            Some("sda") => step.drive.add(op),
            Some(_) => step.medium.add(op),
        }
        if call.event.error.is_none() {
            step.coding.add(op, &call.step, image);
        }
    }
    Ok((steps, image))
}

/// The image that a capture made. What is not zeros is what it read while it packed.
fn captured(report: &Report, calls: &[Call]) -> Result<Image, String> {
    let done = report.outcomes.iter().find_map(|outcome| match &outcome.end {
        End::Done(done) => Some(done),
        _ => None,
    });
    let done = done.ok_or("nothing was captured")?;
    let packs = |call: &&Call| call.event.op.name == OpName::Write && is_image(&call.event.op);
    let step = &calls.iter().find(packs).ok_or("no image was written")?.step;
    let of_step = calls.iter().filter(|call| call.step == *step && call.event.error.is_none());
    let reads = of_step.filter(|call| call.event.op.name == OpName::Read && !is_image(&call.event.op));
    let data = reads.map(|call| call.event.op.len_bytes).sum::<u64>().min(done.content_len_bytes) as f64;
    let file = done.file_len_bytes as f64;
    Ok(Image { data: data / file, zeros: (done.content_len_bytes as f64 - data) / file })
}

/// Whether the call is on an image file on the drive.
fn is_image(op: &Op) -> bool {
    let name = op.object.rsplit('/').next().unwrap_or_default();
    name.contains("image.") && [".xz", ".zst"].iter().any(|end| name.contains(end)) && !name.ends_with(".md5")
}

impl Coding {
    /// The computing that belongs to a call.
    fn add(&mut self, op: &Op, step: &str, image: Image) {
        let len = op.len_bytes as f64;
        match (op.name, &*op.on, is_image(op)) {
            (OpName::Write, _, true) => {
                self.encoded += len * image.data;
                self.zeros += len * image.zeros;
                // The content and the file.
                self.digested += len * (image.data + image.zeros + 1.0);
            }
            // The digest of the file is compared without decoding.
            (OpName::Read, _, true) if step == "checking the file" || step.starts_with("comparing ") => {
                self.digested += len;
            }
            (OpName::Read, _, true) => {
                self.decoded += len * image.data;
                self.zeros += len * image.zeros;
                let content = len * (image.data + image.zeros);
                if step == "verifying" {
                    // The read-back of a capture compares the content by a faster hash.
                    self.compared += content;
                    self.digested += len;
                } else {
                    self.digested += content;
                }
            }
            (OpName::Read, "image", _) => self.hashed += len,
            (OpName::Read | OpName::Write, "drive", _) => {}
            (OpName::Read | OpName::Write, ..) => self.compared += len,
            _ => {}
        }
    }
}
