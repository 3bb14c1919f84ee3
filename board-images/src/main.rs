//! The boot binary of the replicator: reads the command line, wires the engine to this system, and turns the result into
//! an exit status. What a run does is the engine's matter, how it reaches the system the HAL's.

mod boards;
mod cli;
mod profiles;
mod request;
mod run;
mod usage;

use clap::Parser;
use cli::{Cli, Command};
use std::process::ExitCode;

/// The command line cannot be taken.
const EXIT_USAGE: u8 = 2;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let result = match &cli.command {
        Command::Run(args) => run::run(args),
        Command::Plan(args) => run::plan(args),
        Command::Boards(args) => boards::text(args).map(|text| {
            print!("{text}");
            0
        }),
    };
    ExitCode::from(result.unwrap_or_else(|error| {
        eprintln!("replicator: {error}");
        EXIT_USAGE
    }))
}
