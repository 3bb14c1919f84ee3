//! What a run leaves for people: console lines, a log per operation, the report. No call fails: a full log disk is no
//! reason to stop a capture. The backend says so once on the console.

use std::sync::Arc;

crate::forward::part! {
/// Console, logs and report.
#[cfg_attr(feature = "mock", mockall::automock)]
pub trait Records: Send + Sync {
    /// A line for the console that stays.
    fn console(&self, line: &str);

    /// A progress line for the console; a terminal may overwrite it with the next.
    fn progress(&self, line: &str);

    /// A line for the log of one operation, such as `sd-capture`. Names hold letters, digits, `-` and `_` only.
    fn log(&self, operation: &str, line: &str);

    /// The machine-readable report of the whole run; replaces an earlier one.
    fn report(&self, json: &str);
}
layer RecordsLayer: Send + Sync;
pointers (& Box Arc);
}
