//! `shrink`: reduces a failing scenario.

use super::Problem;
use super::named::{One, one};
use crate::fuzz::shrink::{self, Shrunk};
use crate::run::unchanged;
use std::io::Write;

/// The reduced scenario.
pub(super) fn smaller(argument: &str) -> Result<Shrunk, Problem> {
    let (named, origin) = one(argument)?;
    let shrunk = shrink::shrink(&named.scenario, origin, &unchanged).map_err(Problem::Usage)?;
    shrunk.ok_or_else(|| Problem::Usage(format!("{argument} has no complaints")))
}

/// `shrink`.
pub(super) fn shrink(arguments: &One, output: &mut dyn Write) -> Result<u8, Problem> {
    let shrunk = smaller(&arguments.scenario)?;
    let text = shrunk.scenario.to_toml().map_err(Problem::Usage)?;
    writeln!(output, "# [{}] {}\n# {} scenarios tried\n{text}", shrunk.by, shrunk.what, shrunk.tries)
        .map_err(Problem::Output)?;
    Ok(0)
}
