//! The command line of `replicator-sim`: one module per command.
//!
//! Exit status 0: no complaints; 1: a scenario failed; 2: the command line or a scenario file is invalid. `explore`
//! and `fuzz` also use 101 (panic), 102 (wrong success or lost data), 103 (no end), 104 (not deterministic) and 105
//! (wrong end).

mod budget;
mod costs;
mod estimate;
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
const EXIT_STATUS: &str = "Exit status: 0 no complaints, 1 a scenario failed, 2 invalid command line or scenario file.
Of explore and fuzz: 101 panic, 102 wrong success or lost data, 103 no end, 104 not deterministic, 105 wrong end.";

/// Runs scenarios about capture and write on simulated boards. Without arguments: all built-in scenarios.
#[derive(Debug, Parser)]
#[command(name = "replicator-sim", version, after_help = EXIT_STATUS)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs scenarios, and prints which passed.
    Run(run::Run),
    /// Cuts the power before every change of a scenario, or lets every call fail, and judges each result.
    Explore(explore::Explore),
    /// Runs and judges generated scenarios.
    Fuzz(fuzz::Fuzz),
    /// Reduces a failing scenario to what is needed for the failure, and prints it.
    Shrink(One),
    /// Writes a reduced failing scenario, or one crash state of a scenario, to a file.
    Export(export::Export),
    /// Prints every operation of a scenario, with its changes on the drive.
    Replay(One),
    /// Prints every operation of a scenario.
    Trace(One),
    /// Prints calls and bytes of a scenario for each step and device.
    Costs(One),
    /// Prints how long a capture and a write of typical media would take on boards of several classes.
    Estimate,
    /// Lists the built-in scenarios with their descriptions.
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
        Some(Command::Costs(arguments)) => costs::costs(&arguments, output),
        Some(Command::Estimate) => estimate::estimate(output),
        Some(Command::List) => list::list(output).map(|()| 0).map_err(Problem::Output),
    };
    match result {
        Ok(status) => ExitCode::from(status),
        Err(Problem::Usage(what)) => {
            eprintln!("replicator-sim: {what}");
            ExitCode::from(USAGE)
        }
        // The reader has closed the pipe.
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
