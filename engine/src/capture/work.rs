//! The session directory on the drive and the names in it.
//!
//! Working files carry their final names inside of it: no name below `.capture/` is ever taken for an image. What a power
//! cut left in it is garbage and is removed before new work begins. What the session says of itself is
//! [`super::session`]'s.

use super::tree;
use crate::error::{Error, FaultyPart, Result};
use crate::operation::Operation;
use replicator_hal::{self as hal, ErrorKind, FileKind, RelativePath, Volume, VolumeFile};

/// The directory in the drive's root. While it exists no boot writes to a medium.
pub(super) const DIRECTORY: &str = ".capture";
/// The session's record in it.
pub(super) const RECORD: &str = "session.toml";

/// Permission bits of what a capture leaves on a drive that keeps them.
const FILE_MODE: u32 = 0o644;

/// The session directory on a mounted drive.
pub(super) struct Work<'a> {
    /// The drive.
    pub(super) drive: &'a dyn Volume,
    /// `.capture`.
    pub(super) directory: RelativePath,
}

impl<'a> Work<'a> {
    /// The session directory of `drive`, whether it exists or not.
    pub(super) fn new(drive: &'a dyn Volume) -> Result<Self> {
        Ok(Self { drive, directory: in_root(DIRECTORY)? })
    }

    /// The path of a working file.
    pub(super) fn path(&self, name: &str) -> Result<RelativePath> {
        self.directory.join(name).map_err(|error| internal(name, &error))
    }

    /// Creates a working file; what has its name is removed first.
    pub(super) fn create(
        &self,
        operation: &Operation<'_>,
        path: &RelativePath,
    ) -> Result<Box<dyn VolumeFile>> {
        remove_if_there(operation, self.drive, path)?;
        operation
            .retry(|| self.drive.create_new(path, FILE_MODE))
            .map_err(Error::hal(format!("creating {path} on the drive")))
    }

    /// Writes a small file, brings it onto the drive and reads it back. Its name is not yet durable.
    pub(super) fn write_small(
        &self,
        operation: &Operation<'_>,
        path: &RelativePath,
        content: &[u8],
    ) -> Result<()> {
        let doing = || format!("writing {path} on the drive");
        let mut file = self.create(operation, path)?;
        let found = write_verified(operation, &mut *file, content).map_err(Error::hal(doing()))?;
        file.close().map_err(Error::hal(doing()))?;
        if found != content {
            return Err(Error::Verify {
                part: FaultyPart::Drive,
                what: format!("{path} on the drive"),
                offset_bytes: None,
                detail: "read back, it is not what was written".to_owned(),
            });
        }
        Ok(())
    }

    /// Removes everything but the session's record, so that nothing of a cut capture takes space.
    pub(super) fn remove_leftovers(&self, operation: &Operation<'_>) -> Result<()> {
        let record = self.path(RECORD)?;
        let mut removed = false;
        for entry in tree::list_sorted(operation, self.drive, &self.directory)? {
            let path = self.directory.join(&entry.name).map_err(|error| internal(DIRECTORY, &error))?;
            if path == record && entry.kind == FileKind::File {
                continue;
            }
            operation.log(&format!("removing {path} of an earlier attempt"));
            tree::remove(operation, self.drive, &path, entry.kind)?;
            removed = true;
        }
        if removed { self.sync() } else { Ok(()) }
    }

    /// Makes the names in the session directory durable.
    pub(super) fn sync(&self) -> Result<()> {
        sync_directory(self.drive, &self.directory)
    }

    /// Removes the session: its content first, itself last.
    pub(super) fn remove(&self, operation: &Operation<'_>) -> Result<()> {
        tree::remove(operation, self.drive, &self.directory, FileKind::Directory)?;
        sync_directory(self.drive, &RelativePath::root())
    }
}

/// Writes `content` and gives what the medium then holds.
fn write_verified(
    operation: &Operation<'_>,
    file: &mut dyn VolumeFile,
    content: &[u8],
) -> hal::Result<Vec<u8>> {
    hal::io::write_full(content, |offset_bytes, rest| operation.retry(|| file.write_at(offset_bytes, rest)))?;
    file.sync()?;
    file.drop_cache()?;
    let mut found = vec![0; content.len() + 1];
    let len = hal::io::read_full(&mut found, |offset_bytes, rest| {
        operation.retry(|| file.read_at(offset_bytes, rest))
    })?;
    found.truncate(len);
    Ok(found)
}

/// A name in the drive's root.
pub(super) fn in_root(name: &str) -> Result<RelativePath> {
    RelativePath::root().join(name).map_err(|error| internal(name, &error))
}

fn internal(name: &str, error: &dyn std::fmt::Display) -> Error {
    Error::Internal { detail: format!("{name}: {error}") }
}

/// Makes the names in a directory of the drive durable. Never tried twice: a failed sync is final.
pub(super) fn sync_directory(drive: &dyn Volume, directory: &RelativePath) -> Result<()> {
    drive.sync_dir(directory).map_err(Error::hal(format!("syncing the directory {directory} on the drive")))
}

/// Removes a file or link; nothing there is fine. Says whether something was.
pub(super) fn remove_if_there(
    operation: &Operation<'_>,
    volume: &dyn Volume,
    path: &RelativePath,
) -> Result<bool> {
    match operation.retry(|| volume.remove_file(path)) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(Error::hal(format!("removing {path}"))(error)),
    }
}

/// What `path` is, without following a link; `None` if nothing is there.
pub(super) fn kind_of(
    operation: &Operation<'_>,
    volume: &dyn Volume,
    path: &RelativePath,
) -> Result<Option<FileKind>> {
    match operation.retry(|| volume.metadata(path)) {
        Ok(metadata) => Ok(Some(metadata.kind)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::hal(format!("looking at {path}"))(error)),
    }
}
