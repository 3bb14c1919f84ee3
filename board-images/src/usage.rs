//! What is wrong with a command line: nothing was looked at or changed yet, and the exit status is 2.

use replicator_engine::profile::ProfileError;
use std::path::PathBuf;

/// Why a command line cannot be taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UsageError {
    #[error(
        "no board profile is called {wanted:?}, and there is no such file; the profiles are {}",
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

    #[error("profile {board} finds no media by itself: name them, as in --media {example}=/dev/...")]
    NoMedia { board: String, example: String },

    #[error("{option} {}: {detail}", path.display())]
    Device { option: &'static str, path: PathBuf, detail: String },

    #[error("--report {}: {detail}", path.display())]
    ReportFile { path: PathBuf, detail: String },

    #[error("--leds gpio: profile {board} gives no GPIO lines for this system; use --leds class or none")]
    NoLedLines { board: String },
}
