//! Usage errors: nothing was read or changed, and the exit status is 2.

use replicator_engine::profile::ProfileError;
use std::path::PathBuf;

/// Why a command line is refused.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UsageError {
    #[error(
        "{wanted:?} is neither a built-in profile nor a file; built-in profiles: {}",
        known.join(", ")
    )]
    UnknownBoard { wanted: String, known: Vec<String> },

    #[error("profile {}: {detail}", path.display())]
    ProfileFile { path: PathBuf, detail: String },

    #[error(transparent)]
    Profile(#[from] ProfileError),

    #[error("--media: profile {board} has no medium {wanted}; it has {}", known.join(", "))]
    UnknownMedium { board: String, wanted: String, known: Vec<String> },

    #[error("--media: {0} is named twice")]
    NamedTwice(String),

    #[error("profile {board} does not search for media: name them, such as --media {example}=/dev/...")]
    NoMedia { board: String, example: String },

    #[error("{option} {}: {detail}", path.display())]
    Device { option: &'static str, path: PathBuf, detail: String },

    #[error("--report {}: {detail}", path.display())]
    ReportFile { path: PathBuf, detail: String },

    #[error("--leds gpio: profile {board} has no GPIO lines for this system; use --leds class or none")]
    NoLedLines { board: String },
}
