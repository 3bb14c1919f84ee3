//! What a run leaves for people to read: console, logs and report, as checkers see them.

use std::collections::BTreeMap;

/// What a run left for people to read.
#[derive(Debug, Clone, Default)]
pub struct RecordLog {
    /// Console lines.
    pub console: Vec<String>,
    /// The last progress line.
    pub progress: Option<String>,
    /// Number of progress lines.
    pub progress_count: u64,
    /// Lines per operation.
    pub logs: BTreeMap<String, Vec<String>>,
    /// The last report.
    pub report: Option<String>,
}
