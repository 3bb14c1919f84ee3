//! The input of judges: the evidence of a run, the origin of its scenario, and the byte faults of its hardware.

use super::undisturbed::Undisturbed;
use crate::run::{Change, Evidence, Probed, unchanged};
use crate::scenario::media;
use crate::scenario::schema::{Bytes, FaultSpec, MediumSpec, Scenario};

/// So much of a disk image is written last.
const HELD_BACK_LEN_BYTES: u64 = 1 << 20;

/// The origin of a scenario, which decides how much is known about its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// A person wrote it, with everything that must hold at its end.
    Written,
    /// The fuzzer generated it; its end is not known.
    Generated,
    /// A crash state, or a run with a failing call, of a written scenario.
    Explored,
}

/// A run to be judged.
#[derive(Clone, Copy)]
pub struct Case<'a> {
    /// The evidence of the run.
    pub evidence: &'a Evidence,
    /// The origin of the scenario.
    pub origin: Origin,
    /// The scenario whose byte faults mislead checkers; `None` if nothing is suppressed. An explored run has no
    /// faults itself, but begins with the bytes that the hardware of a scenario left.
    pub faulty: Option<&'a Scenario>,
    /// The change of the board before the engine got it.
    pub change: Change<'a>,
    /// The end of an undisturbed board with the same beginning, if it was run.
    pub undisturbed: Option<&'a Undisturbed>,
    /// The course of the next boot, if it was probed.
    pub next_boot: Option<&'a Probed>,
}

impl<'a> Case<'a> {
    /// A scenario that a person wrote: no checker is suppressed.
    pub fn written(evidence: &'a Evidence) -> Self {
        let origin = Origin::Written;
        Self { evidence, origin, faulty: None, change: &unchanged, undisturbed: None, next_boot: None }
    }

    /// A generated scenario, on a changed board.
    pub fn generated(evidence: &'a Evidence, change: Change<'a>) -> Self {
        let (origin, faulty) = (Origin::Generated, Some(&evidence.scenario));
        Self { evidence, origin, faulty, change, undisturbed: None, next_boot: None }
    }

    /// The result of a crash or of a failing call, on a board that the hardware of `faulty` may have misled.
    pub fn explored(evidence: &'a Evidence, faulty: Option<&'a Scenario>, change: Change<'a>) -> Self {
        Self { evidence, origin: Origin::Explored, faulty, change, undisturbed: None, next_boot: None }
    }

    /// The faults of the board's hardware, for every origin of the scenario.
    pub fn hardware_faults(&self) -> &'a [FaultSpec] {
        &self.faulty.unwrap_or(&self.evidence.scenario).faults
    }

    /// The byte faults that may mislead checkers.
    pub fn byte_faults(&self) -> impl Iterator<Item = ByteFault<'a>> {
        self.faulty.into_iter().flat_map(byte_faults)
    }
}

/// The byte faults of a scenario.
pub fn byte_faults(scenario: &Scenario) -> impl Iterator<Item = ByteFault<'_>> {
    let faults = scenario.faults.iter().filter(|fault| fault.bytes() != Bytes::Right);
    faults.map(move |fault| ByteFault { scenario, fault })
}

/// A fault by which hardware stores or returns other bytes than it was given.
#[derive(Clone, Copy)]
pub struct ByteFault<'a> {
    scenario: &'a Scenario,
    fault: &'a FaultSpec,
}

impl ByteFault<'_> {
    /// Whether the drive has the fault.
    pub fn is_of_drive(&self) -> bool {
        self.fault.on == media::DRIVE
    }

    /// What happens to the bytes.
    pub fn bytes(&self) -> Bytes {
        self.fault.bytes()
    }

    /// The medium with the fault; `None` for the drive and for areas without files.
    pub fn medium(&self) -> Option<&MediumSpec> {
        self.scenario.media.get(&self.fault.on)
    }

    /// Whether a card may answer all reads of lost bytes from a write-back cache, so that no host can detect the loss
    /// before a power cycle.
    pub fn is_hidden_by_a_cache(&self) -> bool {
        let Some(cache) = self.fault.fault.write_back_cache() else { return false };
        let name = format!("{}image.dd", self.fault.on);
        let mut files = self.scenario.drive.files.iter();
        let image =
            files.find(|file| file.name.rsplit('/').next().is_some_and(|base| base.starts_with(&name)));
        match image.and_then(|file| file.image_len) {
            // Earlier bytes have left the cache if the part that is written last fills it.
            Some(len) => len.0 <= HELD_BACK_LEN_BYTES || cache.0 > HELD_BACK_LEN_BYTES,
            None => true,
        }
    }
}

/// For checkers that no byte fault can mislead.
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
