//! Defects that shell-script imagers of this kind had, each with the scenarios that prove their absence here.
//!
//! Each scenario is run with all checkers. Defects that only real files and real tools can show (attributes, sparse
//! files, archives of other tars) are in `engine/tests/tar_*.rs` and in the real-input test.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

use replicator_sim::judge;
use replicator_sim::scenario::builtin::BUILTIN;
use replicator_sim::scenario::schema::Scenario;

fn run(scenarios: &[&str]) {
    for scenario in scenarios {
        let text = BUILTIN.iter().find(|(name, _)| name == scenario).map(|(_, text)| *text);
        let text = text.unwrap_or_else(|| panic!("there is no scenario {scenario}"));
        let judged = judge::run(scenario, &Scenario::parse(text, scenario).unwrap()).unwrap();
        let complaints: Vec<_> = judged.complaints.iter().map(|complaint| &complaint.what).collect();
        assert!(complaints.is_empty(), "{scenario}: {complaints:?}");
    }
}

macro_rules! defects {
    ($($(#[doc = $doc:literal])+ $name:ident: $($scenario:literal)+;)+) => {
        $($(#[doc = $doc])+
        #[test]
        fn $name() {
            run(&[$($scenario),+]);
        })+
    };
}

defects! {
    /// An interrupted or failed capture leaves a partial file under a valid name, and the next boot writes it to the
    /// golden unit.
    an_interrupted_capture_becomes_a_destructive_write:
        "capture-power-cut-in-copy" "capture-power-cut-in-copy-all-survives" "capture-power-cut-in-sanitise"
        "capture-power-cut-in-pack" "capture-power-cut-in-commit" "capture-power-cut-in-commit-all-survives"
        "capture-power-cut-between-media" "capture-out-of-space-in-copy" "capture-out-of-space-in-tarball"
        "capture-out-of-space-in-compression" "capture-out-of-space-in-later-medium";
    /// After a good capture, a reboot with the drive in writes the golden unit with its own sanitised copy.
    the_golden_unit_is_overwritten_by_its_own_image: "capture-then-reboot-is-refused" "write-back-is-refused";
    /// A failed expansion of the drive shows "running" for ever.
    a_failed_expansion_runs_for_ever: "expand-fails";
    /// Without a drive, or with a slow one, there is no message and no LED.
    no_drive_is_silent: "no-drive" "drive-unlabelled";
    /// A misspelt name starts a capture without a message.
    a_misspelt_name_starts_a_capture:
        "names-case-is-refused" "names-extension-is-refused" "names-lone-spl-is-refused" "names-misspelt-beside-good"
        "names-unrenamed-image-is-refused";
    /// `.tar.zst` can be decoded, but is in no list of accepted names.
    zstd_is_in_no_list: "write-tar-zst" "write-dd-zst";
    /// A run that did nothing is a success.
    nothing_done_is_success:
        "capture-nothing-is-failure" "capture-skip-all-is-failure" "shell-only" "firmware-partner-is-missing"
        "firmware-micro-of-an-old-board" "firmware-fpga-for-another-revision";
    /// The FPGA file of another board revision is critical, although nothing was touched.
    a_file_for_another_revision_is_critical: "firmware-fpga-for-another-revision";
    /// The bootloader is compared with the board on some boards only, and two unknown types count as equal.
    any_bootloader_is_written:
        "firmware-both-variants-are-unknown" "firmware-for-another-variant" "firmware-of-the-wrong-kind"
        "firmware-of-another-board";
    /// A bootloader has no size limit and no backup, is not put back after a failure, and its write protection stays
    /// off.
    a_bootloader_is_written_blindly:
        "firmware-one-byte-too-large" "firmware-overlaps-the-next-region" "firmware-larger-than-the-area" "firmware-write-fails"
        "firmware-flash-drops-writes-behind-a-cache" "firmware-cannot-be-restored";
    /// A failed microcontroller update does not stop later steps, and its exit status is trusted.
    a_failed_update_does_not_stop_the_run:
        "firmware-micro-does-not-answer-after-the-update" "firmware-micro-updater-fails" "firmware-micro-updater-does-not-reset";
    /// An option file with an extension ends the shell that reads it.
    an_option_with_an_extension_hangs_the_run: "capture-no-compress-txt" "capture-unknown-option-is-reported";
    /// Without a sidecar nothing is verified; a tarball's sidecar is never read.
    no_sidecar_means_no_verification:
        "write-without-sidecar-is-verified" "write-card-drops-writes" "write-wrong-tarball-sidecar" "write-crlf-sidecar";
    /// Verification reads the page cache when anything else holds the device open.
    verification_reads_the_page_cache: "write-card-drops-writes-held-open" "write-card-drops-writes-tarball";
    /// An image larger than the medium is detected only while the medium is overwritten.
    sizes_are_not_checked_before:
        "write-image-larger-than-medium" "write-gzip-image-larger-than-medium" "write-tarball-larger-than-medium"
        "capture-drive-too-small";
    /// A read-only mount of the golden medium replays its journal.
    the_golden_medium_is_changed: "capture-dirty-file-system" "capture-repairable-damage";
    /// `fsck` that repaired (exit 1) is taken for a failure.
    a_repair_is_taken_for_a_failure: "capture-repairable-damage" "capture-fsck-cannot-repair";
    /// The sanitiser's failure is ignored, its rules miss what clones must not share, or delete what must stay.
    sanitising_is_not_checked:
        "capture-required-rule-fails" "capture-hook-fails" "capture-secrets-are-gone" "capture-rule-file-on-drive";
    /// Deleted keys stay in the free blocks of disk images.
    deleted_keys_stay_in_disk_images: "capture-secrets-are-gone" "capture-multi-partition-emmc";
    /// Absolute symlinks in the rootfs lead the sanitiser out of it.
    the_sanitiser_leaves_the_tree: "capture-var-log-absolute-symlink" "capture-var-log-escapes";
    /// Counting lines decides between tarball and disk image: logical partitions and no table go wrong.
    layouts_are_miscounted:
        "capture-logical-partitions" "capture-blank-medium" "capture-gpt" "capture-single-gpt"
        "capture-rootfs-as-partition-2";
    /// An empty slot gives an empty image, which the next boot "writes".
    an_empty_slot_gives_an_empty_image: "capture-empty-slot-is-skipped" "write-empty-image" "write-empty-uncompressed-image";
    /// An absent target is created as a file in RAM, written and verified.
    an_absent_target_is_created: "write-absent-medium";
    /// Bad input is found out after the medium is erased, or never.
    bad_input_is_detected_late:
        "write-truncated-image" "write-truncated-tarball" "write-tarball-cut-at-a-member" "write-bit-flipped-tarball"
        "write-bit-flipped-image" "write-trailing-garbage-image" "write-one-byte-short-image" "write-tar-named-dd"
        "write-dd-named-tar" "write-gzip-named-xz";
    /// Multi-stream files are cut after the first stream.
    multi_stream_files_are_cut:
        "write-concatenated-xz" "write-concatenated-gz" "write-concatenated-bz2" "write-concatenated-zst";
    /// A drive that failed in mid write, and success on the LEDs.
    a_decoder_error_is_success: "write-truncated-gzip-image" "write-truncated-zstd-image" "capture-drive-is-unplugged";
    /// A failure is shown while other media are still being written.
    failure_is_shown_too_early: "write-one-fails-others-succeed" "write-card-is-unplugged";
    /// A hung operation shows "running" for ever.
    a_hang_runs_for_ever: "hang-in-write" "hang-in-capture";
    /// Links on the drive are followed wherever they lead.
    links_lead_anywhere:
        "write-dangling-symlink" "write-looping-symlink" "write-escaping-symlink" "write-directory-named-as-image"
        "write-one-symlinked-tarball" "write-absolute-symlink-to-the-mount-point";
    /// Mounts and loop devices are left behind by failures.
    mounts_are_left_behind: "capture-out-of-space-in-copy" "capture-fsck-cannot-repair" "unmount-busy-is-failure";
}
