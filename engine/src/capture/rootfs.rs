//! Finding the Linux root file system in the working image, by content.
//!
//! A root file system has `/etc` and `/usr` or `/bin`. What a dirty journal holds back is not seen by a read-only mount,
//! so an ext file system that is not proven clean is checked before it is looked into: it lies in the image, and the
//! source stays as it is.

use super::layout::{self, Layout, Slot};
use super::mounted::with_mounted;
use super::work;
use crate::error::{Error, Result};
use crate::operation::Operation;
use replicator_hal::{Access, ErrorKind, FileKind, FsckOutcome, Holder, Region, RelativePath, Volume};

/// The root file system in the working image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rootfs {
    /// Number of its partition; 0 if it fills the medium.
    pub(super) number: u32,
    /// Where it is.
    pub(super) region: Region,
}

/// The root file system in `image`, checked and repaired. Of several, the one in partition `hint` is taken, else the first.
pub(super) fn find(
    operation: &Operation<'_>,
    layout: &Layout,
    image: &Holder,
    hint: u32,
    notes: &mut Vec<String>,
) -> Result<Option<Rootfs>> {
    let (hinted, others): (Vec<&Slot>, Vec<&Slot>) =
        layout.slots.iter().partition(|slot| slot.number == hint);
    for slot in hinted.into_iter().chain(others) {
        let region = slot.region(image);
        if layout::ext_in(operation, &region)?.is_none() {
            continue;
        }
        let mut is_checked = false;
        if layout::unused_of(operation, &region)?.is_none() {
            check(operation, slot, &region, notes)?;
            is_checked = true;
        }
        if !looks_like_rootfs(operation, slot, &region, &mut is_checked, notes)? {
            operation.log(&format!("partition {}: no root file system", slot.number));
            continue;
        }
        if !is_checked {
            check(operation, slot, &region, notes)?;
        }
        operation.log(&format!("partition {} holds the root file system", slot.number));
        return Ok(Some(Rootfs { number: slot.number, region }));
    }
    Ok(None)
}

fn looks_like_rootfs(
    operation: &Operation<'_>,
    slot: &Slot,
    region: &Region,
    is_checked: &mut bool,
    notes: &mut Vec<String>,
) -> Result<bool> {
    let look = || with_mounted(operation, region, Access::ReadOnly, |volume| has_rootfs(operation, volume));
    match look() {
        // Damage that the unused blocks did not show.
        Err(Error::Hal { source, .. }) if source.kind() == ErrorKind::Corrupt && !*is_checked => {
            check(operation, slot, region, notes)?;
            *is_checked = true;
            look()
        }
        other => other,
    }
}

fn has_rootfs(operation: &Operation<'_>, volume: &dyn Volume) -> Result<bool> {
    Ok(has_directory(operation, volume, "etc")?
        && (has_directory(operation, volume, "usr")? || has_directory(operation, volume, "bin")?))
}

/// Whether `name` is a directory or leads to one inside of the volume (`/bin -> usr/bin`).
fn has_directory(operation: &Operation<'_>, volume: &dyn Volume, name: &str) -> Result<bool> {
    let path = RelativePath::root()
        .join(name)
        .map_err(|error| Error::Internal { detail: format!("{name}: {error}") })?;
    match operation.retry(|| volume.resolve(&path)) {
        Ok(resolved) => Ok(work::kind_of(operation, volume, &resolved)? == Some(FileKind::Directory)),
        Err(error) if is_nothing(error.kind()) => Ok(false),
        Err(error) => Err(Error::hal(format!("looking at /{name}"))(error)),
    }
}

/// Whether a path that cannot be resolved for this reason is simply not there.
pub(super) fn is_nothing(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::NotFound | ErrorKind::NotADirectory | ErrorKind::SymlinkInPath)
}

fn check(operation: &Operation<'_>, slot: &Slot, region: &Region, notes: &mut Vec<String>) -> Result<()> {
    operation.step(&format!("checking the file system of partition {}", slot.number));
    let fsck = operation
        .board
        .file_systems
        .fsck(region)
        .map_err(Error::hal(format!("checking the captured file system of partition {}", slot.number)))?;
    for line in fsck.output.lines() {
        operation.log(line);
    }
    if fsck.outcome == FsckOutcome::Repaired {
        notes.push(match slot.number {
            0 => "file system repaired".to_owned(),
            number => format!("file system of partition {number} repaired"),
        });
    }
    Ok(())
}
