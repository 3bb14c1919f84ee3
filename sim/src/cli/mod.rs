//! The command line of `replicator-sim`: which scenarios to run, and what to print about them.
//!
//! Exit status 0: all passed; 1: a scenario failed; 2: the command line or a scenario file makes no sense. What explorers
//! find: 101 a panic, 102 a lie or a loss, 103 no end, 104 not deterministic, 105 another end than it had to be.

mod budget;
mod explore;
mod export;
mod findings;
mod fuzz;
mod keep;
pub mod list;
mod named;
mod one_state;
mod pool;
mod replay;
pub mod report;
mod run;
mod shrink;
mod trace;

use clap::{Parser, Subcommand};
use named::One;
use std::ffi::OsString;
use std::io;
use std::process::ExitCode;

const FAILED: u8 = 1;
const USAGE: u8 = 2;

/// Runs scenarios about capture and write on simulated boards. Without arguments: all built-in scenarios.
#[derive(Debug, Parser)]
#[command(name = "replicator-sim", version)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs scenarios, and prints which held.
    Run(run::Run),
    /// Cuts the power before every change of a scenario, or lets every call fail, and judges all that comes of it.
    Explore(explore::Explore),
    /// Makes scenarios up, and judges what comes of them.
    Fuzz(fuzz::Fuzz),
    /// Makes a failing scenario smaller, and prints it.
    Shrink(One),
    /// Writes a failing scenario, made smaller, or one crash state of a scenario, to a file.
    Export(export::Export),
    /// Prints a scenario operation by operation, with what each changes on the drive.
    Replay(One),
    /// Prints every operation of a scenario.
    Trace(One),
    /// Lists the built-in scenarios with their sentences.
    List,
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
        None => run::run(&run::Run::default(), output),
        Some(Command::Run(arguments)) => run::run(&arguments, output),
        Some(Command::Explore(arguments)) => explore::explore(&arguments, output),
        Some(Command::Fuzz(arguments)) => fuzz::fuzz(&arguments, output),
        Some(Command::Shrink(arguments)) => shrink::shrink(&arguments, output),
        Some(Command::Export(arguments)) => export::export(&arguments, output),
        Some(Command::Replay(arguments)) => replay::replay(&arguments, output),
        Some(Command::Trace(arguments)) => trace::trace(&arguments, output),
        Some(Command::List) => list::list(output).map(|()| 0).map_err(Problem::Output),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }
}
