//! Estimates how much of a medium is not zero, so that a capture that cannot fit on the drive is refused at once, and not
//! after an hour of copying.
//!
//! Zeros become holes of the working image, and block maps do not show which used blocks hold zeros (swap files, journals,
//! files that were allocated in advance). So samples are read.

use crate::formats::ReadAt;
use crate::ranges;
use std::io;
use std::ops::Range;

/// How many chunks are read at most.
const SAMPLES: u64 = 64;

/// How many bytes of the `used` ranges of `medium` hold content; less than the estimate if only samples were read, so that
/// what may fit is not refused. Reads up to 64 chunks.
pub(super) fn least_content_bytes(
    medium: &mut dyn ReadAt,
    used: &[Range<u64>],
    chunk_len_bytes: usize,
) -> io::Result<u64> {
    let total_bytes = ranges::len_bytes(used);
    let chunk = (chunk_len_bytes as u64).max(1);
    let samples = total_bytes.div_ceil(chunk).min(SAMPLES);
    let mut buffer = vec![0; chunk_len_bytes.max(1)];
    let (mut seen_bytes, mut content_bytes) = (0, 0);
    for number in 0..samples {
        // Evenly spread over the used ranges, or all of them, chunk by chunk.
        let is_all = samples < SAMPLES;
        let from = if is_all { number * chunk } else { mul_div(total_bytes, number, samples) };
        for part in part_of(used, from..(from + chunk).min(total_bytes)) {
            let piece = &mut buffer[..(part.end - part.start) as usize];
            medium.read_exact_at(part.start, piece)?;
            seen_bytes += piece.len() as u64;
            content_bytes += ranges::with_content(piece).iter().map(|range| range.len() as u64).sum::<u64>();
        }
    }
    if seen_bytes >= total_bytes {
        return Ok(content_bytes);
    }
    Ok(mul_div(total_bytes, content_bytes, seen_bytes) / 4 * 3)
}

/// `value * times / parts` without overflow; 0 if there are no parts.
fn mul_div(value: u64, times: u64, parts: u64) -> u64 {
    let result = u128::from(value) * u128::from(times) / u128::from(parts.max(1));
    u64::try_from(result).unwrap_or(u64::MAX)
}

/// The ranges of the medium that hold these bytes of all `used` bytes.
fn part_of(used: &[Range<u64>], wanted: Range<u64>) -> Vec<Range<u64>> {
    let mut before = 0;
    let mut parts = Vec::new();
    for range in used {
        let len = range.end - range.start;
        let (start, end) = (wanted.start.max(before), wanted.end.min(before + len));
        if start < end {
            parts.push(range.start + (start - before)..range.start + (end - before));
        }
        before += len;
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHUNK: usize = 64 * 1024;

    /// A medium of 4 chunks for each of these; of each, the first has content if true.
    fn medium(groups: &[bool]) -> Vec<u8> {
        let mut bytes = vec![0; groups.len() * 4 * CHUNK];
        for (number, _) in groups.iter().enumerate().filter(|(_, has_content)| **has_content) {
            bytes[number * 4 * CHUNK..][..CHUNK].fill(1);
        }
        bytes
    }

    #[test]
    fn a_small_medium_is_read_whole() {
        let bytes = medium(&[true, false, true]);
        let all = 0..bytes.len() as u64;
        let of = |used: &[Range<u64>]| least_content_bytes(&mut bytes.as_slice(), used, CHUNK).unwrap();
        assert_eq!(of(std::slice::from_ref(&all)), 2 * CHUNK as u64);
        assert_eq!(of(&[0..CHUNK as u64, 5 * CHUNK as u64..7 * CHUNK as u64]), CHUNK as u64);
        assert_eq!(of(&[]), 0);
    }

    #[test]
    fn of_a_large_medium_samples_are_read_and_the_result_is_below_the_truth() {
        let bytes = vec![1; 1000 * CHUNK];
        let used = [0..500 * CHUNK as u64, 600 * CHUNK as u64..1000 * CHUNK as u64];
        let found = least_content_bytes(&mut bytes.as_slice(), &used, CHUNK).unwrap();
        assert_eq!(found, 675 * CHUNK as u64);
        let zeros = vec![0; 1000 * CHUNK];
        assert_eq!(least_content_bytes(&mut zeros.as_slice(), &used, CHUNK).unwrap(), 0);
    }

    #[test]
    fn a_medium_that_cannot_be_read_is_an_error() {
        struct Broken;
        impl ReadAt for Broken {
            fn len_bytes(&self) -> u64 {
                1 << 20
            }

            fn read_at(&mut self, _offset_bytes: u64, _buffer: &mut [u8]) -> io::Result<usize> {
                Err(io::Error::other("broken"))
            }
        }
        least_content_bytes(&mut Broken, &[0..1 << 20], CHUNK).unwrap_err();
    }
}
