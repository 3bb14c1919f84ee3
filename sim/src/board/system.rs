//! The HAL's system: device tree, command line, and hooks that run as scripts.

use crate::board::handle::Handle;
use crate::model::hardware::hook_script::{execute, parse};
use crate::model::hardware::simfs::refuse;
use crate::model::time::op::Op;
use crate::model::time::op_name::OpName;
use replicator_hal::{Error, ErrorKind, FileKind, Hook, HookEnd, Result, System};

/// The longest hook program.
const PROGRAM_LEN_MAX: usize = 65_536;

pub(crate) struct SimSystem {
    pub(crate) handle: Handle,
}

impl System for SimSystem {
    fn compatible(&self) -> Result<Vec<String>> {
        let op = Op::new(OpName::Compatible, "system");
        self.handle.call(op, |machine, _| Ok(machine.system.compatible.clone()))
    }

    fn kernel_command_line(&self) -> Result<String> {
        let op = Op::new(OpName::CommandLine, "system");
        self.handle.call(op, |machine, _| Ok(machine.system.kernel_command_line.clone()))
    }

    /// Not a call of the log: it reads no device, and simulated boards have no workers that it could limit.
    fn memory_bytes(&self) -> Option<u64> {
        None
    }

    fn run_hook(&self, hook: &Hook) -> Result<HookEnd> {
        let program = hook.program.to_string();
        let op = Op { object: program.clone(), mutates: true, ..Op::new(OpName::Hook, "system") };
        let end = self.handle.call(op, |machine, moment| {
            let now = machine.wall(moment.now);
            let read = |mounted: &mut crate::model::hardware::storage::Mounted,
                        layer: &mut crate::model::hardware::storage::Layer<'_>| {
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
            self.handle.sleep(hook.timeout);
            Error::new(ErrorKind::TimedOut, "running", &*program, "it had to be killed")
        })
    }
}
