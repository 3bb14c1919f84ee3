//! Finds out whether a medium is the one that an image was captured from.

use super::allowed::Allowed;
use super::image::Image;
use crate::error::{Error, Refusal, Result};
use crate::operation::Operation;
use replicator_hal::BlockDevice;
use std::collections::BTreeSet;

/// Finds the marks of a medium, as the record of an image has them. `capture` implements it.
pub(crate) type MarksOn<'a> = dyn Fn(&Operation<'_>, &BlockDevice) -> BTreeSet<String> + Sync + 'a;

/// Refuses to write an image back to the medium that it was captured from: one with the same serial number, or, if that
/// medium had none, one with the same marks.
///
/// # Errors
/// `WriteBack`.
pub(super) fn check(
    operation: &Operation<'_>,
    image: &Image,
    device: &BlockDevice,
    allowed: Allowed,
    marks_on: &MarksOn<'_>,
) -> Result<()> {
    let Some(record) = &image.captured_from else { return Ok(()) };
    if allowed.write_back {
        return Ok(());
    }
    let refuse = |why: &str| Err(Error::refused(Refusal::WriteBack, format!("{} {why}", image.name)));
    match (&record.identity, &device.identity) {
        (Some(recorded), Some(found)) if recorded == found => {
            refuse(&format!("was captured from this very medium ({})", device.name))
        }
        (None, _) if !record.marks.is_empty() => {
            operation.short_step("comparing the medium with the one that was captured");
            let found = marks_on(operation, device);
            match record.marks.iter().any(|mark| found.contains(mark)) {
                true => refuse(&format!(
                    "was captured from this medium ({}) or one with the same machine id or host keys",
                    device.name
                )),
                false => Ok(()),
            }
        }
        _ => Ok(()),
    }
}
