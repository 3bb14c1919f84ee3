//! Inode flags that would prevent sanitising: immutable and append-only (`chattr +i`, `+a`).
//!
//! They are cleared on all files before the first rule and set again after the last step on the files that still exist.
//! So rules, hooks and the files that sanitising writes all work, and the remaining files keep their flags.

use super::tree;
use crate::error::{Error, Result};
use crate::operation::Operation;
use replicator_hal::{ErrorKind, FileKind, InodeFlags, RelativePath, Volume};

/// The flags that were cleared.
#[derive(Debug, Default)]
pub(super) struct Locks {
    cleared: Vec<(RelativePath, u64, InodeFlags)>,
}

impl Locks {
    /// Clears these flags on all files and directories of `volume`.
    ///
    /// # Errors
    /// Those of the volume.
    pub(super) fn clear(operation: &Operation<'_>, volume: &dyn Volume) -> Result<Self> {
        let mut locks = Self::default();
        if !volume.capabilities().unix {
            return Ok(locks);
        }
        let root = RelativePath::root();
        locks.clear_one(operation, volume, &root)?;
        tree::walk(operation, &volume, &root, |path, kind| match kind {
            FileKind::File | FileKind::Directory => locks.clear_one(operation, volume, path),
            _ => Ok(()),
        })?;
        Ok(locks)
    }

    fn clear_one(
        &mut self,
        operation: &Operation<'_>,
        volume: &dyn Volume,
        path: &RelativePath,
    ) -> Result<()> {
        let doing = || format!("clearing the inode flags of /{path}");
        let flags = operation.retry(|| volume.flags(path)).map_err(Error::hal(doing()))?;
        if flags.both(InodeFlags::LOCKS).is_empty() {
            return Ok(());
        }
        let inode = operation.retry(|| volume.metadata(path)).map_err(Error::hal(doing()))?.inode;
        operation
            .retry(|| volume.set_flags(path, flags.without(InodeFlags::LOCKS)))
            .map_err(Error::hal(doing()))?;
        operation
            .log(&format!("/{path} has inode flags that prevent changes; they are cleared for sanitising"));
        self.cleared.push((path.clone(), inode, flags));
        Ok(())
    }

    /// Sets the flags again on files that still exist. A file of the same name with another inode is a new file.
    ///
    /// # Errors
    /// Those of the volume.
    pub(super) fn restore(self, operation: &Operation<'_>, volume: &dyn Volume) -> Result<()> {
        for (path, inode, flags) in self.cleared {
            let doing = || format!("setting the inode flags of /{path} again");
            match operation.retry(|| volume.metadata(&path)) {
                Ok(metadata) if metadata.inode == inode => {}
                Ok(_) => continue,
                Err(error)
                    if matches!(
                        error.kind(),
                        ErrorKind::NotFound | ErrorKind::NotADirectory | ErrorKind::SymlinkInPath
                    ) =>
                {
                    continue;
                }
                Err(error) => return Err(Error::hal(doing())(error)),
            }
            operation.retry(|| volume.set_flags(&path, flags)).map_err(Error::hal(doing()))?;
        }
        Ok(())
    }
}
