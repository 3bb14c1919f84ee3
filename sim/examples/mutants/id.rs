//! Checkers and invariants by name.
//!
//! `docs/faults.md` says what the invariants are. What a checker looks at stands in its own file, not here.

use std::fmt;

macro_rules! invariants {
    ($($name:ident)+) => {
        /// What must hold: safety and liveness.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[allow(missing_docs, reason = "docs/faults.md has the table")]
        pub(crate) enum Invariant { $($name),+ }

        impl Invariant {
            /// All of them.
            #[cfg(test)]
            pub(crate) const ALL: &'static [Self] = &[$(Self::$name),+];

            /// Such as `S6`.
            pub(crate) const fn name(self) -> &'static str {
                match self { $(Self::$name => stringify!($name)),+ }
            }
        }
    };
}

invariants! { S1 S2 S3 S4 S5 S6 S7 S8 S9 S10 S11 S12 S13 S14 S15 S16 S17 S18 L1 L2 L3 L4 L5 L6 }

macro_rules! checkers {
    ($($variant:ident $word:literal [$($invariant:ident)*])+) => {
        /// Everything that can complain about a run.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[allow(missing_docs, reason = "each is described in its own file")]
        pub(crate) enum CheckerId { $($variant),+ }

        impl CheckerId {
            /// All of them.
            pub(crate) const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The name without the invariants, such as `success-is-true`.
            pub(crate) const fn word(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }

            /// The invariants that it holds.
            pub(crate) const fn invariants(self) -> &'static [Invariant] {
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
    Claimed "claimed" [S6 S14]
    FailureVisible "failure-visible" [S7]
    SomethingDone "something-done" [S8]
    Told "told" [S8]
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
    Ends "ends" [L1]
    Converges "converges" [L2 L3]
    AsUndisturbed "as-undisturbed" [L2 L3]
    Settles "settles" [L2]
    Retries "retries" [L4]
    Progress "progress" [L5]
    StartUp "start-up" [L6]
    // What is not about one invariant.
    Expect "expect" []
    Forecast "oracle" []
    GoodEnd "good-end" []
    Panic "panic" []
    Scenario "scenario" []
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

impl CheckerId {
    /// The checker with this word.
    pub(crate) fn named(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|id| id.word() == word)
    }

    /// The checker that a complaint is by.
    pub(crate) fn of(by: &str) -> Option<Self> {
        Self::named(by.split(' ').next().unwrap_or(by))
    }
}
