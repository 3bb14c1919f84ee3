//! What judges look at: the evidence of a run, where its scenario comes from, and what of its hardware lied.

use super::undisturbed::Undisturbed;
use crate::run::{Change, Evidence, Probed, unchanged};
use crate::scenario::media;
use crate::scenario::schema::{Bytes, FaultSpec, MediumSpec, Scenario};

/// So much of a disk image is written last.
const HELD_BACK_LEN_BYTES: u64 = 1 << 20;

/// Where a scenario comes from, which decides what is known about its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// A person wrote it, with all that must hold at its end.
    Written,
    /// The fuzzer made it up; nobody wrote down how it ends.
    MadeUp,
    /// It is a crash state, or a run with a failing call, of a scenario that somebody wrote.
    Explored,
}

/// A run that is to be judged.
#[derive(Clone, Copy)]
pub struct Case<'a> {
    /// What there is to see.
    pub evidence: &'a Evidence,
    /// Where the scenario comes from.
    pub origin: Origin,
    /// The scenario whose faults mislead checkers; `None` if nothing is suppressed. An explored run has no faults of its
    /// own, but begins with what the hardware of a scenario left.
    pub faulty: Option<&'a Scenario>,
    /// What was done to the board before the engine got it.
    pub change: Change<'a>,
    /// What an undisturbed board makes of the same start, if somebody ran one.
    pub undisturbed: Option<&'a Undisturbed>,
    /// Which way the next boot takes, if somebody looked.
    pub next_boot: Option<&'a Probed>,
}

impl<'a> Case<'a> {
    /// A scenario that a person wrote: no checker is suppressed.
    pub fn written(evidence: &'a Evidence) -> Self {
        let origin = Origin::Written;
        Self { evidence, origin, faulty: None, change: &unchanged, undisturbed: None, next_boot: None }
    }

    /// A scenario that was made up, on a board that was changed.
    pub fn made_up(evidence: &'a Evidence, change: Change<'a>) -> Self {
        let (origin, faulty) = (Origin::MadeUp, Some(&evidence.scenario));
        Self { evidence, origin, faulty, change, undisturbed: None, next_boot: None }
    }

    /// What came of a crash or of a failing call, on a board that the hardware of `lying` may have misled.
    pub fn explored(evidence: &'a Evidence, faulty: Option<&'a Scenario>, change: Change<'a>) -> Self {
        Self { evidence, origin: Origin::Explored, faulty, change, undisturbed: None, next_boot: None }
    }

    /// The faults of the hardware that the board is made of, however the scenario at hand came about.
    pub fn hardware_faults(&self) -> &'a [FaultSpec] {
        &self.faulty.unwrap_or(&self.evidence.scenario).faults
    }

    /// The hardware that stores or gives back other bytes than it is given.
    pub fn byte_faults(&self) -> impl Iterator<Item = ByteFault<'a>> {
        self.faulty.into_iter().flat_map(byte_faults)
    }
}

/// The hardware of a scenario that stores or gives back other bytes than it is given.
pub fn byte_faults(scenario: &Scenario) -> impl Iterator<Item = ByteFault<'_>> {
    let faults = scenario.faults.iter().filter(|fault| fault.bytes() != Bytes::Right);
    faults.map(move |fault| ByteFault { scenario, fault })
}

/// One fault by which hardware stores or gives back other bytes than it is given.
#[derive(Clone, Copy)]
pub struct ByteFault<'a> {
    scenario: &'a Scenario,
    fault: &'a FaultSpec,
}

impl ByteFault<'_> {
    /// Whether it is the drive that lies.
    pub fn is_of_drive(&self) -> bool {
        self.fault.on == media::DRIVE
    }

    /// What happens to the bytes.
    pub fn bytes(&self) -> Bytes {
        self.fault.bytes()
    }

    /// The medium that lies; `None` for the drive and for areas without files.
    pub fn medium(&self) -> Option<&MediumSpec> {
        self.scenario.media.get(&self.fault.on)
    }

    /// Whether a card may answer all reads of what it lost from a write-back cache, so that no host can see the loss before
    /// a power cycle.
    pub fn is_hidden_by_a_cache(&self) -> bool {
        let Some(cache) = self.fault.fault.write_back_cache() else { return false };
        let name = format!("{}image.dd", self.fault.on);
        let mut files = self.scenario.drive.files.iter();
        let image =
            files.find(|file| file.name.rsplit('/').next().is_some_and(|base| base.starts_with(&name)));
        match image.and_then(|file| file.image_len) {
            // What came before the part that is written last has left the cache if that part fills it.
            Some(len) => len.0 <= HELD_BACK_LEN_BYTES || cache.0 > HELD_BACK_LEN_BYTES,
            None => true,
        }
    }
}

/// For checkers that no lie of the hardware can mislead.
pub fn by_nothing(_: &ByteFault<'_>) -> bool {
    false
}

/// For checkers that compare with what the engine stored on the drive or read from it.
pub fn by_the_drive(fault: &ByteFault<'_>) -> bool {
    fault.is_of_drive()
}

/// For judges of any run.
pub fn always(_: &Case<'_>) -> bool {
    true
}
