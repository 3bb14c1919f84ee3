//! The content of a disk image, and what a medium that was written from it must hold.
//!
//! Written from the UEFI specification and the manual, separately from the engine's own reader. The second copy of a
//! GPT is at the end of its medium: so the headers, the second copy and the protective entry of the boot record may
//! differ from the image, in one way only. The part that does not fit on a smaller medium must be zeros, or metadata
//! of the image's builder.

use super::decode::without_metadata;
use crate::model::bytes::pages::Pages;
use flate2::Crc;
use std::borrow::Cow;
use std::ops::Range;

const SECTOR: usize = 512;

/// The content of an image according to its first bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shown {
    /// Neither a table with a partition nor a file system.
    Nothing,
    /// A table; the end of its partitions.
    Mbr {
        /// In bytes.
        end_bytes: u64,
    },
    /// A GPT.
    Gpt {
        /// The end of its partitions.
        end_bytes: u64,
        /// Sectors of its second copy, the header last.
        copy: Range<u64>,
    },
}

fn u32_at(bytes: &[u8], at: usize) -> u64 {
    bytes
        .get(at..at + 4)
        .map_or(0, |found| u64::from(u32::from_le_bytes([found[0], found[1], found[2], found[3]])))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u32_at(bytes, at) | u32_at(bytes, at + 4) << 32
}

fn sector(bytes: &[u8], number: u64) -> &[u8] {
    let start = usize::try_from(number).unwrap_or(usize::MAX).saturating_mul(SECTOR);
    bytes.get(start..start.saturating_add(SECTOR)).unwrap_or(&[0; SECTOR])
}

fn entry(boot_record: &[u8], slot: usize) -> &[u8] {
    &boot_record[446 + 16 * slot..462 + 16 * slot]
}

fn announces_gpt(boot_record: &[u8]) -> bool {
    (0..4).any(|slot| entry(boot_record, slot)[4] == 0xee)
}

/// The content of an image.
pub fn shown(plain: &[u8]) -> Shown {
    let boot_record = sector(plain, 0);
    if boot_record[510..] != [0x55, 0xaa] {
        return Shown::Nothing;
    }
    let header = sector(plain, 1);
    if announces_gpt(boot_record) && header.starts_with(b"EFI PART") {
        let entries = entries(plain, header);
        let used = entries.chunks(128).filter(|entry| entry[..16] != [0; 16]);
        let Some(last) = used.map(|entry| u64_at(entry, 40)).max() else { return Shown::Nothing };
        let (other, sectors) = (u64_at(header, 32), (entries.len() / SECTOR) as u64);
        return Shown::Gpt { end_bytes: (last + 1) * 512, copy: other.saturating_sub(sectors)..other + 1 };
    }
    let used: Vec<&[u8]> =
        (0..4).map(|slot| entry(boot_record, slot)).filter(|entry| u32_at(entry, 12) > 0).collect();
    let ends = used.iter().map(|entry| u32_at(entry, 8) + u32_at(entry, 12));
    let logical = used.iter().filter(|entry| is_extended(entry)).map(|entry| logical_end(plain, entry));
    match ends.chain(logical).max() {
        Some(end) if !announces_gpt(boot_record) => Shown::Mbr { end_bytes: end * 512 },
        _ => Shown::Nothing,
    }
}

fn is_extended(entry: &[u8]) -> bool {
    matches!(entry[4], 0x05 | 0x0f | 0x85)
}

/// The end sector of the last logical partition in the chain of an extended one.
fn logical_end(plain: &[u8], extended: &[u8]) -> u64 {
    let first = u32_at(extended, 8);
    let (mut at, mut end) = (first, 0);
    // More partitions than any kernel has names for.
    for _ in 0..256 {
        let record = sector(plain, at);
        if record[510..] != [0x55, 0xaa] {
            break;
        }
        let (partition, next) = (entry(record, 0), entry(record, 1));
        if u32_at(partition, 12) > 0 {
            end = end.max(at + u32_at(partition, 8) + u32_at(partition, 12));
        }
        if u32_at(next, 12) == 0 {
            break;
        }
        at = first + u32_at(next, 8);
    }
    end
}

/// The entries of a header at either end; only the usual layout is accepted.
fn entries<'a>(bytes: &'a [u8], header: &[u8]) -> &'a [u8] {
    let start = usize::try_from(u64_at(header, 72)).unwrap_or(usize::MAX).saturating_mul(SECTOR);
    bytes.get(start..start.saturating_add(128 * 128)).unwrap_or(&[])
}

/// What is missing if an image ends before its content does.
pub fn missing(plain: &[u8]) -> Option<String> {
    let needed = match shown(plain) {
        Shown::Nothing => return None,
        Shown::Mbr { end_bytes } => end_bytes,
        Shown::Gpt { end_bytes, copy } => end_bytes.max(copy.end * 512),
    };
    let len_bytes = plain.len() as u64;
    (needed > len_bytes)
        .then(|| format!("it has {len_bytes} bytes, but its partition table reaches to {needed}"))
}

/// Whether `medium` holds the image `plain`. Where the image has a zero, another byte is right if the medium `may_differ`.
///
/// # Errors
/// How it differs.
pub fn holds(medium: &Pages, plain: &[u8], may_differ: &dyn Fn(u64) -> bool) -> Result<(), String> {
    let len_bytes = usize::try_from(medium.len_bytes()).map_err(|error| error.to_string())?;
    let found = medium.bytes(0, len_bytes);
    let mut wanted = Cow::Borrowed(plain);
    let ignored = match shown(plain) {
        Shown::Gpt { copy, .. }
            if copy.end * 512 <= plain.len() as u64 && copy.end * 512 != medium.len_bytes() =>
        {
            moved(wanted.to_mut(), &found, &copy)?;
            copy.start as usize * SECTOR..copy.end as usize * SECTOR
        }
        _ => 0..0,
    };
    let left_out =
        (len_bytes..without_metadata(plain).len()).find(|at| plain[*at] != 0 && !ignored.contains(at));
    if let Some(at) = left_out {
        return Err(format!("the image is larger than the medium, and its byte {at} is not zero"));
    }
    let len = found.len().min(wanted.len());
    if found[..len] == wanted[..len] {
        // Faster than byte by byte.
        return Ok(());
    }
    let mut pairs = found.iter().zip(wanted.iter()).enumerate();
    let differs =
        pairs.find(|(at, (found, wanted))| found != wanted && !(**wanted == 0 && may_differ(*at as u64)));
    match differs.map(|(at, _)| at) {
        None => Ok(()),
        Some(at) => {
            let start = at / SECTOR * SECTOR;
            let text = |bytes: &[u8]| {
                String::from_utf8_lossy(&bytes[start..(start + 40).min(bytes.len())]).into_owned()
            };
            Err(format!("byte {at} differs: found {:?}, the image has {:?}", text(&found), text(&wanted)))
        }
    }
}

/// Changes the expected bytes to a GPT for the medium, after checking that `found` has both copies.
fn moved(wanted: &mut [u8], found: &[u8], copy: &Range<u64>) -> Result<(), String> {
    if ((found.len() / SECTOR) as u64) < 2 * (copy.end - copy.start) {
        return Err("the medium has no room for a GPT".into());
    }
    let sectors = (found.len() / SECTOR) as u64;
    let (last, table_len) = (sectors - 1, copy.end - copy.start - 1);
    let table = entries(wanted, sector(wanted, 1)).to_vec();
    let front = sector(wanted, 1).to_vec();
    let header = |own: u64, other: u64, table_sector: u64| {
        let mut header = front.clone();
        for (at, value) in [(24, own), (32, other), (48, last - table_len - 1), (72, table_sector)] {
            header[at..at + 8].copy_from_slice(&value.to_le_bytes());
        }
        let covered = u32_at(&header, 12) as usize;
        header[16..20].fill(0);
        let mut crc = Crc::new();
        crc.update(header.get(..covered).unwrap_or_default());
        header[16..20].copy_from_slice(&crc.sum().to_le_bytes());
        header
    };
    let end = [table.clone(), header(last, 1, last - table_len)].concat();
    let end_start = found.len() - end.len();
    if found[end_start..] != end {
        return Err("the second copy of the GPT is not at the end of the medium".into());
    }
    let front = header(1, last, u64_at(&front, 72));
    wanted[SECTOR..2 * SECTOR].copy_from_slice(&front);
    // The old second copy is gone, and the new one may be in its place or behind the image's end.
    let old = copy.start as usize * SECTOR..wanted.len().min(copy.end as usize * SECTOR);
    wanted[old].fill(0);
    if wanted.len() > end_start {
        let overlap = (wanted.len() - end_start).min(end.len());
        wanted[end_start..end_start + overlap].copy_from_slice(&end[..overlap]);
    }
    let protective = (0..4).filter(|slot| entry(sector(wanted, 0), *slot)[4] != 0).collect::<Vec<_>>();
    if let [slot] = protective[..] {
        let len = u32::try_from(last).unwrap_or(u32::MAX);
        wanted[446 + 16 * slot + 12..][..4].copy_from_slice(&len.to_le_bytes());
        // The CHS fields of its ends are not used by any reader.
        for at in [1, 2, 3, 5, 6, 7] {
            wanted[446 + 16 * slot + at] = found[446 + 16 * slot + at];
        }
    }
    Ok(())
}
