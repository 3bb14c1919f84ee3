//! Inode flags that would stop sanitising: files that are immutable or may only grow (`chattr +i`, `+a`).
//!
//! They are lifted from everything before the first rule and set again after the last step on what is still there, so
//! that rules, hooks and the lists that are written all work, and what stays is as it was.

use super::tree;
use crate::error::{Error, Result};
use crate::operation::Operation;
use replicator_hal::{ErrorKind, FileKind, InodeFlags, RelativePath, Volume};

/// What was lifted.
#[derive(Debug, Default)]
pub(super) struct Locks {
    lifted: Vec<(RelativePath, u64, InodeFlags)>,
}

impl Locks {
    /// Lifts the locks of all files and directories of `volume`.
    ///
    /// # Errors
    /// Those of the volume.
    pub(super) fn lift(operation: &Operation<'_>, volume: &dyn Volume) -> Result<Self> {
        let mut locks = Self::default();
        if !volume.capabilities().unix {
            return Ok(locks);
        }
        let root = RelativePath::root();
        locks.lift_one(operation, volume, &root)?;
        tree::walk(operation, &volume, &root, |path, kind| match kind {
            FileKind::File | FileKind::Directory => locks.lift_one(operation, volume, path),
            _ => Ok(()),
        })?;
        Ok(locks)
    }

    fn lift_one(
        &mut self,
        operation: &Operation<'_>,
        volume: &dyn Volume,
        path: &RelativePath,
    ) -> Result<()> {
        let doing = || format!("lifting the inode flags of /{path}");
        let flags = operation.retry(|| volume.flags(path)).map_err(Error::hal(doing()))?;
        if flags.both(InodeFlags::LOCKS).is_empty() {
            return Ok(());
        }
        let inode = operation.retry(|| volume.metadata(path)).map_err(Error::hal(doing()))?.inode;
        operation
            .retry(|| volume.set_flags(path, flags.without(InodeFlags::LOCKS)))
            .map_err(Error::hal(doing()))?;
        operation.log(&format!("/{path} is locked by inode flags, which are lifted for sanitising"));
        self.lifted.push((path.clone(), inode, flags));
        Ok(())
    }

    /// Sets the flags again of what is still there. What has the name of something that is gone is another file.
    ///
    /// # Errors
    /// Those of the volume.
    pub(super) fn restore(self, operation: &Operation<'_>, volume: &dyn Volume) -> Result<()> {
        for (path, inode, flags) in self.lifted {
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
