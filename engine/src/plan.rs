//! The plan of a run: capture or write, decided from the names on the drive and the media that are present.

use crate::capture;
use crate::provision::Provision;

/// Capture or write, with one item per medium.
pub(crate) enum Plan {
    /// Media to images.
    Capture(Vec<capture::Item>),
    /// Images to media, and firmware.
    Write(Box<Provision>),
}

impl Plan {
    /// `capture` or `write`.
    pub(crate) fn mode(&self) -> &'static str {
        match self {
            Self::Capture(_) => "capture",
            Self::Write(_) => "write",
        }
    }

    /// The plan in words, a line per medium and per step of the firmware.
    pub(crate) fn lines(&self) -> Vec<String> {
        match self {
            Self::Capture(items) => items.iter().map(capture::Item::line).collect(),
            Self::Write(provision) => provision.lines(),
        }
    }
}
