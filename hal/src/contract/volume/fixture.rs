//! The fixture of the cases about volumes, and their helpers.

use crate::Volume;
use crate::contract::skipped;

/// A volume to test, mounted read-write. Its root may have entries such as `lost+found`, but no name that a case uses.
pub trait VolumeFixture {
    /// The volume.
    fn volume(&self) -> &dyn Volume;

    /// Whether owners can be changed and device nodes created.
    fn privileged(&self) -> bool;

    /// Whether the volume is smaller than 64 MiB, so that a case may fill it.
    fn may_be_filled(&self) -> bool;
}

/// Whether the volume supports Unix's links, modes and owners; prints a message if not.
pub(super) fn has_unix(fixture: &dyn VolumeFixture, case: &str) -> bool {
    let unix = fixture.volume().capabilities().unix;
    if !unix {
        skipped(case, "the file system has no links, modes and owners");
    }
    unix
}

/// Whether privileged cases can run; prints a message if not.
pub(super) fn is_privileged(fixture: &dyn VolumeFixture, case: &str) -> bool {
    if !fixture.privileged() {
        skipped(case, "needs root");
    }
    fixture.privileged() && has_unix(fixture, case)
}
