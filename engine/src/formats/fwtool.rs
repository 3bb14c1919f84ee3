//! Finds the metadata and signature that OpenWrt appends to its images with `fwtool`, behind the compressed data.
//!
//! The format, from the end of the file: blocks, each of which ends with 16 bytes: `FWx0`, a checksum, a type, and the
//! length of the whole block, big endian. The first block begins with a header of 8 bytes, zeros so far, before metadata
//! in JSON. This module only finds where such blocks may begin. The decoder of the image checks that its data is complete
//! and ends there.

use super::ReadAt;
use std::io;

const MAGIC: &[u8; 4] = b"FWx0";
/// Magic, checksum, type with its padding, length.
const TRAILER_LEN: usize = 16;
/// A header, and the start of JSON.
const METADATA_START: &[u8; 9] = b"\0\0\0\0\0\0\0\0{";
/// The start of a gzip member or a bzip2 stream.
const MORE_DATA: [&[u8]; 2] = [b"\x1f\x8b\x08", b"BZh"];
/// Metadata and signatures take a few hundred bytes, certificates a few thousand.
const LEN_MAX: u64 = 64 << 10;

/// The offsets at which the blocks at the end of the file may begin; none if the file does not end with a block.
///
/// # Errors
/// Those of the input.
pub(super) fn starts(input: &mut dyn ReadAt) -> io::Result<Vec<u64>> {
    let len_bytes = input.len_bytes();
    let mut end = [0; TRAILER_LEN];
    let Some(end_at) = len_bytes.checked_sub(TRAILER_LEN as u64) else { return Ok(Vec::new()) };
    input.read_exact_at(end_at, &mut end)?;
    if block_len(&end).is_none() {
        return Ok(Vec::new());
    }
    let window_start = len_bytes.saturating_sub(LEN_MAX);
    let mut window = vec![0; usize::try_from(len_bytes - window_start).map_err(io::Error::other)?];
    input.read_exact_at(window_start, &mut window)?;
    Ok(starts_in(&window).into_iter().map(|at| window_start + at as u64).collect())
}

/// The same in the last bytes of a file, in order.
fn starts_in(window: &[u8]) -> Vec<usize> {
    let mut starts = Vec::new();
    let mut at = window.len();
    while let Some(len) = block_len(&window[..at]).filter(|len| *len <= at) {
        at -= len;
        starts.push(at);
    }
    // Some releases stored another length for the first block.
    let metadata =
        window.windows(METADATA_START.len()).enumerate().filter(|(_, bytes)| bytes == METADATA_START);
    starts.extend(metadata.map(|(at, _)| at));
    // Another member or stream of data is never ignored.
    let has = |bytes: &[u8], magic: &[u8]| bytes.windows(magic.len()).any(|found| found == magic);
    starts.retain(|at| !MORE_DATA.iter().any(|magic| has(&window[*at..], magic)));
    starts.sort_unstable();
    starts
}

/// The stored length of the block at the end of `bytes`.
fn block_len(bytes: &[u8]) -> Option<usize> {
    let trailer = bytes.last_chunk::<TRAILER_LEN>()?;
    let padding = &trailer[9..12];
    if &trailer[..4] != MAGIC || padding != [0; 3] {
        return None;
    }
    let len = u32::from_be_bytes([trailer[12], trailer[13], trailer[14], trailer[15]]);
    usize::try_from(len).ok().filter(|len| *len >= TRAILER_LEN)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(data: &[u8], kind: u8) -> Vec<u8> {
        let len = (data.len() + TRAILER_LEN) as u32;
        [data, MAGIC, &[1, 2, 3, 4, kind, 0, 0, 0], &len.to_be_bytes()].concat()
    }

    #[test]
    fn blocks_are_found_from_the_end() {
        let metadata = block(b"\0\0\0\0\0\0\0\0{ \"metadata_version\": \"1.1\" }\n", 1);
        let signature = block(b"untrusted comment: x\n", 0);
        let image = vec![0x55; 100_000];
        let file = [&image[..], &metadata, &signature].concat();
        let found = starts(&mut &file[..]).unwrap();
        assert!(found.contains(&100_000) && found.contains(&(100_000 + metadata.len() as u64)), "{found:?}");
        for other in [&image[..], &file[..file.len() - 1], &[&file[..], b"x"].concat(), b"FWx0", b""] {
            assert_eq!(starts(&mut &*other).unwrap(), Vec::<u64>::new());
        }
        // A length beyond the start of the file, and one that is too short.
        for len in [u32::MAX, 0, 15] {
            let end = [b"x", &MAGIC[..], &[0; 8], &len.to_be_bytes()].concat();
            assert_eq!(starts(&mut &end[..]).unwrap(), Vec::<u64>::new(), "{len}");
        }
    }
}
