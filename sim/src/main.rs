//! `replicator-sim`: runs scenarios on simulated boards.

use std::process::ExitCode;

fn main() -> ExitCode {
    replicator_sim::cli::main(std::env::args_os())
}
