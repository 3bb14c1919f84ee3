//! What a run leaves for its judges: media before and after each boot, the world at its end, the request.

use super::drives::{self, Drives};
use crate::board::world::{RunOutcome, World};
use crate::model::bytes::digest::{FOLD_START, fold};
use crate::model::bytes::pages::Pages;
use crate::model::hardware::found::FoundFiles;
use crate::scenario::media::DRIVE;
use crate::scenario::schema::{BootSpec, FaultSpec, Mode, Scenario};
use replicator_engine::boot::Request;
use replicator_engine::report::Report;
use replicator_hal::{Result, Status};
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

/// The bytes of all media and of the drive, below all caches.
#[derive(Clone, Default)]
pub struct Snapshot {
    /// By the names that scenarios use; `drive` is one of them.
    pub media: BTreeMap<String, Pages>,
    /// What was discarded of each since it was last opened to be written.
    pub discarded: BTreeMap<String, Vec<Range<u64>>>,
    drives: Drives,
}

impl Snapshot {
    /// The present content of `world`; `drives` are those of its run.
    pub fn of(world: &World, drives: &Drives) -> Self {
        let bytes = |name: String| world.medium_bytes(&name).ok().map(|pages| (name, pages));
        let discarded = |name: String| world.discarded(&name).ok().map(|ranges| (name, ranges));
        Self {
            media: world.media().into_iter().filter_map(bytes).collect(),
            discarded: world.media().into_iter().filter_map(discarded).collect(),
            drives: drives.clone(),
        }
    }

    /// What was discarded of a medium.
    pub fn discarded_of(&self, medium: &str) -> &[Range<u64>] {
        self.discarded.get(medium).map_or(&[], Vec::as_slice)
    }

    /// The drive's files; none if there is no drive, or if it cannot be read.
    pub fn files(&self) -> Arc<FoundFiles> {
        self.media.get(DRIVE).map_or_else(Arc::default, |drive| self.drives.files(drive))
    }

    /// A hash over names and bytes of all media.
    pub fn hash(&self) -> u64 {
        self.media.iter().fold(FOLD_START, |hash, (name, pages)| {
            fold(fold(hash, name.as_bytes()), &pages.hash().to_le_bytes())
        })
    }

    /// The drive's files, read without the cache; none if there is no drive.
    ///
    /// # Errors
    /// If the drive's file system cannot be read.
    pub fn drive_files(&self) -> Result<FoundFiles> {
        self.media.get(DRIVE).map_or_else(|| Ok(FoundFiles::new()), drives::read)
    }
}

impl PartialEq for Snapshot {
    fn eq(&self, other: &Self) -> bool {
        self.media == other.media
    }
}

impl Eq for Snapshot {}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot").field("media", &self.media).finish_non_exhaustive()
    }
}

/// The mode that a report names; `None` if the engine chose none.
pub(super) fn mode(report: &Report) -> Option<Mode> {
    report.mode.and_then(Mode::named)
}

/// The name of a status.
pub(crate) fn shown(status: Option<Status>) -> String {
    status.map_or_else(|| "nothing".to_owned(), |status| status.to_string())
}

/// One boot.
pub struct Boot {
    /// Its part of the scenario.
    pub spec: BootSpec,
    /// The media before it.
    pub before: Snapshot,
    /// The durable media after it, as the next boot finds them.
    pub after: Snapshot,
    /// The world at the end of the boot.
    pub world: World,
    /// The engine's report; `None` if it panicked.
    pub report: Option<Report>,
    /// How the run ended.
    pub outcome: RunOutcome,
    /// Virtual time at the end.
    pub virtual_time: Duration,
    /// Calls that had an effect.
    pub ops: u64,
    /// Hash of all calls.
    pub trace_hash: u64,
}

impl Boot {
    /// Whether the boot came to its own end: no cut, no hang, no panic.
    pub fn finished(&self) -> bool {
        self.outcome == RunOutcome::Finished
    }

    /// The final status of the LEDs.
    pub fn status(&self) -> Option<Status> {
        self.world.leds().final_status()
    }

    /// The mode that the engine chose; `None` if it refused everything, or panicked.
    pub fn mode(&self) -> Option<Mode> {
        self.report.as_ref().and_then(mode)
    }

    /// Why the whole run failed, according to its report; empty if it did not.
    pub(crate) fn failure(&self) -> String {
        let failure = self.report.as_ref().and_then(|report| report.failure.as_ref());
        failure.map(ToString::to_string).unwrap_or_default()
    }
}

/// A fault of the scenario after all boots.
#[derive(Debug, Clone)]
pub struct FaultEnd {
    /// The fault.
    pub spec: FaultSpec,
    /// Whether it was reached in any boot.
    pub reached: bool,
}

/// Everything about one run of a scenario.
pub struct Evidence {
    /// The scenario's name.
    pub name: String,
    /// The scenario.
    pub scenario: Scenario,
    /// Its boots.
    pub boots: Vec<Boot>,
    /// Its faults.
    pub faults: Vec<FaultEnd>,
    /// Boots, from 0, with a cut that was not reached.
    pub missed_cuts: Vec<usize>,
    /// The engine's request, so that a checker can repeat the run under other conditions.
    pub request: Request,
}

impl Evidence {
    /// The last boot.
    ///
    /// # Panics
    /// Never: a scenario has at least one boot.
    pub fn last(&self) -> &Boot {
        &self.boots[self.boots.len() - 1]
    }

    /// Hash over all boots: same scenario, same hash.
    pub fn trace_hash(&self) -> u64 {
        self.boots.iter().fold(FOLD_START, |hash, boot| fold(hash, &boot.trace_hash.to_le_bytes()))
    }

    /// Virtual time of all boots together.
    pub fn virtual_time(&self) -> Duration {
        self.boots.iter().map(|boot| boot.virtual_time).sum()
    }

    /// Calls of all boots together.
    pub fn ops(&self) -> u64 {
        self.boots.iter().map(|boot| boot.ops).sum()
    }
}
