//! Walks and removes trees of files: sorted, bounded, without recursion and without following links.
//!
//! The trees come from a medium, so they may have any depth and size. A walk visits every entry once, parents before
//! their content, in the byte order of names.

use crate::error::{Error, Result};
use crate::operation::Operation;
use replicator_hal::{DirectoryEntry, ErrorKind, FileKind, ReadTree, RelativePath, WriteTree};

/// Programs of the captured system cannot use longer paths either (PATH_MAX).
const PATH_LIMIT_BYTES: usize = 4096;
/// More entries of one tree would not fit into the memory of a board.
pub(super) const ENTRIES_LIMIT: u64 = 4_000_000;
/// How many files are announced to the volume before they are read.
const READ_AHEAD: usize = 64;

/// The entries of a directory in the byte order of their names.
pub(super) fn list_sorted(
    operation: &Operation<'_>,
    volume: &dyn ReadTree,
    directory: &RelativePath,
) -> Result<Vec<DirectoryEntry>> {
    let mut entries = operation
        .retry(|| volume.list(directory))
        .map_err(Error::hal(format!("listing the directory {directory}")))?;
    entries.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(entries)
}

/// Calls `visit` for everything below `directory`, without `directory` itself.
pub(super) fn walk(
    operation: &Operation<'_>,
    volume: &dyn ReadTree,
    directory: &RelativePath,
    visit: impl FnMut(&RelativePath, FileKind) -> Result<()>,
) -> Result<()> {
    walk_ahead(operation, volume, directory, 0, visit)
}

/// As [`walk`], for a `visit` that reads all regular files.
pub(super) fn walk_reading(
    operation: &Operation<'_>,
    volume: &dyn ReadTree,
    directory: &RelativePath,
    visit: impl FnMut(&RelativePath, FileKind) -> Result<()>,
) -> Result<()> {
    walk_ahead(operation, volume, directory, READ_AHEAD, visit)
}

/// As [`walk`]. Up to `ahead` of the next files are announced to the volume.
fn walk_ahead(
    operation: &Operation<'_>,
    volume: &dyn ReadTree,
    directory: &RelativePath,
    ahead: usize,
    mut visit: impl FnMut(&RelativePath, FileKind) -> Result<()>,
) -> Result<()> {
    let mut left = ENTRIES_LIMIT;
    let mut pending = children(operation, volume, directory, &mut left)?;
    // From this one to the last, all pending entries are announced.
    let mut announced = pending.len();
    loop {
        // In few calls with several files each.
        if pending.len() - announced <= ahead / 2 {
            let room = ahead - (pending.len() - announced);
            let next = pending[..announced].iter().rev().take(room);
            let files = next.take_while(|(_, kind)| *kind == FileKind::File);
            let paths: Vec<_> = files.map(|(path, _)| path.clone()).collect();
            announced -= paths.len();
            if !paths.is_empty() {
                volume.read_ahead(&paths);
            }
        }
        let Some((path, kind)) = pending.pop() else { return Ok(()) };
        announced = announced.min(pending.len());
        visit(&path, kind)?;
        if kind == FileKind::Directory {
            pending.append(&mut children(operation, volume, &path, &mut left)?);
            announced = pending.len();
        }
    }
}

/// Removes `path`, which is of `kind`, with everything below it.
pub(super) fn remove(
    operation: &Operation<'_>,
    volume: &dyn WriteTree,
    path: &RelativePath,
    kind: FileKind,
) -> Result<()> {
    if kind != FileKind::Directory {
        return remove_name(operation, volume, path);
    }
    clear(operation, volume, path, true, &|_| false)?;
    operation.retry(|| volume.remove_dir(path)).map_err(Error::hal(format!("removing the directory {path}")))
}

/// Removes everything below `directory`, or all but the directories. A path that `is_kept` stays, with everything below
/// it and the directories above it. Returns whether something was kept.
pub(super) fn clear(
    operation: &Operation<'_>,
    volume: &dyn WriteTree,
    directory: &RelativePath,
    with_directories: bool,
    is_kept: &dyn Fn(&RelativePath) -> bool,
) -> Result<bool> {
    let mut left = ENTRIES_LIMIT;
    let mut kept = false;
    let mut directories = Vec::new();
    let mut unread = vec![directory.clone()];
    while let Some(current) = unread.pop() {
        for (path, kind) in children(operation, &volume, &current, &mut left)? {
            if is_kept(&path) {
                kept = true;
            } else if kind == FileKind::Directory {
                directories.push(path.clone());
                unread.push(path);
            } else {
                remove_name(operation, volume, &path)?;
            }
        }
    }
    if !with_directories {
        return Ok(kept);
    }
    // Parents are in the list before their subdirectories.
    for path in directories.iter().rev() {
        match operation.retry(|| volume.remove_dir(path)) {
            Ok(()) => {}
            Err(error) if kept && error.kind() == ErrorKind::DirectoryNotEmpty => {}
            Err(error) => return Err(Error::hal(format!("removing the directory {path}"))(error)),
        }
    }
    Ok(kept)
}

fn remove_name(operation: &Operation<'_>, volume: &dyn WriteTree, path: &RelativePath) -> Result<()> {
    operation.retry(|| volume.remove_file(path)).map_err(Error::hal(format!("removing {path}")))
}

/// The entries of `directory`, last name first, so that popping gives the names in order. Their number is subtracted from
/// the budget `left`.
pub(super) fn children(
    operation: &Operation<'_>,
    volume: &dyn ReadTree,
    directory: &RelativePath,
    left: &mut u64,
) -> Result<Vec<(RelativePath, FileKind)>> {
    let too_much = |what: &str| {
        let detail = format!("{directory}: {what}");
        replicator_hal::Error::new(ErrorKind::OutOfRange, "walking", "a tree of files", detail)
    };
    let entries = list_sorted(operation, volume, directory)?;
    *left = left
        .checked_sub(entries.len() as u64)
        .ok_or_else(|| Error::hal("reading a tree")(too_much("more files than can be handled")))?;
    let mut found = Vec::with_capacity(entries.len());
    for entry in entries.into_iter().rev() {
        let path = directory
            .join(&entry.name)
            .map_err(|error| Error::hal("reading a tree")(too_much(&error.to_string())))?;
        if path.as_bytes().len() > PATH_LIMIT_BYTES {
            return Err(Error::hal("reading a tree")(too_much("a path longer than 4096 bytes")));
        }
        found.push((path, entry.kind));
    }
    Ok(found)
}
