//! The environment of a run: the board, the drive, and the settings that the drive requests.

use crate::media::Medium;
use crate::operation::Operation;
use crate::options::Options;
use crate::profile::Profile;
use crate::tuning::Tuning;
use replicator_hal::{Board, Volume};

/// The environment of captures, writes and firmware updates.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// The board.
    pub board: &'a Board,
    /// Sizes and times, with those that the drive's settings change.
    pub tuning: &'a Tuning,
    /// The board's profile.
    pub profile: &'a Profile,
    /// The board's `compatible` strings, the most specific first.
    pub compatible: &'a [String],
    /// All media of the board, present or not.
    pub media: &'a [Medium],
    /// The drive, mounted read-only. Only a capture makes it writable, while it runs.
    pub drive: &'a dyn Volume,
    /// The options on the drive.
    pub options: &'a Options,
    /// Version of the program.
    pub version: &'a str,
}

impl<'a> Context<'a> {
    /// An operation that logs to `log_name` and is called `label` on the console.
    pub(crate) fn operation(&self, label: impl Into<String>, log_name: impl Into<String>) -> Operation<'a> {
        Operation::new(self.board, self.tuning, label, log_name)
    }
}
