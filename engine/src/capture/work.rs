//! The session directory on the drive and the names in it.
//!
//! Working files have their final names there: no name below `.capture/` is accepted as an image. What an interrupted
//! boot left in it is removed before new work begins. The session's record is in [`super::session`].

use super::{tree, wipe};
use crate::error::{Error, FaultyPart, Result};
use crate::operation::Operation;
use replicator_hal::{
    self as hal, ErrorKind, FileKind, ReadTree, RelativePath, Volume, VolumeFile, WriteTree,
};
use std::cell::Cell;

/// The directory in the drive's root. While it exists no boot writes to a medium.
pub(super) const DIRECTORY: &str = ".capture";
/// How the names of working images in it end.
const IMAGE_SUFFIX: &str = ".image";
/// The session's record in it.
pub(super) const RECORD: &str = "session.toml";
/// An empty file that exists while a medium is copied into a working image that will be sanitised.
const COPYING: &str = "copying";

/// The warning if a working image could not be overwritten.
pub(super) const MAY_STAY: &str =
    "data that sanitising would have removed may stay in free blocks of the drive";

/// The note if power was cut during a copy: the file system of the drive may not have recorded yet where it put bytes of
/// the working image, so they cannot be found and overwritten.
pub(super) const CUT_COPY: &str = "the power was cut while a medium was copied to the drive: data that sanitising would have \
                                   removed may stay in free blocks of the drive; to be sure, overwrite the drive whole \
                                   before it leaves your hands";

/// Mode of the files that a capture leaves on the drive.
const FILE_MODE: u32 = 0o644;
/// Mode of a working image, which holds secrets.
const PRIVATE_MODE: u32 = 0o600;
/// Mode of the session directory.
const DIRECTORY_MODE: u32 = 0o700;

/// The session directory on a mounted drive.
pub(super) struct Work<'a> {
    /// The drive.
    pub(super) drive: &'a dyn Volume,
    /// `.capture`.
    pub(super) directory: RelativePath,
    /// Whether power was cut during a copy of this session.
    was_copy_cut: Cell<bool>,
}

impl<'a> Work<'a> {
    /// The session directory of `drive`, which may not exist yet.
    pub(super) fn new(drive: &'a dyn Volume) -> Result<Self> {
        Ok(Self { drive, directory: in_root(DIRECTORY)?, was_copy_cut: Cell::new(false) })
    }

    /// The path of a working file.
    pub(super) fn path(&self, name: &str) -> Result<RelativePath> {
        self.directory.join(name).map_err(|error| internal(name, &error))
    }

    /// Creates a file that will be published. An old file of that name is removed first.
    pub(super) fn create(
        &self,
        operation: &Operation<'_>,
        path: &RelativePath,
    ) -> Result<Box<dyn VolumeFile>> {
        self.create_as(operation, path, FILE_MODE)
    }

    /// Creates a working image, which only its owner may read. If it `is_secret`, because it will be sanitised, its name
    /// is durable before any byte is written: after a power cut, the next boot finds the image and can overwrite it.
    pub(super) fn create_image(
        &self,
        operation: &Operation<'_>,
        path: &RelativePath,
        is_secret: bool,
    ) -> Result<Box<dyn VolumeFile>> {
        if is_secret && !self.was_copy_cut.get() {
            self.create_as(operation, &self.path(COPYING)?, PRIVATE_MODE)?
                .close()
                .map_err(Error::hal(format!("closing {COPYING} on the drive")))?;
        }
        let file = self.create_as(operation, path, PRIVATE_MODE)?;
        if is_secret {
            self.sync()?;
        }
        Ok(file)
    }

    /// Notes that the working image is complete and durable: the drive's file system has recorded where each byte is.
    pub(super) fn image_is_whole(&self, operation: &Operation<'_>) -> Result<()> {
        // After an interrupted copy the file stays until the session ends, so that it is reported.
        if !self.was_copy_cut.get() && remove_if_there(operation, &self.drive, &self.path(COPYING)?)? {
            // Otherwise a much later power cut would be reported as one during the copy.
            self.sync()?;
        }
        Ok(())
    }

    /// Whether power was cut during a copy of this session, as [`Work::look_for_cut_copy`] found.
    pub(super) fn was_copy_cut(&self) -> bool {
        self.was_copy_cut.get()
    }

    /// Finds out whether power was cut during a copy of an earlier boot.
    pub(super) fn look_for_cut_copy(&self, operation: &Operation<'_>) -> Result<()> {
        let is_there = kind_of(operation, &self.drive, &self.path(COPYING)?)?.is_some();
        self.was_copy_cut.set(is_there);
        Ok(())
    }

    /// Makes the session's directory if it does not exist, and denies access to other users.
    pub(super) fn create_directory(&self, operation: &Operation<'_>) -> Result<()> {
        let (drive, path) = (self.drive, &self.directory);
        if kind_of(operation, &drive, path)?.is_none() {
            return operation
                .retry(|| drive.create_dir(path, DIRECTORY_MODE))
                .map_err(Error::hal(format!("creating {path} on the drive")));
        }
        let doing = || format!("changing the mode of {path} on the drive");
        let mode = operation.retry(|| drive.metadata(path)).map_err(Error::hal(doing()))?.mode;
        if drive.capabilities().unix && mode != DIRECTORY_MODE {
            operation.retry(|| drive.set_mode(path, DIRECTORY_MODE)).map_err(Error::hal(doing()))?;
        }
        Ok(())
    }

    fn create_as(
        &self,
        operation: &Operation<'_>,
        path: &RelativePath,
        mode: u32,
    ) -> Result<Box<dyn VolumeFile>> {
        remove_if_there(operation, &self.drive, path)?;
        operation
            .retry(|| self.drive.create_new(path, mode))
            .map_err(Error::hal(format!("creating {path} on the drive")))
    }

    /// Writes a small file, syncs it and reads it back. Its name is not durable yet.
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
                detail: "it reads back other bytes than were written".to_owned(),
            });
        }
        Ok(())
    }

    /// Removes everything but the session's records, so that an interrupted capture takes no space. If `is_secret`,
    /// working images are overwritten first.
    pub(super) fn remove_leftovers(&self, operation: &Operation<'_>, is_secret: bool) -> Result<()> {
        let (record, copying) = (self.path(RECORD)?, self.path(COPYING)?);
        let mut removed = false;
        let mut not_wiped = Ok(());
        for entry in tree::list_sorted(operation, &self.drive, &self.directory)? {
            let path = self.directory.join(&entry.name).map_err(|error| internal(DIRECTORY, &error))?;
            let is_kept = path == record || (path == copying && self.was_copy_cut.get());
            if is_kept && entry.kind == FileKind::File {
                continue;
            }
            operation.log(&format!("removing {path} of an earlier attempt"));
            if is_secret && entry.kind == FileKind::File && entry.name.ends_with(IMAGE_SUFFIX.as_bytes()) {
                // It is removed also if that fails, because the next capture needs the space.
                not_wiped = not_wiped.and(wipe::whole(operation, &self.drive, &path));
            }
            tree::remove(operation, &self.drive, &path, entry.kind)?;
            removed = true;
        }
        if removed {
            self.sync()?;
        }
        not_wiped
    }

    /// The path of the working image of a medium.
    pub(super) fn image_path(&self, medium: &str) -> Result<RelativePath> {
        self.path(&format!("{medium}{IMAGE_SUFFIX}"))
    }

    /// Makes the names in the session directory durable.
    pub(super) fn sync(&self) -> Result<()> {
        sync_directory(&self.drive, &self.directory)
    }

    /// Removes the session: its content first, itself last.
    pub(super) fn remove(&self, operation: &Operation<'_>) -> Result<()> {
        tree::remove(operation, &self.drive, &self.directory, FileKind::Directory)?;
        sync_directory(&self.drive, &RelativePath::root())
    }
}

/// Writes `content` and returns what the medium then holds.
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

/// Makes the names in a directory of the drive durable. It does not retry: a failed sync is final.
pub(super) fn sync_directory(drive: &dyn WriteTree, directory: &RelativePath) -> Result<()> {
    drive.sync_dir(directory).map_err(Error::hal(format!("syncing the directory {directory} on the drive")))
}

/// Removes a file or link. Returns whether it existed.
pub(super) fn remove_if_there(
    operation: &Operation<'_>,
    volume: &dyn WriteTree,
    path: &RelativePath,
) -> Result<bool> {
    match operation.retry(|| volume.remove_file(path)) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(Error::hal(format!("removing {path}"))(error)),
    }
}

/// The kind of `path`, without following a link; `None` if it does not exist.
pub(super) fn kind_of(
    operation: &Operation<'_>,
    volume: &dyn ReadTree,
    path: &RelativePath,
) -> Result<Option<FileKind>> {
    match operation.retry(|| volume.metadata(path)) {
        Ok(metadata) => Ok(Some(metadata.kind)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::hal(format!("looking at {path}"))(error)),
    }
}
