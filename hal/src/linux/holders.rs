//! Names what uses a device that the kernel reports as busy; and finds programs that have it open for writing, which an
//! exclusive open does not show.

use super::namespaces::{self, Process};
use super::roots::{KernelRoots, attribute};
use super::sysfs;
use super::usage::{LoopDevices, Usage};
use crate::{DeviceName, Error, ErrorKind};
use nix::libc;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// For udev and for a program that has just written: both close a device soon.
const PATIENCE: Duration = Duration::from_secs(2);
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// If nothing is found: all users of a device that this system's tables do not name.
const UNKNOWN: &str = "it is in use by something that the kernel does not show: a mount in another mount namespace (a container), a \
    device-mapper target, a RAID, or a program that opened it exclusively";

/// The sysfs directories of all that shares bytes with `device`: a whole device and its partitions, or a partition and
/// its whole device. `device` itself is the first.
pub(super) fn family(roots: &KernelRoots, device: &DeviceName) -> Vec<PathBuf> {
    let link = roots.class_block(device);
    let own = std::fs::canonicalize(&link).unwrap_or(link);
    let mut family = vec![own.clone()];
    if own.join("partition").exists() {
        family.extend(own.parent().map(PathBuf::from));
    } else {
        let partitions = sysfs::partitions(&own);
        family.extend(partitions.iter().map(|partition| own.join(partition.name.as_str())));
    }
    family
}

fn numbers(family: &[PathBuf]) -> Vec<u64> {
    let number = |directory: &PathBuf| {
        let text = attribute(directory, "dev")?;
        let (major, minor) = text.split_once(':')?;
        Some(libc::makedev(major.parse().ok()?, minor.parse().ok()?))
    };
    family.iter().filter_map(number).collect()
}

/// What uses `device`, as far as the kernel shows it.
pub(super) fn of(roots: &KernelRoots, device: &DeviceName) -> String {
    let family = family(roots, device);
    if let Ok(usage) = Usage::read(roots) {
        if let Some(holder) = family.iter().find_map(|directory| usage.of_one(directory)) {
            return holder;
        }
    }
    match namespaces::opener(roots, &numbers(&family), false) {
        Some(process) => format!("open in {process}"),
        None => UNKNOWN.to_owned(),
    }
}

/// The loop device whose backing is `device` or a part of it. A loop device does not claim its backing.
pub(super) fn behind_a_loop_device(roots: &KernelRoots, device: &DeviceName) -> Option<String> {
    let loops = LoopDevices::read(roots);
    family(roots, device).iter().find_map(|directory| loops.over(directory))
}

/// The error for a device that is in use.
pub(super) fn busy(roots: &KernelRoots, device: &DeviceName) -> Error {
    Error::new(ErrorKind::Busy, "opening", device.as_str(), of(roots, device))
}

/// Waits a limited time until no other program can write to `device`.
///
/// # Errors
/// `Busy`, with the program's name.
pub(super) fn wait_for_writers(roots: &KernelRoots, device: &DeviceName) -> crate::Result<()> {
    let devices = numbers(&family(roots, device));
    let deadline = Instant::now() + PATIENCE;
    loop {
        match writer(roots, &devices) {
            None => return Ok(()),
            Some(process) if Instant::now() >= deadline => {
                let detail = format!("{process} has it open for writing");
                return Err(Error::new(ErrorKind::Busy, "opening", device.as_str(), detail));
            }
            Some(_) => std::thread::sleep(POLL_INTERVAL),
        }
    }
}

fn writer(roots: &KernelRoots, devices: &[u64]) -> Option<Process> {
    namespaces::opener(roots, devices, true)
}
