//! What a run works with once it is known what the drive asks for: the board, the drive, and what holds for both.

use crate::media::Medium;
use crate::operation::Operation;
use crate::options::Options;
use crate::profile::Profile;
use crate::tuning::Tuning;
use replicator_hal::{Board, Volume};

/// What captures, writes and firmware updates work with.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// The board.
    pub board: &'a Board,
    /// Sizes and times, with those that the drive asks for.
    pub tuning: &'a Tuning,
    /// The board's profile.
    pub profile: &'a Profile,
    /// The board's `compatible` strings, the most specific first.
    pub compatible: &'a [String],
    /// All media of the board, present or not.
    pub media: &'a [Medium],
    /// The drive, mounted read-only. A capture makes it writable for as long as it runs; nothing else does.
    pub drive: &'a dyn Volume,
    /// What the drive asks for.
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
