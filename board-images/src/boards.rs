//! `replicator boards`: prints the profiles.

use crate::cli::BoardsArgs;
use crate::profiles;
use crate::usage::UsageError;
use replicator_engine::profile::{MediumProfile, Profile};

/// The text that the command prints.
pub(crate) fn text(args: &BoardsArgs) -> Result<String, UsageError> {
    match &args.check {
        Some(path) => {
            let profile = profiles::read(path)?;
            Ok(format!("{}\n{}: valid\n", describe(&profile), path.display()))
        }
        None => Ok(profiles::embedded()?.iter().map(describe).collect::<Vec<_>>().join("\n")),
    }
}

fn describe(profile: &Profile) -> String {
    let mut text = format!("{}: {}\n", profile.name, profile.products.join(", "));
    for medium in &profile.media {
        text.push_str(&format!("    {:<5} {}\n", medium.name, place(medium)));
    }
    for line in firmware(profile) {
        text.push_str(&format!("    {line}\n"));
    }
    text
}

/// One line per firmware file of a board: its name and its destination.
fn firmware(profile: &Profile) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(bootloader) = &profile.bootloader {
        let place = &bootloader.area;
        for file in &bootloader.files {
            let (block, len) = (file.block, file.len_max_bytes);
            let mut line = format!("{} to {place}, block {block}, up to {len} bytes", file.name);
            if let Some(format) = file.format {
                line.push_str(&format!("; must be {format}"));
            }
            for check in bootloader.checks.iter().filter(|check| check.file == file.name) {
                let boards = if check.only.is_empty() { "all".into() } else { check.only.join(", ") };
                line.push_str(&format!("; imx_type is compared on {boards}"));
            }
            lines.push(line);
        }
    }
    if let Some(micro) = &profile.microcontroller {
        let mut line = format!("{} to the microcontroller by {}", micro.file, micro.program);
        if !micro.board_revisions.is_empty() {
            line.push_str(&format!("; board revision {}", micro.board_revisions.join(", ")));
        }
        line.push_str(if micro.reboots { "; resets the board" } else { "; takes effect at the next reboot" });
        if !micro.only.is_empty() {
            line.push_str(&format!("; only {}", micro.only.join(", ")));
        }
        lines.push(line);
    }
    for fpga in &profile.fpga {
        let revision = fpga.revision.as_deref().unwrap_or("any");
        lines.push(format!("{} is run for the FPGA; board revision {revision}", fpga.file));
    }
    lines
}

/// Where a medium is found, and how a tarball is written to it, in one line.
fn place(medium: &MediumProfile) -> String {
    let mut parts = vec![medium.kind.to_string()];
    match (&medium.controller, &medium.device) {
        (Some(controller), Some(device)) => parts.push(format!("on {controller}, else {device}")),
        (Some(controller), None) => parts.push(format!("on {controller}")),
        (None, Some(device)) => parts.push(device.clone()),
        (None, None) => parts.push("by --media".to_owned()),
    }
    parts.push(format!("tarballs as {}", medium.file_system));
    if medium.rootfs_partition != 1 {
        parts.push(format!("rootfs in partition {}", medium.rootfs_partition));
    }
    if !medium.only.is_empty() {
        parts.push(format!("only {}", medium.only.join(", ")));
    }
    parts.join("; ")
}
