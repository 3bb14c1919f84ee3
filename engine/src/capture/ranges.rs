//! Arithmetic on ranges of bytes, such as those that a file system proves unused.

use std::ops::Range;

/// Shorter extents of zeros are written as content: a hole costs more than it saves.
const HOLE_LEN_BYTES: usize = 64 * 1024;

/// The part of `within` that no range of `used` covers. `used` is sorted and not overlapping.
pub(super) fn complement(used: &[Range<u64>], within: Range<u64>) -> Vec<Range<u64>> {
    let mut gaps = Vec::new();
    let mut at = within.start;
    let first = used.partition_point(|range| range.end <= within.start);
    for range in &used[first..] {
        if range.start >= within.end {
            break;
        }
        if range.start > at {
            gaps.push(at..range.start);
        }
        at = at.max(range.end);
    }
    if at < within.end {
        gaps.push(at..within.end);
    }
    gaps
}

/// The parts of `ranges` that lie within `within`. `ranges` is sorted and not overlapping.
pub(super) fn clip(ranges: &[Range<u64>], within: Range<u64>) -> Vec<Range<u64>> {
    let first = ranges.partition_point(|range| range.end <= within.start);
    ranges[first..]
        .iter()
        .take_while(|range| range.start < within.end)
        .map(|range| range.start.max(within.start)..range.end.min(within.end))
        .collect()
}

/// Those of `ranges` that are long enough to be left out of a read: a gap of a few bytes costs more than it saves.
pub(super) fn long(ranges: &[Range<u64>]) -> Vec<Range<u64>> {
    const LONG_BYTES: u64 = 4096;
    ranges.iter().filter(|range| range.end - range.start >= LONG_BYTES).cloned().collect()
}

/// Fills the parts of `chunk`, which begins at `at`, that lie in `ranges` with zeros.
pub(super) fn zero(chunk: &mut [u8], at: u64, ranges: &[Range<u64>]) {
    for part in clip(ranges, at..at + chunk.len() as u64) {
        chunk[(part.start - at) as usize..(part.end - at) as usize].fill(0);
    }
}

/// The same ranges, moved by `offset_bytes`.
pub(super) fn shift(ranges: Vec<Range<u64>>, offset_bytes: u64) -> Vec<Range<u64>> {
    ranges.into_iter().map(|range| range.start + offset_bytes..range.end + offset_bytes).collect()
}

/// The extents of `chunk` that are not zero, in whole blocks of [`HOLE_LEN_BYTES`].
pub(super) fn with_content(chunk: &[u8]) -> Vec<Range<usize>> {
    let mut found: Vec<Range<usize>> = Vec::new();
    for (index, block) in chunk.chunks(HOLE_LEN_BYTES).enumerate() {
        if block.iter().all(|byte| *byte == 0) {
            continue;
        }
        let start = index * HOLE_LEN_BYTES;
        match found.last_mut() {
            Some(last) if last.end == start => last.end = start + block.len(),
            _ => found.push(start..start + block.len()),
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn gaps_are_found_at_both_ends_and_between() {
        assert_eq!(complement(&[2..4, 6..8], 0..10), [0..2, 4..6, 8..10]);
        assert_eq!(complement(&[2..4, 6..8], 3..7), [4..6]);
        assert_eq!(complement(&[], 3..7), [3..7]);
        assert_eq!(complement(&[0..9], 3..7), []);
        assert_eq!(clip(&[2..4, 6..8], 3..7), [3..4, 6..7]);
    }

    #[test]
    fn only_blocks_with_content_are_written() {
        let mut chunk = vec![0; 4 * HOLE_LEN_BYTES + 10];
        assert_eq!(with_content(&chunk), []);
        chunk[HOLE_LEN_BYTES] = 1;
        chunk[3 * HOLE_LEN_BYTES - 1] = 1;
        chunk[4 * HOLE_LEN_BYTES + 9] = 1;
        assert_eq!(
            with_content(&chunk),
            [HOLE_LEN_BYTES..3 * HOLE_LEN_BYTES, 4 * HOLE_LEN_BYTES..4 * HOLE_LEN_BYTES + 10]
        );
    }

    proptest! {
        #[test]
        fn each_byte_is_used_or_in_a_gap(lens in prop::collection::vec(1_u64..5, 0..10), start in 0_u64..20, len in 0_u64..20) {
            let mut at = 0;
            let used: Vec<Range<u64>> = lens.chunks_exact(2).map(|pair| {
                let range = at + pair[0]..at + pair[0] + pair[1];
                at = range.end;
                range
            }).collect();
            let within = start..start + len;
            let (gaps, parts) = (complement(&used, within.clone()), clip(&used, within.clone()));
            for byte in 0..60 {
                let in_used = used.iter().any(|range| range.contains(&byte));
                prop_assert_eq!(gaps.iter().any(|gap| gap.contains(&byte)), within.contains(&byte) && !in_used);
                prop_assert_eq!(parts.iter().any(|part| part.contains(&byte)), within.contains(&byte) && in_used);
            }
        }
    }
}
