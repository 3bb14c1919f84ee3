//! `estimate`: how long typical jobs would take on boards of several classes.

use super::Problem;
use crate::run::estimate;
use std::io::Write;

/// `estimate`: prints the table.
pub(super) fn estimate(output: &mut dyn Write) -> Result<u8, Problem> {
    let table = estimate::table().map_err(Problem::Usage)?;
    write!(output, "{table}").map_err(Problem::Output)?;
    Ok(0)
}
