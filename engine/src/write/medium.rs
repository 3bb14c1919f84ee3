//! Opens a medium for writing: exclusively, always closed again, and made unbootable if the write fails.

use super::preflight::{Checked, check_unchanged};
use crate::error::{Error, Result};
use crate::media::same_device;
use crate::operation::Operation;
use replicator_hal::Target;

/// The first sectors, of any size, where a partition table begins.
const FIRST_SECTORS_LEN_BYTES: u64 = 4096;

/// Opens the medium for `work`, after checking that it is still the one of the pre-flight: a card may have been swapped.
/// If `work` fails, the ends of the medium are erased, so that a partly written medium does not look bootable. The first
/// error is returned; a failed close after success is an error, too.
///
/// # Errors
/// `MediumUnfit`; those of `work` and of the medium.
pub(super) fn with_target<T>(
    operation: &Operation<'_>,
    checked: &Checked,
    work: impl FnOnce(&mut dyn Target) -> Result<T>,
) -> Result<T> {
    let label = operation.label();
    let device = &checked.device.name;
    check_unchanged(operation, label, &checked.device)?;
    let mut target = operation
        .board
        .devices
        .open_target(device)
        .map_err(Error::hal(format!("opening {label} ({device}) to write it")))?;
    // The name may have moved to another device before the open. An open device keeps its name until it is closed.
    let is_ours = same_device(operation, label, &checked.device);
    let result = is_ours.and_then(|_| {
        work(&mut *target).inspect_err(|_| {
            if let Err(error) = erase_ends(operation, &mut *target) {
                operation.log(&format!("the medium could not be made unbootable: {error}"));
            }
        })
    });
    let closed = target.close().map_err(Error::hal(format!("closing {label}")));
    match (result, closed) {
        (Ok(value), Ok(())) => Ok(value),
        (Ok(_), Err(error)) => Err(error),
        (Err(error), Ok(())) => Err(error),
        (Err(error), Err(second)) => {
            operation.log(&second.to_string());
            Err(error)
        }
    }
}

/// Makes the medium unbootable before it is written.
///
/// # Errors
/// Those of the target.
pub(super) fn wipe_ends(operation: &Operation<'_>, target: &mut dyn Target) -> Result<()> {
    operation.short_step("erasing the partition table");
    erase_ends(operation, target)
}

/// Zeroes the start (partition table, boot code) and the end (backup GPT, stale signatures). It tries every range, also
/// after an error, and the first sectors separately: a bad sector elsewhere must not protect an old table. Each range is
/// durable before the next, because the later ones may lie in old partitions: after a power cut an old table must not
/// point to erased data.
fn erase_ends(operation: &Operation<'_>, target: &mut dyn Target) -> Result<()> {
    let len_bytes = target.len_bytes();
    let wiped = operation.tuning.wiped_len_bytes.min(len_bytes);
    let first = FIRST_SECTORS_LEN_BYTES.min(wiped);
    let mut result = Ok(());
    for range in [0..first, first..wiped, len_bytes - wiped..len_bytes] {
        if !range.is_empty() {
            let zeroed = operation.retry(|| target.zero(range.start, range.end - range.start));
            let synced = target.sync();
            result = result.and(zeroed).and(synced);
        }
    }
    result.map_err(Error::hal(format!("erasing the partition table of {}", operation.label())))
}
