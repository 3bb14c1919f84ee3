//! Contract of [`System`]: the identity of the board, and hooks.

use super::{kind, path, read_all, skipped};
use crate::{ErrorKind, Hook, HookEnd, RelativePath, Result, System, Volume, VolumeId, io};
use std::time::Duration;

/// The behaviour of a program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Script<'a> {
    /// Prints this line and exits with this status.
    Print(&'a str, i32),
    /// Creates this file in its working directory, with this text.
    Write(&'a str, &'a str),
    /// Prints the value of this variable.
    PrintVariable(&'a str),
    /// Prints more than [`HookEnd::OUTPUT_LEN_MAX_BYTES`], then this line, and exits with status 0.
    PrintTooMuch(&'a str),
    /// Is killed by a signal.
    Signal,
    /// Never exits.
    Hang,
}

/// The program as a shell script, for backends that run programs.
pub fn shell_program(script: &Script<'_>) -> Vec<u8> {
    let commands = match script {
        Script::Print(line, exit_status) => format!("echo '{line}'; exit {exit_status}"),
        Script::Write(name, text) => format!("printf %s '{text}' > '{name}'"),
        Script::PrintVariable(name) => format!("echo \"${name}\""),
        // Escape characters get longest in a log.
        Script::PrintTooMuch(line) => format!(
            "head -c {} /dev/zero | tr '\\000' '\\033'; echo; echo '{line}'",
            2 * HookEnd::OUTPUT_LEN_MAX_BYTES
        ),
        Script::Signal => "kill -KILL $$".to_owned(),
        Script::Hang => "sleep 1000".to_owned(),
    };
    format!("#!/bin/sh\n{commands}\n").into_bytes()
}

/// A system to test, with two volumes that are mounted read-write and empty but for `lost+found`.
pub trait SystemFixture {
    /// The system.
    fn system(&self) -> &dyn System;

    /// The `compatible` strings that were given to it.
    fn compatible(&self) -> Vec<String>;

    /// The kernel's command line that was given to it.
    fn kernel_command_line(&self) -> String;

    /// The volume with the programs, as on a drive.
    fn program_volume(&self) -> &dyn Volume;

    /// The volume on which programs work.
    fn tree(&self) -> &dyn Volume;

    /// A program with this behaviour; `None` if no program of this backend can have it.
    fn program(&self, script: &Script<'_>) -> Option<Vec<u8>>;
}

const PATIENT: Duration = Duration::from_secs(60);

fn hook(fixture: &dyn SystemFixture, program: &str, timeout: Duration) -> Hook {
    Hook {
        program_volume: fixture.program_volume().id(),
        program: path(program),
        tree: fixture.tree().id(),
        environment: vec![("REPLICATOR_MEDIUM".to_owned(), "emmc".to_owned())],
        timeout,
    }
}

fn install(fixture: &dyn SystemFixture, program: &str, content: &[u8]) {
    let mut file = fixture.program_volume().create_new(&path(program), 0o755).unwrap();
    io::write_file(file.as_mut(), 0, content).unwrap();
    file.close().unwrap();
}

/// Runs a program; `None`, with a message, if there is none with this behaviour.
fn run(fixture: &dyn SystemFixture, script: &Script<'_>, timeout: Duration) -> Option<Result<HookEnd>> {
    let Some(content) = fixture.program(script) else {
        skipped(&format!("system, {script:?}"), "no program of this backend can do that");
        return None;
    };
    install(fixture, "hook", &content);
    Some(fixture.system().run_hook(&hook(fixture, "hook", timeout)))
}

/// The `compatible` strings are those of the board, in order, and the same each time.
pub fn the_board_is_identified(fixture: &dyn SystemFixture) {
    for _ in 0..2 {
        assert_eq!(fixture.system().compatible().unwrap(), fixture.compatible());
        assert_eq!(fixture.system().kernel_command_line().unwrap(), fixture.kernel_command_line());
    }
}

/// Status and output are returned, and a status is not an error.
pub fn a_hook_returns_its_status_and_output(fixture: &dyn SystemFixture) {
    let end = run(fixture, &Script::Print("to the log", 7), PATIENT).unwrap().unwrap();
    assert_eq!(end, HookEnd { exit_status: Some(7), output: "to the log\n".to_owned() });
}

/// A hook works in its tree, whichever volume it is on.
pub fn a_hook_works_in_its_tree(fixture: &dyn SystemFixture) {
    let end = run(fixture, &Script::Write("made-by-hook", "text"), PATIENT).unwrap().unwrap();
    assert_eq!(end.exit_status, Some(0), "{end:?}");
    let content = read_all(fixture.tree(), &path("made-by-hook"));
    assert_eq!(content, b"text");
    let names = |volume: &dyn Volume| {
        let entries = volume.list(&RelativePath::root()).unwrap();
        entries.into_iter().any(|entry| entry.name == b"made-by-hook")
    };
    assert!(names(fixture.tree()) && !names(fixture.program_volume()));
}

/// A hook gets its environment.
pub fn a_hook_gets_its_environment(fixture: &dyn SystemFixture) {
    if let Some(end) = run(fixture, &Script::PrintVariable("REPLICATOR_MEDIUM"), PATIENT) {
        assert_eq!(end.unwrap(), HookEnd { exit_status: Some(0), output: "emmc\n".to_owned() });
    }
}

/// A hook that was killed has no status.
pub fn a_signal_is_not_a_status(fixture: &dyn SystemFixture) {
    assert_eq!(run(fixture, &Script::Signal, PATIENT).unwrap().unwrap().exit_status, None);
}

/// A long output is bounded, and its end is kept.
pub fn the_output_of_a_hook_is_bounded(fixture: &dyn SystemFixture) {
    if let Some(end) = run(fixture, &Script::PrintTooMuch("last words"), PATIENT) {
        let end = end.unwrap();
        assert_eq!(end.exit_status, Some(0));
        assert!(end.output.len() <= HookEnd::OUTPUT_LEN_MAX_BYTES, "{} bytes", end.output.len());
        assert!(end.output.ends_with("last words\n"), "{:?}", end.output.lines().next_back());
    }
}

/// A hook that hangs is killed, and the next one runs.
pub fn a_hook_that_hangs_is_killed(fixture: &dyn SystemFixture) {
    let ended = run(fixture, &Script::Hang, Duration::from_millis(300)).unwrap();
    assert_eq!(kind(ended), ErrorKind::TimedOut);
    install(fixture, "next", &fixture.program(&Script::Print("next", 0)).unwrap());
    let end = fixture.system().run_hook(&hook(fixture, "next", PATIENT)).unwrap();
    assert_eq!(end.exit_status, Some(0));
}

/// A missing hook and one that fails have different results.
pub fn a_missing_hook_is_not_found(fixture: &dyn SystemFixture) {
    let missing = hook(fixture, "nosuchhook", PATIENT);
    assert_eq!(kind(fixture.system().run_hook(&missing)), ErrorKind::NotFound);
    install(fixture, "hook", &fixture.program(&Script::Print("never", 0)).unwrap());
    let present = hook(fixture, "hook", PATIENT);
    let (no_drive, no_tree) = (
        Hook { program_volume: VolumeId(u64::MAX), ..present.clone() },
        Hook { tree: VolumeId(u64::MAX), ..present },
    );
    assert_eq!(kind(fixture.system().run_hook(&no_drive)), ErrorKind::NotFound);
    assert_eq!(kind(fixture.system().run_hook(&no_tree)), ErrorKind::NotFound);
}

/// A file that is not a program cannot be started, and has no effect.
pub fn a_file_that_is_not_a_program_cannot_be_started(fixture: &dyn SystemFixture) {
    install(fixture, "garbage", b"\x7fELF but not really \xff\xfe\n");
    assert_eq!(kind(fixture.system().run_hook(&hook(fixture, "garbage", PATIENT))), ErrorKind::ToolFailed);
    fixture.program_volume().create_dir(&path("directory"), 0o755).unwrap();
    assert_eq!(kind(fixture.system().run_hook(&hook(fixture, "directory", PATIENT))), ErrorKind::ToolFailed);
}
