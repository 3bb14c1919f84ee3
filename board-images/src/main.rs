//! The boot binary of the replicator: parses the command line, connects the engine to the Linux backend of the HAL, and
//! converts the result to an exit status. The engine decides what a run does; the HAL accesses the system.

// These macros panic when the terminal is closed.
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

/// Exit status of a usage error.
const EXIT_USAGE: u8 = 2;

fn main() -> ExitCode {
    // Before the first thread. Where the allocator lacks the setting, a run only needs more memory.
    let _ = replicator_hal::linux::return_freed_buffers();
    // The kernel passes unknown words of its command line to process 1, so they are not parsed.
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
        // `print!` would panic when the reader has closed the pipe.
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
