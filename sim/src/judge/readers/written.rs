//! Whether a medium holds the content of its image.
//!
//! Verified: of a disk image every byte, below all caches, except zeros that its block map leaves out and that the medium was
//! told to discard in this boot, and the place of a GPT on the medium; of a tarball the
//! partition table (that of the record of its capture, otherwise that of the profile), the kind of the file system
//! and every file with its metadata. Not verified: bytes of a medium behind the end of a disk image.

use super::block_map;
use super::decode::decode;
use super::disk_rule;
use super::drive_images::Image;
use super::extracted;
use crate::model::bytes::pages::{Pages, SECTOR_LEN};
use crate::model::bytes::partitions::read_partitions;
use crate::model::bytes::tree::differences;
use crate::model::hardware::content::PagesBacking;
use crate::model::hardware::found::{files_in, tree_of};
use crate::model::hardware::simfs::{Kind, SimFs};
use crate::scenario::schema::MediumSpec;
use replicator_hal::Timestamp;
use std::ops::Range;

/// Where a tarball's partition starts.
const START_BYTES: u64 = 4 << 20;
/// How many differences are named.
const DIFFERENCES_MAX: usize = 5;

/// Whether `medium` holds `image`.
///
/// # Errors
/// How it differs.
pub fn holds(medium: &Pages, image: &Image, spec: &MediumSpec) -> Result<(), String> {
    holds_discarded(medium, image, spec, &[])
}

/// The same for a medium of which these ranges were discarded.
///
/// # Errors
/// How it differs.
pub fn holds_discarded(
    medium: &Pages,
    image: &Image,
    spec: &MediumSpec,
    discarded: &[Range<u64>],
) -> Result<(), String> {
    let bytes = image.bytes.as_ref().ok_or_else(|| format!("{} is not a file", image.name))?;
    let plain = decode(&image.name, bytes)?;
    if image.is_tarball() {
        holds_tree(medium, &plain, spec, &table_of(image, plain.md5(), spec))
    } else {
        let map = image.map.as_ref().filter(|_| !discarded.is_empty());
        let left_out = map.map(|map| block_map::left_out(map, plain.len() as u64)).unwrap_or_default();
        disk_rule::holds(medium, &plain, &|at| {
            [&left_out, discarded].iter().all(|ranges| ranges.iter().any(|range| range.contains(&at)))
        })
    }
}

/// The table of a tarball's medium.
struct Table {
    gpt: bool,
    number: u32,
}

/// That of the golden medium if a record proves that the capture made this very tarball, otherwise that of the
/// profile.
fn table_of(image: &Image, md5: &str, spec: &MediumSpec) -> Table {
    let line = format!("image_md5 = \"{md5}\"");
    let record = image.records.iter().find(|record| record.lines().any(|found| found == line));
    let number = record.and_then(|record| record.lines().find_map(|line| line.strip_prefix("number = ")));
    match (record, number.and_then(|number| number.parse().ok())) {
        (Some(record), Some(number)) => {
            Table { gpt: record.lines().any(|line| line == "table = \"gpt\""), number }
        }
        _ => Table { gpt: spec.file_system.as_deref() == Some("ext4gpt"), number: 1 },
    }
}

fn holds_tree(medium: &Pages, plain: &[u8], spec: &MediumSpec, table: &Table) -> Result<(), String> {
    let mut wanted = extracted::read(plain)?;
    for node in wanted.values_mut() {
        node.modified = kept(node.modified);
    }
    let partitions = read_partitions("medium", medium);
    let [partition] = partitions.as_slice() else {
        return Err(format!("there are {} partitions instead of one", partitions.len()));
    };
    if partition.number != table.number || partition.start_bytes != START_BYTES {
        let (found, wanted) = (partition.number, table.number);
        return Err(format!("partition {found}, not {wanted}, at {}", partition.start_bytes));
    }
    let sector = medium.bytes(0, SECTOR_LEN);
    // In a GPT the first entry is the protective one.
    let entry = 446 + 16 * if table.gpt { 0 } else { table.number as usize - 1 };
    let kind_byte = if table.gpt { 0xee } else { 0x83 };
    if sector[entry + 4] != kind_byte || (!table.gpt && sector[entry] != 0x80) {
        return Err(format!("partition table: type {:#x}", sector[entry + 4]));
    }
    let slack = medium.len_bytes() - partition.start_bytes - partition.len_bytes;
    if slack > 64 << 10 {
        return Err(format!("the partition leaves {slack} bytes unused"));
    }
    let mut copy = medium.clone();
    let mut backing = PagesBacking { pages: &mut copy, start_bytes: partition.start_bytes };
    let fs = SimFs::load(&mut backing, partition.len_bytes)
        .map_err(|refusal| refusal.into_error("reading", "the medium").to_string())?;
    let wanted_kind = match spec.file_system.as_deref() {
        Some("ext2") => Kind::Ext2,
        Some("ext3") => Kind::Ext3,
        _ => Kind::Ext4,
    };
    if fs.superblock().kind != wanted_kind || fs.superblock().dirty {
        return Err(format!(
            "the file system is {:?}, dirty: {}",
            fs.superblock().kind,
            fs.superblock().dirty
        ));
    }
    let found =
        files_in(medium, partition.start_bytes, partition.len_bytes).map_err(|error| error.to_string())?;
    let different = differences(&wanted, &tree_of(&found), &[]);
    if different.is_empty() {
        return Ok(());
    }
    Err(format!(
        "{} files differ: {}",
        different.len(),
        different[..different.len().min(DIFFERENCES_MAX)].join("; ")
    ))
}

/// A time as stored in inodes of 256 bytes, see the kernel's documentation of ext4: 34 bits of seconds from 1901 on,
/// and no fraction at either end.
fn kept(time: Timestamp) -> Timestamp {
    const FIRST: i64 = -0x8000_0000;
    const LAST: i64 = 0x3_7fff_ffff;
    if (FIRST + 1..LAST).contains(&time.seconds) {
        return time;
    }
    Timestamp { seconds: time.seconds.clamp(FIRST, LAST), nanos: 0 }
}
