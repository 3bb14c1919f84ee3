//! How exactly a file system keeps the times of files.

use replicator_hal::{RelativePath, Timestamp};

/// The last second that the kernel's own driver for ext2 keeps: 2038-01-19.
const LAST_OF_32_BITS: i64 = i32::MAX as i64;

/// Whether the driver for ext2 stores the time `written` as `found`.
fn is_end_of_32_bits(written: Timestamp, found: Timestamp) -> bool {
    written.seconds >= LAST_OF_32_BITS && found == Timestamp { seconds: LAST_OF_32_BITS, nanos: 0 }
}

/// How exactly a file system kept the times of files. Some keep whole seconds only: that is reported, but is not an error
/// if it is so for all files.
#[derive(Debug, Default)]
pub(crate) struct Times {
    exact: bool,
    cut_off: Option<RelativePath>,
    /// Whether the file system may end with 32 bits of seconds, and whether it did.
    is_ext2: bool,
    ends_in_2038: bool,
}

impl Times {
    /// Of no file yet; `is_ext2` if the file system may end with 32 bits of seconds.
    pub(super) fn new(is_ext2: bool) -> Self {
        Self { is_ext2, ..Self::default() }
    }

    /// Whether fractions of seconds were lost.
    pub(crate) fn in_whole_seconds(&self) -> bool {
        self.cut_off.is_some()
    }

    /// Whether times after 2038 were set to the last second of 32 bits.
    pub(crate) fn end_in_2038(&self) -> bool {
        self.ends_in_2038
    }

    /// Whether the time `expected` of a file may be read back as `found`.
    pub(super) fn accepts(&mut self, path: &RelativePath, expected: Timestamp, found: Timestamp) -> bool {
        if found == expected {
            self.exact |= expected.nanos != 0;
            return true;
        }
        if self.is_ext2 && is_end_of_32_bits(expected, found) {
            self.ends_in_2038 = true;
            return true;
        }
        let cut_off = found.seconds == expected.seconds && found.nanos == 0;
        if cut_off && self.cut_off.is_none() {
            self.cut_off = Some(path.clone());
        }
        cut_off
    }

    /// What another reader of the same file system found, too.
    pub(super) fn and(mut self, other: Self) -> Self {
        self.exact |= other.exact;
        self.ends_in_2038 |= other.ends_in_2038;
        self.cut_off = self.cut_off.into_iter().chain(other.cut_off).min();
        self
    }

    /// The path whose time was cut off although others were kept.
    pub(super) fn inexact_path(&self) -> Option<&RelativePath> {
        self.cut_off.as_ref().filter(|_| self.exact)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepted(pairs: &[(Timestamp, Timestamp)]) -> (bool, Times) {
        let mut times = Times::default();
        let path = RelativePath::parse("a").unwrap();
        let all = pairs.iter().all(|(expected, found)| times.accepts(&path, *expected, *found));
        (all && times.inexact_path().is_none(), times)
    }

    fn at(seconds: i64, nanos: u32) -> Timestamp {
        Timestamp { seconds, nanos }
    }

    #[test]
    fn times_may_be_cut_off_to_the_second_if_all_of_them_are() {
        let (exact, cut) = ((at(7, 5), at(7, 5)), (at(8, 5), at(8, 0)));
        let whole = (at(9, 0), at(9, 0));
        for (pairs, agree, in_whole_seconds) in [
            (&[exact, whole][..], true, false),
            (&[cut, whole, (at(-3, 9), at(-3, 0))], true, true),
            (&[exact, cut], false, true),
            (&[cut, exact], false, true),
            (&[(at(7, 5), at(7, 4))], false, false),
            (&[(at(7, 5), at(8, 0))], false, false),
            (&[(at(7, 0), at(7, 5))], false, false),
        ] {
            let (all, times) = accepted(pairs);
            assert_eq!((all, times.in_whole_seconds()), (agree, in_whole_seconds), "{pairs:?}");
        }
    }
}
