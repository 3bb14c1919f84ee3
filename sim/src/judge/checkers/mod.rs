//! The invariants of every scenario.
//!
//! Each checker is a file that begins with what it verifies and what it does not. Checkers look at the world: media
//! below all caches, the drive's files, LEDs, calls. They do not rely on the engine's report, and share no decoder,
//! tar reader, table reader or rule list with it.

pub mod captured;
pub mod clone_is_rootfs;
pub mod containment;
pub mod converges;
pub mod drive_unchanged;
pub mod failure_visible;
pub mod finds_root;
pub mod firmware;
pub mod flush_final;
pub mod held_medium;
pub mod isolation;
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
pub mod sanitising_reported;
pub mod sidecars;
pub mod something_done;
pub mod source_unchanged;
pub mod start_up;
pub mod success_is_true;
pub mod terminates;
pub mod valid_names;
pub mod write_back;

use super::Judge;
use crate::run::Evidence;

/// A check: everything that is wrong, one text each.
pub type Check = fn(&Evidence) -> Vec<String>;

/// All checkers.
pub const CHECKERS: &[Judge] = &[
    source_unchanged::JUDGE,
    drive_unchanged::JUDGE,
    valid_names::JUDGE,
    mode_safety::JUDGE,
    right_target::JUDGE,
    firmware::JUDGE,
    success_is_true::JUDGE,
    finds_root::JUDGE,
    held_medium::JUDGE,
    failure_visible::JUDGE,
    something_done::JUDGE,
    sanitising_reported::JUDGE,
    sidecars::JUDGE,
    no_image_missed::JUDGE,
    clone_is_rootfs::JUDGE,
    refused_untouched::JUDGE,
    looks_like_image::JUDGE,
    write_back::JUDGE,
    not_bootable::JUDGE,
    captured::JUDGE,
    not_truncated::JUDGE,
    out_of_space::JUDGE,
    old_image::JUDGE,
    isolation::JUDGE,
    containment::JUDGE,
    flush_final::JUDGE,
    nothing_left::JUDGE,
    protected::JUDGE,
    no_secret::JUDGE,
    terminates::JUDGE,
    converges::JUDGE,
    retries::JUDGE,
    progress::JUDGE,
    start_up::JUDGE,
];
