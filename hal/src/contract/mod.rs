//! The suite that every backend must pass, so that one that is simulated can stand for one that is real.
//!
//! A case is a plain function over a fixture: it asks for a device, a volume, a clock and checks what the HAL's pages
//! promise. What is here is what a living kernel can show; power cuts and injected faults are the simulation's own
//! tests. Cases about what a file system cannot hold, or what needs privileges, say on standard error that they are
//! skipped, and why.
//!
//! # Rules and their cases
//!
//! | rule that a living kernel shows | cases |
//! |---|---|
//! | reads end where the object ends | `reading_at_and_over_the_end_gives_nothing`, `a_read_across_the_end_is_short`, `a_verified_read_across_the_end_is_short` |
//! | a device never grows, a file only to its limit | `a_write_over_the_end_is_refused_and_never_extends`, `zeroing_over_the_end_is_refused`, `a_file_longer_than_the_limit_is_refused` |
//! | what was written reads back before a sync | `what_was_written_reads_back_before_a_sync`, `content_reads_back_before_a_sync` |
//! | verification reads the medium, each time, whoever else has it open | `verification_reads_the_medium_and_not_a_cache`, `every_verification_reads_the_medium_anew`, `verification_sees_past_another_opener` |
//! | pages go at the last close | `the_last_close_forgets_the_cache` |
//! | one use at a time | `a_target_is_exclusive_until_it_is_closed`, `a_source_is_exclusive_until_it_is_closed`, `a_shared_look_is_allowed_beside_any_use`, `a_device_held_elsewhere_is_busy`, all of `file_systems::beside_devices` |
//! | a read-only volume refuses every change | `a_read_only_volume_refuses_every_change`, `a_read_only_mount_changes_nothing` |
//! | a new name never replaces, a rename does | `create_new_never_replaces`, `rename_replaces_a_file`, `rename_refuses_directories_in_the_way` |
//! | an open file outlives its name | `rename_keeps_an_open_file_readable`, `rename_over_an_open_file_leaves_it_readable`, `remove_keeps_an_open_file_readable`, `a_removed_file_gives_its_space_back_when_it_is_closed` |
//! | a list is complete in any order | `a_list_is_complete_whatever_its_order` |
//! | space goes as files grow, and a full volume keeps a prefix | `free_space_never_grows_while_a_file_does`, `a_full_volume_keeps_a_prefix`, `an_attribute_that_is_too_long_is_refused` |
//! | case counts or it does not | `a_case_insensitive_volume_has_one_name`, `a_case_sensitive_volume_has_two_names` |
//! | links loop, dangle, and never leave the root | `resolve_tells_loops_from_dangling_links`, `resolve_stays_in_the_root`, `no_call_goes_through_a_symlink` |
//! | a volume with open files stays mounted | `open_files_keep_a_volume_mounted`, `a_writer_keeps_a_volume_writable` |
//! | a sleep is never early | `sleep_is_never_early` |
//!
//! # How a backend uses it
//!
//! 1. Enable the feature `contract` of this crate in the tests.
//! 2. Implement the fixture trait of each area: [`block::DeviceFixture`], [`volume::VolumeFixture`],
//!    [`file_systems::FileSystemsFixture`], [`leds::LedsFixture`], [`clock::ClockFixture`], [`tasks::TasksFixture`],
//!    [`system::SystemFixture`], [`firmware::FirmwareFixture`], [`records::RecordsFixture`]. A fixture is made anew for each case and may be changed freely by it; what must be
//!    cleaned up belongs into its `Drop`.
//! 3. List the benches in one table: a module's name, the area, what makes the fixture. One area can have several benches:
//!
//! ```text
//! replicator_hal::contract_tests! {
//!     volume_on_ext4: volume = || Some(Ext4Volume::new());
//!     volume_on_vfat: volume = vfat_if_root;
//! }
//! ```
//!
//! Each case becomes one `#[test]` of its name, and calls the HAL from the test's own thread. The maker returns `Option<Fixture>`; `None` means that this host cannot
//! have the fixture (no root, no loop devices), and the test says that it is skipped.
//!
//! # How a case is added
//!
//! Write a `pub fn` with one fixture argument and a line that tells the story, in the file of its idea; name it in
//! [`contract_tests!`](crate::contract_tests). A test here finds the ones that were forgotten.

// The suite is test code, in a library only so that other crates can run it.
#![allow(clippy::unwrap_used, clippy::expect_used)]

pub mod block;
pub mod clock;
pub mod file_systems;
pub mod firmware;
pub mod leds;
#[cfg(feature = "linux")]
pub mod loop_media;
mod macros;
pub mod records;
pub mod system;
pub mod tasks;
pub mod volume;

#[cfg(feature = "host")]
use crate::{Access, host::Mount};
use crate::{ErrorKind, RelativePath, Result, Volume, VolumeFile, io};

/// For volumes over a directory that is there anyway: nothing to remount or unmount.
#[cfg(feature = "host")]
#[derive(Debug, Clone, Copy)]
pub struct NoMount;

#[cfg(feature = "host")]
impl Mount for NoMount {
    fn remount(&self, _access: Access) -> Result<()> {
        Ok(())
    }

    fn unmount(&self) -> Result<()> {
        Ok(())
    }

    fn abandon(&self) {}
}

/// Says that a case does not apply here.
#[allow(clippy::print_stderr)] // The test harness keeps what goes through the macro to itself.
pub fn skipped(case: &str, reason: &str) {
    // In one piece, because tests run beside each other.
    let line = format!("skipped: {case}: {reason}\n");
    eprint!("{line}");
}

/// A path from text that is one.
#[track_caller]
pub(crate) fn path(text: impl AsRef<[u8]>) -> RelativePath {
    RelativePath::parse(text).unwrap()
}

/// The kind of error that `result` must be.
#[track_caller]
pub(crate) fn kind<T>(result: Result<T>) -> ErrorKind {
    match result {
        Ok(_) => panic!("this must fail"),
        Err(error) => error.kind(),
    }
}

/// Creates a file with this content and closes it.
#[track_caller]
pub(crate) fn write_new(volume: &dyn Volume, at: &RelativePath, content: &[u8]) {
    let mut file = volume.create_new(at, 0o644).unwrap();
    io::write_file(file.as_mut(), 0, content).unwrap();
    file.close().unwrap();
}

/// The whole content of a file.
#[track_caller]
pub(crate) fn read_all(volume: &dyn Volume, at: &RelativePath) -> Vec<u8> {
    let mut file = volume.open(at).unwrap();
    let content = read_rest(file.as_mut());
    file.close().unwrap();
    content
}

/// The whole content of an open file.
#[track_caller]
pub(crate) fn read_rest(file: &mut dyn VolumeFile) -> Vec<u8> {
    let mut content = vec![0; usize::try_from(file.len_bytes().unwrap()).unwrap()];
    let len = io::read_file(file, 0, &mut content).unwrap();
    assert_eq!(len, content.len(), "a file ends where its length says");
    content
}

/// Bytes that differ from each other, from zeros, and between seeds.
pub(crate) fn pattern(seed: u8, len: usize) -> Vec<u8> {
    (0..len).map(|index| (index as u8).wrapping_mul(31).wrapping_add((index >> 8) as u8) ^ seed | 1).collect()
}
