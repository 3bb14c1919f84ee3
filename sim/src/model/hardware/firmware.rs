//! Bootloader areas, registers, the microcontroller and the FPGA as state, and the programs that update them.
//!
//! A bootloader area is a disk that is in no list of media and refuses writes until it is opened for writing; a power
//! cycle restores its protection. The updater of the system behaves like `tssupervisorupdate` by its sources: it
//! prints revisions, installs an update if it is newer, and exits with 0 whether it installed one or not. The
//! scenario decides how it fails. An updater on the drive is a script of lines: `print TEXT`, `flash`, `exit STATUS`,
//! `signal`, `hang`.

use replicator_hal::{AreaKind, HookEnd};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

const MAGIC: &[u8] = b"TS_UC_RA4M2";

/// A disk that is a bootloader area.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Area {
    /// What kind of area it is.
    pub kind: AreaKind,
    /// Its write protection is on.
    pub protected: bool,
}

/// What is connected to the processor.
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
    /// Its model; one without a model reports none, and installs an update at once.
    pub model: Option<u16>,
    /// Its revision.
    pub revision: u16,
    /// The revision that it has after the next power cycle.
    pub staged: Option<u16>,
    /// Whether it answers.
    pub answers: bool,
    /// What its updater does.
    pub updater: UpdaterBehaviour,
}

/// What an updater does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum UpdaterBehaviour {
    /// The right thing.
    #[default]
    Works,
    /// It reports success, and does nothing.
    DoesNothing,
    /// It fails.
    Fails,
    /// It does not end.
    Hangs,
    /// A signal ends it.
    Killed,
    /// It fails, and the microcontroller does not answer any more.
    Breaks,
    /// It does not exist.
    Missing,
}

impl FirmwareState {
    /// A power cycle.
    pub(crate) fn lose_power(&mut self) {
        if let Some(micro) = &mut self.microcontroller {
            micro.revision = micro.staged.take().unwrap_or(micro.revision);
        }
    }
}

/// How a program ends.
pub(crate) enum ProgramEnd {
    /// It ends by itself or by a signal.
    Ends(HookEnd),
    /// It does not end.
    Hangs,
}

fn end(exit_status: Option<i32>, output: &str) -> ProgramEnd {
    ProgramEnd::Ends(HookEnd { exit_status, output: output.to_owned() })
}

/// The revision of an update, from its own footer.
fn revision_of(update: &[u8], has_model: bool) -> Option<u16> {
    let footer = update.strip_suffix(MAGIC)?;
    let at = footer.len().checked_sub(if has_model { 5 } else { 4 })?;
    let low = u16::from(*footer.get(at)?);
    Some(if has_model { low | u16::from(*footer.get(at + 1)?) << 8 } else { low })
}

impl Microcontroller {
    /// What the updater prints when asked for the revision.
    pub(crate) fn info(&self) -> ProgramEnd {
        if !self.answers {
            return end(Some(1), "i2c read failed!\n");
        }
        let model = self.model.map_or_else(String::new, |model| format!("modelnum=0x{model:04X}\n"));
        end(Some(0), &format!("{model}revision={}\n", self.revision))
    }

    /// What the updater does with an update, and what it prints.
    pub(crate) fn update(&mut self, update: &[u8]) -> ProgramEnd {
        let Some(revision) = revision_of(update, self.model.is_some()) else {
            return end(Some(1), "Invalid update file\n");
        };
        match self.updater {
            UpdaterBehaviour::DoesNothing => end(Some(0), "Update succeeded.\n"),
            UpdaterBehaviour::Fails => end(Some(1), "Flash failed to erase!\n"),
            UpdaterBehaviour::Hangs => ProgramEnd::Hangs,
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
                // The real one resets the board now; in a scenario that is a power cut.
                self.revision = revision;
                end(Some(1), "Update successful, rebooting\n")
            }
        }
    }
}

/// Runs a program of the drive; `None` if it is not a script.
pub(crate) fn run_script(text: &str, name: &str, fpga: &mut Vec<String>) -> Option<ProgramEnd> {
    let mut output = String::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("#!")) {
        match line.split_once(' ').unwrap_or((line, "")) {
            ("print", rest) => output.push_str(&format!("{rest}\n")),
            ("flash", "") => fpga.push(name.to_owned()),
            ("exit", status) => return Some(end(Some(status.parse().ok()?), &output)),
            ("signal", "") => return Some(end(None, &output)),
            ("hang", "") => return Some(ProgramEnd::Hangs),
            _ => return None,
        }
    }
    Some(end(Some(0), &output))
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
    fn a_file_that_is_not_a_script_cannot_be_started() {
        let mut fpga = Vec::new();
        assert!(run_script("\u{7f}ELF", "x", &mut fpga).is_none());
        assert!(run_script("#!/bin/sh\nprint a\nflash\nexit 3", "x", &mut fpga).is_some());
        assert_eq!(fpga, ["x"]);
    }
}
