//! Writes a partition table to a device, part by part, and verifies it.

use crate::error::{Error, FaultyPart, Result};
use crate::formats::partition::Patch;
use crate::operation::Operation;
use replicator_hal::{self as hal, Target};

/// The placeholder for a table until it is written: it is no table, and differs from the usual content of files and free
/// blocks.
const PLACEHOLDER: u8 = 0xff;

/// Writes a placeholder where the patches will be written. On a card that wraps around, this overwrites other data now,
/// before the verification, so that the verification finds it. The table alone would damage it afterwards.
///
/// # Errors
/// Those of the target.
pub(crate) fn reserve(
    operation: &Operation<'_>,
    target: &mut dyn Target,
    patches: &[Patch],
    what: &str,
) -> Result<()> {
    patches
        .iter()
        .try_for_each(|patch| reserve_at(operation, target, patch.offset_bytes, patch.bytes.len(), what))
}

/// The same for `len` bytes at `offset_bytes`.
///
/// # Errors
/// Those of the target.
pub(crate) fn reserve_at(
    operation: &Operation<'_>,
    target: &mut dyn Target,
    offset_bytes: u64,
    len: usize,
    what: &str,
) -> Result<()> {
    let placeholder = vec![PLACEHOLDER; len];
    operation
        .retry(|| hal::io::write_target(target, offset_bytes, &placeholder))
        .map_err(Error::hal(format!("reserving room for the partition table of {what}")))
}

/// Writes the patches in their order, each durable before the next, because that makes a power cut between them harmless;
/// then compares them with the medium. `what` names the device, `part` is its role.
///
/// # Errors
/// Those of the target; `Verify`.
pub(crate) fn write(
    operation: &Operation<'_>,
    target: &mut dyn Target,
    patches: &[Patch],
    part: FaultyPart,
    what: &str,
) -> Result<()> {
    let doing = || format!("writing the partition table of {what}");
    for patch in patches {
        operation
            .retry(|| hal::io::write_target(target, patch.offset_bytes, &patch.bytes))
            .map_err(Error::hal(doing()))?;
        target.sync().map_err(Error::hal(doing()))?;
    }
    target.begin_verify().map_err(Error::hal(doing()))?;
    for patch in patches {
        let mut found = vec![0; patch.bytes.len()];
        let len = operation
            .retry(|| hal::io::read_target(target, patch.offset_bytes, &mut found))
            .map_err(Error::hal(doing()))?;
        if found[..len] != patch.bytes[..] {
            return Err(Error::Verify {
                part,
                what: format!("partition table of {what}"),
                offset_bytes: Some(patch.offset_bytes),
                detail: "it reads back other bytes than were written".into(),
            });
        }
    }
    Ok(())
}
