//! The boot binary of the replicator: reads the command line, wires the engine to this system, and turns the result into
//! an exit status. What a run does is the engine's matter, how it reaches the system the HAL's.

// A terminal can go away, and these panic then.
#![cfg_attr(not(test), warn(clippy::print_stdout, clippy::print_stderr))]

mod boards;
mod boot;
mod cli;
mod interrupt;
mod leds;
mod profiles;
mod request;
mod run;
mod usage;

use clap::Parser;
use cli::{Cli, Command};
use replicator_hal::host::print;
use std::io::{ErrorKind, Write};
use std::process::ExitCode;

/// The command line cannot be taken.
const EXIT_USAGE: u8 = 2;

fn main() -> ExitCode {
    // The kernel hands its first process whatever words it does not know itself.
    if std::process::id() == 1 {
        boot::init();
    }
    let cli = Cli::parse();
    let result = match &cli.command {
        Command::Boot => boot::run(),
        Command::Run(args) => run::run(args).map(|exit| (exit, String::new())),
        Command::Plan(args) => run::plan(args),
        Command::Boards(args) => boards::text(args).map(|text| (0, text)),
    };
    match result {
        // `print!` would panic where the reader has seen enough.
        Ok((exit, text)) => match std::io::stdout().write_all(text.as_bytes()) {
            Err(error) if error.kind() != ErrorKind::BrokenPipe => {
                print(format_args!("replicator: writing the output: {error}"));
                ExitCode::FAILURE
            }
            _ => ExitCode::from(exit),
        },
        Err(error) => {
            print(format_args!("replicator: {error}"));
            ExitCode::from(EXIT_USAGE)
        }
    }
}
