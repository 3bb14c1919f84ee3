//! The HAL's records over the log that checkers read.

use crate::board::handle::Handle;
use crate::model::hardware::record_log::{RecordLine, RecordLog};
use replicator_hal::Records;

pub(crate) struct SimRecords {
    pub(crate) handle: Handle,
}

impl SimRecords {
    /// After the end nothing is recorded: the board does not exist any more.
    fn record(&self, add: impl FnOnce(&mut RecordLog)) {
        self.handle.peek(|machine, schedule| {
            if schedule.end.is_none() {
                add(&mut machine.records);
            }
        });
    }

    /// Adds a line to the lines of all records.
    fn line(&self, operation: Option<&str>, text: &str) {
        self.handle.peek(|machine, schedule| {
            if schedule.end.is_none() {
                machine.records.lines.push(RecordLine {
                    calls_before: schedule.ops,
                    task: schedule.current_task(),
                    operation: operation.map(str::to_owned),
                    text: text.to_owned(),
                });
            }
        });
    }
}

impl Records for SimRecords {
    fn console(&self, line: &str) {
        self.line(None, line);
        self.record(|log| log.console.push(line.to_owned()));
    }

    fn progress(&self, line: &str) {
        self.record(|log| {
            log.progress = Some(line.to_owned());
            log.progress_count += 1;
        });
    }

    fn log(&self, operation: &str, line: &str) {
        self.line(Some(operation), line);
        self.record(|log| log.logs.entry(operation.to_owned()).or_default().push(line.to_owned()));
    }

    fn report(&self, json: &str) {
        self.record(|log| log.report = Some(json.to_owned()));
    }
}
