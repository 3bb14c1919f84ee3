//! Grows the drive's last partition and its file system to the end of the drive.
//!
//! A drive is made from a small image and grows to its full size on its first boot. This happens before any capture or
//! write, with the file system unmounted. After a power cut, the next boot continues with the interrupted step.

use crate::drive::{Drive, Place};
use crate::error::{Error, FaultyPart, Result};
use crate::formats::ReadAt;
use crate::formats::partition::{self, Growth};
use crate::operation::Operation;
use crate::table;
use replicator_hal::{Access, Source};
use std::io;

/// A smaller gain is not worth a change.
const GAIN_MIN_BYTES: u64 = 1 << 20;

/// Whether the drive can grow.
pub(crate) enum Expansion {
    /// The drive has its full size.
    NotNeeded,
    /// Its file system cannot grow; the drive is used as it is.
    NotPossible(String),
    /// It can grow, by these steps.
    Possible(Steps),
}

/// The steps to grow the drive: its partition, if that is not done yet, then its file system.
pub(crate) struct Steps {
    partition: Option<Growth>,
}

/// Adapts a source to the trait of the formats, with retries.
pub(crate) struct SourceReader<'a> {
    pub(crate) operation: &'a Operation<'a>,
    pub(crate) source: &'a mut dyn Source,
}

impl ReadAt for SourceReader<'_> {
    fn len_bytes(&self) -> u64 {
        self.source.len_bytes()
    }

    fn read_at(&mut self, offset_bytes: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let source = &mut self.source;
        Ok(self.operation.retry(|| source.read_at(offset_bytes, buffer))?)
    }
}

/// Whether the drive can grow. Nothing is changed.
///
/// # Errors
/// If its partition table cannot be read.
pub(crate) fn look(operation: &Operation<'_>, drive: &Drive) -> Result<Expansion> {
    let Some(number) = drive.place.partition else {
        return Ok(Expansion::NotNeeded);
    };
    let growth = find_growth(operation, &drive.place)?.filter(|growth| growth.partition_number == number);
    let file_system = &drive.place.file_system;
    // After a power cut between the two steps the partition has its new size, and the file system its old one.
    let file_system_lags = file_system
        .len_bytes
        .is_some_and(|len_bytes| len_bytes + GAIN_MIN_BYTES <= drive.place.region.len_bytes);
    if growth.is_none() && !file_system_lags {
        return Ok(Expansion::NotNeeded);
    }
    if !file_system.kind.is_ext() {
        return Ok(Expansion::NotPossible(format!("{} cannot be grown", file_system.kind)));
    }
    Ok(Expansion::Possible(Steps { partition: growth }))
}

/// Grows the drive by these steps and mounts it again. Returns its new length. What was read from it before is out of
/// date.
///
/// # Errors
/// Any error is final for this run, because a drive in an unknown state must not be used.
pub(crate) fn grow(operation: &Operation<'_>, drive: &mut Drive, steps: Steps) -> Result<u64> {
    operation.step("expanding the drive");
    drive.volume.unmount().map_err(Error::hal("unmounting the drive to expand it"))?;
    if let Some(growth) = steps.partition {
        grow_partition(operation, &drive.place, &growth)?;
        drive.place.region.len_bytes = growth.new_len_bytes;
    }
    let region = &drive.place.region;
    let file_systems = &operation.board.file_systems;
    // resize2fs needs a checked file system.
    file_systems.fsck(region).map_err(Error::hal("checking the drive before it is grown"))?;
    file_systems.grow(region).map_err(Error::hal("growing the drive's file system"))?;
    drive.volume = file_systems
        .mount(region, Access::ReadOnly)
        .map_err(Error::hal("mounting the drive after its expansion"))?;
    Ok(region.len_bytes)
}

fn find_growth(operation: &Operation<'_>, place: &Place) -> Result<Option<Growth>> {
    let disk = &place.disk;
    let mut source = operation
        .board
        .devices
        .open_shared(&disk.name)
        .map_err(Error::hal("reading the drive's partition table"))?;
    let mut reader = SourceReader { operation, source: &mut *source };
    let growth = partition::grow_last(&mut reader, disk.sector_len_bytes)
        .map_err(Error::format(format!("partition table of {}", disk.name)));
    source.close().map_err(Error::hal("reading the drive's partition table"))?;
    growth
}

fn grow_partition(operation: &Operation<'_>, place: &Place, growth: &Growth) -> Result<()> {
    let disk = &place.disk.name;
    let doing = || format!("writing the partition table of the drive {disk}");
    let devices = &operation.board.devices;
    let mut target = devices.open_target(disk).map_err(Error::hal(doing()))?;
    let written = table::write(
        operation,
        &mut *target,
        &growth.patches,
        FaultyPart::Drive,
        &format!("the drive {disk}"),
    );
    let closed = target.close().map_err(Error::hal(doing()));
    written.and(closed)?;
    devices.reread_partitions(disk).map_err(Error::hal(format!("reading the new partition table of {disk}")))
}
