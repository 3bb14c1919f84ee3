//! The suite that every backend must pass, so that the simulated backend can replace the real ones.
//!
//! A case is a function with a fixture: it takes a device, a volume or a clock from it, and checks a rule of the HAL's
//! documentation. The cases check what a running kernel can show. Power cuts and injected faults are tested in the
//! simulator. A case that does not apply to a file system, or that needs privileges, prints on standard error that it
//! is skipped, and why.
//!
//! # Rules and their cases
//!
//! | rule | cases |
//! |---|---|
//! | reads end where the object ends | `reading_at_and_over_the_end_returns_nothing`, `a_read_across_the_end_is_short`, `a_verified_read_across_the_end_is_short` |
//! | a device never grows, a file only to its limit | `a_write_over_the_end_is_refused_and_never_extends`, `zeroing_over_the_end_is_refused`, `a_file_longer_than_the_limit_is_refused` |
//! | written bytes read back before a sync | `written_bytes_read_back_before_a_sync`, `content_reads_back_before_a_sync` |
//! | each verification reads the medium, also if another program has it open | `verification_reads_the_medium_and_not_a_cache`, `every_verification_reads_the_medium_anew`, `verification_bypasses_the_cache_of_another_opener` |
//! | the last close drops the page cache | `the_last_close_drops_the_cache` |
//! | a device has one use at a time | `a_target_is_exclusive_until_it_is_closed`, `a_source_is_exclusive_until_it_is_closed`, `a_shared_open_is_allowed_beside_any_use`, `a_device_in_use_elsewhere_is_busy`, all of `file_systems::beside_devices` |
//! | a read-only volume refuses every change | `a_read_only_volume_refuses_every_change`, `a_read_only_mount_changes_nothing` |
//! | a new name never replaces, a rename does | `create_new_never_replaces`, `rename_replaces_a_file`, `rename_refuses_directories_in_the_way` |
//! | an open file can be read after its name is gone | `rename_keeps_an_open_file_readable`, `rename_over_an_open_file_leaves_it_readable`, `remove_keeps_an_open_file_readable`, `a_removed_file_frees_its_space_when_it_is_closed` |
//! | a list is complete in any order | `a_list_is_complete_whatever_its_order` |
//! | free space decreases as files grow, and a full volume keeps what was written | `free_space_never_grows_while_a_file_does`, `a_full_volume_keeps_a_prefix`, `an_attribute_that_is_too_long_is_refused` |
//! | names are case-sensitive, or case-insensitive | `a_case_insensitive_volume_has_one_name`, `a_case_sensitive_volume_has_two_names` |
//! | links can loop or dangle, and never leave the root | `resolve_distinguishes_loops_from_dangling_links`, `resolve_stays_in_the_root`, `no_call_goes_through_a_symlink` |
//! | a volume with open files stays mounted | `open_files_keep_a_volume_mounted`, `a_writer_keeps_a_volume_writable` |
//! | a sleep is never early | `sleep_is_never_early` |
//!
//! # How a backend uses it
//!
//! 1. Enable the feature `contract` of this crate in the tests.
//! 2. Implement the fixture trait of each area: [`block::DeviceFixture`], [`volume::VolumeFixture`],
//!    [`file_systems::FileSystemsFixture`], [`leds::LedsFixture`], [`clock::ClockFixture`], [`tasks::TasksFixture`],
//!    [`system::SystemFixture`], [`firmware::FirmwareFixture`], [`records::RecordsFixture`]. Each case gets a new fixture
//!    and may change it freely. The fixture cleans up in its `Drop`.
//! 3. List the benches in one table: a module's name, the area, an expression that makes the fixture. One area can have
//!    several benches:
//!
//! ```text
//! replicator_hal::contract_tests! {
//!     volume_on_ext4: volume = || Some(Ext4Volume::new());
//!     volume_on_vfat: volume = vfat_if_root;
//! }
//! ```
//!
//! Each case becomes a `#[test]` of its name, and calls the HAL from the test's own thread. The expression returns
//! `Option<Fixture>`; with `None` (no root, no loop devices) the test prints that it is skipped.
//!
//! # How a case is added
//!
//! Write a `pub fn` with one fixture argument and a one-line description, in the file of its subject. Add its name to
//! [`contract_tests!`](crate::contract_tests). A test here finds missing names.

// The suite is test code. It is in the library so that other crates can run it.
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

/// For volumes over a directory that exists anyway: there is nothing to remount or unmount.
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

/// Prints that a case does not apply here.
#[allow(clippy::print_stderr)] // The test harness captures the output of `eprintln!`.
pub fn skipped(case: &str, reason: &str) {
    // One call, because tests run in parallel.
    let line = format!("skipped: {case}: {reason}\n");
    eprint!("{line}");
}

/// Parses a valid path.
#[track_caller]
pub(crate) fn path(text: impl AsRef<[u8]>) -> RelativePath {
    RelativePath::parse(text).unwrap()
}

/// The kind of the error in `result`.
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

/// Reads a whole file.
#[track_caller]
pub(crate) fn read_all(volume: &dyn Volume, at: &RelativePath) -> Vec<u8> {
    let mut file = volume.open(at).unwrap();
    let content = read_rest(file.as_mut());
    file.close().unwrap();
    content
}

/// Reads a whole open file.
#[track_caller]
pub(crate) fn read_rest(file: &mut dyn VolumeFile) -> Vec<u8> {
    let mut content = vec![0; usize::try_from(file.len_bytes().unwrap()).unwrap()];
    let len = io::read_file(file, 0, &mut content).unwrap();
    assert_eq!(len, content.len(), "the length of the file is that of its content");
    content
}

/// Bytes that differ from each other, from zeros, and for each seed.
pub(crate) fn pattern(seed: u8, len: usize) -> Vec<u8> {
    (0..len).map(|index| (index as u8).wrapping_mul(31).wrapping_add((index >> 8) as u8) ^ seed | 1).collect()
}
