//! Console, logs and report, kept in memory for checkers.

use crate::machine::Machine;
use crate::turnstile::Turnstile;
use replicator_hal::Records;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What a run left for people.
#[derive(Debug, Clone, Default)]
pub struct RecordLog {
    /// Console lines.
    pub console: Vec<String>,
    /// The last progress line.
    pub progress: Option<String>,
    /// How many progress lines there were.
    pub progress_count: u64,
    /// Lines per operation.
    pub logs: BTreeMap<String, Vec<String>>,
    /// The last report.
    pub report: Option<String>,
}

pub(crate) struct SimRecords {
    pub(crate) turnstile: Arc<Turnstile<Machine>>,
}

impl SimRecords {
    /// After the end nothing is recorded: there is no board any more.
    fn record(&self, add: impl FnOnce(&mut RecordLog)) {
        self.turnstile.peek(|machine, schedule| {
            if schedule.end.is_none() {
                add(&mut machine.records);
            }
        });
    }
}

impl Records for SimRecords {
    fn console(&self, line: &str) {
        self.record(|log| log.console.push(line.to_owned()));
    }

    fn progress(&self, line: &str) {
        self.record(|log| {
            log.progress = Some(line.to_owned());
            log.progress_count += 1;
        });
    }

    fn log(&self, operation: &str, line: &str) {
        self.record(|log| log.logs.entry(operation.to_owned()).or_default().push(line.to_owned()));
    }

    fn report(&self, json: &str) {
        self.record(|log| log.report = Some(json.to_owned()));
    }
}
