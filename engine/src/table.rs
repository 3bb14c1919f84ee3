//! Putting a partition table onto a device: part by part, and verified.

use crate::error::{Error, Result};
use crate::formats::partition::Patch;
use crate::operation::Operation;
use replicator_hal::{self as hal, Target};

/// Writes the patches in their order, each durable before the next, because the order is what makes a cut between them
/// harmless; then compares them with the medium. `what` names the device.
///
/// # Errors
/// Those of the target; `Verify`.
pub(crate) fn write(
    operation: &Operation<'_>,
    target: &mut dyn Target,
    patches: &[Patch],
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
                what: format!("partition table of {what}"),
                offset_bytes: patch.offset_bytes,
                detail: "it was not kept".into(),
            });
        }
    }
    Ok(())
}
