//! What a run leaves for people to read, as checkers see it: console, logs and report.

use std::collections::BTreeMap;

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
