//! Finds media of one unit that would have the same names: a system that mounts its root by UUID could find the wrong
//! one.
//!
//! The first medium in the order of the profile keeps the names; each further tarball gets new ones. For media that are
//! not written now, and for disk images, there is only a note.

use super::Checking;
use super::preflight::Checked;
use super::root_plan::RootPlan;
use crate::media::Medium;
use crate::names::Packing;
use crate::operation::Operation;
use replicator_hal::{Holder, Region, Uuid};

/// Gives a medium new names if it would have those of another one, with a note in the result.
pub(super) fn rename_duplicates(operation: &Operation<'_>, checked: &mut [Checking], media: &[Medium]) {
    for index in 0..checked.len() {
        let (before, rest) = checked.split_at_mut(index);
        let Some(Checking { item, checked: Ok(this), .. }) = rest.first_mut() else { continue };
        let label = item.medium.name();
        for earlier in before.iter() {
            let Ok(other) = &earlier.checked else { continue };
            if let Some(note) = rename_duplicate(this, label, other, earlier.item.medium.name()) {
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
                     the system may mount either as its root",
                    medium.name()
                ));
            }
        }
    }
}

/// Gives `this` new names if it has those of `other`. Returns the note for the result.
fn rename_duplicate(this: &mut Checked, label: &str, other: &Checked, other_label: &str) -> Option<String> {
    let same_file = this.image.path == other.image.path;
    match (&mut this.root, &other.root) {
        (Some(root), Some(other_root)) => {
            rename_duplicate_root(root, label, other_root, other_label, same_file)
        }
        _ => {
            let are_disks =
                this.image.name.packing() == Packing::Disk && other.image.name.packing() == Packing::Disk;
            (same_file && are_disks).then(|| {
                format!(
                    "{other_label} gets the same image: with both in the board, UUIDs, labels and PARTUUIDs exist \
                     twice"
                )
            })
        }
    }
}

/// The same for the names of two tarballs' file systems.
fn rename_duplicate_root(
    root: &mut RootPlan,
    label: &str,
    other: &RootPlan,
    other_label: &str,
    same_file: bool,
) -> Option<String> {
    let same_label = root.label.is_some() && root.label == other.label;
    if root.clashes_with(other) || (same_file && same_label) {
        root.rename();
        return Some(format!(
            "new UUID, disk signature and GUIDs and no label, because {other_label} gets those of the image: files on \
             {label} that name the root by them find that of {other_label}"
        ));
    }
    let twice = root.label.as_ref().filter(|_| same_label)?;
    Some(format!(
        "{other_label} has the label \"{twice}\" too: with both in the board, LABEL= may find either"
    ))
}

/// Whether a partition of the medium has a file system with this UUID. An unreadable one counts as having none.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::partition::{DiskId, Identity, Scheme};

    fn plan(scheme: Scheme, uuid: Option<[u8; 16]>, label: Option<&str>, random: u8) -> RootPlan {
        let random = [random; 32];
        let label = label.map(str::to_owned);
        RootPlan { identity: Identity::fresh(scheme, random), uuid: uuid.map(Uuid), label, random }
    }

    #[test]
    fn the_second_medium_of_one_tarball_gets_new_names() {
        let first = plan(Scheme::Mbr, Some([7; 16]), Some("rootfs"), 1);
        for same_file in [true, false] {
            let mut second = plan(Scheme::Mbr, Some([7; 16]), Some("rootfs"), 2);
            let note = rename_duplicate_root(&mut second, "emmc", &first, "sd", same_file).unwrap();
            assert!(note.contains("because sd gets those of the image"), "{note}");
            assert_eq!((second.uuid, second.label), (None, None));
            assert!(matches!(second.identity.disk, DiskId::Mbr { signature: 0x0202_0202, kind: 0x83 }));
        }
    }

    #[test]
    fn equal_labels_of_two_tarballs_are_noted_and_those_of_one_tarball_are_dropped() {
        let first = plan(Scheme::Gpt, Some([7; 16]), Some("rootfs"), 1);
        let mut second = plan(Scheme::Gpt, Some([8; 16]), Some("rootfs"), 2);
        let before = second.clone();
        let note = rename_duplicate_root(&mut second, "emmc", &first, "sd", false).unwrap();
        assert!(note.contains("sd has the label \"rootfs\" too"), "{note}");
        assert_eq!(second, before);
        rename_duplicate_root(&mut second, "emmc", &first, "sd", true).unwrap();
        assert_eq!(second.label, None);
    }

    #[test]
    fn no_two_media_have_the_same_disk_signature() {
        let first = plan(Scheme::Mbr, None, None, 1);
        let mut second = first.clone();
        second.random = [2; 32];
        assert!(rename_duplicate_root(&mut second, "emmc", &first, "sd", false).is_some());
        assert_ne!(second.identity, first.identity);
        assert_eq!(rename_duplicate_root(&mut second, "emmc", &first, "sd", true), None);
    }
}
