//! An operation on a medium: its log, its progress, its retries.
//!
//! Every step of a capture or a write has an [`Operation`]. It decides where log lines go, when the progress lease is
//! renewed, and how often a call is retried after a transient error.

use crate::error::{Error, Result};
use crate::lease::Leases;
use crate::printable;
use crate::tuning::Tuning;
use replicator_hal::{self as hal, Board, Compute, ErrorKind};
use std::time::Duration;

/// With `threads` in the settings, digests get workers of their own only if the codec keeps this many.
const CODEC_WORKERS_BESIDE_DIGESTS: usize = 2;

/// Where an operation computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Computing {
    /// The workers of its codec.
    pub codec: Compute,
    /// The worker of each digest.
    pub digests: Compute,
}

impl Computing {
    /// In the task of the caller.
    const INLINE: Self = Self { codec: Compute::Inline, digests: Compute::Inline };
}

/// One operation on one medium.
pub(crate) struct Operation<'a> {
    /// The board.
    pub board: &'a Board,
    /// Sizes and times.
    pub tuning: &'a Tuning,
    /// Name of the log, such as `sd-capture`.
    log_name: String,
    /// How console lines begin, such as `sd`.
    label: String,
    /// The leases of the operations that run beside this one, and this one's number there.
    shared: Option<(&'a Leases<'a>, usize)>,
}

impl<'a> Operation<'a> {
    /// An operation that logs to `log_name` and is called `label` on the console.
    pub(crate) fn new(
        board: &'a Board,
        tuning: &'a Tuning,
        label: impl Into<String>,
        log_name: impl Into<String>,
    ) -> Self {
        Self { board, tuning, log_name: log_name.into(), label: label.into(), shared: None }
    }

    /// The same as operation `number` of several that run in parallel and share leases and workers.
    #[must_use]
    pub(crate) fn beside_others(mut self, leases: &'a Leases<'a>, number: usize) -> Self {
        self.shared = Some((leases, number));
        self
    }

    /// The workers of this operation for a codec, each of which needs `worker_bytes` of memory, and `digests` beside it: its
    /// share of those that the board and the settings allow, as far as they fit into its share of the memory. What gets no
    /// worker is computed in the task of the caller.
    pub(crate) fn compute(&self, worker_bytes: u64, digests: usize) -> Computing {
        let Compute::Threads(cores) = self.board.tasks.compute() else { return Computing::INLINE };
        let operations = self.operations();
        let fitting = self.tuning.memory.workers(operations, worker_bytes);
        let (threads, is_beside) = match self.tuning.threads {
            // Digests take little time, so that they do not count beside one worker for each core.
            None => ((cores / operations).max(1), cores / operations > 1),
            Some(threads) => {
                let share = threads / operations;
                let is_beside = share >= digests + CODEC_WORKERS_BESIDE_DIGESTS;
                (if is_beside { share - digests } else { share }, is_beside)
            }
        };
        let workers = |threads| if threads == 0 { Compute::Inline } else { Compute::Threads(threads) };
        let digests = if is_beside && fitting > 1 { Compute::Threads(1) } else { Compute::Inline };
        Computing { codec: workers(threads.min(fitting)), digests }
    }

    /// How many operations run side by side, with this one.
    fn operations(&self) -> usize {
        self.shared.map_or(1, |(leases, _)| leases.operations()).max(1)
    }

    /// This operation's share of at most `usual` readers, which wait for a device most of the time; at least one. Their
    /// number depends on the settings, and not on the cores.
    pub(crate) fn readers(&self, usual: usize) -> usize {
        match (self.board.tasks.compute(), self.tuning.threads) {
            (Compute::Inline, _) => 1,
            (Compute::Threads(_), None) => usual,
            (Compute::Threads(_), Some(threads)) => (threads / self.operations()).clamp(1, usual.max(1)),
        }
    }

    /// The memory that this operation may use for its workers.
    pub(crate) fn room_for_workers_bytes(&self) -> u64 {
        self.tuning.memory.room_for_workers_bytes(self.operations())
    }

    /// Reports progress; the next progress is expected within `lease`.
    pub(crate) fn renew(&self, lease: Duration) {
        match self.shared {
            Some((leases, number)) => leases.renew(number, lease),
            None => self.board.leds.renew(lease),
        }
    }

    /// How console lines begin.
    pub(crate) fn label(&self) -> &str {
        &self.label
    }

    /// Adds a text to the log only.
    pub(crate) fn log(&self, text: &str) {
        for line in text.lines() {
            self.board.records.log(&self.log_name, &printable::line(line));
        }
    }

    /// Begins a step that reports no progress and may take as long as a tool: console, log, and a long lease.
    pub(crate) fn step(&self, line: &str) {
        self.announce(line);
        self.renew(self.tuning.tool_lease);
    }

    /// Begins a step of a few reads or writes, or one that soon reports progress: console, log, and a short lease.
    pub(crate) fn short_step(&self, line: &str) {
        self.announce(line);
        self.renew(self.tuning.io_lease);
    }

    fn announce(&self, line: &str) {
        self.log(line);
        self.board.records.console(&printable::line(&format!("{}: {line}", self.label)));
    }

    /// Progress of a step; `total_bytes` is its whole length, if that is known.
    pub(crate) fn progress(&self, doing: &str, total_bytes: Option<u64>) -> Progress<'_> {
        self.log(doing);
        Progress::new(self, doing, total_bytes)
    }

    /// Calls `call`, and retries it after a transient I/O error, up to the limit, and whenever it was interrupted. Not
    /// for syncs: a failed sync is final.
    ///
    /// # Errors
    /// The last error, if the limit is reached or the error is of another kind.
    pub(crate) fn retry<T>(&self, mut call: impl FnMut() -> hal::Result<T>) -> hal::Result<T> {
        let mut left = self.tuning.retries;
        loop {
            match call() {
                Err(error) if left > 0 && error.kind() == ErrorKind::Io => {
                    left -= 1;
                    self.log(&format!("trying again: {error}"));
                    self.board.clock.sleep(self.tuning.retry_pause);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                other => return other,
            }
        }
    }

    /// Fails if the lease of this operation ran out, because it must not end in success then. If the operation runs
    /// alone, its lease is that of the LEDs.
    ///
    /// # Errors
    /// [`Error::Hung`].
    pub(crate) fn check_lease(&self) -> Result<()> {
        let hung = match self.shared {
            Some((leases, number)) => leases.expired(number),
            None => self.board.leds.lease_expired(),
        };
        if hung {
            return Err(Error::Hung { what: self.label.clone() });
        }
        Ok(())
    }
}

/// Progress of one step: renews the lease, and prints a line at intervals.
pub(crate) struct Progress<'a> {
    operation: &'a Operation<'a>,
    doing: String,
    total_bytes: Option<u64>,
    done_bytes: u64,
    started: Duration,
    printed: Duration,
    renewed: Option<Duration>,
}

impl<'a> Progress<'a> {
    fn new(operation: &'a Operation<'a>, doing: &str, total_bytes: Option<u64>) -> Self {
        let now = operation.board.clock.monotonic();
        let mut progress = Self {
            operation,
            doing: doing.to_owned(),
            total_bytes,
            done_bytes: 0,
            started: now,
            printed: now,
            renewed: None,
        };
        progress.advance(0);
        progress
    }

    /// Adds `len_bytes`; 0 reports progress on work without a length.
    pub(crate) fn advance(&mut self, len_bytes: u64) {
        self.done_bytes = self.done_bytes.saturating_add(len_bytes);
        let now = self.operation.board.clock.monotonic();
        // Renewing has a cost: once in a twentieth of a lease is enough.
        let due = self.operation.tuning.io_lease / 20;
        if self.renewed.is_none_or(|renewed| now.saturating_sub(renewed) >= due) {
            self.operation.renew(self.operation.tuning.io_lease);
            self.renewed = Some(now);
        }
        if now.saturating_sub(self.printed) >= self.operation.tuning.progress_interval {
            self.printed = now;
            let line = format!(
                "{}: {}",
                self.operation.label,
                line(&self.doing, self.done_bytes, self.total_bytes, now.saturating_sub(self.started))
            );
            self.operation.board.records.progress(&line);
        }
    }

    /// Ends the step and logs its size and rate.
    pub(crate) fn finish(self) {
        let elapsed = self.operation.board.clock.monotonic().saturating_sub(self.started);
        let text = line(&self.doing, self.done_bytes, Some(self.done_bytes), elapsed);
        self.operation.log(&format!("{text}, done in {:.1} s", elapsed.as_secs_f64()));
    }
}

/// One progress line: `writing 512.0 of 1536.0 MiB, 33 %, 20.0 MiB/s, 0:51 left`.
fn line(doing: &str, done_bytes: u64, total_bytes: Option<u64>, elapsed: Duration) -> String {
    const MIB: f64 = 1024.0 * 1024.0;
    let done = done_bytes as f64 / MIB;
    let rate = if elapsed.is_zero() { 0.0 } else { done / elapsed.as_secs_f64() };
    let Some(total_bytes) = total_bytes.filter(|total| *total > 0) else {
        return format!("{doing} {done:.1} MiB, {rate:.1} MiB/s");
    };
    let total = total_bytes as f64 / MIB;
    let percent = (done_bytes.min(total_bytes) as f64 / total_bytes as f64 * 100.0).floor();
    let mut text = format!("{doing} {done:.1} of {total:.1} MiB, {percent:.0} %, {rate:.1} MiB/s");
    if rate > 0.0 && done_bytes < total_bytes {
        let left = ((total - done) / rate).ceil() as u64;
        text.push_str(&format!(", {}:{:02} left", left / 60, left % 60));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_progress_line_has_rate_and_remaining_time() {
        let mib = 1 << 20;
        assert_eq!(
            line("writing", 512 * mib, Some(1536 * mib), Duration::from_secs(32)),
            "writing 512.0 of 1536.0 MiB, 33 %, 16.0 MiB/s, 1:04 left"
        );
        assert_eq!(line("reading", mib, None, Duration::ZERO), "reading 1.0 MiB, 0.0 MiB/s");
        assert_eq!(
            line("writing", mib, Some(mib), Duration::from_secs(1)),
            "writing 1.0 of 1.0 MiB, 100 %, 1.0 MiB/s"
        );
    }
}
