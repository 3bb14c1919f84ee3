//! Judges what a run left. There is one registry, [`judges`]: what a scenario itself expects, an oracle that reads the
//! scenario alone, a checker per invariant, and comparisons with an undisturbed board.
//!
//! A judge looks at evidence, and calls the engine only through [`crate::run`]. Which runs it judges, and what hardware
//! misleads it, stands beside it and nowhere else.

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
    /// Who complains.
    pub id: CheckerId,
    /// Which runs it judges.
    pub applies: fn(&Case<'_>) -> bool,
    /// Whether hardware that lies in this way can make it complain about an engine that did everything right.
    pub misled_by: fn(&ByteFault<'_>) -> bool,
    /// Everything that it finds wrong, in words.
    pub check: fn(&Case<'_>) -> Vec<String>,
}

const ENDS: &[Judge] = &[ends::PANIC, ends::ENDS, expectations::JUDGE];
const COMPARISONS: &[Judge] =
    &[next_boot::JUDGE, undisturbed::AS_UNDISTURBED, undisturbed::SETTLES, good_end::JUDGE, oracle::JUDGE];

/// All judges, in the order in which they speak.
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
    /// What happened.
    pub evidence: Evidence,
    /// What is wrong with it; empty if it passed.
    pub complaints: Vec<Complaint>,
}

impl Judged {
    /// Whether everything is as it must be.
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
        // These two are not said of evidence, but of two runs and of a scenario that was not run.
        let others = [CheckerId::Determinism, CheckerId::Scenario];
        let missing: Vec<&CheckerId> =
            CheckerId::ALL.iter().filter(|id| !distinct.contains(id) && !others.contains(id)).collect();
        assert!(missing.is_empty(), "{missing:?}");
    }

    /// Those that look at the LEDs and at the course of a run alone hold whatever the hardware does to bytes.
    #[test]
    fn no_lie_misleads_a_checker_of_endings() {
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
    fn checkers_are_suppressed_only_where_the_hardware_misleads_them() {
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
        assert!(!counted(&fake("cache = \"2 MiB\"\n"), success), "it answers for all that it lost");
    }
}
