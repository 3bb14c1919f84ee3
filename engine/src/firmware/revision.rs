//! Reads the revision of the board from its register.

use crate::error::{Error, Refusal, Result};
use crate::operation::Operation;
use crate::profile::Profile;

/// The board's revision, with its name in the profile.
///
/// # Errors
/// `WrongVariant` if the register cannot be read, because the revision must not be guessed.
pub(super) fn read(operation: &Operation<'_>, profile: &Profile) -> Result<String> {
    let unknown = |why: String| {
        Error::refused(Refusal::WrongVariant, format!("the board's revision is unknown: {why}"))
    };
    let revision = profile.revision.as_ref().ok_or_else(|| unknown("the profile has no register".into()))?;
    let value = operation
        .retry(|| operation.board.firmware.register(revision.register))
        .map_err(|error| unknown(error.to_string()))?;
    let name = revision.of(value).to_owned();
    operation.log(&format!("register {:#x} is {value:#010x}: board revision {name}", revision.register));
    Ok(name)
}
