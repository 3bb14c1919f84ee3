//! Arithmetic on ranges of bytes, such as those that a file system proves unused.

use crate::formats::zeros;
use std::ops::Range;

/// Shorter extents of zeros are written as content: a hole costs more than it saves.
const HOLE_LEN_BYTES: u64 = 64 * 1024;

/// The part of `within` that no range of `used` covers. `used` is sorted and not overlapping.
pub(crate) fn complement(used: &[Range<u64>], within: Range<u64>) -> Vec<Range<u64>> {
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
pub(crate) fn clip(ranges: &[Range<u64>], within: Range<u64>) -> Vec<Range<u64>> {
    let first = ranges.partition_point(|range| range.end <= within.start);
    ranges[first..]
        .iter()
        .take_while(|range| range.start < within.end)
        .map(|range| range.start.max(within.start)..range.end.min(within.end))
        .collect()
}

/// Those of `ranges` that are long enough to be left out of a read: a gap of a few bytes costs more than it saves.
pub(crate) fn long(ranges: &[Range<u64>]) -> Vec<Range<u64>> {
    const LONG_BYTES: u64 = 4096;
    ranges.iter().filter(|range| range.end - range.start >= LONG_BYTES).cloned().collect()
}

/// `ranges` in order, and joined where they meet or overlap.
pub(crate) fn joined(mut ranges: Vec<Range<u64>>) -> Vec<Range<u64>> {
    ranges.sort_by_key(|range| range.start);
    let mut joined: Vec<Range<u64>> = Vec::new();
    for range in ranges {
        match joined.last_mut() {
            Some(last) if last.end >= range.start => last.end = last.end.max(range.end),
            _ => joined.push(range),
        }
    }
    joined
}

/// Fills the parts of `chunk`, which begins at `at`, that lie in `ranges` with zeros.
pub(crate) fn zero(chunk: &mut [u8], at: u64, ranges: &[Range<u64>]) {
    for part in clip(ranges, at..at + chunk.len() as u64) {
        chunk[(part.start - at) as usize..(part.end - at) as usize].fill(0);
    }
}

/// The same ranges, moved by `offset_bytes`.
pub(crate) fn shift(ranges: Vec<Range<u64>>, offset_bytes: u64) -> Vec<Range<u64>> {
    ranges.into_iter().map(|range| range.start + offset_bytes..range.end + offset_bytes).collect()
}

/// The extents of `chunk` that are not zero, in whole blocks of [`HOLE_LEN_BYTES`].
pub(crate) fn with_content(chunk: &[u8]) -> Vec<Range<usize>> {
    let parts = zeros::parts(chunk, 0, HOLE_LEN_BYTES);
    parts.into_iter().filter(|(_, is_zeros)| !is_zeros).map(|(part, _)| part).collect()
}

/// How many bytes `ranges`, which do not overlap, have together.
pub(crate) fn len_bytes(ranges: &[Range<u64>]) -> u64 {
    ranges.iter().map(|range| range.end - range.start).sum()
}

/// Appends `range`, which lies behind `ranges`. It continues the last of them if it begins at its end. `false`, and nothing
/// is appended, if there would be more than `count_max` ranges.
#[must_use]
pub(crate) fn append(ranges: &mut Vec<Range<u64>>, range: Range<u64>, count_max: usize) -> bool {
    let is_full = ranges.len() >= count_max;
    match ranges.last_mut() {
        Some(last) if last.end == range.start => last.end = range.end,
        _ if is_full => return false,
        _ => ranges.push(range),
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HOLE_LEN: usize = HOLE_LEN_BYTES as usize;

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
        let mut chunk = vec![0; 4 * HOLE_LEN + 10];
        assert_eq!(with_content(&chunk), []);
        chunk[HOLE_LEN] = 1;
        chunk[3 * HOLE_LEN - 1] = 1;
        chunk[4 * HOLE_LEN + 9] = 1;
        assert_eq!(with_content(&chunk), [HOLE_LEN..3 * HOLE_LEN, 4 * HOLE_LEN..4 * HOLE_LEN + 10]);
    }

    #[test]
    fn a_range_continues_the_last_one_or_is_a_new_one_up_to_the_limit() {
        let mut ranges = Vec::new();
        for (range, is_added) in [(2..4, true), (4..6, true), (8..9, true), (9..10, true), (12..13, false)] {
            assert_eq!(append(&mut ranges, range.clone(), 2), is_added, "{range:?}");
        }
        assert_eq!(ranges, [2..6, 8..10]);
        assert_eq!(len_bytes(&ranges), 6);
    }

    #[test]
    fn ranges_that_meet_or_overlap_are_joined() {
        assert_eq!(joined(vec![8..9, 2..4, 4..6, 3..5, 12..13]), [2..6, 8..9, 12..13]);
        assert_eq!(joined(vec![2..9, 3..4]), [2..9]);
        assert_eq!(joined(Vec::new()), []);
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
