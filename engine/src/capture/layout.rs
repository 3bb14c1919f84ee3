//! The layout of a medium: its partitions, and which of their bytes are unused.

use super::gap::Gap;
use crate::error::{Error, Result};
use crate::formats::partition::Identity;
use crate::formats::{FormatError, ReadAt, partition};
use crate::operation::Operation;
use crate::ranges;
use replicator_hal::{FileSystem, FileSystemKind, Holder, Region};
use std::fmt;
use std::ops::Range;

/// A range of the medium that may hold a file system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Slot {
    /// Number in the partition table; 0 for a medium without one.
    pub(super) number: u32,
    /// Where it lies.
    pub(super) bytes: Range<u64>,
    /// Whether its type in the table is that of a Linux file system.
    pub(super) is_linux: bool,
    /// Its name in the table (PARTLABEL).
    pub(super) name: Option<String>,
    /// Its PARTUUID, as the kernel forms it.
    pub(super) uuid: Option<String>,
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.number {
            0 => f.write_str("whole medium"),
            number => write!(f, "partition {number}"),
        }
    }
}

impl Slot {
    /// A medium without a table.
    pub(super) fn whole(len_bytes: u64) -> Self {
        Self { number: 0, bytes: 0..len_bytes, is_linux: false, name: None, uuid: None }
    }

    /// The same range in `holder`: the medium or its image.
    pub(super) fn region(&self, holder: &Holder) -> Region {
        Region {
            holder: holder.clone(),
            offset_bytes: self.bytes.start,
            len_bytes: self.bytes.end - self.bytes.start,
        }
    }
}

/// How a medium is divided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Layout {
    /// Its partitions by their start; the whole medium if there is no table.
    pub(super) slots: Vec<Slot>,
    /// Whether there is a table with exactly one partition.
    pub(super) is_single: bool,
    /// An anomaly, for the report.
    pub(super) note: Option<String>,
    /// Whether there is a table that cannot be read: the medium may hold a root file system that cannot be found.
    pub(super) is_damaged: bool,
    /// Signature and GUIDs of a medium with one partition, if a new table can have the same.
    pub(super) identity: Option<Identity>,
    /// Data outside of the only partition; complete once the medium was copied.
    pub(super) gap: Gap,
}

impl Layout {
    /// Reads the partition table of `medium`. A damaged table is not an error here, because the medium can be captured as
    /// it is.
    pub(super) fn read(medium: &mut dyn ReadAt, sector_len_bytes: u32) -> Result<Self> {
        let len_bytes = medium.len_bytes();
        let whole = |note: Option<String>| Self {
            slots: vec![Slot::whole(len_bytes)],
            is_single: false,
            is_damaged: note.is_some(),
            note,
            identity: None,
            gap: Gap::nothing(sector_len_bytes),
        };
        let table = match partition::read(medium, sector_len_bytes) {
            Ok(Some(table)) => table,
            Ok(None) => return Ok(whole(None)),
            Err(FormatError::Io(error)) => return Err(Error::io("the medium")(error)),
            Err(error) => return Ok(whole(Some(error.to_string()))),
        };
        let count = table.partitions.len();
        let mut slots: Vec<Slot> = table
            .partitions
            .iter()
            .map(|found| Slot {
                number: found.number,
                bytes: found.start_bytes..found.start_bytes.saturating_add(found.len_bytes).min(len_bytes),
                is_linux: found.is_linux(),
                name: found.name.clone(),
                uuid: found.uuid.clone(),
            })
            .filter(|slot| slot.bytes.start < slot.bytes.end)
            .collect();
        slots.sort_by_key(|slot| slot.bytes.start);
        let note = (slots.len() < count).then(|| "a partition lies beyond the end of the medium".to_owned());
        Ok(Self {
            is_single: count == 1 && slots.len() == 1,
            slots,
            note,
            is_damaged: false,
            gap: Gap::of(&table, sector_len_bytes, len_bytes),
            identity: table.identity,
        })
    }

    /// Whether partitions overlap: then no byte is proven unused.
    pub(super) fn overlaps(&self) -> bool {
        self.slots.windows(2).any(|pair| pair[0].bytes.end > pair[1].bytes.start)
    }

    /// What the file systems in `holder` prove to be unused, as ranges of the whole medium. The content of swap space is
    /// unused only if the image will be sanitised.
    pub(super) fn unused(
        &self,
        operation: &Operation<'_>,
        holder: &Holder,
        is_sanitised: bool,
    ) -> Vec<Range<u64>> {
        if self.overlaps() {
            return Vec::new();
        }
        let mut unused = Vec::new();
        for slot in &self.slots {
            let region = slot.region(holder);
            let is_kept = !is_sanitised
                && matches!(identify(operation, &region), Ok(Some(found)) if found.kind == FileSystemKind::Swap);
            match unused_of(operation, &region) {
                _ if is_kept => {}
                Ok(Some(ranges)) => unused.extend(ranges::shift(ranges, slot.bytes.start)),
                Ok(None) => {}
                // If they cannot be read, the copy reports it.
                Err(error) => operation.log(&format!("counting all of {} as used: {error}", slot.number)),
            }
        }
        unused
    }
}

/// The file system in `region`.
pub(super) fn identify(operation: &Operation<'_>, region: &Region) -> Result<Option<FileSystem>> {
    operation
        .retry(|| operation.board.file_systems.identify(region))
        .map_err(Error::hal(format!("looking for a file system in {region}")))
}

/// What the file system in `region` proves to be unused, as ranges of the region; `None` if nothing is proven. Of the
/// bytes behind its end it proves nothing.
pub(super) fn unused_of(operation: &Operation<'_>, region: &Region) -> Result<Option<Vec<Range<u64>>>> {
    let Some(FileSystem { len_bytes: Some(len_bytes), .. }) = identify(operation, region)? else {
        return Ok(None);
    };
    operation.board.leds.renew(operation.tuning.tool_lease);
    let map = operation
        .retry(|| operation.board.file_systems.used_map(region))
        .map_err(Error::hal(format!("reading the used blocks of {region}")))?;
    Ok(map.map(|map| ranges::complement(&map.used, 0..len_bytes.min(region.len_bytes))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(bytes: &[Range<u64>]) -> Layout {
        let slots =
            bytes.iter().map(|bytes| Slot { number: 1, bytes: bytes.clone(), ..Slot::whole(0) }).collect();
        Layout {
            slots,
            is_single: false,
            note: None,
            is_damaged: false,
            identity: None,
            gap: Gap::nothing(512),
        }
    }

    #[test]
    fn a_blank_medium_is_one_slot_without_a_table() {
        let blank = vec![0_u8; 1 << 20];
        let found = Layout::read(&mut blank.as_slice(), 512).unwrap();
        assert_eq!(found.slots, [Slot::whole(1 << 20)]);
        assert!(!found.is_single);
    }

    #[test]
    fn overlapping_partitions_are_found() {
        assert!(layout(&[0..5, 4..9]).overlaps());
        assert!(!layout(&[0..5, 5..9]).overlaps());
    }
}
