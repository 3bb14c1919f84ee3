//! Converts edges of GPIO lines to LED patterns, and compares them with the table of the HAL.

use super::qtest::Edge;
use replicator_hal::{Led, Status, level};
use std::time::{Duration, Instant};

/// A common multiple of the periods of all patterns. The edges of the table are at whole milliseconds.
const TABLE: Duration = Duration::from_secs(12);
/// A typical phase may be longer or shorter than in the table by this factor, because the emulated board runs on a busy
/// machine. Phases of different patterns differ by a factor of four.
const TOLERANCE: f64 = 1.7;
/// Complete phases of each level that are needed to recognise a pattern.
const PHASES_MIN: usize = 2;

/// The GPIO lines of the LEDs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wiring {
    pub(crate) red: u32,
    pub(crate) green: u32,
}

/// The levels of one LED in an interval: complete phases of on and off, or one constant level.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Wave {
    /// The level at the beginning.
    pub(crate) first: bool,
    /// Lengths of the complete phases, in milliseconds.
    pub(crate) lit_ms: Vec<u64>,
    pub(crate) dark_ms: Vec<u64>,
    /// Number of changes.
    pub(crate) changes: usize,
}

impl Wave {
    /// The wave of a line between two moments.
    pub(crate) fn of(edges: &[Edge], line: u32, from: Instant, until: Instant) -> Self {
        let mine = || edges.iter().filter(|edge| edge.line == line);
        let first = mine().take_while(|edge| edge.at < from).last().is_some_and(|edge| edge.high);
        let within: Vec<&Edge> = mine().filter(|edge| edge.at >= from && edge.at < until).collect();
        let mut wave = Self { first, lit_ms: vec![], dark_ms: vec![], changes: within.len() };
        for pair in within.windows(2) {
            let phase = if pair[0].high { &mut wave.lit_ms } else { &mut wave.dark_ms };
            phase.push((pair[1].at - pair[0].at).as_millis() as u64);
        }
        wave
    }

    /// The wave of the table.
    fn of_table(status: Status, led: Led) -> Self {
        let at = |ms: u64| level(status, led, Duration::from_millis(ms));
        let start = Instant::now();
        let changes = (1..TABLE.as_millis() as u64).filter(|ms| at(*ms) != at(ms - 1));
        let mut edges: Vec<Edge> =
            changes.map(|ms| Edge { at: start + Duration::from_millis(ms), line: 0, high: at(ms) }).collect();
        edges.insert(0, Edge { at: start, line: 0, high: at(0) });
        Self::of(&edges, 0, start + Duration::from_nanos(1), start + TABLE)
    }

    fn looks_like(&self, table: &Self) -> bool {
        if table.changes == 0 {
            return self.changes == 0 && self.first == table.first;
        }
        let typical = |have: &[u64], want: &[u64]| {
            let (have_ms, want_ms) = (median(have) as f64, median(want) as f64);
            have.len() >= PHASES_MIN && have_ms < want_ms * TOLERANCE && want_ms < have_ms * TOLERANCE
        };
        typical(&self.lit_ms, &table.lit_ms) && typical(&self.dark_ms, &table.dark_ms)
    }
}

fn median(values: &[u64]) -> u64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    sorted.get(sorted.len() / 2).copied().unwrap_or(0)
}

/// Both LEDs in an interval.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Pattern {
    pub(crate) red: Wave,
    pub(crate) green: Wave,
}

impl Pattern {
    /// The pattern of both lines between two moments.
    pub(crate) fn of(edges: &[Edge], wiring: Wiring, from: Instant, until: Instant) -> Self {
        let wave = |line| Wave::of(edges, line, from, until);
        Self { red: wave(wiring.red), green: wave(wiring.green) }
    }

    /// The status that it shows; `None` if the pattern is not in the table.
    pub(crate) fn status(&self) -> Option<Status> {
        let all = [Status::Running, Status::Success, Status::Failure, Status::Critical];
        all.into_iter().find(|status| {
            let fits = |wave: &Wave, led| wave.looks_like(&Wave::of_table(*status, led));
            fits(&self.red, Led::Red) && fits(&self.green, Led::Green)
        })
    }
}

impl std::fmt::Display for Pattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let wave = |wave: &Wave| match wave.changes {
            0 => if wave.first { "on" } else { "off" }.to_owned(),
            changes => {
                let (lit_ms, dark_ms) = (median(&wave.lit_ms), median(&wave.dark_ms));
                format!("{lit_ms} ms on, {dark_ms} ms off ({changes} edges)")
            }
        };
        write!(f, "red {}; green {}", wave(&self.red), wave(&self.green))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The edges of the table, with all times multiplied by `stretch`.
    fn edges(status: Status, start: Instant, stretch: f64) -> Vec<Edge> {
        let mut edges = Vec::new();
        for (line, led) in [(0, Led::Red), (1, Led::Green)] {
            let at = |ms: u64| level(status, led, Duration::from_millis(ms));
            let mut high = false;
            for ms in (0..9000).filter(|ms| at(*ms) || *ms > 0) {
                if at(ms) != high {
                    high = at(ms);
                    edges.push(Edge { at: start + Duration::from_millis(ms).mul_f64(stretch), line, high });
                }
            }
        }
        edges.sort_by_key(|edge| edge.at);
        edges
    }

    fn decoded(edges: &[Edge], start: Instant) -> Option<Status> {
        let from = start + Duration::from_millis(1);
        Pattern::of(edges, Wiring { red: 0, green: 1 }, from, start + Duration::from_secs(9)).status()
    }

    #[test]
    fn every_status_is_recognised_also_if_early_or_late() {
        let start = Instant::now();
        for status in [Status::Running, Status::Success, Status::Failure, Status::Critical] {
            for stretch in [0.9, 1.0, 1.3] {
                let edges = edges(status, start, stretch);
                assert_eq!(decoded(&edges, start), Some(status), "{status} {stretch}");
            }
        }
    }

    #[test]
    fn a_pattern_that_is_not_in_the_table_is_no_status() {
        let start = Instant::now();
        assert_eq!(decoded(&[], start), None);
        let mut swapped = edges(Status::Success, start, 1.0);
        swapped.iter_mut().for_each(|edge| edge.line = 1 - edge.line);
        assert_eq!(decoded(&swapped, start), Some(Status::Failure));
        let slow = edges(Status::Failure, start, 2.0);
        assert_eq!(decoded(&slow, start), None);
        let mut both = edges(Status::Success, start, 1.0);
        both.extend(edges(Status::Failure, start, 1.0));
        both.sort_by_key(|edge| edge.at);
        assert_eq!(decoded(&both, start), None);
    }
}
