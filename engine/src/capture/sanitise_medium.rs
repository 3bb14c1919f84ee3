//! Sanitising a whole medium in its working image: every root file system, each with a line for the report; and a line for
//! what stays as it is.

use super::mounted::with_mounted;
use super::rootfs::Rootfs;
use super::survey::Part;
use super::{Capture, free_space, sanitise};
use crate::error::{Error, Result};
use crate::operation::Operation;
use crate::sanitise_rules::Rules;
use replicator_hal::{Access, ErrorKind, FileSystemKind, Volume};

/// With less than this a file system counts as full.
const FULL_BELOW_BYTES: u64 = 64 * 1024;

/// What sanitising works with.
pub(super) struct SanitiseMedium<'a> {
    pub(super) capture: &'a Capture<'a>,
    pub(super) operation: &'a Operation<'a>,
    pub(super) rules: &'a Rules,
    /// The medium's name.
    pub(super) medium: &'a str,
    /// All that lies on the medium.
    pub(super) parts: &'a [Part],
    /// The root file systems of it.
    pub(super) roots: &'a [Rootfs],
}

impl SanitiseMedium<'_> {
    /// Does it; what it did and what it left goes to `notes`.
    pub(super) fn run(&self, notes: &mut Vec<String>) -> Result<()> {
        for root in self.roots {
            let of_root = self.root(root)?;
            notes.push(format!("{}: sanitised", root.part));
            notes.extend(of_root);
        }
        if self.roots.is_empty() {
            notes.push("no Linux rootfs found: not sanitised".to_owned());
        }
        for part in self.parts {
            let is_root = self.roots.iter().any(|root| root.part == *part);
            if !is_root && is_told(part) {
                notes.push(format!("{part}: captured as it is"));
            }
        }
        Ok(())
    }

    /// What the report should say.
    fn root(&self, root: &Rootfs) -> Result<Vec<String>> {
        let operation = self.operation;
        operation.step(&format!("sanitising {}", root.part.slot));
        let notes = with_mounted(operation, &root.region, Access::ReadWrite, |volume| {
            let at = (self.medium, root.part.slot.number);
            sanitise::sanitise(self.capture, operation, self.rules, at, volume)
                .map_err(|error| of_the_image(error, volume, &root.part))
        })?;
        free_space::clear(operation, &root.region)?;
        Ok(notes)
    }
}

/// Whether a partition that is left as it is gets a line: swap space is no file system, and a medium without any has a
/// line of its own.
fn is_told(part: &Part) -> bool {
    match part.kind() {
        Some(kind) => *kind != FileSystemKind::Swap,
        None => part.slot.number != 0,
    }
}

/// Tells a full file system in the image from a full drive below it.
fn of_the_image(error: Error, volume: &dyn Volume, part: &Part) -> Error {
    match &error {
        Error::Hal { source, .. } if source.kind() == ErrorKind::NoSpace => match volume.space() {
            Ok(space) if space.free_bytes < FULL_BELOW_BYTES => Error::ImageFull {
                what: format!("the root file system of {}", part.slot),
                source: Box::new(error),
            },
            _ => error,
        },
        _ => error,
    }
}
