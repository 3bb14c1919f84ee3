//! Sanitising the root file system in the image: what must not be cloned goes, by rules and hooks.
//!
//! Everything here happens inside of the mounted image. No rule follows a symlink out of it, and a rule that fails fails
//! the capture: an image that holds what it must not is worse than none.

mod apply;
mod hooks;

use super::{Capture, checksums, stamp, work};
use crate::error::{Error, Result};
use crate::operation::Operation;
use replicator_hal::{self as hal, Volume};

/// Where the image says when it was made.
const VERSION_FILE: &str = "root.version-cust";

/// How to sanitise.
pub(super) struct Sanitising {
}

/// The rules that the drive asks for, or the default ones; `None` if the options say not to sanitise.
pub(super) fn load(capture: &Capture<'_>, operation: &Operation<'_>) -> Result<Option<Sanitising>> {
    todo!()
}

/// Sanitises the root file system of `medium`, mounted as `volume`.
pub(super) fn sanitise(
    capture: &Capture<'_>,
    operation: &Operation<'_>,
    sanitising: &Sanitising,
    medium: &str,
    volume: &dyn Volume,
) -> Result<()> {
    hooks::run(capture, operation, "sanitise-before", medium, volume)?;
    hooks::run(capture, operation, "sanitise-after", medium, volume)?;
    write_version(capture, operation, volume)?;
    checksums::write_list(operation, volume)?;
    operation.board.leds.renew(operation.tuning.tool_lease);
    volume.sync().map_err(Error::hal("syncing the image"))
}

fn write_version(capture: &Capture<'_>, operation: &Operation<'_>, volume: &dyn Volume) -> Result<()> {
    let text = format!("image captured {} by replicator {}\n", stamp(capture.board.clock.wall()), capture.version);
    let path = work::in_root(VERSION_FILE)?;
    work::remove_if_there(operation, volume, &path)?;
    let doing = || format!("writing /{VERSION_FILE} in the image");
    let mut file = operation.retry(|| volume.create_new(&path, 0o644)).map_err(Error::hal(doing()))?;
    hal::io::write_full(text.as_bytes(), |at, rest| operation.retry(|| file.write_at(at, rest)))
        .and_then(|()| file.close())
        .map_err(Error::hal(doing()))
}
