//! What must hold in every story, whatever it is about.
//!
//! Each checker is a file that begins with what it verifies and what it does not. Checkers look at the world: media below
//! all caches, the drive's files, LEDs, calls. They never believe the engine's report, and share no decoder, tar reader,
//! table reader or rule list with it.

mod acl_text;
pub mod any_content;
pub mod archive;
pub mod captured;
pub mod claimed;
pub mod clone_is_rootfs;
pub mod containment;
pub mod converges;
pub mod decode;
pub mod disk_rule;
pub mod drive_images;
pub mod drive_unchanged;
pub mod extracted;
pub mod failure_visible;
pub mod finds_root;
pub mod firmware;
pub mod flush_final;
pub mod isolation;
pub mod links;
pub mod looks_like_image;
pub mod mode_safety;
pub mod no_image_missed;
pub mod no_secret;
pub mod not_bootable;
pub mod not_truncated;
pub mod nothing_left;
pub mod old_image;
pub mod out_of_space;
pub mod progress;
pub mod protected;
pub mod refused_untouched;
pub mod retries;
pub mod right_target;
pub mod settings;
pub mod sidecars;
pub mod something_done;
pub mod source_unchanged;
pub mod start_up;
pub mod success_is_true;
pub mod terminates;
pub mod told;
pub mod valid_names;
pub mod write_back;
pub mod written;

use crate::judge::Complaint;
use crate::run::Evidence;
pub use crate::tree;

/// A checker: everything that it finds wrong, in words.
pub type Check = fn(&Evidence) -> Vec<String>;

/// All checkers with their names.
pub const CHECKERS: &[(&str, Check)] = &[
    ("source-unchanged (S1)", source_unchanged::check),
    ("drive-unchanged (S2)", drive_unchanged::check),
    ("valid-names (S3)", valid_names::check),
    ("mode-safety (S4)", mode_safety::check),
    ("right-target (S5)", right_target::check),
    ("firmware (S5, S6, S7, S10)", firmware::check),
    ("success-is-true (S6)", success_is_true::check),
    ("finds-its-root (S6)", finds_root::check),
    ("claimed (S6, S14)", claimed::check),
    ("failure-visible (S7)", failure_visible::check),
    ("something-done (S8)", something_done::check),
    ("told (S8)", told::check),
    ("sidecars (S8)", sidecars::check),
    ("no-image-missed (S8)", no_image_missed::check),
    ("clone-is-rootfs (S8)", clone_is_rootfs::check),
    ("refused-untouched (S9)", refused_untouched::check),
    ("looks-like-image (S9)", looks_like_image::check),
    ("write-back (S9)", write_back::check),
    ("not-bootable (S10)", not_bootable::check),
    ("captured (S6, S11)", captured::check),
    ("not-truncated (S11)", not_truncated::check),
    ("out-of-space (S12)", out_of_space::check),
    ("old-image (S13)", old_image::check),
    ("isolation (S14)", isolation::check),
    ("containment (S15)", containment::check),
    ("flush-final (S16)", flush_final::check),
    ("nothing-left (S17)", nothing_left::check),
    ("protected (S17)", protected::check),
    ("no-secret (S18)", no_secret::check),
    ("terminates (L1)", terminates::check),
    ("converges (L2, L3)", converges::check),
    ("retries (L4)", retries::check),
    ("progress (L5)", progress::check),
    ("start-up (L6)", start_up::check),
];

/// What all checkers find wrong.
pub fn check_all(evidence: &Evidence) -> Vec<Complaint> {
    let all = CHECKERS.iter();
    all.flat_map(|(name, check)| check(evidence).into_iter().map(|what| Complaint::new(name, what))).collect()
}
