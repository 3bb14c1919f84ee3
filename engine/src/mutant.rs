//! Deliberate faults of the engine, one per invariant at least, so that every checker can be shown to see what it is there for.
//!
//! They exist only with the feature `mutants`, which no release has; without it [`Mutation::is`] is `false` and nothing
//! of them is left. A mutant is chosen at run time through [`crate::tuning::Tuning::mutant`]. Each acts in one line at the
//! place that it spoils; what needs more than that line is here.

use replicator_hal::{Access, FileKind, RelativePath, Volume};

#[cfg(all(feature = "mutants", not(debug_assertions), not(feature = "mutants-in-release")))]
compile_error!(
    "a release must not have mutants; the simulation's own release runs ask for `mutants-in-release` too"
);

macro_rules! mutants {
    ($($(#[doc = $doc:literal])+ $variant:ident $name:literal $invariant:literal;)+) => {
        /// A deliberate fault.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Mutant {
            $($(#[doc = $doc])+ $variant,)+
        }

        impl Mutant {
            /// All of them, in the order of the invariants.
            pub const ALL: &'static [Mutant] = &[$(Mutant::$variant),+];

            /// What it is called.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),+ }
            }

            /// The invariant that it violates.
            pub fn invariant(self) -> &'static str {
                match self { $(Self::$variant => $invariant),+ }
            }
        }
    };
}

mutants! {
    /// The source's file systems are checked, and not only those of its image.
    FsckOnTheSource "fsck-on-the-source" "S1";
    /// A write leaves a directory for logs on the drive.
    LogsOnTheDrive "logs-on-the-drive" "S2";
    /// An image gets its name before its bytes are on the drive.
    NoSyncBeforeRename "no-sync-before-rename" "S3";
    /// The session ends with the first medium, not with the last.
    SessionEndsEarly "session-ends-early" "S4";
    /// What has the name of the medium is taken for the medium.
    AnyDeviceWithTheName "any-device-with-the-name" "S5";
    /// A bootloader may be longer than its place.
    BootloaderOfAnyLength "bootloader-of-any-length" "S5";
    /// A medium is captured beside whoever uses it.
    SourceWithoutClaim "source-without-claim" "S6";
    /// What was written is not read back.
    NoReadBack "no-read-back" "S6";
    /// The place of an image's start is not reserved: a card that wraps around shows its damage with the last write only.
    StartIsNotReserved "start-is-not-reserved" "S6";
    /// A directory in a tarball replaces a link to one.
    LinksAreReplaced "links-are-replaced" "S6";
    /// A capture forgets inode flags.
    FlagsAreForgotten "flags-are-forgotten" "S6";
    /// A tarball's inode flags are not set.
    FlagsAreNotSet "flags-are-not-set" "S6";
    /// A clone gets another UUID and no label, whatever its files call their root.
    RootGetsAnyName "root-gets-any-name" "S6";
    /// What was read back of a bootloader is not looked at.
    BootloaderIsNotCompared "bootloader-is-not-compared" "S6";
    /// An updater's exit status is believed.
    ExitStatusIsBelieved "exit-status-is-believed" "S6";
    /// A bootloader that failed is left as it is.
    BootloaderStaysBroken "bootloader-stays-broken" "S7";
    /// A hang in the middle of a bootloader is shown as one that may be unplugged.
    HangIsNeverCritical "hang-is-never-critical" "S7";
    /// Success is shown whatever happened.
    FailureIsForgotten "failure-is-forgotten" "S7";
    /// Having done nothing is success.
    NothingIsFine "nothing-is-fine" "S8";
    /// What was not sanitised is not named.
    UnsanitisedIsUntold "unsanitised-is-untold" "S8";
    /// A sidecar that is a link to nothing is as good as none.
    DanglingSidecarIsNone "dangling-sidecar-is-none" "S8";
    /// An image that was not renamed is passed over, and the board captured.
    UnassignedIsIgnored "unassigned-is-ignored" "S8";
    /// A tarball may hold any tree.
    AnyTreeIsWritten "any-tree-is-written" "S8";
    /// The sidecar of the file is not looked at before the medium is erased.
    NoCheckOfTheFile "no-check-of-the-file" "S9";
    /// A disk image may be any file.
    AnyFileIsWritten "any-file-is-written" "S9";
    /// The file system for a tarball is made without a count of what has to go into it.
    RoomIsNotCounted "room-is-not-counted" "S9";
    /// An image is written to the medium that it was captured from.
    GoldenIsOverwritten "golden-is-overwritten" "S9";
    /// The start of a disk image is written first.
    StartFirst "start-first" "S10";
    /// An image may end before its partitions do.
    CutImagesAreWritten "cut-images-are-written" "S11";
    /// The last part of a medium is not packed.
    PackStopsShort "pack-stops-short" "S11";
    /// A failed capture leaves its working files.
    WorkFilesStay "work-files-stay" "S12";
    /// An old image makes room for a new one before that is there.
    OldImageMakesRoom "old-image-makes-room" "S13";
    /// One image that cannot be used stops all others.
    OneFailsAll "one-fails-all" "S14";
    /// Sanitising removes what a link leads to instead of the link.
    LinksAreFollowed "links-are-followed" "S15";
    /// A failed sync is tried again, and the second success believed.
    SyncTriedAgain "sync-tried-again" "S16";
    /// The drive is still mounted when the LEDs say the end.
    DriveStaysMounted "drive-stays-mounted" "S17";
    /// The write protection of a bootloader stays off.
    AreaStaysWritable "area-stays-writable" "S17";
    /// The write protection of a bootloader is lifted to look at it.
    LooksUnprotected "looks-unprotected" "S17";
    /// Only the first root file system is sanitised.
    OneRootfsIsEnough "one-rootfs-is-enough" "S18";
    /// What the root file system mounts is not looked into.
    MountsAreIgnored "mounts-are-ignored" "S18";
    /// Free blocks of the image keep what was in them.
    FreeBlocksStay "free-blocks-stay" "S18";
    /// A working image is removed without being overwritten.
    WorkingImageIsUnlinked "working-image-is-unlinked" "S18";
    /// Memory in swap files is captured.
    SwapFilesStay "swap-files-stay" "S18";
    /// What the copy shows is believed, whatever the medium showed.
    CopyIsNotCompared "copy-is-not-compared" "S18";
    /// The name of a working image becomes durable at some time: after a power cut nothing finds it to overwrite it.
    WorkingImageNameIsLate "working-image-name-is-late" "S18";
    /// A drive is waited for without an end.
    WaitsForEver "waits-for-ever" "L1";
    /// An unfinished session is refused.
    SessionIsRefused "session-is-refused" "L2";
    /// A medium without a partition table is refused, and so is what a cut write left.
    BlankIsRefused "blank-is-refused" "L3";
    /// The budget of retries is as good as none.
    RetriesManyTimes "retries-many-times" "L4";
    /// A device may hang for a day.
    LeaseOfADay "lease-of-a-day" "L5";
    /// A failed start shows no end.
    FailedStartIsDark "failed-start-is-dark" "L6";
}

impl std::str::FromStr for Mutant {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let all = Self::ALL.iter().copied();
        all.clone().find(|mutant| mutant.name() == name).ok_or_else(|| {
            format!("no mutant {name:?}; known are {}", all.map(Self::name).collect::<Vec<_>>().join(", "))
        })
    }
}

/// Which mutant is chosen; none in any release.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Mutation {
    #[cfg(feature = "mutants")]
    chosen: Option<Mutant>,
}

impl Mutation {
    /// This one.
    #[cfg(feature = "mutants")]
    pub fn of(mutant: Mutant) -> Self {
        Self { chosen: Some(mutant) }
    }

    /// Whether `mutant` is chosen.
    #[cfg(feature = "mutants")]
    pub fn is(self, mutant: Mutant) -> bool {
        self.chosen == Some(mutant)
    }

    /// Whether `mutant` is chosen: never.
    #[cfg(not(feature = "mutants"))]
    pub fn is(self, _mutant: Mutant) -> bool {
        false
    }
}

/// Leaves something on a drive that must not change. Whether it works is of no interest.
pub(crate) fn litter(drive: &dyn Volume) {
    let Ok(path) = RelativePath::parse("logs") else { return };
    let made = drive.remount(Access::ReadWrite).and_then(|()| drive.create_dir(&path, 0o755));
    drop(made.and_then(|()| drive.remount(Access::ReadOnly)));
}

/// The regular file that a link leads to.
pub(crate) fn linked_file(volume: &dyn Volume, link: &RelativePath) -> Option<RelativePath> {
    let path = volume.resolve(link).ok()?;
    volume.metadata(&path).ok().filter(|metadata| metadata.kind == FileKind::File).map(|_| path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_invariant_has_its_mutant_and_nobody_is_chosen_by_default() {
        let mut invariants: Vec<_> = Mutant::ALL.iter().map(|mutant| mutant.invariant()).collect();
        invariants.dedup();
        let wanted =
            (1..=18).map(|number| format!("S{number}")).chain((1..=6).map(|number| format!("L{number}")));
        assert_eq!(invariants, wanted.collect::<Vec<_>>());
        for mutant in Mutant::ALL {
            assert_eq!(mutant.name().parse(), Ok(*mutant));
            assert!(!Mutation::default().is(*mutant));
        }
        assert!("x".parse::<Mutant>().unwrap_err().contains("waits-for-ever"));
    }
}
