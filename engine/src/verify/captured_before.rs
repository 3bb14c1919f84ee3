//! The proof that an earlier boot of this session captured a medium.

use crate::error::{Error, Refusal, Result};
use crate::names::ImageName;
use crate::source_record::SourceRecord;

/// An image in the drive's root with the record of this session's capture. Only a verified image gets its name there, see
/// `capture/commit.rs`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CapturedBefore(ImageName);

impl CapturedBefore {
    /// Checks that `image`, which is in the drive's root, was captured from this unit's medium by the session on the drive.
    /// `record` is the record beside it, `identity` that of the medium.
    ///
    /// # Errors
    /// `WouldReplace` if there is no record, so that the image is not of the session; `SessionOfAnotherUnit`.
    pub(crate) fn check(
        image: ImageName,
        record: Option<&SourceRecord>,
        identity: Option<&str>,
    ) -> Result<Self> {
        let Some(record) = record else {
            let name = SourceRecord::file_name(&image.medium);
            return Err(Error::refused(
                Refusal::WouldReplace,
                format!(
                    "{image} is on the drive, but was not made by the unfinished capture: {name} is missing"
                ),
            ));
        };
        match (record.identity.as_deref(), identity) {
            (Some(recorded), Some(found)) if recorded != found => Err(Error::refused(
                Refusal::SessionOfAnotherUnit,
                format!("{image} was captured from {recorded}, this unit's {} is {found}", image.medium),
            )),
            _ => Ok(Self(image)),
        }
    }

    /// The image.
    pub(crate) fn image(&self) -> &ImageName {
        &self.0
    }
}
