//! What a backend brings for the cases about volumes, and what they ask of it.

use crate::Volume;
use crate::contract::skipped;

/// A volume to test, mounted read-write. Its root may hold things such as `lost+found`; no name a case uses is there.
pub trait VolumeFixture {
    /// The volume.
    fn volume(&self) -> &dyn Volume;

    /// Whether owners can be given away and device nodes made.
    fn privileged(&self) -> bool;

    /// Whether the volume is so small, below 64 MiB, that a case may fill it.
    fn may_be_filled(&self) -> bool;
}

/// Whether the volume keeps Unix's links, modes and owners; says so if not.
pub(super) fn has_unix(fixture: &dyn VolumeFixture, case: &str) -> bool {
    let unix = fixture.volume().capabilities().unix;
    if !unix {
        skipped(case, "the file system has no links, modes and owners");
    }
    unix
}

/// Whether privileged cases can run; says so if not.
pub(super) fn is_privileged(fixture: &dyn VolumeFixture, case: &str) -> bool {
    if !fixture.privileged() {
        skipped(case, "needs root");
    }
    fixture.privileged() && has_unix(fixture, case)
}
