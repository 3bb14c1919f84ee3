//! `trace`: every operation of a scenario.

use super::Problem;
use super::named::{One, one};
use crate::run::boots;
use std::io::Write;

/// `trace`: prints every operation of every boot.
pub(super) fn trace(arguments: &One, output: &mut dyn Write) -> Result<u8, Problem> {
    let (named, _) = one(&arguments.scenario)?;
    let evidence = boots::run(&named.name, &named.scenario).map_err(Problem::Usage)?;
    let mut print = || -> std::io::Result<()> {
        for (number, boot) in evidence.boots.iter().enumerate() {
            writeln!(output, "boot {}", number + 1)?;
            boot.world.trace().events().try_for_each(|event| writeln!(output, "{event}"))?;
            writeln!(output, "end: {}", boot.outcome)?;
        }
        Ok(())
    };
    print().map_err(Problem::Output)?;
    Ok(0)
}
