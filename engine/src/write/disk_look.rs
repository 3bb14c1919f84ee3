//! Finds reasons in the bytes of a disk image not to write it. Pure functions, without I/O.

use crate::error::{Error, Refusal};
use crate::formats::FormatError;
use crate::formats::foreign::{self, Foreign};
use crate::formats::partition::{self, Extent, Fit, GptCopy, Scheme, Shown};
use crate::formats::sniff::{self, Content};
use crate::size::Size;
use replicator_hal::{FileSystem, FileSystemKind};
use std::ops::Range;

/// Why an image is not written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unfit {
    pub(super) kind: Refusal,
    /// What is wrong; the text follows the image's name.
    pub(super) what: String,
}

impl Unfit {
    pub(super) fn new(kind: Refusal, what: impl Into<String>) -> Self {
        Self { kind, what: what.into() }
    }

    fn foreign(found: Foreign) -> Self {
        Self::new(Refusal::NoDiskImage, format!("holds {}, not a disk image: {}", found.what, found.remedy))
    }

    /// The refusal of `image`.
    pub(super) fn of(self, image: &str) -> Error {
        Error::refused(self.kind, format!("{image} {}", self.what))
    }
}

/// What an image that begins with `head` holds: a table, or a file system over the whole medium.
///
/// A GPT with a damaged front is not an error here: its backup may be intact.
pub(super) fn by_head(head: &[u8], sector_len_bytes: u32) -> Result<Shown, Unfit> {
    if head.is_empty() {
        return Err(Unfit::new(Refusal::WrongContent, "holds nothing"));
    }
    if sniff::content(&head[..head.len().min(sniff::SNIFF_BYTES)]) == Content::Tar {
        let what = "holds a tar archive, not a disk image: name it <medium>image.tar, with its compression";
        return Err(Unfit::new(Refusal::WrongContent, what));
    }
    if let Some(found) = foreign::by_head(head) {
        return Err(Unfit::foreign(found));
    }
    let nothing = |what: &str| Err(Unfit::new(Refusal::NoDiskImage, what));
    let shown = partition::shown(head, sector_len_bytes)
        .map_err(|error| Unfit::new(Refusal::NoDiskImage, format!("cannot be checked: {error}")))?;
    match shown {
        Shown::OtherSectors(found) => Err(other_sectors(found, sector_len_bytes)),
        Shown::EmptyTable => match foreign::program(head) {
            Some(found) => Err(Unfit::foreign(found)),
            None => nothing("has a partition table without any partition"),
        },
        Shown::Table(extent) if extent.partitions.is_empty() => {
            nothing("has a partition table without any partition")
        }
        Shown::Unknown { zeros: true } => {
            nothing("begins with zeros only: no partition table, no file system")
        }
        Shown::Unknown { zeros: false } => match foreign::program(head) {
            Some(found) => Err(Unfit::foreign(found)),
            None => nothing("has neither a partition table nor a known file system"),
        },
        shown => Ok(shown),
    }
}

/// The error for a table with a sector length other than the medium's.
pub(super) fn other_sectors(found: u32, sector_len_bytes: u32) -> Unfit {
    let what = format!(
        "has a partition table for sectors of {found} bytes, but those of the medium have {sector_len_bytes}"
    );
    Unfit::new(Refusal::SectorSize, what)
}

/// Whether the last bytes are those of a container.
pub(super) fn by_tail(tail: &[u8]) -> Result<(), Unfit> {
    foreign::by_tail(tail).map_or(Ok(()), |found| Err(Unfit::foreign(found)))
}

/// Whether an image of `len_bytes` holds everything that its tables show.
pub(super) fn all_there(shown: &Shown, len_bytes: u64) -> Result<(), Unfit> {
    let cut = |what: String| Err(Unfit::new(Refusal::CutImage, format!("{what}: it was cut off")));
    match shown {
        Shown::FileSystem(found) => match found.len_bytes.filter(|needed| *needed > len_bytes) {
            Some(needed) => {
                let kind = &found.kind;
                cut(format!(
                    "holds {:#} of a {kind} file system that has {:#}",
                    Size(len_bytes),
                    Size(needed)
                ))
            }
            None => Ok(()),
        },
        Shown::Table(extent) => {
            if let Some((number, range)) = extent.last().filter(|(_, range)| range.end > len_bytes) {
                let end = range.end;
                return cut(format!(
                    "holds {:#}, but its partition {number} ends at byte {end}",
                    Size(len_bytes)
                ));
            }
            if let Some(backup) = extent.backup.as_ref().filter(|backup| backup.end > len_bytes) {
                let end = backup.end;
                return cut(format!(
                    "holds {:#}, but the backup of its GPT ends at byte {end}",
                    Size(len_bytes)
                ));
            }
            match extent.iso.as_ref().and_then(|iso| iso.len_bytes).filter(|needed| *needed > len_bytes) {
                Some(needed) => {
                    cut(format!("holds {:#} of an ISO image that has {:#}", Size(len_bytes), Size(needed)))
                }
                None => Ok(()),
            }
        }
        _ => Ok(()),
    }
}

/// How many bytes a medium must have at least.
pub(super) fn least_bytes(shown: &Shown) -> u64 {
    match shown {
        Shown::FileSystem(found) => found.len_bytes.unwrap_or(u64::MAX),
        Shown::Table(extent) => {
            let iso = extent.iso.as_ref().and_then(|iso| iso.len_bytes).unwrap_or(0);
            let backup = extent.backup.as_ref().map_or(0, |backup| backup.end - backup.start);
            (extent.end_bytes() + backup).max(iso)
        }
        _ => u64::MAX,
    }
}

/// Whether the file system in a partition fits into it. Where the difference is harmless, the result is a note.
pub(super) fn inside(
    number: u32,
    range: &Range<u64>,
    found: Option<&FileSystem>,
) -> Result<Option<String>, Unfit> {
    let Some(FileSystem { kind, len_bytes: Some(len_bytes), .. }) = found else { return Ok(None) };
    let room = range.end - range.start;
    if *len_bytes <= room {
        return Ok(None);
    }
    let what =
        format!("partition {number} has {:#}, but its {kind} file system {:#}", Size(room), Size(*len_bytes));
    match kind {
        // The kernel mounts these anyway.
        FileSystemKind::Vfat | FileSystemKind::Exfat | FileSystemKind::Iso9660 | FileSystemKind::Swap => {
            Ok(Some(format!("in the image, {what}")))
        }
        _ => Err(Unfit::new(Refusal::CutImage, format!("is a broken copy: its {what}"))),
    }
}

/// Where the partitions of an MBR would be if it counted sectors of another length.
pub(super) fn rescaled(extent: &Extent, from: u32, to: u32) -> Option<Extent> {
    let scale = |at: u64| at / u64::from(from) * u64::from(to);
    let partitions =
        extent.partitions.iter().map(|(number, range)| (*number, scale(range.start)..scale(range.end)));
    (extent.scheme == Scheme::Mbr).then(|| Extent { partitions: partitions.collect(), ..extent.clone() })
}

/// The refusal of a table that cannot be changed to fit.
pub(super) fn unfit_table(error: &FormatError) -> Unfit {
    match error {
        FormatError::Unsupported { what, .. } => {
            Unfit::new(Refusal::ImageTooLarge, format!("does not fit on {what}"))
        }
        error => Unfit::new(Refusal::NoDiskImage, format!("has a GPT of which no copy is intact: {error}")),
    }
}

/// Remarks about changes to the GPT.
pub(super) fn fit_notes(fit: &Fit) -> Vec<String> {
    let mut notes = Vec::new();
    match fit.damaged {
        Some(GptCopy::Front) => {
            notes.push("the GPT of the image is damaged and was made again from its backup".to_owned());
        }
        Some(GptCopy::End) => {
            notes.push("the GPT's backup is damaged in the image and was made again".to_owned())
        }
        None => {}
    }
    if fit.moved {
        notes.push("the GPT's backup was moved to the end of the medium".to_owned());
    }
    notes
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    /// A boot record with these entries: type, start, length in sectors.
    fn record(entries: &[(u8, u32, u32)]) -> Vec<u8> {
        let mut head = vec![0; 2 << 20];
        for (slot, (kind, start, len)) in entries.iter().enumerate() {
            let at = 446 + 16 * slot;
            head[at + 4] = *kind;
            head[at + 8..at + 12].copy_from_slice(&start.to_le_bytes());
            head[at + 12..at + 16].copy_from_slice(&len.to_le_bytes());
        }
        head[510..512].copy_from_slice(&[0x55, 0xaa]);
        head
    }

    /// An ext2 superblock of so many blocks of 1 KiB at `at`.
    fn ext2(head: &mut [u8], at: usize, blocks: u32) {
        head[at + 1024 + 4..at + 1024 + 8].copy_from_slice(&blocks.to_le_bytes());
        head[at + 1024 + 56..at + 1024 + 58].copy_from_slice(&[0x53, 0xef]);
    }

    fn code(head: &[u8]) -> &'static str {
        by_head(head, 512).map_or_else(|unfit| unfit.kind.code(), |_| "ok")
    }

    #[test]
    fn a_disk_image_has_a_table_or_a_file_system() {
        let mut whole = vec![0; 2 << 20];
        ext2(&mut whole, 0, 2048);
        let mut stale = record(&[(0x83, 2048, 2048)]);
        ext2(&mut stale, 0, 9999);
        let tables: [(&str, Vec<u8>, &str); 9] = [
            ("one partition", record(&[(0x83, 2048, 2048)]), "ok"),
            ("a hybrid ISO's overlapping entries", record(&[(0, 0, 4096), (0xef, 100, 100)]), "ok"),
            ("a file system over all of it", whole, "ok"),
            ("a table over an old file system", stale, "ok"),
            ("nothing at all", Vec::new(), "R-CONTENT"),
            ("zeros", vec![0; 4096], "R-NOIMAGE"),
            ("an empty table", record(&[]), "R-NOIMAGE"),
            (
                "noise",
                (0..4096_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8 | 1).collect(),
                "R-NOIMAGE",
            ),
            ("a kernel", [b"MZ".to_vec(), record(&[])[2..].to_vec()].concat(), "R-NOIMAGE"),
        ];
        for (what, head, expected) in tables {
            assert_eq!(code(&head), expected, "{what}");
        }
        // The protective entry of a GPT, and nothing else of one.
        assert!(matches!(by_head(&record(&[(0xee, 1, 4095)]), 512), Ok(Shown::DamagedGpt(_))));
    }

    #[test]
    fn an_image_that_ends_before_its_partitions_is_cut() {
        let cut = |shown: &Shown, len_bytes| {
            all_there(shown, len_bytes).is_err_and(|unfit| unfit.kind == Refusal::CutImage)
        };
        let table = by_head(&record(&[(0x0c, 2048, 2048), (0x05, 4096, 4096)]), 512).unwrap();
        assert!(cut(&table, 4 * MIB - 1) && !cut(&table, 4 * MIB));
        let mut whole = vec![0; 4096];
        ext2(&mut whole, 0, 2048);
        let whole = by_head(&whole, 512).unwrap();
        assert!(cut(&whole, 2 * MIB - 1) && !cut(&whole, 2 * MIB));
        assert_eq!((least_bytes(&table), least_bytes(&whole)), (4 * MIB, 2 * MIB));
    }

    #[test]
    fn a_gpt_ends_with_its_second_copy() {
        for sector_len_bytes in [512, 4096] {
            let layout = partition::single_partition(
                &partition::Identity::fresh(Scheme::Gpt, [7; 32]),
                8 * MIB,
                sector_len_bytes,
            )
            .unwrap();
            let mut head = vec![0; 8 << 20];
            for patch in &layout.patches {
                head[patch.offset_bytes as usize..][..patch.bytes.len()].copy_from_slice(&patch.bytes);
            }
            let shown = by_head(&head[..1 << 20], sector_len_bytes).unwrap();
            assert!(all_there(&shown, 8 * MIB).is_ok());
            let unfit = all_there(&shown, 8 * MIB - 1).unwrap_err();
            assert!(unfit.what.contains("backup of its GPT ends at byte 8388608"), "{}", unfit.what);
            let other = if sector_len_bytes == 512 { 4096 } else { 512 };
            let unfit = by_head(&head[..1 << 20], other).unwrap_err();
            assert_eq!(unfit.kind, Refusal::SectorSize);
            assert!(unfit.what.contains(&format!("sectors of {sector_len_bytes} bytes")), "{}", unfit.what);
        }
    }

    #[test]
    fn a_file_system_that_leaves_its_partition_is_a_broken_copy() {
        let mut head = vec![0; 70_000];
        ext2(&mut head, 0, 1024);
        let found = replicator_hal::signature::by_head(&head);
        assert_eq!(inside(1, &(MIB..2 * MIB), found.as_ref()), Ok(None));
        let unfit = inside(1, &(MIB..2 * MIB - 512), found.as_ref()).unwrap_err();
        assert_eq!(unfit.kind, Refusal::CutImage);
        assert_eq!(inside(1, &(MIB..2 * MIB), None), Ok(None));
    }
}
