//! Media of one unit that would have the same names: a system that asks for its root by UUID finds one of two.
//!
//! The first in the order of the profile keeps them; every further one that is written gets new ones. Media that are not
//! written now, and disk images, are told of only.

use super::Checking;
use super::preflight::Checked;
use crate::media::Medium;
use crate::names::Packing;
use crate::operation::Operation;
use replicator_hal::{Holder, Region, Uuid};

/// Gives media new names where two would clash, with a note in the result.
pub(super) fn settle(operation: &Operation<'_>, checked: &mut [Checking], media: &[Medium]) {
    for index in 0..checked.len() {
        let (before, rest) = checked.split_at_mut(index);
        let Some(Checking { item, checked: Ok(this), .. }) = rest.first_mut() else { continue };
        let label = item.medium.name();
        for earlier in before.iter() {
            let Ok(other) = &earlier.checked else { continue };
            if let Some(note) = apart(this, label, other, earlier.item.medium.name()) {
                this.notes.push(note);
            }
        }
    }
    let idle: Vec<&Medium> = media
        .iter()
        .filter(|medium| !checked.iter().any(|checking| checking.item.medium.name() == medium.name()))
        .collect();
    for checking in checked.iter_mut() {
        let Ok(this) = &mut checking.checked else { continue };
        let Some(uuid) = this.root.as_ref().and_then(|root| root.uuid) else { continue };
        for medium in &idle {
            if has_file_system(operation, medium, uuid) {
                this.notes.push(format!(
                    "{} has a file system with the same UUID {uuid} and is not written now: with both in the board, \
                     either may be taken for the root",
                    medium.name()
                ));
            }
        }
    }
}

/// Keeps `this` apart from `other`, which keeps its names.
fn apart(this: &mut Checked, label: &str, other: &Checked, other_label: &str) -> Option<String> {
    let same_file = this.image.path == other.image.path;
    let (Some(root), Some(other_root)) = (&mut this.root, &other.root) else {
        let are_disks =
            this.image.name.packing() == Packing::Disk && other.image.name.packing() == Packing::Disk;
        return (same_file && are_disks).then(|| {
            format!(
                "{other_label} gets the same image: with both in the board, UUIDs, labels and PARTUUIDs are there twice"
            )
        });
    };
    let same_label = root.label.is_some() && root.label == other_root.label;
    if root.clashes_with(other_root) || (same_file && same_label) {
        root.rename();
        return Some(format!(
            "new UUID, disk signature and GUIDs and no label, because {other_label} gets those of the image: files on \
             {label} that name the root by them find that of {other_label}"
        ));
    }
    let label = root.label.as_ref().filter(|_| same_label)?;
    Some(format!(
        "{other_label} has the label \"{label}\" too: with both in the board, LABEL= may find either"
    ))
}

/// Whether a partition of the medium has a file system with this UUID. What cannot be read has none.
fn has_file_system(operation: &Operation<'_>, medium: &Medium, uuid: Uuid) -> bool {
    let Some(device) = &medium.device else { return false };
    device.partitions.iter().any(|partition| {
        let region = Region {
            holder: Holder::Device(partition.name.clone()),
            offset_bytes: 0,
            len_bytes: partition.len_bytes,
        };
        match operation.board.file_systems.identify(&region) {
            Ok(found) => found.and_then(|found| found.uuid).and_then(|text| Uuid::parse(&text)) == Some(uuid),
            Err(error) => {
                operation.log(&format!("looking at {}: {error}", partition.name));
                false
            }
        }
    })
}
