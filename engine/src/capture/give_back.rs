//! Gives the space of the working image back to the drive while it is packed, so that image and packed file need not both
//! fit on the drive.
//!
//! A disk image is packed from front to back; for a tarball see [`super::give_back_files`]. By then, all bytes of the working
//! image that the packed file will not hold are overwritten (see [`super::wipe`]), so free blocks of the drive get no other
//! bytes than the packed file has.

use crate::error::{Error, Result};
use crate::operation::Operation;
use crate::size::Size;
use replicator_hal::{Volume, VolumeFile};
use std::ops::Range;

/// How many chunks are given back at once: a call for each chunk would make the file system's journal busy.
const STEP_CHUNKS: u64 = 16;
/// Shorter ranges of zeros are left: a call costs more than it saves.
const ZEROS_MIN_BYTES: u64 = 64 * 1024;

/// Whether the packed file, which may have up to `packed_bytes`, may not fit on `drive` beside the working image, and the
/// file system of the drive may be able to give space back.
pub(super) fn is_needed(operation: &Operation<'_>, drive: &dyn Volume, packed_bytes: u64) -> Result<bool> {
    let space =
        operation.retry(|| drive.space()).map_err(Error::hal("reading the free space of the drive"))?;
    Ok(drive.capabilities().sparse && space.free_bytes < packed_bytes)
}

/// Gives back the ranges in `zeros`, which hold zeros: writing them took space.
pub(super) fn zeros(
    operation: &Operation<'_>,
    image: &mut dyn VolumeFile,
    zeros: &[Range<u64>],
) -> replicator_hal::Result<()> {
    for range in zeros.iter().filter(|range| range.end - range.start >= ZEROS_MIN_BYTES) {
        if !operation.retry(|| image.punch(range.start, range.end - range.start))? {
            break;
        }
    }
    Ok(())
}

/// How much is packed before it is given back.
pub(super) fn step_len_bytes(operation: &Operation<'_>) -> u64 {
    (operation.tuning.chunk_len_bytes as u64).saturating_mul(STEP_CHUNKS).max(1)
}

/// Gives back what was packed, if the drive may need the space.
pub(super) struct GiveBack {
    /// The packed range that was not given back yet; `None` if nothing is given back.
    packed: Option<Range<u64>>,
    step_len_bytes: u64,
    given_bytes: u64,
}

impl GiveBack {
    /// Whether the packed file, which may have up to `packed_bytes`, may not fit on `drive` beside the working image.
    pub(super) fn new(operation: &Operation<'_>, drive: &dyn Volume, packed_bytes: u64) -> Result<Self> {
        let is_needed = is_needed(operation, drive, packed_bytes)?;
        let step_len_bytes = step_len_bytes(operation);
        Ok(Self { packed: is_needed.then_some(0..0), step_len_bytes, given_bytes: 0 })
    }

    /// Whether the working image has to be open for writing.
    pub(super) fn writes(&self) -> bool {
        self.packed.is_some()
    }

    /// Everything before `end_bytes` is packed.
    pub(super) fn packed_to(
        &mut self,
        operation: &Operation<'_>,
        image: &mut dyn VolumeFile,
        end_bytes: u64,
    ) -> replicator_hal::Result<()> {
        let Some(packed) = &mut self.packed else { return Ok(()) };
        packed.end = end_bytes;
        let len_bytes = packed.end - packed.start;
        if len_bytes < self.step_len_bytes {
            return Ok(());
        }
        let start = packed.start;
        packed.start = packed.end;
        if operation.retry(|| image.punch(start, len_bytes))? {
            self.given_bytes += len_bytes;
        } else {
            operation.log("the drive's file system cannot give back space of the working image");
            self.packed = None;
        }
        Ok(())
    }

    /// Logs how much was given back.
    pub(super) fn finish(self, operation: &Operation<'_>) {
        if self.given_bytes > 0 {
            operation.log(&format!(
                "the first {:#} of the working image were given back to the drive",
                Size(self.given_bytes)
            ));
        }
    }
}
