//! The command line of `replicator-sim`: which stories to run, and what to tell about them.
//!
//! Exit status 0: all passed; 1: a scenario failed; 2: the command line or a scenario file makes no sense. What explorers
//! find: 101 a panic, 102 a lie or a loss, 103 no end, 104 not deterministic, 105 another end than it had to be.

mod explore;
mod fuzz;
mod keep;
mod made_up;
mod pool;
mod slowly;
pub mod telling;

use crate::judge;
use crate::scenario::builtin::{self, BUILTIN};
use crate::scenario::schema::Scenario;
use clap::{Args, Parser, Subcommand};
use std::ffi::OsString;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use telling::Verdict;

const FAILED: u8 = 1;
const USAGE: u8 = 2;

/// Runs stories about capture and write on simulated boards. Without arguments: all built-in scenarios.
#[derive(Debug, Parser)]
#[command(name = "replicator-sim", version)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs scenarios, and tells which held.
    Run(Run),
    /// Cuts the power before every change of a scenario, or lets every call fail, and judges all that comes of it.
    Explore(explore::Explore),
    /// Makes stories up, and judges what comes of them.
    Fuzz(fuzz::Fuzz),
    /// Makes a failing story smaller, and prints it.
    Shrink(made_up::One),
    /// Writes a failing story, made smaller, or one crash state of a story, to a file.
    Export(made_up::Export),
    /// Tells a story operation by operation, with what each changes on the drive.
    Replay(made_up::One),
    /// Prints every operation of a story.
    Trace(made_up::One),
    /// Lists the built-in scenarios with their sentences.
    List,
}

#[derive(Debug, Default, Args)]
struct Run {
    /// Scenario files, or names of built-in scenarios; all of these if none is given.
    scenarios: Vec<String>,
    /// Writes media, drive, logs and report of every scenario into a directory of its own below this one.
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
    /// Prints every operation of every boot.
    #[arg(long)]
    trace: bool,
    /// Prints one JSON object per scenario and one for the sum, and nothing else.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    one: explore::OneState,
}

/// A story to be run.
struct Story {
    name: String,
    /// How it is given on the command line.
    argument: String,
    scenario: Scenario,
}

/// Runs the program with these arguments; the first is its own name.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            let status = if error.use_stderr() { USAGE } else { 0 };
            return match error.print() {
                Ok(()) => ExitCode::from(status),
                Err(_) => ExitCode::from(USAGE),
            };
        }
    };
    let output = &mut io::stdout().lock();
    let result = match cli.command {
        None => run(&Run::default(), output),
        Some(Command::Run(arguments)) => run(&arguments, output),
        Some(Command::Explore(arguments)) => explore::explore(&arguments, output),
        Some(Command::Fuzz(arguments)) => fuzz::fuzz(&arguments, output),
        Some(Command::Shrink(arguments)) => made_up::shrink(&arguments, output),
        Some(Command::Export(arguments)) => made_up::export(&arguments, output),
        Some(Command::Replay(arguments)) => slowly::replay(&arguments, output),
        Some(Command::Trace(arguments)) => slowly::trace(&arguments, output),
        Some(Command::List) => telling::list(output).map(|()| 0).map_err(Problem::Output),
    };
    match result {
        Ok(status) => ExitCode::from(status),
        Err(Problem::Usage(what)) => {
            eprintln!("replicator-sim: {what}");
            ExitCode::from(USAGE)
        }
        // Whoever reads has seen enough.
        Err(Problem::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::from(FAILED),
        Err(Problem::Output(error)) => {
            eprintln!("replicator-sim: {error}");
            ExitCode::from(FAILED)
        }
    }
}

enum Problem {
    Usage(String),
    Output(io::Error),
}

fn run(arguments: &Run, output: &mut dyn Write) -> Result<u8, Problem> {
    let stories = stories(&arguments.scenarios).map_err(Problem::Usage)?;
    if arguments.one.is_given() {
        return match stories.as_slice() {
            [story] => explore::one(story, &arguments.one, output),
            _ => Err(Problem::Usage("one cut or failure is of one scenario".into())),
        };
    }
    let keep = arguments.keep.as_deref();
    let mut failed = 0;
    let mut result = Ok(());
    let work = |story: &Story| verdict(story, arguments.trace, keep);
    pool::in_order(&stories, work, |verdict: Verdict| {
        failed += usize::from(!verdict.passed);
        result =
            if arguments.json { telling::json(output, &verdict) } else { telling::text(output, &verdict) };
        result.is_ok()
    });
    result.map_err(Problem::Output)?;
    let passed = stories.len() - failed;
    if arguments.json {
        writeln!(output, "{{\"passed\":{passed},\"failed\":{failed}}}").map_err(Problem::Output)?;
    } else {
        writeln!(output, "{passed} passed, {failed} failed").map_err(Problem::Output)?;
    }
    Ok(if failed == 0 { 0 } else { FAILED })
}

fn verdict(story: &Story, trace: bool, keep: Option<&Path>) -> Verdict {
    match judge::run(&story.name, &story.scenario) {
        Ok(judged) => {
            let mut verdict = telling::verdict(&judged, &story.argument, trace);
            if let Some(Err(error)) = keep.map(|directory| keep::keep(&judged.evidence, directory)) {
                verdict.passed = false;
                verdict.details.push(format!("  not kept: {error}"));
            }
            verdict
        }
        Err(what) => telling::senseless(&story.name, &what),
    }
}

fn stories(arguments: &[String]) -> Result<Vec<Story>, String> {
    if arguments.is_empty() {
        return BUILTIN.iter().map(|(name, text)| built_in(name, text)).collect();
    }
    arguments.iter().map(|argument| story(argument)).collect()
}

fn built_in(name: &str, text: &str) -> Result<Story, String> {
    let scenario = Scenario::parse(text, name).map_err(|error| error.to_string())?;
    Ok(Story { name: name.to_owned(), argument: name.to_owned(), scenario })
}

fn story(argument: &str) -> Result<Story, String> {
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
        return Err(format!("no scenario is called {argument:?}; {hint}"));
    }
    let text = std::fs::read_to_string(path).map_err(|error| format!("{argument}: {error}"))?;
    let scenario = Scenario::parse(&text, argument).map_err(|error| error.to_string())?;
    let name =
        path.file_stem().map_or_else(|| argument.to_owned(), |stem| stem.to_string_lossy().into_owned());
    Ok(Story { name, argument: argument.to_owned(), scenario })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_name_is_told_with_what_is_near() {
        let error = story("write-dd-xs").map(|story| story.name).unwrap_err();
        assert!(error.contains("write-dd-xz"), "{error}");
        let error = story("no/such/file.toml").map(|story| story.name).unwrap_err();
        assert!(error.contains("no/such/file.toml"), "{error}");
    }

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }
}
