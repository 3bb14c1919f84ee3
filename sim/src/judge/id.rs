//! The names of judges, their invariants, and the severity of their complaints.
//!
//! `docs/invariants.md` describes the invariants. What a checker verifies is in its own file.

use serde::{Serialize, Serializer};
use std::fmt;

macro_rules! invariants {
    ($($name:ident)+) => {
        /// What must hold: safety, liveness, and that the simulation itself is deterministic.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[allow(missing_docs, reason = "docs/invariants.md has the table")]
        pub enum Invariant { $($name),+ }

        impl Invariant {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// Such as `S6`.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => stringify!($name)),+ }
            }
        }
    };
}

invariants! { S1 S2 S3 S4 S5 S6 S7 S8 S9 S10 S11 S12 S13 S14 S15 S16 S17 S18 L1 L2 L3 L4 L5 L6 M1 }

impl Invariant {
    /// Whether it is about reaching an end, and not about safety.
    pub const fn is_liveness(self) -> bool {
        matches!(self, Self::L1 | Self::L2 | Self::L3 | Self::L4 | Self::L5 | Self::L6)
    }
}

macro_rules! checkers {
    ($($variant:ident $word:literal [$($invariant:ident)*])+) => {
        /// Everything that can complain about a run.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[allow(missing_docs, reason = "each is described in its own file")]
        pub enum CheckerId { $($variant),+ }

        impl CheckerId {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The name without the invariants, such as `success-is-true`.
            pub const fn word(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }

            /// The checker with this name.
            pub fn named(word: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|id| id.word() == word)
            }

            /// The invariants that it holds.
            pub const fn invariants(self) -> &'static [Invariant] {
                match self { $(Self::$variant => &[$(Invariant::$invariant),*]),+ }
            }
        }
    };
}

checkers! {
    SourceUnchanged "source-unchanged" [S1]
    DriveUnchanged "drive-unchanged" [S2]
    ValidNames "valid-names" [S3]
    ModeSafety "mode-safety" [S4]
    NextBoot "next-boot" [S4]
    RightTarget "right-target" [S5]
    Firmware "firmware" [S5 S6 S7 S10]
    SuccessIsTrue "success-is-true" [S6]
    FindsRoot "finds-its-root" [S6]
    HeldMedium "held-medium" [S6 S14]
    FailureVisible "failure-visible" [S7]
    SomethingDone "something-done" [S8]
    SanitisingReported "sanitising-reported" [S8]
    Sidecars "sidecars" [S8]
    NoImageMissed "no-image-missed" [S8]
    CloneIsRootfs "clone-is-rootfs" [S8]
    RefusedUntouched "refused-untouched" [S9]
    LooksLikeImage "looks-like-image" [S9]
    WriteBack "write-back" [S9]
    NotBootable "not-bootable" [S10]
    Captured "captured" [S6 S11]
    NotTruncated "not-truncated" [S11]
    OutOfSpace "out-of-space" [S12]
    OldImage "old-image" [S13]
    Isolation "isolation" [S14]
    Containment "containment" [S15]
    FlushFinal "flush-final" [S16]
    NothingLeft "nothing-left" [S17]
    Protected "protected" [S17]
    NoSecret "no-secret" [S18]
    Terminates "terminates" [L1]
    EndsByItself "ends-by-itself" [L1]
    Converges "converges" [L2 L3]
    AsUndisturbed "as-undisturbed" [L2 L3]
    SecondBoot "second-boot" [L2]
    Retries "retries" [L4]
    Progress "progress" [L5]
    StartUp "start-up" [L6]
    // These are not about one invariant.
    Expect "expect" []
    Forecast "oracle" []
    GoodEnd "good-end" []
    Panic "panic" []
    Determinism "determinism" [M1]
    Scenario "scenario" []
}

/// The severity of a complaint, with the exit status of the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// Something panicked.
    Panic = 101,
    /// A wrong success, or a loss of data.
    Safety = 102,
    /// A run does not reach its end.
    Liveness = 103,
    /// The same scenario gave another trace.
    Nondeterminism = 104,
    /// A run ended in another way than required.
    Oracle = 105,
}

impl CheckerId {
    /// The severity of this checker's complaints.
    pub fn severity(self) -> Severity {
        match self {
            Self::Panic => Severity::Panic,
            Self::Determinism => Severity::Nondeterminism,
            Self::Expect | Self::Forecast | Self::GoodEnd | Self::Scenario => Severity::Oracle,
            _ if self.invariants().iter().any(|invariant| invariant.is_liveness()) => Severity::Liveness,
            _ => Severity::Safety,
        }
    }
}

impl fmt::Display for Invariant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for CheckerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let invariants: Vec<&str> = self.invariants().iter().map(|invariant| invariant.name()).collect();
        match invariants.as_slice() {
            [] => f.pad(self.word()),
            _ => f.pad(&format!("{} ({})", self.word(), invariants.join(", "))),
        }
    }
}

impl Serialize for CheckerId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checker_is_shown_with_its_invariants_and_severity_follows_from_them() {
        assert_eq!(CheckerId::Captured.to_string(), "captured (S6, S11)");
        assert_eq!(CheckerId::Expect.to_string(), "expect");
        assert_eq!(CheckerId::StartUp.severity(), Severity::Liveness);
        assert_eq!(CheckerId::Firmware.severity(), Severity::Safety);
        assert_eq!(CheckerId::named("captured"), Some(CheckerId::Captured));
        assert_eq!(CheckerId::named("captured (S6, S11)"), None);
    }

    #[test]
    fn every_invariant_has_a_checker() {
        for invariant in Invariant::ALL {
            let holds = |id: &&CheckerId| id.invariants().contains(invariant);
            assert!(CheckerId::ALL.iter().any(|id| holds(&id)), "{invariant}");
        }
    }

    #[test]
    fn the_page_of_invariants_names_the_checkers_of_each() {
        let page = include_str!("../../../docs/invariants.md");
        for invariant in Invariant::ALL.iter().filter(|invariant| **invariant != Invariant::M1) {
            let row = page.lines().find(|line| line.starts_with(&format!("| {invariant} |"))).unwrap();
            let listed = row.trim_end_matches(" |").rsplit(" | ").next().unwrap();
            let mut listed: Vec<&str> = listed.split(", ").map(|name| name.trim_matches('`')).collect();
            let ids = CheckerId::ALL.iter().filter(|id| id.invariants().contains(invariant));
            let mut held: Vec<&str> = ids.map(|id| id.word()).collect();
            listed.sort_unstable();
            held.sort_unstable();
            assert_eq!(listed, held, "docs/invariants.md, {invariant}");
        }
    }
}
