//! Which board it is, and hooks: programs on the drive that are scripts for the simulation.
//!
//! A hook file holds one command per line: `print TEXT`, `touch PATH`, `write PATH TEXT`, `remove PATH`, `exit STATUS`,
//! `signal` (killed), `hang`. A first line that starts with `#!` and empty lines are skipped; anything else cannot be started.

use crate::devices::Door;
use crate::faults::FaultKind;
use crate::op::Op;
use crate::op_name::OpName;
use crate::simfs::{Backing, Outcome, SimFs, refuse};
use replicator_hal::{Error, ErrorKind, FileKind, Hook, HookEnd, RelativePath, Result, System, Timestamp};

/// No hook program is longer.
const PROGRAM_LEN_MAX: usize = 65_536;

/// What the board says of itself.
#[derive(Debug, Clone, Default)]
pub(crate) struct SystemState {
    pub(crate) compatible: Vec<String>,
    pub(crate) kernel_command_line: String,
    /// Outcome that a fault has set for the check that runs now.
    pub(crate) fsck_script: Option<FaultKind>,
}

pub(crate) struct SimSystem {
    pub(crate) door: Door,
}

enum Command {
    Print(String),
    Touch(RelativePath, Vec<u8>),
    Remove(RelativePath),
    Exit(Option<i32>),
    Hang,
}

fn parse(program: &str) -> Option<Vec<Command>> {
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
fn execute(
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

impl System for SimSystem {
    fn compatible(&self) -> Result<Vec<String>> {
        let op = Op::new(OpName::Compatible, "system");
        self.door.call(op, |machine, _| Ok(machine.system.compatible.clone()))
    }

    fn kernel_command_line(&self) -> Result<String> {
        let op = Op::new(OpName::CommandLine, "system");
        self.door.call(op, |machine, _| Ok(machine.system.kernel_command_line.clone()))
    }

    fn run_hook(&self, hook: &Hook) -> Result<HookEnd> {
        let program = hook.program.to_string();
        let op = Op { object: program.clone(), mutates: true, ..Op::new(OpName::Hook, "system") };
        let end = self.door.call(op, |machine, moment| {
            let now = machine.wall(moment.now);
            let read = |mounted: &mut crate::storage::Mounted, layer: &mut crate::storage::Layer<'_>| {
                let inode = mounted.fs.lookup(&hook.program)?;
                if mounted.fs.inode(inode).is_none_or(|node| node.kind != FileKind::File) {
                    return refuse(ErrorKind::ToolFailed, "a hook must be a regular file");
                }
                let mut bytes = vec![0; PROGRAM_LEN_MAX];
                let len = mounted.fs.read(layer, inode, 0, &mut bytes)?;
                bytes.truncate(len);
                Ok(bytes)
            };
            let bytes =
                machine.storage.with_volume(hook.program_volume.0, now, "starting", &program, read)?;
            let Some(commands) = std::str::from_utf8(&bytes).ok().and_then(parse) else {
                return Err(Error::new(ErrorKind::ToolFailed, "starting", &*program, "it cannot be started"));
            };
            let script_failed =
                HookEnd { exit_status: Some(1), output: "a command of the hook failed\n".to_owned() };
            machine.storage.with_volume(hook.tree.0, now, "running", &program, |mounted, layer| {
                mounted.require_writable()?;
                Ok(execute(commands, &mut mounted.fs, layer, now).unwrap_or(Some(script_failed)))
            })
        })?;
        end.ok_or_else(|| {
            self.door.sleep(hook.timeout);
            Error::new(ErrorKind::TimedOut, "running", &*program, "it had to be killed")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_script_cannot_be_started() {
        assert!(parse("#!/bin/sh\n\nprint hello\ntouch etc/first-boot\nexit 3\n").is_some());
        for bad in ["\u{7f}ELF", "exit many", "touch ../x", "write onlypath"] {
            assert!(parse(bad).is_none(), "{bad:?}");
        }
    }
}
