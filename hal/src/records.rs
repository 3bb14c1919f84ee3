//! What a run leaves for people: console lines, one log per operation, and the report. No call fails: a capture goes on
//! when the log disk is full. The backend reports that once on the console.

use std::sync::Arc;

crate::forward::part! {
/// Console, logs and report.
#[cfg_attr(feature = "mock", mockall::automock)]
pub trait Records: Send + Sync {
    /// Prints a line on the console.
    fn console(&self, line: &str);

    /// Prints a progress line on the console; a terminal may overwrite it with the next one.
    fn progress(&self, line: &str);

    /// Appends a line to the log of one operation, such as `sd-capture`. Names consist of letters, digits, `-` and `_`.
    fn log(&self, operation: &str, line: &str);

    /// Writes the machine-readable report of the whole run; it replaces an earlier one.
    fn report(&self, json: &str);
}
layer RecordsLayer: Send + Sync;
pointers (& Box Arc);
}
