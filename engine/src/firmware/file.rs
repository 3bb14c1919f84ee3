//! Reads a firmware file from the drive and compares it with its sidecars, before anything is written.

use crate::error::{Error, Refusal, Result};
use crate::formats::digest::Digest;
use crate::operation::Operation;
use crate::sidecars::{self, Sidecars};
use crate::size::Size;
use replicator_hal::{ReadTree, RelativePath};

/// A firmware file with its content. The checked content is written later, not read again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FirmwareFile {
    /// Its name in the drive's root.
    pub(super) name: String,
    /// The regular file, links followed.
    pub(super) path: RelativePath,
    /// The whole content.
    pub(super) content: Vec<u8>,
    /// The sidecars that match it.
    pub(super) sidecars: Vec<String>,
}

impl FirmwareFile {
    /// Reads the file called `name`, which must not be longer than `len_max_bytes`.
    ///
    /// # Errors
    /// `BadImageFile`, `WrongFirmware` if it is empty, `FirmwareTooLarge`, `BadSidecar`; [`Error::Digest`].
    pub(super) fn read(
        operation: &Operation<'_>,
        drive: &dyn ReadTree,
        name: &str,
        len_max_bytes: u64,
    ) -> Result<Self> {
        let (path, len_bytes) = sidecars::locate(operation, drive, name)?;
        if len_bytes == 0 {
            return Err(Error::refused(Refusal::WrongFirmware, format!("{name} is empty")));
        }
        check_len(name, len_bytes, len_max_bytes)?;
        let beside = Sidecars::new(operation, drive, name, &path);
        let expected = beside.expected(name, beside.target_name.as_deref())?;
        let content = sidecars::read_whole(operation, drive, &path, name, len_bytes)?;
        for expected in &expected {
            if let Some(note) = expected.note() {
                operation.short_step(&note);
            }
            expected.check(name, &Digest::of(expected.algorithm, &content))?;
        }
        let sidecars = expected.into_iter().map(|expected| expected.sidecar).collect();
        Ok(Self { name: name.to_owned(), path, content, sidecars })
    }

    /// Length of the file.
    pub(super) fn len_bytes(&self) -> u64 {
        self.content.len() as u64
    }
}

/// Whether a file of this length fits into its place.
///
/// # Errors
/// `FirmwareTooLarge`.
pub(super) fn check_len(name: &str, len_bytes: u64, len_max_bytes: u64) -> Result<()> {
    if len_bytes <= len_max_bytes {
        return Ok(());
    }
    let what = format!("{name} has {:#}, its place has {:#}", Size(len_bytes), Size(len_max_bytes));
    Err(Error::refused(Refusal::FirmwareTooLarge, what))
}
