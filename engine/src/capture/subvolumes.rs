//! The subvolumes of a btrfs, as directories of its top level.
//!
//! A snapshot keeps the files that its origin had when it was made. So a read-only snapshot keeps what sanitising removes
//! from its origin, and the capture is refused.

use super::survey::Part;
use super::{tree, work};
use crate::error::{Error, Refusal, Result};
use crate::operation::Operation;
use replicator_hal::{ErrorKind, FileKind, RelativePath, WriteTree};

/// The inode number of the root directory of every subvolume (`BTRFS_FIRST_FREE_OBJECTID`), and of no other directory.
const ROOT_INODE: u64 = 256;
/// A file that is made in each to find out whether it is writable.
const PROBE: &str = ".replicator-probe";

/// All subvolumes below the top level, mounted for writing as `volume`.
///
/// # Errors
/// `Unsanitisable` if one is read-only.
pub(super) fn find(
    operation: &Operation<'_>,
    part: &Part,
    volume: &dyn WriteTree,
) -> Result<Vec<RelativePath>> {
    let mut found = Vec::new();
    let mut directories = vec![RelativePath::root()];
    let mut left = tree::ENTRIES_LIMIT;
    while let Some(directory) = directories.pop() {
        for (path, kind) in tree::children(operation, &volume, &directory, &mut left)? {
            if kind != FileKind::Directory {
                continue;
            }
            let metadata = operation
                .retry(|| volume.metadata(&path))
                .map_err(Error::hal(format!("looking at /{path}")))?;
            if metadata.inode == ROOT_INODE {
                if !is_writable(operation, volume, &path)? {
                    let why = "it is read-only, so what is in it cannot be sanitised: remove it";
                    let what = format!("{part}, snapshot or subvolume `{path}`: {why}");
                    return Err(Error::refused(Refusal::Unsanitisable, what));
                }
                found.push(path.clone());
            }
            directories.push(path);
        }
    }
    found.sort();
    Ok(found)
}

fn is_writable(operation: &Operation<'_>, volume: &dyn WriteTree, subvolume: &RelativePath) -> Result<bool> {
    let probe = subvolume.join_path(&work::in_root(PROBE)?);
    let doing = || format!("making /{probe} in the image");
    match operation.retry(|| volume.create_new(&probe, 0o600)) {
        Ok(mut file) => {
            file.close().map_err(Error::hal(doing()))?;
            work::remove_if_there(operation, volume, &probe)?;
            Ok(true)
        }
        Err(error) if error.kind() == ErrorKind::ReadOnly => Ok(false),
        Err(error) if matches!(error.kind(), ErrorKind::NoSpace | ErrorKind::AlreadyExists) => Ok(true),
        Err(error) => Err(Error::hal(doing())(error)),
    }
}
