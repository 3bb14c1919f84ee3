//! The HAL's records over the log that checkers read.

use crate::board::handle::Handle;
use crate::model::hardware::record_log::RecordLog;
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
