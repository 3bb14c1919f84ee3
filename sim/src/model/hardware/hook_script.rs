//! Hooks: programs on the drive that are scripts for the simulation.
//!
//! A hook file holds one command per line: `print TEXT`, `touch PATH`, `write PATH TEXT`, `remove PATH`, `exit
//! STATUS`, `signal` (killed), `hang`. A first line that starts with `#!` and empty lines are skipped; a file with
//! any other line cannot be started.

use crate::model::hardware::simfs::{Backing, Outcome, SimFs};
use replicator_hal::{FileKind, HookEnd, RelativePath, Timestamp};

/// One command of a hook.
pub(crate) enum Command {
    Print(String),
    Touch(RelativePath, Vec<u8>),
    Remove(RelativePath),
    Exit(Option<i32>),
    Hang,
}

/// The commands of a program; `None` if it cannot be started.
pub(crate) fn parse(program: &str) -> Option<Vec<Command>> {
    let lines = program.lines().enumerate().map(|(index, line)| (index, line.trim()));
    let lines = lines.filter(|(index, line)| !(line.is_empty() || *index == 0 && line.starts_with("#!")));
    lines
        .map(|(_, line)| {
            let (command, rest) = line.split_once(' ').unwrap_or((line, ""));
            Some(match command {
                "print" => Command::Print(rest.to_owned()),
                "touch" => Command::Touch(RelativePath::parse(rest).ok()?, Vec::new()),
                "write" => {
                    let (path, text) = rest.split_once(' ')?;
                    Command::Touch(RelativePath::parse(path).ok()?, text.as_bytes().to_vec())
                }
                "remove" => Command::Remove(RelativePath::parse(rest).ok()?),
                "exit" => Command::Exit(Some(rest.parse().ok()?)),
                "signal" => Command::Exit(None),
                "hang" => Command::Hang,
                _ => return None,
            })
        })
        .collect()
}

/// Runs the commands until an end; `None` if the program hangs.
pub(crate) fn execute(
    commands: Vec<Command>,
    fs: &mut SimFs,
    backing: &mut dyn Backing,
    now: Timestamp,
) -> Outcome<Option<HookEnd>> {
    let mut output = String::new();
    for command in commands {
        match command {
            Command::Print(line) => {
                output.push_str(&line);
                output.push('\n');
            }
            Command::Touch(path, content) => {
                let inode = match fs.lookup(&path) {
                    Ok(inode) => inode,
                    Err(_) => fs.create(&path, FileKind::File, 0o644, now)?,
                };
                fs.write(backing, inode, 0, &content, now)?;
            }
            Command::Remove(path) => fs.remove(&path, false, now)?,
            Command::Exit(exit_status) => return Ok(Some(HookEnd { exit_status, output })),
            Command::Hang => return Ok(None),
        }
    }
    Ok(Some(HookEnd { exit_status: Some(0), output }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_not_a_script_cannot_be_started() {
        assert!(parse("#!/bin/sh\n\nprint hello\ntouch etc/first-boot\nexit 3\n").is_some());
        for bad in ["\u{7f}ELF", "exit many", "touch ../x", "write onlypath"] {
            assert!(parse(bad).is_none(), "{bad:?}");
        }
    }
}
