//! The console: standard input and output of all processes, and a shell on request.

use nix::unistd::{dup2_stderr, dup2_stdin, dup2_stdout};
use replicator_hal::host::print;
use std::fs::OpenOptions;
use std::io::BufRead;
use std::path::Path;
use std::process::{Child, Command};
use std::thread;

const CONSOLE: &str = "/dev/console";
const SHELL: &str = "/bin/sh";
/// Gives the shell a controlling terminal, so that Ctrl-C works.
const SETSID: [&str; 2] = ["/bin/setsid", "/usr/bin/setsid"];

/// Makes the console standard input and output; the parent process may have none.
///
/// # Errors
/// If there is no console; then nothing is printed.
pub(super) fn open() -> std::io::Result<()> {
    let console = OpenOptions::new().read(true).write(true).open(CONSOLE)?;
    dup2_stdin(&console)?;
    dup2_stdout(&console)?;
    dup2_stderr(&console)?;
    Ok(())
}

/// Starts a shell each time Enter is pressed, if the image has one. `wait` waits for the end of a process: only init can do
/// that, because it reaps all processes.
pub(super) fn offer_shell(wait: impl Fn(Child) + Send + 'static) {
    if !Path::new(SHELL).exists() {
        return;
    }
    print("Press Enter for a shell.");
    let started = thread::Builder::new().name("console".into()).spawn(move || {
        let mut line = String::new();
        // End of file means that the terminal was closed.
        while matches!(std::io::stdin().lock().read_line(&mut line), Ok(read) if read > 0) {
            line.clear();
            match shell().spawn() {
                Ok(child) => wait(child),
                Err(error) => print(format_args!("replicator: {SHELL}: {error}")),
            }
            print("Press Enter for a shell.");
        }
    });
    if let Err(error) = started {
        print(format_args!("replicator: no shell: {error}"));
    }
}

fn shell() -> Command {
    match SETSID.into_iter().find(|path| Path::new(path).exists()) {
        Some(setsid) => {
            let mut command = Command::new(setsid);
            command.args(["-c", SHELL]);
            command
        }
        None => Command::new(SHELL),
    }
}
