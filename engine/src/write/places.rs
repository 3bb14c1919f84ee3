//! Examines the partitions of a disk image: their file systems, and the chain of logical partitions, record by record.
//!
//! The bytes come in order, from a decoder, or in single reads. A record names further places, which usually lie behind
//! it. A place that was decoded before its record is not examined.

use super::disk_look::{self, Unfit};
use crate::error::Refusal;
use crate::formats::partition::{Extent, link};
use crate::size::Size;
use replicator_hal::{FileSystem, signature};
use std::ops::Range;

/// How many partitions are examined at most: the kernel has no names for more logical ones, and a GPT usually no entries.
const PARTITIONS_MAX: usize = 160;
/// Length of an extended boot record.
const RECORD_LEN_BYTES: usize = 512;

/// Places in an image, and what was found at them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Places {
    sector_len_bytes: u32,
    /// Where the extended partition starts.
    extended_bytes: u64,
    wanted: Vec<Place>,
    found: Vec<Found>,
    /// The records of the chain, as far as it was followed.
    records: Vec<u64>,
    /// An error of the chain.
    broken: Option<String>,
}

/// A range of bytes that was not completely read yet.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    start_bytes: u64,
    len: usize,
    /// The first of them.
    bytes: Vec<u8>,
    what: What,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum What {
    /// The start of a partition.
    Partition(u32, Range<u64>),
    /// A link in the chain of logical partitions.
    Record,
}

/// A partition whose start was read.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Found {
    number: u32,
    range: Range<u64>,
    file_system: Option<FileSystem>,
}

impl Place {
    fn end_bytes(&self) -> u64 {
        self.start_bytes.saturating_add(self.len as u64)
    }

    /// The first byte of it that is missing.
    fn missing_bytes(&self) -> u64 {
        self.start_bytes.saturating_add(self.bytes.len() as u64)
    }
}

impl Places {
    /// The places of a table for sectors of `sector_len_bytes`.
    pub(super) fn of(extent: &Extent, sector_len_bytes: u32) -> Self {
        let mut places = Self { sector_len_bytes, ..Self::default() };
        let is_extended = |range: &Range<u64>| extent.extended.as_ref() == Some(range);
        for (number, range) in extent.partitions.iter().filter(|(_, range)| !is_extended(range)) {
            places.add_partition(*number, range.clone());
        }
        if let Some(extended) = &extent.extended {
            places.extended_bytes = extended.start;
            places.add_record(extended.start);
        }
        places
    }

    fn add_partition(&mut self, number: u32, range: Range<u64>) {
        if self.wanted.len() + self.found.len() < PARTITIONS_MAX {
            // A small partition ends before a whole head does.
            let len = (range.end.saturating_sub(range.start)).min(signature::HEAD_LEN_BYTES as u64) as usize;
            let what = What::Partition(number, range.clone());
            self.wanted.push(Place { start_bytes: range.start, len, bytes: Vec::new(), what });
        }
    }

    fn add_record(&mut self, start_bytes: u64) {
        if self.records.contains(&start_bytes) {
            self.broken = Some(format!("the chain of its logical partitions loops at byte {start_bytes}"));
        } else if self.records.len() < PARTITIONS_MAX {
            self.records.push(start_bytes);
            self.wanted.push(Place {
                start_bytes,
                len: RECORD_LEN_BYTES,
                bytes: Vec::new(),
                what: What::Record,
            });
        }
    }

    /// Whether all known places were read.
    pub(super) fn is_complete(&self) -> bool {
        self.wanted.is_empty()
    }

    /// The range to read next; `None` if all places were read.
    pub(super) fn next(&self) -> Option<(u64, usize)> {
        let first = self.wanted.iter().min_by_key(|place| place.start_bytes)?;
        Some((first.missing_bytes(), first.len - first.bytes.len()))
    }

    /// Whether a place is missing that ends at or before `limit_bytes` and begins at or behind `position_bytes`.
    pub(super) fn misses_place_within(&self, position_bytes: u64, limit_bytes: u64) -> bool {
        let mut wanted = self.wanted.iter();
        wanted.any(|place| place.missing_bytes() >= position_bytes && place.end_bytes() <= limit_bytes)
    }

    /// Takes bytes of the image that lie at `start_bytes`.
    pub(super) fn pass(&mut self, start_bytes: u64, chunk: &[u8]) {
        let end_bytes = start_bytes + chunk.len() as u64;
        // A place that a record names may lie in the same bytes.
        let mut index = 0;
        while let Some(place) = self.wanted.get_mut(index) {
            let part = place.missing_bytes()..place.end_bytes().min(end_bytes);
            if part.start >= start_bytes && part.start < part.end {
                // Both lie in the chunk.
                let piece = (part.start - start_bytes) as usize..(part.end - start_bytes) as usize;
                place.bytes.extend_from_slice(&chunk[piece]);
            }
            if place.bytes.len() == place.len {
                let place = self.wanted.swap_remove(index);
                self.finish_place(place);
                index = 0;
            } else {
                index += 1;
            }
        }
    }

    /// The image ends at `len_bytes`: a place that crosses the end gets no more bytes.
    pub(super) fn end(&mut self, len_bytes: u64) {
        let at_the_end = |place: &Place| place.start_bytes < len_bytes && place.missing_bytes() >= len_bytes;
        while let Some(index) = self.wanted.iter().position(at_the_end) {
            let place = self.wanted.swap_remove(index);
            self.finish_place(place);
        }
    }

    fn finish_place(&mut self, place: Place) {
        let Place { start_bytes, bytes, what, .. } = place;
        match what {
            What::Partition(number, range) => {
                let file_system = signature::by_head(&bytes);
                self.found.push(Found { number, range, file_system });
            }
            What::Record => match link(&bytes, start_bytes, self.extended_bytes, self.sector_len_bytes) {
                Some(link) => {
                    let number = 4 + self.records.len() as u32;
                    link.partition.into_iter().for_each(|range| self.add_partition(number, range));
                    link.next.into_iter().for_each(|next| self.add_record(next));
                }
                // An extended partition may be empty.
                None if start_bytes == self.extended_bytes => {}
                None => {
                    let number = 4 + self.records.len();
                    self.broken =
                        Some(format!("the record of its partition {number} is not at byte {start_bytes}"));
                }
            },
        }
    }

    /// Checks an image of `len_bytes` for a medium of `room_bytes`, as far as it was read. Harmless anomalies are
    /// returned as notes.
    pub(super) fn check(&self, len_bytes: u64, room_bytes: u64) -> Result<Vec<String>, Unfit> {
        let wanted = self.wanted.iter().map(|place| (place.start_bytes, &place.what));
        for (start_bytes, what) in wanted {
            if *what == What::Record && start_bytes >= len_bytes {
                let what = format!(
                    "holds {:#}, but a record of its table lies at byte {start_bytes}: it was cut off",
                    Size(len_bytes)
                );
                return Err(Unfit::new(Refusal::CutImage, what));
            }
        }
        if let Some(what) = &self.broken {
            return Err(Unfit::new(Refusal::CutImage, format!("is a broken copy: {what}")));
        }
        let unseen = self.wanted.iter().filter_map(|place| match &place.what {
            What::Partition(number, range) => Some((*number, range)),
            What::Record => None,
        });
        let seen = self.found.iter().map(|found| (found.number, &found.range));
        for (number, range) in seen.chain(unseen) {
            let end = range.end;
            if end > len_bytes {
                let what = format!(
                    "holds {:#}, but its partition {number} ends at byte {end}: it was cut off",
                    Size(len_bytes)
                );
                return Err(Unfit::new(Refusal::CutImage, what));
            }
            if end > room_bytes {
                let what = format!(
                    "has a partition {number} that ends at byte {end}, but the medium has {:#}",
                    Size(room_bytes)
                );
                return Err(Unfit::new(Refusal::ImageTooLarge, what));
            }
        }
        let mut notes = Vec::new();
        for found in &self.found {
            notes.extend(disk_look::inside(found.number, &found.range, found.file_system.as_ref())?);
        }
        Ok(notes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::partition::Scheme;

    const MIB: u64 = 1 << 20;
    const SECTOR: u64 = 512;

    /// A boot record with entries of type, start and length in bytes.
    fn record(entries: &[(u8, u64, u64)]) -> Vec<u8> {
        let mut bytes = vec![0; 512];
        for (slot, (kind, start, len)) in entries.iter().enumerate() {
            let at = 446 + 16 * slot;
            bytes[at + 4] = *kind;
            bytes[at + 8..at + 12].copy_from_slice(&((start / SECTOR) as u32).to_le_bytes());
            bytes[at + 12..at + 16].copy_from_slice(&((len / SECTOR) as u32).to_le_bytes());
        }
        bytes[510..].copy_from_slice(&[0x55, 0xaa]);
        bytes
    }

    fn put(image: &mut [u8], at: u64, bytes: &[u8]) {
        image[at as usize..at as usize + bytes.len()].copy_from_slice(bytes);
    }

    /// The magic and the length of an ext2 of so many KiB.
    fn ext2(image: &mut [u8], at: u64, kib: u32) {
        put(image, at + 1024 + 4, &kib.to_le_bytes());
        put(image, at + 1024 + 56, &[0x53, 0xef]);
    }

    /// Two logical partitions, of 1 MiB at 2 MiB and at 4 MiB, in an extended one from 1 MiB on.
    fn image() -> (Vec<u8>, Extent) {
        let mut image = vec![0; 6 << 20];
        put(&mut image, MIB, &record(&[(0x83, MIB, MIB), (0x05, 2 * MIB, 3 * MIB)]));
        put(&mut image, 3 * MIB, &record(&[(0x83, MIB, MIB)]));
        ext2(&mut image, 2 * MIB, 1024);
        ext2(&mut image, 4 * MIB, 1024);
        let extent = Extent {
            scheme: Scheme::Mbr,
            partitions: vec![(1, MIB..6 * MIB)],
            backup: None,
            usable_end_bytes: None,
            extended: Some(MIB..6 * MIB),
            iso: None,
        };
        (image, extent)
    }

    /// The result of the check, which must be the same for all lengths of chunks and for single reads.
    fn checked(image: &[u8], extent: &Extent) -> Result<Vec<String>, Unfit> {
        let mut by_seeking = Places::of(extent, 512);
        while let Some((at, len)) = by_seeking.next() {
            let start = (at as usize).min(image.len());
            let bytes = &image[start..(start + len).min(image.len())];
            if bytes.is_empty() {
                break;
            }
            by_seeking.pass(at, bytes);
        }
        by_seeking.end(image.len() as u64);
        let found = by_seeking.check(image.len() as u64, 6 * MIB);
        for chunk_len in [SECTOR as usize, 4096 + 1, image.len()] {
            let mut places = Places::of(extent, 512);
            for (index, chunk) in image.chunks(chunk_len).enumerate() {
                places.pass((index * chunk_len) as u64, chunk);
            }
            places.end(image.len() as u64);
            assert_eq!(places.check(image.len() as u64, 6 * MIB), found, "{chunk_len}");
        }
        found
    }

    #[test]
    fn the_chain_of_logical_partitions_is_followed() {
        let (image, extent) = image();
        assert_eq!(checked(&image, &extent), Ok(Vec::new()));
        type Change = fn(&mut Vec<u8>);
        let table: [(&str, Change, &str); 6] = [
            (
                "a file system larger than its partition",
                |image| ext2(image, 4 * MIB, 1025),
                "partition 6 has",
            ),
            (
                "a partition past the end",
                |image| put(image, 3 * MIB, &record(&[(0x83, MIB, 3 * MIB)])),
                "partition 6 ends at byte 7340032",
            ),
            (
                "a record past the end",
                |image| put(image, MIB, &record(&[(0x83, MIB, MIB), (0x05, 5 * MIB, MIB)])),
                "lies at byte 6291456",
            ),
            ("no record", |image| put(image, 3 * MIB, &[0; 512]), "partition 6 is not at byte 3145728"),
            (
                "a loop",
                |image| put(image, 3 * MIB, &record(&[(0x83, MIB, MIB), (0x05, 0, MIB)])),
                "loops at byte 1048576",
            ),
            ("a cut image", |image| image.truncate(9 << 19), "partition 6 ends at byte 5242880"),
        ];
        for (what, change, expected) in table {
            let mut changed = image.clone();
            change(&mut changed);
            let unfit = checked(&changed, &extent).unwrap_err();
            assert_eq!(unfit.kind, Refusal::CutImage, "{what}");
            assert!(unfit.what.contains(expected), "{what}: {}", unfit.what);
        }
        // No logical partition was made yet.
        assert_eq!(checked(&vec![0; 6 << 20], &extent), Ok(Vec::new()));
        let mut places = Places::of(&extent, 512);
        places.pass(0, &image);
        assert_eq!(places.check(6 * MIB, 5 * MIB - 1).unwrap_err().kind, Refusal::ImageTooLarge);
    }
}
