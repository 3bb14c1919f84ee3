//! `shrink` and `export`: a failing story is made small, and kept as a file.

use super::explore::cuts;
use super::{Problem, Story, story};
use crate::fuzz::export::{regression, with_cuts, write};
use crate::fuzz::generate;
use crate::fuzz::shrink::{Shrunk, shrink as make_smaller};
use crate::judge::{CheckerId, Origin};
use crate::run::{Change, unchanged};
use clap::Args;
use std::io::Write;
use std::path::{Path, PathBuf};

/// A story by file, name or seed.
#[derive(Debug, Args)]
pub(super) struct One {
    /// A scenario file, the name of a built-in scenario, or a seed of the fuzzer.
    pub(super) story: String,
}

/// Arguments of `export`.
#[derive(Debug, Args)]
pub(super) struct Export {
    /// A seed of the fuzzer, or a scenario file.
    story: String,
    /// The file's name; made from judge and seed if it is left out.
    #[arg(long)]
    name: Option<String>,
    /// Where it is written.
    #[arg(long, value_name = "DIR", default_value = "sim/scenarios/regressions")]
    directory: PathBuf,
    /// Exports this crash state of the story instead: cuts before these operations.
    #[arg(long, value_name = "N,...", value_delimiter = ',')]
    cut: Vec<u64>,
    /// What survives each cut.
    #[arg(long, value_name = "POLICY,...", value_delimiter = ',', requires = "cut")]
    survive: Vec<String>,
}

/// A story, and how it is judged: nobody wrote down how a made-up one ends.
pub(super) fn find(argument: &str) -> Result<(Story, Origin), Problem> {
    if let Ok(seed) = argument.parse() {
        let scenario = generate::scenario(seed);
        let name = format!("seed-{seed}");
        return Ok((Story { name, argument: argument.to_owned(), scenario }, Origin::MadeUp));
    }
    Ok((story(argument).map_err(Problem::Usage)?, Origin::Written))
}

fn smaller(argument: &str, change: Change<'_>) -> Result<Shrunk, Problem> {
    let (story, origin) = find(argument)?;
    let shrunk = make_smaller(&story.scenario, origin, change).map_err(Problem::Usage)?;
    shrunk.ok_or_else(|| Problem::Usage(format!("nothing is wrong with {argument}")))
}

/// `shrink`.
pub(super) fn shrink(arguments: &One, output: &mut dyn Write) -> Result<u8, Problem> {
    let shrunk = smaller(&arguments.story, &unchanged)?;
    let text = shrunk.scenario.to_toml().map_err(Problem::Usage)?;
    writeln!(output, "# [{}] {}\n# {} stories tried\n{text}", shrunk.by, shrunk.what, shrunk.tries)
        .map_err(Problem::Output)?;
    Ok(0)
}

/// `export`.
pub(super) fn export(arguments: &Export, output: &mut dyn Write) -> Result<u8, Problem> {
    let path = if arguments.cut.is_empty() {
        let shrunk = smaller(&arguments.story, &unchanged)?;
        let name = arguments.name.clone().unwrap_or_else(|| file_name(shrunk.by, &arguments.story));
        regression(&shrunk, &name, &arguments.directory)
    } else {
        let (story, _) = find(&arguments.story)?;
        let cuts = cuts(&arguments.cut, &arguments.survive).map_err(Problem::Usage)?;
        let scenario = with_cuts(&story.scenario, &cuts);
        let name =
            arguments.name.clone().unwrap_or_else(|| format!("{}-cut-{}", story.name, arguments.cut[0]));
        write(&scenario, &name, &arguments.directory)
    };
    let path = path.map_err(Problem::Usage)?;
    writeln!(output, "{}", path.display()).map_err(Problem::Output)?;
    Ok(0)
}

fn file_name(by: CheckerId, story: &str) -> String {
    let story =
        Path::new(story).file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    format!("{}-{story}", by.word())
}
