//! When written data is sent from the page cache to a medium.
//!
//! A board with little memory would otherwise collect minutes of writes and then block in one call, and progress would not
//! mean bytes on the medium. A flash card writes whole erase groups faster than parts, so a part at the end of a window
//! waits for the rest of its group.

use std::ops::Range;

/// Write-back of each window of this length is started when it is full, and waited for one window later. So two windows, and
/// the part of an erase group, are not written at most.
pub(super) const WINDOW_LEN_BYTES: u64 = 16 << 20;

/// The windows of one medium.
#[derive(Debug)]
pub(super) struct WriteBack {
    /// The length of an erase group; 1 if it is not known or longer than a window.
    unit_bytes: u64,
    /// The range written since the last window ended.
    window: Range<u64>,
    window_written_bytes: u64,
    /// The previous window, whose write-back is in progress.
    under_way: Option<Range<u64>>,
}

/// What to do with a full window.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Full {
    /// The range whose write-back is started.
    pub(super) start: Range<u64>,
    /// The range that is waited for.
    pub(super) wait: Option<Range<u64>>,
}

impl WriteBack {
    /// Nothing was written yet to a medium with this length of an erase group.
    pub(super) fn new(erase_group_bytes: Option<u64>) -> Self {
        let unit_bytes = erase_group_bytes.filter(|unit| (1..=WINDOW_LEN_BYTES).contains(unit)).unwrap_or(1);
        Self { unit_bytes, window: 0..0, window_written_bytes: 0, under_way: None }
    }

    /// Records a write.
    pub(super) fn wrote(&mut self, offset_bytes: u64, len_bytes: u64) -> Option<Full> {
        let end = offset_bytes + len_bytes;
        self.window = if self.window_written_bytes == 0 {
            offset_bytes..end
        } else {
            self.window.start.min(offset_bytes)..self.window.end.max(end)
        };
        self.window_written_bytes += len_bytes;
        if self.window_written_bytes < WINDOW_LEN_BYTES {
            return None;
        }
        let window = self.window.clone();
        let group_start = window.end - window.end % self.unit_bytes;
        let split = if group_start > window.start { group_start } else { window.end };
        self.window = split..window.end;
        self.window_written_bytes = window.end - split;
        let start = window.start..split;
        let wait = self.under_way.replace(start.clone());
        Some(Full { start, wait })
    }

    /// All was written.
    pub(super) fn synced(&mut self) {
        self.window_written_bytes = 0;
        self.under_way = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    /// What happens during `count` writes of 1 MiB from `start_mib`, in MiB.
    fn full(write_back: &mut WriteBack, start_mib: u64, count: u64) -> Vec<(Range<u64>, Option<Range<u64>>)> {
        let mib = |range: Range<u64>| range.start / MIB..range.end / MIB;
        (start_mib..start_mib + count)
            .filter_map(|at| write_back.wrote(at * MIB, MIB))
            .map(|full| (mib(full.start), full.wait.map(mib)))
            .collect()
    }

    #[test]
    fn a_full_window_is_written_back_and_waited_for_one_window_later() {
        let mut write_back = WriteBack::new(None);
        assert_eq!(
            full(&mut write_back, 1, 48),
            [(1..17, None), (17..33, Some(1..17)), (33..49, Some(17..33))]
        );
        write_back.synced();
        assert_eq!(full(&mut write_back, 100, 16), [(100..116, None)]);
    }

    #[test]
    fn windows_end_with_whole_erase_groups() {
        let mut write_back = WriteBack::new(Some(4 * MIB));
        assert_eq!(
            full(&mut write_back, 1, 48),
            [(1..16, None), (16..32, Some(1..16)), (32..48, Some(16..32))]
        );
        // Of three MiB: any length is possible on a card.
        let mut write_back = WriteBack::new(Some(3 * MIB));
        assert_eq!(full(&mut write_back, 0, 32), [(0..15, None), (15..30, Some(0..15))]);
        // Longer than a window: no limit of unwritten data would be kept.
        let mut write_back = WriteBack::new(Some(64 * MIB));
        assert_eq!(full(&mut write_back, 1, 16), [(1..17, None)]);
    }

    #[test]
    fn a_window_of_scattered_writes_covers_all_of_them() {
        let mut write_back = WriteBack::new(Some(4 * MIB));
        assert!(full(&mut write_back, 100, 8).is_empty());
        assert_eq!(full(&mut write_back, 0, 8), [(0..108, None)]);
        // A window within one group is written back as it is.
        let mut write_back = WriteBack::new(Some(16 * MIB));
        let mut ended = Vec::new();
        for _ in 0..16 {
            ended.extend(write_back.wrote(0, MIB));
        }
        assert_eq!(ended, [Full { start: 0..MIB, wait: None }]);
    }
}
