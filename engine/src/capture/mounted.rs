//! Mounts a file system for some work, and always unmounts it again.

use crate::error::{Error, Result};
use crate::operation::Operation;
use replicator_hal::{Access, Region, RelativePath, Volume};

/// Mounts `region`, does `work` on it and unmounts it, also if `work` failed. A failed unmount is an error, because the
/// last writes may be lost. If both fail, the error of `work` is returned.
pub(super) fn with_mounted<T>(
    operation: &Operation<'_>,
    region: &Region,
    access: Access,
    work: impl FnOnce(&dyn Volume) -> Result<T>,
) -> Result<T> {
    with_tree(operation, region, None, access, work)
}

/// The same with one subvolume of a btrfs.
pub(super) fn with_tree<T>(
    operation: &Operation<'_>,
    region: &Region,
    subvolume: Option<&RelativePath>,
    access: Access,
    work: impl FnOnce(&dyn Volume) -> Result<T>,
) -> Result<T> {
    let board = operation.board;
    board.leds.renew(operation.tuning.tool_lease);
    let volume = operation
        .retry(|| match subvolume {
            Some(subvolume) => board.file_systems.mount_subvolume(region, subvolume, access),
            None => board.file_systems.mount(region, access),
        })
        .map_err(Error::hal(format!("mounting {region}")))?;
    let result = work(&*volume);
    board.leds.renew(operation.tuning.tool_lease);
    match (result, volume.unmount().map_err(Error::hal(format!("unmounting {region}")))) {
        (Ok(value), Ok(())) => Ok(value),
        (Ok(_), Err(error)) => Err(error),
        (Err(error), Ok(())) => Err(error),
        (Err(error), Err(second)) => {
            operation.log(&format!("further failure: {second}"));
            Err(error)
        }
    }
}
