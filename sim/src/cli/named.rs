//! Finds the scenarios that a command line names: by file, by the name of a built-in one, or by a seed of the fuzzer.

use super::Problem;
use crate::fuzz::generate;
use crate::judge::Origin;
use crate::scenario::builtin::{self, BUILTIN};
use crate::scenario::schema::Scenario;
use clap::Args;
use std::path::Path;

/// A scenario to be run.
pub(super) struct Named {
    pub(super) name: String,
    /// Its name on the command line.
    pub(super) argument: String,
    pub(super) scenario: Scenario,
}

/// A scenario by file, name or seed.
#[derive(Debug, Args)]
pub(super) struct One {
    /// A scenario file, the name of a built-in scenario, or a seed of the fuzzer.
    pub(super) scenario: String,
}

/// A scenario, and its origin; the right end of a generated one is not known.
pub(super) fn one(argument: &str) -> Result<(Named, Origin), Problem> {
    if let Ok(seed) = argument.parse() {
        let scenario = generate::scenario(seed);
        let name = format!("seed-{seed}");
        return Ok((Named { name, argument: argument.to_owned(), scenario }, Origin::Generated));
    }
    Ok((find(argument).map_err(Problem::Usage)?, Origin::Written))
}

/// All scenarios that the arguments name; all built-in ones if there are no arguments.
pub(super) fn all(arguments: &[String]) -> Result<Vec<Named>, String> {
    if arguments.is_empty() {
        return BUILTIN.iter().map(|(name, text)| built_in(name, text)).collect();
    }
    arguments.iter().map(|argument| find(argument)).collect()
}

fn built_in(name: &str, text: &str) -> Result<Named, String> {
    let scenario = Scenario::parse(text, name).map_err(|error| error.to_string())?;
    Ok(Named { name: name.to_owned(), argument: name.to_owned(), scenario })
}

/// The scenario that an argument names.
pub(super) fn find(argument: &str) -> Result<Named, String> {
    if let Some(text) = builtin::find(argument) {
        return built_in(argument, text);
    }
    let path = Path::new(argument);
    let looks_like_a_file = argument.contains('/') || argument.ends_with(".toml");
    if !looks_like_a_file && !path.exists() {
        let near = builtin::near(argument);
        let hint = if near.is_empty() {
            "see: replicator-sim list".to_owned()
        } else {
            format!("near: {}", near.join(", "))
        };
        return Err(format!("no scenario {argument:?}; {hint}"));
    }
    let text = std::fs::read_to_string(path).map_err(|error| format!("{argument}: {error}"))?;
    let scenario = Scenario::parse(&text, argument).map_err(|error| error.to_string())?;
    let name =
        path.file_stem().map_or_else(|| argument.to_owned(), |stem| stem.to_string_lossy().into_owned());
    Ok(Named { name, argument: argument.to_owned(), scenario })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_name_is_reported_with_similar_names() {
        let error = find("write-dd-xs").map(|named| named.name).unwrap_err();
        assert!(error.contains("write-dd-xz"), "{error}");
        let error = find("no/such/file.toml").map(|named| named.name).unwrap_err();
        assert!(error.contains("no/such/file.toml"), "{error}");
    }
}
