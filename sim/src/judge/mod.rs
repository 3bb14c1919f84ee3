//! Judges the evidence of a run. There is one registry, [`judges`]: the scenario's own expectations, an oracle that
//! reads only the scenario, a checker per invariant, and comparisons with an undisturbed board.
//!
//! A judge looks at evidence, and calls the engine only through [`crate::run`]. The runs that it judges, and the
//! hardware faults that mislead it, are stated at the judge and nowhere else.

mod case;
pub mod checkers;
mod complaint;
mod ends;
mod expectations;
mod good_end;
mod id;
mod next_boot;
pub mod oracle;
pub mod readers;
mod undisturbed;

pub use case::{ByteFault, Case, Origin, always, by_nothing, by_the_drive, byte_faults};
pub use complaint::Complaint;
pub use id::{CheckerId, Invariant, Severity};
pub use undisturbed::Undisturbed;

pub(crate) use undisturbed::neutral;

use crate::run::{Evidence, boots};
use crate::scenario::schema::Scenario;

/// One entry of the registry.
#[derive(Clone, Copy)]
pub struct Judge {
    /// The name of the judge.
    pub id: CheckerId,
    /// Which runs it judges.
    pub applies: fn(&Case<'_>) -> bool,
    /// Whether such a byte fault can make it complain about an engine that did everything right.
    pub misled_by: fn(&ByteFault<'_>) -> bool,
    /// Everything that is wrong, one text each.
    pub check: fn(&Case<'_>) -> Vec<String>,
}

const ENDS: &[Judge] = &[ends::PANIC, ends::ENDS, expectations::JUDGE];
const COMPARISONS: &[Judge] = &[
    next_boot::JUDGE,
    undisturbed::AS_UNDISTURBED,
    undisturbed::SECOND_BOOT,
    good_end::JUDGE,
    oracle::JUDGE,
];

/// All judges, in the order of their complaints.
pub fn judges() -> impl Iterator<Item = &'static Judge> {
    [ENDS, checkers::CHECKERS, COMPARISONS].into_iter().flatten()
}

/// Everything that is wrong with a run.
pub fn complaints(case: &Case<'_>) -> Vec<Complaint> {
    let byte_faults: Vec<ByteFault<'_>> = case.byte_faults().collect();
    let applicable = judges().filter(|judge| (judge.applies)(case));
    let sound = applicable.filter(|judge| !byte_faults.iter().any(judge.misled_by));
    let all =
        sound.flat_map(|judge| (judge.check)(case).into_iter().map(|what| Complaint::new(judge.id, what)));
    all.collect()
}

/// A scenario that was run and judged.
pub struct Judged {
    /// The evidence.
    pub evidence: Evidence,
    /// The complaints; none if it passed.
    pub complaints: Vec<Complaint>,
}

impl Judged {
    /// Whether there are no complaints.
    pub fn passed(&self) -> bool {
        self.complaints.is_empty()
    }
}

/// Runs and judges a scenario that a person wrote.
///
/// # Errors
/// If the scenario is invalid.
pub fn run(name: &str, scenario: &Scenario) -> Result<Judged, String> {
    let evidence = boots::run(name, scenario)?;
    let complaints = complaints(&Case::written(&evidence));
    Ok(Judged { evidence, complaints })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_checker_is_in_the_registry_once() {
        let ids: Vec<CheckerId> = judges().map(|judge| judge.id).collect();
        let distinct: BTreeSet<CheckerId> = ids.iter().copied().collect();
        assert_eq!(ids.len(), distinct.len());
        // These two do not judge evidence, but two runs, and a scenario that was not run.
        let others = [CheckerId::Determinism, CheckerId::Scenario];
        let missing: Vec<&CheckerId> =
            CheckerId::ALL.iter().filter(|id| !distinct.contains(id) && !others.contains(id)).collect();
        assert!(missing.is_empty(), "{missing:?}");
    }

    /// Checkers that use only the LEDs and the course of a run apply whatever the hardware does to bytes.
    #[test]
    fn no_byte_fault_misleads_a_checker_of_endings() {
        let text = "about = \"x.\"\n[media.sd]\n[[fault]]\non = \"drive\"\nkind = \"drop-writes\"\n\
                    [[fault]]\non = \"drive\"\nkind = \"bit-flip\"\nrange = \"0..9\"\n\
                    [[fault]]\non = \"sd\"\nkind = \"drop-writes\"\n[expect]\nstatus = \"success\"\n";
        let scenario = Scenario::parse(text, "x").unwrap();
        assert_eq!(byte_faults(&scenario).count(), 3);
        let ends = [Invariant::L1, Invariant::L6, Invariant::S7];
        let of_ends = |judge: &&Judge| {
            judge.id.invariants().iter().all(|invariant| ends.contains(invariant))
                && judge.id.severity() != Severity::Oracle
        };
        for judge in judges().filter(of_ends) {
            assert!(!byte_faults(&scenario).any(|fault| (judge.misled_by)(&fault)), "{}", judge.id);
        }
    }

    #[test]
    fn a_checker_is_suppressed_only_if_the_hardware_misleads_it() {
        let image = "[[drive.file]]\nname = \"sdimage.dd.xz\"\nimage = \"single\"\nimage_len = \"2 MiB\"\n[media.sd]\n";
        let scenario = |text: &str| {
            Scenario::parse(&format!("about = \"x.\"\n{text}\n[expect]\nstatus = \"success\"\n"), "x")
                .unwrap()
        };
        let holds = |scenario: &Scenario, id: CheckerId| {
            let judge = judges().find(|judge| judge.id == id).unwrap();
            !byte_faults(scenario).any(|fault| (judge.misled_by)(&fault))
        };
        let counted = |fault: &str, id| holds(&scenario(&format!("{image}[[fault]]\n{fault}")), id);
        let success = CheckerId::SuccessIsTrue;
        assert!(counted("on = \"sd\"\nkind = \"drop-writes\"\n", success));
        assert!(!counted("on = \"drive\"\nkind = \"drop-writes\"\n", success));
        assert!(counted("on = \"sd\"\nkind = \"replug\"\ndevice = \"sdq\"\n", CheckerId::NotBootable));
        assert!(!counted("on = \"sd\"\nkind = \"drop-writes\"\n", CheckerId::NotBootable));
        assert!(!counted("on = \"sd\"\nkind = \"bit-flip\"\nrange = \"0..9\"\n", CheckerId::SourceUnchanged));
        let flip = |medium: &str| {
            let fault = "[[fault]]\non = \"sd\"\nkind = \"transient-flip\"\nop = \"read\"\nrange = \"0..9\"\nnth = 1\n";
            holds(&scenario(&format!("[media.sd]\n{medium}{fault}")), CheckerId::WriteBack)
        };
        assert!(flip("") && !flip("no_identity = true\n"));
        let fake = |cache: &str| format!("on = \"sd\"\nkind = \"fake-limbo\"\nreal = \"1 MiB\"\n{cache}");
        assert!(counted(&fake("cache = \"1 MiB\"\n"), success));
        assert!(!counted(&fake("cache = \"2 MiB\"\n"), success), "the cache holds all that was lost");
    }
}
