//! Firmware of the board (microcontroller, bootloader, FPGA): the files on the drive, their checks, the steps that write
//! them.
//!
//! A file in the drive's root that the profile names is a request. Firmware that is in place already, as a read-back
//! shows, is reported as done. Firmware that a rule of the profile leaves out is reported as skipped, which alone is no
//! success. `provision` has the order of the steps and what a failed step stops.

mod bootloader;
mod file;
pub(crate) mod footer;
pub(crate) mod formats;
mod fpga;
pub(crate) mod imx_type;
mod microcontroller;
mod region;
mod revision;
mod step;

use crate::context::Context;
use crate::error::{Error, Refusal, Result};
use crate::names;
use crate::profile::{BootloaderProfile, FpgaProfile, MicrocontrollerProfile, Profile};
use step::Step;

/// The firmware that a drive requests.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Request {
    microcontroller: Option<MicrocontrollerProfile>,
    bootloader: Option<BootloaderProfile>,
    fpga: Vec<FpgaProfile>,
}

impl Request {
    /// The firmware of the profile whose files are among `drive_names`.
    ///
    /// # Errors
    /// `IncompleteFirmware` if a part of the bootloader is missing.
    pub(crate) fn of(profile: &Profile, compatible: &[String], drive_names: &[Vec<u8>]) -> Result<Self> {
        let there = |name: &str| drive_names.iter().any(|found| found.as_slice() == name.as_bytes());
        let bootloader = profile.bootloader.as_ref();
        if let Some(bootloader) = bootloader {
            let set: Vec<String> = bootloader.files.iter().map(|file| file.name.clone()).collect();
            if let Some(incomplete) = names::incomplete_firmware(drive_names, &[set]).first() {
                let (present, missing) = (incomplete.present.join(", "), incomplete.missing.join(", "));
                let what =
                    format!("{present} is on the drive without {missing}: half a bootloader is not written");
                return Err(Error::refused(Refusal::IncompleteFirmware, what));
            }
        }
        Ok(Self {
            microcontroller: profile
                .microcontroller_of(compatible)
                .filter(|micro| there(&micro.file))
                .cloned(),
            bootloader: bootloader.filter(|boot| boot.files.iter().any(|file| there(&file.name))).cloned(),
            fpga: profile.fpga.iter().filter(|fpga| there(&fpga.file)).cloned().collect(),
        })
    }

    /// Whether no firmware is requested.
    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The plan in words, a line per step.
    pub(crate) fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        if let Some(micro) = &self.microcontroller {
            lines.push(format!("plan: update the microcontroller with {}", micro.file));
        }
        if let Some(bootloader) = &self.bootloader {
            let files: Vec<_> = bootloader.files.iter().map(|file| file.name.as_str()).collect();
            lines.push(format!("plan: write {} to {}", files.join(", "), bootloader.area));
        }
        if !self.fpga.is_empty() {
            let files: Vec<_> = self.fpga.iter().map(|fpga| fpga.file.as_str()).collect();
            lines.push(format!(
                "plan: update the FPGA with that of {} which fits the board",
                files.join(", ")
            ));
        }
        lines
    }
}

/// The checked steps; `None` for firmware that is not requested.
pub(crate) struct Checks {
    pub(crate) microcontroller: Option<Step<microcontroller::Checked>>,
    pub(crate) bootloader: Option<Step<bootloader::Checked>>,
    pub(crate) fpga: Option<Step<fpga::Checked>>,
}

/// Checks all requested firmware; nothing is written.
pub(crate) fn check(context: &Context<'_>, request: &Request) -> Checks {
    let fpga = Some(request.fpga.as_slice()).filter(|present| !present.is_empty());
    Checks {
        microcontroller: request.microcontroller.as_ref().map(|micro| microcontroller::step(context, micro)),
        bootloader: request.bootloader.as_ref().map(|profile| bootloader::step(context, profile)),
        fpga: fpga.map(|present| fpga::step(context, present)),
    }
}

impl Checks {
    /// Whether any step is refused.
    pub(crate) fn is_refused(&self) -> bool {
        self.microcontroller.as_ref().is_some_and(|step| step.checked.is_err())
            || self.bootloader.as_ref().is_some_and(|step| step.checked.is_err())
            || self.fpga.as_ref().is_some_and(|step| step.checked.is_err())
    }

    /// The results of the checks, a line per step.
    pub(crate) fn lines(&self) -> Vec<String> {
        let micro = self.microcontroller.as_ref().map(|step| step.line(microcontroller::Checked::text));
        let bootloader = self.bootloader.as_ref().map(|step| step.line(bootloader::Checked::text));
        let fpga = self.fpga.as_ref().map(|step| step.line(fpga::Checked::text));
        micro.into_iter().chain(bootloader).chain(fpga).collect()
    }

    /// The first refusal.
    pub(crate) fn into_refusal(self) -> Option<Error> {
        let micro = self.microcontroller.and_then(|step| step.checked.err());
        let bootloader = self.bootloader.and_then(|step| step.checked.err());
        micro.or(bootloader).or(self.fpga.and_then(|step| step.checked.err()))
    }
}
