//! Lists of byte ranges: the difference of two, and the union of several.

use std::ops::Range;

/// `ranges` without the bytes in `holes`. Both are sorted and not overlapping.
pub(super) fn subtract(ranges: Vec<Range<u64>>, holes: &[Range<u64>]) -> Vec<Range<u64>> {
    let mut left = Vec::with_capacity(ranges.len());
    let mut next = 0;
    for range in ranges {
        while holes.get(next).is_some_and(|hole| hole.end <= range.start) {
            next += 1;
        }
        let mut start = range.start;
        for hole in holes[next..].iter().take_while(|hole| hole.start < range.end) {
            if start < hole.start {
                left.push(start..hole.start);
            }
            start = start.max(hole.end);
        }
        if start < range.end {
            left.push(start..range.end);
        }
    }
    left
}

/// The union of the lists, sorted and joined.
pub(super) fn union(lists: Vec<Vec<Range<u64>>>) -> Vec<Range<u64>> {
    let mut all: Vec<Range<u64>> = lists.into_iter().flatten().filter(|range| !range.is_empty()).collect();
    all.sort_by_key(|range| range.start);
    let mut joined: Vec<Range<u64>> = Vec::with_capacity(all.len());
    for range in all {
        match joined.last_mut() {
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            _ => joined.push(range),
        }
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sorted(lens: &[u64]) -> Vec<Range<u64>> {
        let mut at = 0;
        let pairs = lens.chunks_exact(2).map(|pair| {
            let range = at + pair[0]..at + pair[0] + pair[1];
            at = range.end;
            range
        });
        pairs.collect()
    }

    proptest! {
        #[test]
        fn the_difference_has_the_bytes_of_one_that_the_other_lacks(
            ranges in prop::collection::vec(1_u64..6, 0..12),
            holes in prop::collection::vec(1_u64..6, 0..12),
        ) {
            let (ranges, holes) = (sorted(&ranges), sorted(&holes));
            let has = |list: &[Range<u64>], byte: u64| list.iter().any(|range| range.contains(&byte));
            let left = subtract(ranges.clone(), &holes);
            let both = union(vec![ranges.clone(), holes.clone()]);
            for byte in 0..80 {
                prop_assert_eq!(has(&left, byte), has(&ranges, byte) && !has(&holes, byte));
                prop_assert_eq!(has(&both, byte), has(&ranges, byte) || has(&holes, byte));
            }
            prop_assert!(left.windows(2).all(|pair| pair[0].end <= pair[1].start));
            prop_assert!(both.windows(2).all(|pair| pair[0].end < pair[1].start));
        }
    }
}
