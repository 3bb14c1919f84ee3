//! Making a medium unbootable before it is written, so that a cut never leaves a half-written one that looks whole.

use crate::error::{Error, Result};
use crate::operation::Operation;
use replicator_hal::Target;

/// Zeroes the medium's start (partition table, boot code) and its end (backup GPT, stale signatures), and syncs.
///
/// # Errors
/// Those of the target.
pub(super) fn wipe_ends(operation: &Operation<'_>, target: &mut dyn Target) -> Result<()> {
    let len_bytes = target.len_bytes();
    let wiped = operation.tuning.wiped_len_bytes.min(len_bytes);
    let label = operation.label();
    let doing = || format!("erasing the partition table of {label}");
    operation.step("erasing the partition table");
    operation.retry(|| target.zero(0, wiped)).map_err(Error::hal(doing()))?;
    operation.retry(|| target.zero(len_bytes - wiped, wiped)).map_err(Error::hal(doing()))?;
    target.sync().map_err(Error::hal(doing()))
}
