//! Writes a tarball: makes a file system, extracts the files, verifies each, and writes the partition table last.
//!
//! The file system is made where the partition will be, before there is a partition table, so that an unverified medium
//! does not look bootable.

use super::extract::{Expectation, Extract, Extracted};
use super::gap_note;
use super::medium::{wipe_ends, with_target};
use super::preflight::{Checked, check_unchanged};
use super::root_plan::RootPlan;
use super::tar_check::{self, TarFacts};
use super::{tar_limits, tar_times};
use crate::error::{Error, FaultyPart, Result};
use crate::formats::partition::{self, Patch};
use crate::formats::tar::{Entry, Reader, ReaderLimits};
use crate::operation::Operation;
use crate::profile::MediumProfile;
use crate::report::Done;
use crate::table;
use crate::verify::{self, Expected, ImageReader, Kept, Verified};
use replicator_hal::{
    Access, CacheBypass, Format, Holder, InodeFlags, ReadTree, Region, RelativePath, Uuid, Volume,
};
use std::collections::BTreeMap;

/// Writes and verifies. The medium looks bootable only when this returns `Ok`.
///
/// A medium is either open as a target or mounted, never both, so it is opened again for each step that needs it.
///
/// # Errors
/// Errors of drive, archive and medium; `Verify`.
pub(super) fn write(
    operation: &Operation<'_>,
    drive: &dyn ReadTree,
    checked: &Checked,
    medium: &MediumProfile,
) -> Result<Done> {
    let (Some(facts), Some(root)) = (&checked.tar, &checked.root) else {
        return Err(Error::Internal { detail: "the tarball was not checked".into() });
    };
    let label = operation.label();
    let layout = partition::single_partition(
        &root.identity,
        checked.device.len_bytes,
        checked.device.sector_len_bytes,
    )
    .map_err(Error::format(format!("partition table for {label}")))?;
    let region = Region {
        holder: Holder::Device(checked.device.name.clone()),
        offset_bytes: layout.region.start,
        len_bytes: layout.region.end - layout.region.start,
    };
    let gap_note = with_target(operation, checked, |target| {
        let note = gap_note::note(operation, medium, target, layout.region.start);
        wipe_ends(operation, target).map(|()| note)
    })?;
    operation.step("making the file system");
    // While the device was closed, its name may have moved to another medium.
    check_unchanged(operation, label, &checked.device)?;
    let format = Format {
        flavour: medium.file_system.flavour(),
        label: root.label.clone(),
        uuid: Some(root.file_system_uuid()),
        shape: Some(facts.shape),
    };
    let file_systems = &operation.board.file_systems;
    file_systems
        .format(&region, &format)
        .map_err(Error::hal(format!("making the file system on {label}")))?;
    let (extracted, archive) = mounted(operation, &region, Access::ReadWrite, |volume| {
        fill(operation, drive, checked, facts, volume)
    })?;
    operation.step("flushing");
    with_target(operation, checked, |target| {
        table::reserve(operation, target, &layout.patches, label)?;
        target.begin_verify().map_err(Error::hal(format!("flushing {label}")))
    })?;
    let (times, kept) =
        mounted(operation, &region, Access::ReadOnly, |volume| match &extracted.expectation {
            Expectation::Listed(manifest) => verify::tree(operation, &volume, manifest, facts.data_len_bytes),
            Expectation::InOrder(flags) => compare_in_order(operation, drive, checked, facts, &volume, flags),
        })?;
    check_names(operation, &region, root)?;
    let kept = commit(operation, checked, &layout.patches, &archive, kept)?;
    let mut notes = extracted.notes;
    notes.extend(gap_note);
    if times.in_whole_seconds() {
        notes.push("file times kept to the second".to_owned());
    }
    if times.end_in_2038() {
        notes.push("file times after 2038-01-19, which ext2 cannot keep, set to that day".to_owned());
    }
    // Files are read back through a mount: direct reads of the device do not apply to them.
    Ok(Done::written(&archive, kept, CacheBypass::Dropped, notes))
}

/// Writes the partition table, which makes the medium look bootable. It takes the proofs that the archive is verified and
/// that the medium holds its files.
fn commit(
    operation: &Operation<'_>,
    checked: &Checked,
    patches: &[Patch],
    _archive: &Verified,
    kept: Kept,
) -> Result<Kept> {
    operation.short_step("writing the partition table");
    with_target(operation, checked, |target| {
        table::write(operation, target, patches, FaultyPart::Medium, operation.label())
    })?;
    Ok(kept)
}

/// Checks that the medium has the new file system, with its names. The table is compared byte by byte when it is written.
fn check_names(operation: &Operation<'_>, region: &Region, root: &RootPlan) -> Result<()> {
    let label = operation.label();
    let found = operation
        .retry(|| operation.board.file_systems.identify(region))
        .map_err(Error::hal(format!("looking at the file system on {label}")))?;
    let (uuid, name) = found.map_or((None, None), |found| (found.uuid, found.label));
    let expected = root.file_system_uuid();
    if uuid.as_deref().and_then(Uuid::parse) == Some(expected) && name == root.label {
        return Ok(());
    }
    Err(Error::Verify {
        part: FaultyPart::Medium,
        what: format!("the file system on {label}"),
        offset_bytes: None,
        detail: format!(
            "its UUID is {} and its label {name:?}, not {expected} and {:?}",
            uuid.as_deref().unwrap_or("none"),
            root.label
        ),
    })
}

/// Runs `work` on the mounted region and unmounts it, also after an error. The first error is returned; a failed unmount
/// after success is an error, too.
fn mounted<T>(
    operation: &Operation<'_>,
    region: &Region,
    access: Access,
    work: impl FnOnce(&dyn Volume) -> Result<T>,
) -> Result<T> {
    let label = operation.label();
    let volume = operation
        .board
        .file_systems
        .mount(region, access)
        .map_err(Error::hal(format!("mounting the file system on {label}")))?;
    let result = work(&*volume);
    let unmounted = volume.unmount().map_err(Error::hal(format!("unmounting the file system on {label}")));
    match (result, unmounted) {
        (Ok(value), Ok(())) => Ok(value),
        (Ok(_), Err(error)) => Err(error),
        (Err(error), Ok(())) => Err(error),
        (Err(error), Err(unmount_error)) => {
            operation.log(&unmount_error.to_string());
            Err(error)
        }
    }
}

fn fill(
    operation: &Operation<'_>,
    drive: &dyn ReadTree,
    checked: &Checked,
    facts: &TarFacts,
    volume: &dyn Volume,
) -> Result<(Extracted, Verified)> {
    let name = checked.image.name.to_string();
    let mut reader = ImageReader::open(operation, drive, checked.image.source())?;
    let content = reader.content("writing", Expected::Same(facts.archive))?;
    let mut content = tar_check::buffered(operation, content);
    let medium_len_bytes = checked.device.len_bytes;
    let extract = Extract { operation, name: &name, names: &facts.names, volume, medium_len_bytes };
    let extracted = match facts.in_order {
        Some(_) => extract.in_order(&mut content),
        None => extract.listed(&mut content),
    }?;
    drop(content);
    let archive = reader.finish()?;
    check_headers(&name, facts, &extracted)?;
    operation.step("flushing the files");
    volume.sync().map_err(Error::hal(format!("flushing the files on {}", operation.label())))?;
    Ok((extracted, archive))
}

/// The check before may have read the headers of an index instead of those of the archive. What it found holds for this archive
/// only if they are the same.
fn check_headers(name: &str, facts: &TarFacts, extracted: &Extracted) -> Result<()> {
    if extracted.headers_hash == facts.headers_hash {
        return Ok(());
    }
    Err(Error::Verify {
        part: FaultyPart::Image,
        what: name.to_owned(),
        offset_bytes: None,
        detail: format!("its entries are not those of {}", facts.index.as_deref().unwrap_or("its check")),
    })
}

/// Reads the archive once more, and compares its entries with the mounted tree. Inode flags are those that were set.
fn compare_in_order(
    operation: &Operation<'_>,
    drive: &dyn ReadTree,
    checked: &Checked,
    facts: &TarFacts,
    volume: &dyn ReadTree,
    flags: &BTreeMap<RelativePath, InodeFlags>,
) -> Result<(verify::Times, Kept)> {
    let name = checked.image.name.to_string();
    let mut reader = ImageReader::open(operation, drive, checked.image.source())?;
    let content = reader.content("reading the archive again", Expected::Same(facts.archive))?;
    let mut content = tar_check::buffered(operation, content);
    let again = verify::Again {
        name: &name,
        reader: Reader::with_names(&mut content, ReaderLimits::default(), facts.names.clone()),
        memory_bytes: tar_limits::memory_bytes,
        entries: facts.in_order.unwrap_or_default(),
    };
    let expect = |entry: &mut Entry| {
        entry.modified = tar_times::nearest(entry.modified);
        entry.flags = flags.get(&entry.path).copied().unwrap_or_default();
    };
    let compared = verify::tree_in_order(operation, volume, again, expect, facts.data_len_bytes)?;
    drop(content);
    reader.finish()?;
    Ok(compared)
}
