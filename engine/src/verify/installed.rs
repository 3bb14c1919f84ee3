//! The proof that firmware is in place.
//!
//! How much can be proved depends on the part: a bootloader is read back, a microcontroller reports its revision, and of an
//! FPGA there is nothing but the exit status of its updater. The note in the report names which of them it was.

use crate::error::{Error, FaultyPart, Result};
use replicator_hal::{CacheBypass, DeviceName, HookEnd};

/// Firmware that is in place. Only the checks below make one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Installed {
    cache_bypass: Option<CacheBypass>,
}

impl Installed {
    /// Compares what was read back, past the caches, with what the flash must hold. Both begin where `area` does.
    ///
    /// # Errors
    /// [`Error::Verify`] with the first byte that differs, and `detail`.
    pub(crate) fn read_back(
        area: &DeviceName,
        expected: &[u8],
        found: &[u8],
        cache_bypass: CacheBypass,
        detail: &str,
    ) -> Result<Self> {
        let at = expected.iter().zip(found).position(|(expected, found)| expected != found);
        match at.or((expected.len() != found.len()).then_some(expected.len().min(found.len()))) {
            None => Ok(Self { cache_bypass: Some(cache_bypass) }),
            Some(at) => {
                let (what, offset_bytes) = (area.to_string(), Some(at as u64));
                Err(Error::Verify { part: FaultyPart::Flash, what, offset_bytes, detail: detail.to_owned() })
            }
        }
    }

    /// The device reports the revision that it must have.
    pub(crate) fn of_revision(expected: u16, reported: u16) -> Option<Self> {
        (expected == reported).then_some(Self { cache_bypass: None })
    }

    /// The updater ended with success, and the device can report nothing else now.
    pub(crate) fn by_exit_status(end: &HookEnd) -> Option<Self> {
        (end.exit_status == Some(0)).then_some(Self { cache_bypass: None })
    }

    /// How it was read back past the caches, if it was.
    pub(crate) fn cache_bypass(&self) -> Option<CacheBypass> {
        self.cache_bypass
    }
}
