//! What a run leaves for people to read: console, logs and report, as checkers see them.

use std::collections::BTreeMap;
use std::sync::Arc;

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
    /// All lines of the console and the logs in the order of the run.
    pub lines: Vec<RecordLine>,
}

/// A line of the console or of a log, and its place among the calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordLine {
    /// How many calls had an effect before it.
    pub calls_before: u64,
    /// The task that wrote it.
    pub task: Arc<str>,
    /// The operation whose log it is in; `None` for a line of the console.
    pub operation: Option<String>,
    /// Its text.
    pub text: String,
}
