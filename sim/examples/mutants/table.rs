//! The table of mutants: what each does, the invariant that it breaks, the scenarios that show it, and the checkers
//! that must detect it.
//!
//! A fault of the engine is a patch in `sim/mutants`, a fault of a board a function in `boards.rs`. The tests here
//! check that the table, the patches and the sources match.

use crate::boards;
use replicator_hal::Board;
use replicator_sim::judge::CheckerId::{self, *};
use replicator_sim::judge::Invariant::{self, *};

/// Changes a board.
pub(crate) type Change = fn(Board) -> Board;

/// Where the fault is.
pub(crate) enum Fault {
    /// In the engine: `sim/mutants/NAME.patch`.
    Patch,
    /// In the board.
    Board(Change),
}

/// A deliberate fault.
pub(crate) struct Mutant {
    /// The invariant that it breaks.
    pub(crate) breaks: Invariant,
    /// Its name, and that of its patch.
    pub(crate) name: &'static str,
    /// Where it is.
    pub(crate) fault: Fault,
    /// What it does.
    pub(crate) what: &'static str,
    /// The scenarios that are run with it.
    pub(crate) scenarios: &'static [&'static str],
    /// The checkers that must complain, each in at least one of the scenarios.
    pub(crate) detected_by: &'static [CheckerId],
}

const fn patch(
    breaks: Invariant,
    name: &'static str,
    what: &'static str,
    scenarios: &'static [&'static str],
    detected_by: &'static [CheckerId],
) -> Mutant {
    Mutant { breaks, name, fault: Fault::Patch, what, scenarios, detected_by }
}

const fn board(
    breaks: Invariant,
    name: &'static str,
    change: Change,
    what: &'static str,
    scenarios: &'static [&'static str],
    detected_by: &'static [CheckerId],
) -> Mutant {
    Mutant { breaks, name, fault: Fault::Board(change), what, scenarios, detected_by }
}

/// All mutants, in the order of the invariants.
pub(crate) const MUTANTS: &[Mutant] = &[
    patch(
        S1,
        "fsck-on-the-source",
        "The engine runs fsck on the source's file systems, and not only on those of its image.",
        &["capture-dirty-file-system"],
        &[SourceUnchanged],
    ),
    patch(
        S2,
        "logs-on-the-drive",
        "A write makes a directory for logs on the drive.",
        &["write-dd-xz"],
        &[DriveUnchanged],
    ),
    patch(
        S3,
        "no-sync-before-rename",
        "An image gets its name before its bytes are on the drive.",
        &["capture-power-cut-at-the-second-medium"],
        &[ValidNames],
    ),
    patch(
        S3,
        "map-leaves-out-too-much",
        "A captured image has a block map that leaves out used blocks.",
        &["capture-multi-partition-emmc"],
        &[ValidNames],
    ),
    patch(
        S4,
        "session-ends-early",
        "The session ends with the first medium, not with the last.",
        &["capture-out-of-space-in-later-medium"],
        &[ModeSafety],
    ),
    patch(
        S5,
        "any-device-with-the-name",
        "Any device with the name of the medium is taken for the medium.",
        &["write-another-device-takes-the-name"],
        &[RightTarget],
    ),
    patch(
        S5,
        "bootloader-of-any-length",
        "A bootloader may be longer than its place in the area.",
        &["firmware-overlaps-the-next-region"],
        &[Firmware],
    ),
    board(
        S6,
        "source-without-claim",
        boards::nothing_is_claimed,
        "The source is opened without a claim while another process uses it.",
        &["capture-held-elsewhere"],
        &[HeldMedium],
    ),
    patch(
        S6,
        "many-files-are-not-compared",
        "The files of a tarball with so many that no list of them is kept are not compared.",
        &["write-tarball-many-files-damaged"],
        &[SuccessIsTrue],
    ),
    patch(
        S6,
        "no-read-back",
        "What was written is not read back.",
        &["write-card-drops-writes", "write-fake-card-limbo"],
        &[SuccessIsTrue],
    ),
    patch(
        S6,
        "start-is-not-reserved",
        "The first MiB is not written before the verification: a card that wraps around is damaged after it.",
        &["write-card-wraps-its-start-into-zeros"],
        &[SuccessIsTrue],
    ),
    patch(
        S6,
        "zeros-are-not-proven",
        "Zeros that were left to a discard need not be on the medium.",
        &["write-discard-in-part"],
        &[SuccessIsTrue],
    ),
    patch(
        S6,
        "zeros-are-not-compared-again",
        "Zeros that a discarded medium lacks are written, and nothing is compared after that.",
        &["write-discard-fake-card"],
        &[SuccessIsTrue],
    ),
    patch(
        S6,
        "map-is-used-without-discard",
        "What a block map leaves out is left out on a medium that was not discarded.",
        &["write-map-without-discard"],
        &[SuccessIsTrue],
    ),
    patch(
        S6,
        "ranges-of-a-map-are-not-compared",
        "The checksums of a block map's ranges are not compared with the image.",
        &["write-map-of-another-image"],
        &[SuccessIsTrue],
    ),
    patch(
        S6,
        "links-are-replaced",
        "A directory in a tarball replaces a link to one.",
        &["write-tarball-overlay-keeps-links"],
        &[SuccessIsTrue],
    ),
    patch(
        S6,
        "flags-are-not-captured",
        "A capture does not keep inode flags.",
        &["capture-single-partition-sd"],
        &[Captured],
    ),
    patch(
        S6,
        "digests-are-not-listed",
        "The list of digests in a tarball lacks some files.",
        &["capture-single-partition-sd"],
        &[Captured],
    ),
    patch(
        S6,
        "long-list-is-cut",
        "Of a list of digests that is longer than one chunk, only the last lines are packed.",
        &["capture-long-list-of-digests"],
        &[Captured],
    ),
    patch(
        S6,
        "flags-are-not-set",
        "A tarball's inode flags are not set.",
        &["write-captured-tarball", "capture-flags-round-trip"],
        &[SuccessIsTrue],
    ),
    patch(
        S6,
        "root-gets-any-name",
        "A clone gets another UUID and no label, although its files name the old ones.",
        &["root-names-round-trip", "root-names-of-a-foreign-tarball"],
        &[FindsRoot],
    ),
    patch(
        S6,
        "bootloader-is-not-compared",
        "A bootloader is read back but not compared.",
        &["firmware-flash-drops-writes"],
        &[Firmware],
    ),
    patch(
        S6,
        "exit-status-is-trusted",
        "An updater's exit status 0 is taken as proof of the update.",
        &["firmware-micro-updater-does-not-reset", "firmware-micro-updater-does-nothing"],
        &[Firmware],
    ),
    patch(
        S7,
        "bootloader-stays-broken",
        "A bootloader that could not be written is not put back.",
        &["firmware-write-fails"],
        &[Firmware],
    ),
    board(
        S7,
        "hang-is-never-critical",
        boards::never_at_risk,
        "The LEDs show a hang in the middle of a bootloader as failure, not as critical.",
        &["firmware-hang-in-the-bootloader"],
        &[Firmware],
    ),
    board(
        S7,
        "failure-shown-as-success",
        boards::failure_is_success,
        "The LEDs show success instead of a failure.",
        &["capture-out-of-space-in-later-medium"],
        &[FailureVisible],
    ),
    patch(
        S8,
        "nothing-done-is-success",
        "A run that did nothing is a success.",
        &["capture-nothing-is-failure"],
        &[SomethingDone],
    ),
    patch(
        S8,
        "captured-is-not-compared",
        "The files of a capture are not compared after the last write to the drive.",
        &["capture-drive-ends-behind-the-image", "capture-drive-ends-behind-the-image-vfat"],
        &[SomethingDone],
    ),
    patch(
        S8,
        "unsanitised-not-reported",
        "The report does not name what was not sanitised.",
        &["capture-both-slots"],
        &[SanitisingReported],
    ),
    patch(
        S8,
        "dangling-sidecar-is-none",
        "A sidecar that is a dangling link counts as no sidecar.",
        &["write-dangling-sidecar"],
        &[Sidecars],
    ),
    patch(
        S8,
        "unassigned-is-ignored",
        "An image that was not renamed is ignored, and the board is captured.",
        &["names-unrenamed-image-is-refused"],
        &[NoImageMissed],
    ),
    patch(
        S8,
        "any-tree-is-written",
        "A tarball with any tree is accepted.",
        &["write-tarball-below-a-directory", "write-tarball-of-one-file"],
        &[CloneIsRootfs],
    ),
    patch(
        S8,
        "entries-of-an-index-are-not-compared",
        "The entries of a tarball need not be those of the index by which it was checked.",
        &["write-index-is-forged"],
        &[CloneIsRootfs],
    ),
    patch(
        S9,
        "index-of-any-file",
        "An index is used for any tarball, and not only for the one of its record.",
        &["write-index-of-another-file"],
        &[RefusedUntouched],
    ),
    patch(
        S9,
        "sidecar-beside-an-index-is-ignored",
        "A tarball with an index need not match the sidecars of its content.",
        &["write-index-wrong-sidecar"],
        &[RefusedUntouched],
    ),
    patch(
        S9,
        "no-check-of-the-file",
        "The sidecar of the file is not checked before the medium is erased.",
        &["write-wrong-file-sidecar"],
        &[RefusedUntouched],
    ),
    patch(
        S9,
        "any-file-is-written",
        "Any file is accepted as a disk image.",
        &["write-zip", "write-blank-image"],
        &[LooksLikeImage, RefusedUntouched],
    ),
    patch(
        S9,
        "room-is-not-counted",
        "The file system for a tarball is made without counting its entries.",
        &["write-tarball-many-files", "write-tarball-too-many-files"],
        &[RefusedUntouched],
    ),
    patch(
        S9,
        "golden-is-overwritten",
        "An image is written to the medium that it was captured from.",
        &["no-identity-golden-is-not-overwritten", "capture-then-reboot-is-refused", "write-back-is-refused"],
        &[RefusedUntouched, WriteBack],
    ),
    patch(
        S9,
        "checksum-of-a-map-is-ignored",
        "A block map need not match its own checksum.",
        &["write-map-is-damaged"],
        &[RefusedUntouched],
    ),
    patch(
        S10,
        "start-first",
        "The start of a disk image is written first.",
        &["write-power-cut-keeps-the-start"],
        &[NotBootable],
    ),
    patch(
        S11,
        "cut-images-are-written",
        "An image may end before its partitions do.",
        &["write-cut-dd", "write-cut-before-xz", "write-logical-past-the-end-plain"],
        &[NotTruncated],
    ),
    patch(
        S11,
        "pack-stops-short",
        "The last part of a medium is not packed.",
        &["capture-data-only"],
        &[Captured, NotTruncated],
    ),
    patch(
        S11,
        "gives-back-what-is-not-packed",
        "More of the working image is given back than was packed.",
        &["capture-disk-image-gives-space-back"],
        &[Captured],
    ),
    patch(
        S11,
        "gives-back-files-that-are-not-packed",
        "More of a root file system is given back than was packed.",
        &["capture-tarball-gives-space-back"],
        &[Captured],
    ),
    patch(
        S12,
        "work-files-stay",
        "A failed capture leaves its working files.",
        &["capture-out-of-space-in-tarball", "capture-out-of-space-in-compression"],
        &[OutOfSpace],
    ),
    patch(
        S13,
        "old-image-is-removed-first",
        "An old image is removed before the new one is complete.",
        &["capture-old-image-survives-failed-recapture"],
        &[OldImage],
    ),
    patch(
        S14,
        "one-fails-all",
        "One image that cannot be used stops all others.",
        &["write-unreadable-image-beside-a-good-one"],
        &[Isolation],
    ),
    patch(
        S15,
        "links-are-followed",
        "Sanitising removes the target of a link instead of the link.",
        &["capture-single-partition-sd"],
        &[Containment],
    ),
    patch(
        S16,
        "sync-tried-again",
        "A failed sync is tried again, and the second call's success counts.",
        &["capture-directory-flush-error-is-final"],
        &[FlushFinal],
    ),
    patch(
        S17,
        "drive-stays-mounted",
        "The drive is still mounted when the LEDs show the end.",
        &["write-dd-xz"],
        &[NothingLeft],
    ),
    patch(
        S17,
        "area-stays-writable",
        "The write protection of a bootloader area stays off.",
        &["firmware-alone-is-written"],
        &[NothingLeft, Protected],
    ),
    board(
        S17,
        "looks-unprotected",
        boards::always_unprotected,
        "The write protection of a bootloader area is lifted to read it.",
        &["firmware-identical-stays-protected", "firmware-is-identical"],
        &[Protected],
    ),
    patch(
        S18,
        "one-rootfs-is-enough",
        "Only the first root file system is sanitised.",
        &["capture-both-slots"],
        &[NoSecret],
    ),
    patch(
        S18,
        "mounts-are-ignored",
        "Partitions that the root file system mounts are not sanitised.",
        &["capture-var-on-a-partition"],
        &[NoSecret],
    ),
    patch(
        S18,
        "free-blocks-stay",
        "Free blocks of the image keep their old content.",
        &["capture-secrets-are-gone", "capture-multi-partition-emmc"],
        &[NoSecret],
    ),
    patch(
        S18,
        "working-image-is-unlinked",
        "A working image is removed without being overwritten.",
        &["capture-single-partition-sd", "capture-removed-bytes-everywhere", "capture-power-cut-in-copy"],
        &[NoSecret],
    ),
    patch(
        S18,
        "swap-files-stay",
        "Swapped memory in swap files is captured.",
        &["capture-swap-file"],
        &[NoSecret],
    ),
    patch(
        S18,
        "copy-is-not-compared",
        "The copy is not compared with the medium.",
        &["capture-superblock-is-misread"],
        &[NoSecret],
    ),
    patch(
        S18,
        "working-image-name-is-late",
        "The name of a working image is not synced: after a power cut the next boot cannot overwrite it.",
        &["capture-cut-before-the-image-is-durable"],
        &[NoSecret],
    ),
    patch(
        L1,
        "waits-for-ever",
        "The engine waits for the drive without a limit.",
        &["no-drive"],
        &[Terminates],
    ),
    patch(
        L2,
        "session-is-refused",
        "An unfinished session is refused.",
        &["capture-power-cut-in-copy"],
        &[Converges],
    ),
    patch(
        L3,
        "blank-is-refused",
        "A medium without a partition table is refused, such as one after a cut write.",
        &["write-power-cut-leaves-garbage"],
        &[Converges],
    ),
    patch(
        L4,
        "retries-many-times",
        "A read is tried again up to 1000 times.",
        &["capture-source-read-error"],
        &[Retries],
    ),
    board(
        L5,
        "lease-of-a-day",
        boards::lease_of_a_day,
        "The progress lease is a day.",
        &["write-dd-xz"],
        &[Progress],
    ),
    board(
        L6,
        "failed-start-is-dark",
        boards::failure_is_dark,
        "The LEDs do not show a failed start.",
        &["no-drive", "settings-unknown-key"],
        &[StartUp],
    ),
];

#[cfg(test)]
mod tests;
