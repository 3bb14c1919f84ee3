//! Output and exit status of the binary before a run starts: help, profiles, usage errors. Needs no root.

// Helpers are test code: a panic in them is a failed test.
#![allow(clippy::unwrap_used)]

use std::process::{Command, Output};

fn replicator(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_replicator")).args(arguments).output().unwrap()
}

/// Exit status, standard output and standard error as one text.
fn transcript(arguments: &[&str]) -> String {
    let output = replicator(arguments);
    let part = |bytes| String::from_utf8(bytes).unwrap();
    format!(
        "exit {}\n--- stdout\n{}--- stderr\n{}",
        output.status.code().unwrap(),
        part(output.stdout),
        part(output.stderr)
    )
}

#[test]
fn help() {
    insta::assert_snapshot!(transcript(&["--help"]));
}

#[test]
fn help_of_run() {
    insta::assert_snapshot!(transcript(&["run", "--help"]));
}

/// These three boards show every kind of line. Only the names of the others are checked, so that a new board changes no
/// snapshot.
#[test]
fn boards() {
    let all = transcript(&["boards"]);
    for name in replicator_boards::names() {
        assert!(all.contains(&format!("\n{name}: ")), "{name}");
    }
    let shown = |paragraph: &&str| {
        ["ts7250v3:", "tsimx28:", "tsimx6:"].iter().any(|name| paragraph.starts_with(name))
    };
    insta::assert_snapshot!(all.split("\n\n").filter(shown).collect::<Vec<_>>().join("\n\n"));
}

#[test]
fn check_of_a_profile() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("mine.toml");
    let mine = "name = \"mine\"\n[[medium]]\nname = \"sd\"\nkind = \"sd\"\n";
    let mut settings = insta::Settings::clone_current();
    settings.add_filter(&escaped(directory.path().to_str().unwrap()), "[DIR]");
    let _bound = settings.bind_to_scope();
    std::fs::write(&path, mine).unwrap();
    insta::assert_snapshot!(
        "check_of_a_wrong_profile",
        transcript(&["boards", "--check", path.to_str().unwrap()])
    );
    std::fs::write(&path, format!("{mine}controller = \"30b50000.mmc\"\n")).unwrap();
    insta::assert_snapshot!("check_of_a_profile", transcript(&["boards", "--check", path.to_str().unwrap()]));
}

/// The path as a regular expression that matches itself.
fn escaped(path: &str) -> String {
    path.replace('.', "\\.")
}

#[test]
fn usage_errors() {
    let run = |rest: &[&str]| {
        let line: Vec<_> = ["run", "--log-dir", "/dev/null/none"].iter().chain(rest).copied().collect();
        format!("$ replicator run {}\n{}", rest.join(" "), transcript(&line))
    };
    let all = [
        run(&[]),
        run(&["--board", "tsimx8", "--drive", "/dev/null"]),
        run(&["--board", "ts7180", "--drive", "/dev/null"]),
        run(&["--board", "ts7180", "--drive", "/dev/none"]),
        run(&["--board", "ts7180", "--drive", "/dev/null", "--media", "sd"]),
        run(&["--board", "ts7180", "--drive", "/dev/null", "--media", "sata=/dev/null"]),
        run(&["--board", "ts7180", "--drive", "/dev/null", "--leds", "blink"]),
        run(&["--board", "generic", "--drive", "/dev/null"]),
    ];
    for transcript in &all {
        assert!(transcript.contains("\nexit 2\n"), "{transcript}");
    }
    let boards = replicator_boards::names().collect::<Vec<_>>().join(", ");
    insta::assert_snapshot!(all.join("\n").replace(&boards, "[BOARDS]"));
}

#[test]
fn a_closed_pipe_does_not_panic() {
    let line = format!("{} boards | true; echo ${{PIPESTATUS[0]}}", env!("CARGO_BIN_EXE_replicator"));
    let output = Command::new("bash").args(["-c", &line]).output().unwrap();
    assert!(!String::from_utf8_lossy(&output.stderr).contains("panicked"), "{output:?}");
}
