//! Replaces times that the new file system cannot keep by the nearest possible ones, and reports it.
//!
//! The kernel does the same silently, and then the times that are read back differ from the archive although the medium
//! is good. Inodes of 256 bytes keep 34 bits of seconds in every flavour. Only the kernel's own driver for ext2, if it is
//! used instead of the one for ext4, keeps 32 bits; that is found when the times are read back.

use crate::printable;
use replicator_hal::{RelativePath, Timestamp};

/// 1901-12-13.
const FIRST: i64 = i32::MIN as i64;
/// 2446-05-10.
const LAST: i64 = FIRST + (1 << 34) - 1;

/// The nearest time that is kept. The first and the last second are kept without fractions, as in the kernel.
pub(super) fn nearest(time: Timestamp) -> Timestamp {
    match time.seconds {
        seconds if seconds <= FIRST => Timestamp { seconds: FIRST, nanos: 0 },
        seconds if seconds >= LAST => Timestamp { seconds: LAST, nanos: 0 },
        _ => time,
    }
}

/// Counts the times of an archive that are not kept.
#[derive(Debug, Default)]
pub(super) struct OutOfRange {
    count: u64,
    first: Option<RelativePath>,
}

impl OutOfRange {
    /// Checks one more time.
    pub(super) fn check(&mut self, path: &RelativePath, time: Timestamp) {
        if nearest(time) != time {
            self.count += 1;
            self.first.get_or_insert_with(|| path.clone());
        }
    }

    /// The note for the result.
    pub(super) fn note(&self) -> Option<String> {
        let first = self.first.as_ref()?;
        let shown = printable::line(&first.to_string()).into_owned();
        Some(format!(
            "file times that ext cannot keep (before 1901, after 2446) set to the nearest it can: {}, the first of /{shown}",
            self.count
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64, nanos: u32) -> Timestamp {
        Timestamp { seconds, nanos }
    }

    #[test]
    fn times_are_set_to_the_nearest_that_is_kept() {
        let year_2779 = 25_531_200_000;
        for (time, kept) in [
            (at(year_2779, 5), at(15_032_385_535, 0)),
            (at(15_032_385_535, 5), at(15_032_385_535, 0)),
            (at(15_032_385_534, 5), at(15_032_385_534, 5)),
            (at(4_000_000_000, 7), at(4_000_000_000, 7)),
            (at(-2_147_483_649, 999), at(-2_147_483_648, 0)),
            (at(-2_147_483_647, 999), at(-2_147_483_647, 999)),
            (at(i64::MIN, 0), at(-2_147_483_648, 0)),
        ] {
            assert_eq!(nearest(time), kept, "{time:?}");
        }
    }

    #[test]
    fn what_is_not_kept_is_counted_and_named() {
        let mut times = OutOfRange::default();
        times.check(&RelativePath::parse("a").unwrap(), at(0, 0));
        assert_eq!(times.note(), None);
        times.check(&RelativePath::parse("b/c").unwrap(), at(i64::MAX, 0));
        times.check(&RelativePath::parse("d").unwrap(), at(i64::MIN, 0));
        let note = times.note().unwrap();
        assert!(note.contains(": 2,") && note.ends_with("/b/c"), "{note}");
    }
}
