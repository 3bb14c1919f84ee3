//! `list`: names and descriptions of the built-in scenarios.

use crate::scenario::builtin::BUILTIN;
use crate::scenario::schema::Scenario;
use std::io::{self, Write};

/// Prints names and descriptions of the built-in scenarios.
///
/// # Errors
/// Those of the output.
pub fn list(output: &mut dyn Write) -> io::Result<()> {
    for (name, text) in BUILTIN {
        let about =
            Scenario::parse(text, name).map_or_else(|error| error.to_string(), |scenario| scenario.about);
        writeln!(output, "{name:<58} {about}")?;
    }
    Ok(())
}
