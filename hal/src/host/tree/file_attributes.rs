//! Attributes of an open file: one system call each, because no name is looked up.

use super::attributes::{owner_of, time_of, xattrs_by};
use super::file::{MODE_MASK, TreeFile};
use super::status::{self, Status};
use super::{flags, not_copyable};
use crate::{Error, ErrorKind, InodeFlags, Metadata, Owner, Result, Timestamp, Xattr};
use nix::sys::stat::{Mode, fchmod};
use nix::unistd::fchown;
use rustix::fs::futimens;
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use xattr::FileExt;

impl TreeFile {
    pub(super) fn found_metadata(&self) -> Result<Metadata> {
        Ok(self.found_status("reading the metadata of")?.metadata)
    }

    pub(super) fn found_not_copyable(&self) -> Result<Option<&'static str>> {
        Ok(not_copyable::by_attributes(&self.found_status("checking the attributes of")?))
    }

    /// The status of the file. What cannot change is not asked for again.
    pub(super) fn found_status(&self, operation: &str) -> Result<Status> {
        let file = self.file(operation)?;
        match self.unchanged() {
            Some(status) => Ok(status.clone()),
            None => status::of_open(file).map_err(|error| self.failed(error, operation)),
        }
    }

    pub(super) fn found_xattrs(&self) -> Result<Vec<Xattr>> {
        let operation = "reading the attributes of";
        let file = self.file(operation)?;
        xattrs_by(file.list_xattr(), |name| file.get_xattr(name))
            .map_err(|error| self.failed(error, operation))
    }

    pub(super) fn found_flags(&self) -> Result<InodeFlags> {
        let operation = "reading the flags of";
        flags::of_open(self.file(operation)?).map_err(|error| self.failed(error, operation))
    }

    pub(super) fn change_owner(&self, owner: Owner) -> Result<()> {
        let operation = "setting the owner of";
        let file = self.writable(operation)?;
        self.needs_modes(operation)?;
        let (uid, gid) = owner_of(owner, operation, &self.path)?;
        fchown(file, Some(uid), Some(gid)).map_err(|errno| self.failed(errno, operation))
    }

    pub(super) fn change_mode(&self, mode: u32) -> Result<()> {
        let operation = "setting the mode of";
        let file = self.writable(operation)?;
        self.needs_modes(operation)?;
        fchmod(file, Mode::from_bits_truncate(mode & MODE_MASK))
            .map_err(|errno| self.failed(errno, operation))
    }

    pub(super) fn change_modified(&self, modified: Timestamp) -> Result<()> {
        let operation = "setting the time of";
        let file = self.writable(operation)?;
        let times = time_of(modified, operation, &self.path)?;
        // With rustix, because the plain `futimens` of a 32-bit host ends in the year 2038.
        futimens(file, &times).map_err(|errno| self.failed(io::Error::from(errno), operation))
    }

    pub(super) fn change_xattr(&self, xattr: &Xattr) -> Result<()> {
        let operation = "setting an attribute of";
        let file = self.writable(operation)?;
        match file.set_xattr(OsStr::from_bytes(&xattr.name), &xattr.value) {
            // Longer than any file system stores, see xattr(7).
            Err(error) if error.raw_os_error() == Some(nix::libc::E2BIG) => {
                Err(Error::caused_by(ErrorKind::NoSpace, operation, self.path.to_string(), error))
            }
            ended => ended.map_err(|error| self.failed(error, operation)),
        }
    }

    fn needs_modes(&self, operation: &str) -> Result<()> {
        match self.holds_modes {
            true => Ok(()),
            false => Err(super::attributes::no_modes(operation, &self.path)),
        }
    }
}
