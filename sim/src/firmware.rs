//! Bootloader areas, registers, the microcontroller and the FPGA, and the programs that update them.
//!
//! A bootloader area is a disk that is in no list of media and refuses writes until it is opened for one; power brings its
//! protection back. An updater of the system is `tssupervisorupdate` as its sources have it: it tells revisions, takes
//! an update if it is newer, and ends with 0 whether it did anything or not. How it misbehaves is said by the story. An
//! updater on the drive is a script of lines: `print TEXT`, `flash`, `exit STATUS`, `signal`, `hang`.

use crate::devices::{Door, open_disk};
use crate::op::Op;
use crate::op_name::OpName;
use crate::simfs::refuse;
use replicator_hal::{
    Access, AreaKind, Argument, BootloaderArea, DeviceName, Error, ErrorKind, FileKind, Firmware, HookEnd,
    RelativePath, Result, Target, Updater, UpdaterProgram, VolumeId,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// No updater or update is longer.
const FILE_LEN_MAX: usize = 1 << 20;
const MAGIC: &[u8] = b"TS_UC_RA4M2";

/// A disk that is a bootloader area.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Area {
    /// What kind of area it is.
    pub kind: AreaKind,
    /// Its write protection is on.
    pub protected: bool,
}

/// What sits beside the processor.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FirmwareState {
    /// Registers that can be read.
    pub registers: BTreeMap<u64, u32>,
    /// The microcontroller, with the program that updates it.
    pub microcontroller: Option<Microcontroller>,
    /// Programs that have updated the FPGA, the last one last.
    pub fpga: Vec<String>,
}

/// A microcontroller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Microcontroller {
    /// Its model; one without tells none, and takes an update at once.
    pub model: Option<u16>,
    /// Its revision.
    pub revision: u16,
    /// The revision that it has after the next power cycle.
    pub staged: Option<u16>,
    /// It answers.
    pub answers: bool,
    /// What its updater does.
    pub updater: UpdaterBehaviour,
}

/// What an updater does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum UpdaterBehaviour {
    /// What it should.
    #[default]
    Works,
    /// It says that all is well, and does nothing.
    Lies,
    /// It fails.
    Fails,
    /// It does not end.
    Hangs,
    /// A signal ends it.
    Killed,
    /// It fails, and the microcontroller does not answer any more.
    Breaks,
    /// It is not there.
    Missing,
}

impl FirmwareState {
    /// Power goes and comes again.
    pub(crate) fn lose_power(&mut self) {
        if let Some(micro) = &mut self.microcontroller {
            micro.revision = micro.staged.take().unwrap_or(micro.revision);
        }
    }
}

pub(crate) struct SimFirmware {
    pub(crate) door: Door,
}

/// How a program goes on.
enum Outcome {
    Ends(HookEnd),
    Hangs,
}

fn end(exit_status: Option<i32>, output: &str) -> Outcome {
    Outcome::Ends(HookEnd { exit_status, output: output.to_owned() })
}

/// The revision that an update brings, by its own footer.
fn revision_of(update: &[u8], has_model: bool) -> Option<u16> {
    let footer = update.strip_suffix(MAGIC)?;
    let at = footer.len().checked_sub(if has_model { 5 } else { 4 })?;
    let low = u16::from(*footer.get(at)?);
    Some(if has_model { low | u16::from(*footer.get(at + 1)?) << 8 } else { low })
}

impl Microcontroller {
    fn info(&self) -> Outcome {
        if !self.answers {
            return end(Some(1), "i2c read failed!\n");
        }
        let model = self.model.map_or_else(String::new, |model| format!("modelnum=0x{model:04X}\n"));
        end(Some(0), &format!("{model}revision={}\n", self.revision))
    }

    fn update(&mut self, update: &[u8]) -> Outcome {
        let Some(revision) = revision_of(update, self.model.is_some()) else {
            return end(Some(1), "Invalid update file\n");
        };
        match self.updater {
            UpdaterBehaviour::Lies => end(Some(0), "Update succeeded.\n"),
            UpdaterBehaviour::Fails => end(Some(1), "Flash failed to erase!\n"),
            UpdaterBehaviour::Hangs => Outcome::Hangs,
            UpdaterBehaviour::Killed => end(None, "0/1024\n"),
            UpdaterBehaviour::Breaks => {
                self.answers = false;
                end(Some(1), "Unknown flash failure\n")
            }
            UpdaterBehaviour::Works | UpdaterBehaviour::Missing if revision <= self.revision => {
                end(Some(0), &format!("Already at revision {}\n", self.revision))
            }
            UpdaterBehaviour::Works | UpdaterBehaviour::Missing if self.model.is_some() => {
                self.staged = Some(revision);
                end(Some(0), "Update succeeded. On the next reboot the update will be live.\n")
            }
            UpdaterBehaviour::Works | UpdaterBehaviour::Missing => {
                // The real one resets the board now; that is a cut of the story.
                self.revision = revision;
                end(Some(1), "Update successful, rebooting\n")
            }
        }
    }
}

/// A program of the drive; `None` if it is no script.
fn run_script(text: &str, name: &str, fpga: &mut Vec<String>) -> Option<Outcome> {
    let mut output = String::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("#!")) {
        match line.split_once(' ').unwrap_or((line, "")) {
            ("print", rest) => output.push_str(&format!("{rest}\n")),
            ("flash", "") => fpga.push(name.to_owned()),
            ("exit", status) => return Some(end(Some(status.parse().ok()?), &output)),
            ("signal", "") => return Some(end(None, &output)),
            ("hang", "") => return Some(Outcome::Hangs),
            _ => return None,
        }
    }
    Some(end(Some(0), &output))
}

impl SimFirmware {
    fn read_file(&self, operation: Op, volume: VolumeId, path: &RelativePath) -> Result<Vec<u8>> {
        self.door.call(operation, |machine, moment| {
            let now = machine.wall(moment.now);
            let object = path.to_string();
            machine.storage.with_volume(volume.0, now, "starting", &object, |mounted, layer| {
                let inode = mounted.fs.lookup(path)?;
                if mounted.fs.inode(inode).is_none_or(|node| node.kind != FileKind::File) {
                    return refuse(ErrorKind::ToolFailed, "a program must be a regular file");
                }
                let mut bytes = vec![0; FILE_LEN_MAX];
                let len = mounted.fs.read(layer, inode, 0, &mut bytes)?;
                bytes.truncate(len);
                Ok(bytes)
            })
        })
    }

    fn supervisor(&self, updater: &Updater, operation: Op, name: &str) -> Result<Outcome> {
        let missing = || Error::new(ErrorKind::NotFound, "starting", name, "no such program on this system");
        let update = updater.arguments.iter().find_map(|argument| match argument {
            Argument::File { volume, path } => Some((*volume, path)),
            Argument::Text(_) => None,
        });
        let read = Op { name: OpName::Open, mutates: false, ..operation.clone() };
        let update = update.map(|(volume, path)| self.read_file(read, volume, path)).transpose()?;
        self.door.call(operation, |machine, _| {
            let micro = machine.storage.firmware.microcontroller.as_mut();
            let micro =
                micro.filter(|micro| micro.updater != UpdaterBehaviour::Missing).ok_or_else(missing)?;
            Ok(match update {
                Some(update) => micro.update(&update),
                None => micro.info(),
            })
        })
    }
}

impl Firmware for SimFirmware {
    fn bootloader_areas(&self) -> Result<Vec<BootloaderArea>> {
        let op = Op::new(OpName::AreaList, "firmware");
        self.door.call(op, |machine, _| {
            let areas = machine.storage.disks.values().filter(|disk| disk.present).filter_map(|disk| {
                let area = disk.area.as_ref()?;
                Some(BootloaderArea {
                    name: DeviceName::new(&*disk.identity.device),
                    kind: area.kind.clone(),
                    controller_path: disk.identity.controller_path.clone(),
                    label: None,
                    len_bytes: disk.len_bytes(),
                    read_only: disk.read_only,
                })
            });
            let mut areas: Vec<BootloaderArea> = areas.collect();
            machine.list_order.shuffle(&mut areas);
            Ok(areas)
        })
    }

    fn open_bootloader_area(&self, area: &DeviceName, access: Access) -> Result<Box<dyn Target>> {
        open_disk(&self.door, area, Some(access))
    }

    fn register(&self, address: u64) -> Result<u32> {
        let object = format!("register {address:#x}");
        let op = Op { object: object.clone(), ..Op::new(OpName::Register, "firmware") };
        self.door.call(op, |machine, _| {
            let error = |kind, detail| Error::new(kind, "reading", object, detail);
            if address % 4 != 0 {
                return Err(error(ErrorKind::InvalidInput, "not a multiple of 4"));
            }
            let value = machine.storage.firmware.registers.get(&address).copied();
            value.ok_or_else(|| error(ErrorKind::Unsupported, "no such register"))
        })
    }

    fn run_updater(&self, updater: &Updater) -> Result<HookEnd> {
        let command = updater.to_string();
        let op = Op { object: command.clone(), mutates: true, ..Op::new(OpName::Updater, "firmware") };
        let outcome = match &updater.program {
            UpdaterProgram::System(name) => self.supervisor(updater, op, name)?,
            UpdaterProgram::File { volume, path } => {
                let read = Op { name: OpName::Open, mutates: false, ..op.clone() };
                let bytes = self.read_file(read, *volume, path)?;
                self.door.call(op, |machine, _| {
                    let text = std::str::from_utf8(&bytes).ok();
                    let ran = text.and_then(|text| {
                        run_script(text, &path.to_string(), &mut machine.storage.firmware.fpga)
                    });
                    ran.ok_or_else(|| {
                        Error::new(
                            ErrorKind::ToolFailed,
                            "starting",
                            command.as_str(),
                            "it cannot be started",
                        )
                    })
                })?
            }
        };
        match outcome {
            Outcome::Ends(end) => Ok(end),
            Outcome::Hangs => {
                self.door.sleep(updater.timeout);
                Err(Error::new(ErrorKind::TimedOut, "running", command, "it had to be killed"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn micro(model: Option<u16>) -> Microcontroller {
        Microcontroller { model, revision: 7, staged: None, answers: true, updater: UpdaterBehaviour::Works }
    }

    #[test]
    fn an_update_is_taken_at_once_or_with_the_next_power_cycle() {
        let v0 = [&[0, 1, 0, 0, 9, 0, 0, 0][..], MAGIC].concat();
        let v1 = [&[0, 1, 0, 0, 0x50, 0x72, 9, 1, 0, 0, 1][..], MAGIC].concat();
        let mut at_once = micro(None);
        at_once.update(&v0);
        assert_eq!((at_once.revision, at_once.staged), (9, None));
        let mut state =
            FirmwareState { microcontroller: Some(micro(Some(0x7250))), ..FirmwareState::default() };
        state.microcontroller.as_mut().unwrap().update(&v1);
        assert_eq!(state.microcontroller.as_ref().unwrap().revision, 7);
        state.lose_power();
        assert_eq!(state.microcontroller.unwrap().revision, 265);
    }

    #[test]
    fn what_is_no_script_cannot_be_started() {
        let mut fpga = Vec::new();
        assert!(run_script("\u{7f}ELF", "x", &mut fpga).is_none());
        assert!(run_script("#!/bin/sh\nprint a\nflash\nexit 3", "x", &mut fpga).is_some());
        assert_eq!(fpga, ["x"]);
    }
}
