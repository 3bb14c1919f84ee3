//! `costs`: calls and bytes of a scenario by step and device.

use super::Problem;
use super::named::{One, one};
use crate::run::{boots, costs};
use std::io::Write;

/// `costs`: prints one line per step and device, and the sums.
pub(super) fn costs(arguments: &One, output: &mut dyn Write) -> Result<u8, Problem> {
    let (named, _) = one(&arguments.scenario)?;
    let evidence = boots::run(&named.name, &named.scenario).map_err(Problem::Usage)?;
    write!(output, "{}", costs::table(&costs::costs(&evidence))).map_err(Problem::Output)?;
    Ok(0)
}
