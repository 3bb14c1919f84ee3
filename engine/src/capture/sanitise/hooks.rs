//! Runs programs from the drive before and after the rules.

use super::super::work;
use crate::context::Context;
use crate::error::{Error, Result};
use crate::operation::Operation;
use replicator_hal::{ErrorKind, FileKind, Hook, Volume};
use std::time::Duration;

/// A hook that runs longer is killed, and the capture fails.
const TIMEOUT: Duration = Duration::from_secs(10 * 60);

/// Runs the program `name` in the drive's root on `volume`, if it exists. Any exit status other than 0 is an error.
pub(super) fn run(
    context: &Context<'_>,
    operation: &Operation<'_>,
    name: &str,
    (medium, number): (&str, u32),
    volume: &dyn Volume,
) -> Result<()> {
    let path = work::in_root(name)?;
    // A dangling link is an error: the user wanted the hook to run.
    if work::kind_of(operation, &context.drive, &path)?.is_none() {
        return Ok(());
    }
    let failed = |detail: String| Error::Sanitise { rule: name.to_owned(), detail };
    let program = match operation.retry(|| context.drive.resolve(&path)) {
        Ok(program) => program,
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::SymlinkInPath) => {
            return Err(failed(error.to_string()));
        }
        Err(error) => return Err(Error::hal(format!("looking for the hook {name}"))(error)),
    };
    if work::kind_of(operation, &context.drive, &program)? != Some(FileKind::File) {
        return Err(failed("it is not a regular file".to_owned()));
    }
    operation.step(&format!("running the hook {name}"));
    let hook = Hook {
        program_volume: context.drive.id(),
        program,
        tree: volume.id(),
        environment: vec![
            ("REPLICATOR_MEDIUM".to_owned(), medium.to_owned()),
            ("REPLICATOR_BOARD".to_owned(), context.profile.name.clone()),
            ("REPLICATOR_PARTITION".to_owned(), number.to_string()),
        ],
        timeout: TIMEOUT,
    };
    let end = operation.board.system.run_hook(&hook).map_err(|error| match error.kind() {
        ErrorKind::DeviceGone => Error::hal(format!("running the hook {name}"))(error),
        _ => failed(error.to_string()),
    })?;
    for line in end.output.lines() {
        operation.log(line);
    }
    match end.exit_status {
        Some(0) => Ok(()),
        Some(status) => Err(failed(format!("exit status {status}; see the log"))),
        None => Err(failed("a signal ended it; see the log".to_owned())),
    }
}
