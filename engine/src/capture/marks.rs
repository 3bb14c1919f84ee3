//! Marks of a golden medium: hashes of the machine id and the SSH host keys that sanitising removes.
//!
//! The kernel cannot read the serial number of an SD card behind a bridge, so only the files of a card show whether an
//! image was captured from it. The record of such an image has hashes of them. A medium with a file of one of these
//! hashes is the golden medium, or a plain copy of it. A clone has none of these files, or has made its own.

use super::layout::Layout;
use super::mounted::{with_mounted, with_tree};
use super::rootfs::{self, Rootfs};
use super::sanitise::host_keys;
use super::survey::{self, Part};
use super::{copy, tree, work};
use crate::drive_file::read_small;
use crate::error::{Error, Result};
use crate::operation::Operation;
use replicator_hal::{
    Access, BlockDevice, ErrorKind, FileKind, FileSystemKind, Holder, ReadTree, RelativePath,
};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeSet;

/// Hashes of files, as hex digits.
pub(crate) type Marks = BTreeSet<String>;

/// Paths of the machine id; the second is a link to the first, or is of older systems.
const MACHINE_IDS: [&str; 2] = ["etc/machine-id", "var/lib/dbus/machine-id"];
/// The content that systemd writes before a machine id is made.
const NO_MACHINE_ID: &[u8] = b"uninitialized";
/// A longer file is neither a machine id nor a key.
const FILE_LIMIT_BYTES: usize = 64 * 1024;
/// How many marks a record has at most.
const MARKS_MAX: usize = 64;
/// Bytes of a hash that are kept.
const MARK_LEN_BYTES: usize = 16;
/// Depth to which subvolumes are searched.
const SUBVOLUME_DEPTH_MAX: usize = 3;

/// The marks in root file systems of a working image.
pub(super) fn in_roots(operation: &Operation<'_>, roots: &[Rootfs]) -> Result<Marks> {
    let mut marks = Marks::new();
    for root in roots {
        marks.extend(root.with_mounted(operation, Access::ReadOnly, |volume| in_volume(operation, &volume))?);
    }
    Ok(marks)
}

/// The marks for the record: those that sanitising removed.
pub(super) fn of_golden(before: &Marks, after: &Marks) -> Vec<String> {
    before.difference(after).take(MARKS_MAX).cloned().collect()
}

/// The marks on a medium, which is opened and mounted read-only and closed again. A file system that cannot be read has
/// none.
pub(crate) fn on_medium(operation: &Operation<'_>, device: &BlockDevice) -> Marks {
    let mut marks = Marks::new();
    let holder = Holder::Device(device.name.clone());
    let parts = copy::layout(operation, device).and_then(|layout| parts(operation, &layout, &holder));
    let parts = match parts {
        Ok(parts) => parts,
        Err(error) => {
            operation.log(&format!("{} is not examined: {error}", device.name));
            return marks;
        }
    };
    for part in parts {
        match in_part(operation, &part, &holder) {
            Ok(found) => marks.extend(found),
            Err(error) => operation.log(&format!("{part} is not examined: {error}")),
        }
    }
    marks
}

fn parts(operation: &Operation<'_>, layout: &Layout, holder: &Holder) -> Result<Vec<Part>> {
    let parts = survey::look(operation, layout, holder)?;
    Ok(parts.into_iter().filter(|part| part.kind().is_some_and(survey::can_be_sanitised)).collect())
}

/// The marks of all root file systems in a partition of a medium.
fn in_part(operation: &Operation<'_>, part: &Part, holder: &Holder) -> Result<Marks> {
    let region = part.slot.region(holder);
    let mut roots = Vec::new();
    let mut marks = with_mounted(operation, &region, Access::ReadOnly, |volume| {
        if part.kind() == Some(&FileSystemKind::Btrfs) {
            roots = subvolumes(operation, &volume)?;
        }
        match rootfs::has_rootfs(operation, &volume, &RelativePath::root())? {
            true => in_volume(operation, &volume),
            false => Ok(Marks::new()),
        }
    })?;
    for root in roots {
        marks.extend(with_tree(operation, &region, Some(&root), Access::ReadOnly, |volume| {
            in_volume(operation, &volume)
        })?);
    }
    Ok(marks)
}

/// Directories below the top level of a btrfs that are root file systems.
fn subvolumes(operation: &Operation<'_>, volume: &dyn ReadTree) -> Result<Vec<RelativePath>> {
    let mut found = Vec::new();
    let mut left = tree::ENTRIES_LIMIT;
    let mut unread = vec![(RelativePath::root(), 1)];
    while let Some((directory, depth)) = unread.pop() {
        for (path, kind) in tree::children(operation, volume, &directory, &mut left)? {
            if kind != FileKind::Directory {
                continue;
            }
            if rootfs::has_rootfs(operation, volume, &path)? {
                found.push(path);
            } else if depth < SUBVOLUME_DEPTH_MAX {
                unread.push((path, depth + 1));
            }
        }
    }
    Ok(found)
}

/// The marks of a mounted root file system.
fn in_volume(operation: &Operation<'_>, volume: &dyn ReadTree) -> Result<Marks> {
    let mut marks = Marks::new();
    for path in MACHINE_IDS {
        let path = RelativePath::parse(path)
            .map_err(|error| Error::Internal { detail: format!("{path}: {error}") })?;
        let Some(path) = rootfs::resolve(operation, volume, &path)? else { continue };
        if work::kind_of(operation, volume, &path)? == Some(FileKind::File) {
            let content = read(operation, volume, &path)?;
            marks.extend(content.filter(|content| content.trim_ascii() != NO_MACHINE_ID).and_then(mark));
        }
    }
    for key in host_keys::present(operation, volume)? {
        marks.extend(read(operation, volume, &key.path)?.and_then(mark));
    }
    Ok(marks)
}

/// The content of a file; `None` if it is too long.
fn read(operation: &Operation<'_>, volume: &dyn ReadTree, path: &RelativePath) -> Result<Option<Vec<u8>>> {
    match operation.retry(|| read_small(volume, path, FILE_LIMIT_BYTES)) {
        Ok(content) => Ok(Some(content)),
        Err(error) if error.kind() == ErrorKind::FileTooLarge => Ok(None),
        Err(error) => Err(Error::hal(format!("reading /{path}"))(error)),
    }
}

/// The hash of a file's content; `None` for an empty file. The hash does not reveal the content, which is random.
fn mark(content: Vec<u8>) -> Option<String> {
    let content = content.trim_ascii();
    let is_nothing = content.iter().all(|byte| *byte == 0);
    let hash = Sha256::new().chain_update(b"replicator mark\0").chain_update(content).finalize();
    (!is_nothing).then(|| hash.iter().take(MARK_LEN_BYTES).map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marks(contents: &[&[u8]]) -> Marks {
        contents.iter().filter_map(|content| mark(content.to_vec())).collect()
    }

    #[test]
    fn an_empty_file_is_no_mark() {
        assert_eq!(marks(&[b"", b"\n", b" \n\n", &[0; 600]]), Marks::new());
    }

    #[test]
    fn a_mark_depends_on_the_content_alone() {
        let one = mark(b"0123456789abcdef0123456789abcdef\n".to_vec()).unwrap();
        assert_eq!(one.len(), 2 * MARK_LEN_BYTES);
        assert_eq!(mark(b"0123456789abcdef0123456789abcdef".to_vec()), Some(one.clone()));
        assert_ne!(mark(b"1123456789abcdef0123456789abcdef\n".to_vec()), Some(one));
    }

    #[test]
    fn what_sanitising_leaves_is_no_mark_of_the_golden_medium() {
        let (before, after) = (marks(&[b"key", b"id"]), marks(&[b"key", b"made at first boot"]));
        assert_eq!(of_golden(&before, &after), vec![mark(b"id".to_vec()).unwrap()]);
        assert_eq!(of_golden(&before, &before), Vec::<String>::new());
    }

    #[test]
    fn a_record_has_room_for_all_marks() {
        let names: Vec<String> = (0..500).map(|number| number.to_string()).collect();
        let before: Marks = names.iter().filter_map(|name| mark(name.clone().into_bytes())).collect();
        let kept = of_golden(&before, &Marks::new());
        assert_eq!(kept.len(), MARKS_MAX);
        // Each has quotes, a comma and a blank in the record.
        let len_bytes: usize = kept.iter().map(|mark| mark.len() + 4).sum();
        assert!(len_bytes < crate::source_record::LIMIT_BYTES / 2, "{len_bytes}");
    }
}
