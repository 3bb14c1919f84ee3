//! Following symlinks inside the root.
//!
//! The kernel can do this (`RESOLVE_IN_ROOT`), but does not return the resulting path. Callers need it: a sidecar is
//! beside the link or beside its target.

use super::walk::failed;
use super::{OpenRoot, Tree};
use crate::{FileKind, RelativePath, Result};
use nix::errno::Errno;
use nix::fcntl::readlinkat;
use std::collections::VecDeque;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

/// The maximum number of symlinks in one path: the kernel's own limit (`MAXSYMLINKS`, path_resolution(7)).
const LINKS_MAX: usize = 40;

/// The traditional mount point of a drive. Links on drives start with it.
const TRADITIONAL_MOUNT_POINT: &str = "/mnt/usb";

/// Prefixes of an absolute link that make it relative to the volume.
pub(super) fn mount_point_texts(mount_point: Option<PathBuf>) -> Vec<Vec<u8>> {
    let mut texts = vec![TRADITIONAL_MOUNT_POINT.as_bytes().to_vec()];
    // By components, so that a slash at the end of the mount point is ignored.
    texts.extend(mount_point.map(|path| {
        let path: PathBuf = path.components().collect();
        path.into_os_string().into_vec()
    }));
    texts
}

/// The components of `text` after the longest of `mount_points` with which it starts.
fn link_components<'a>(text: &'a [u8], mount_points: &[Vec<u8>]) -> Vec<&'a [u8]> {
    let components = split(text);
    if !text.starts_with(b"/") {
        return components;
    }
    let skipped = mount_points
        .iter()
        .map(|mount_point| split(mount_point))
        .filter(|mount_point| components.starts_with(mount_point))
        .map(|mount_point| mount_point.len())
        .max();
    components[skipped.unwrap_or(0)..].to_vec()
}

/// The components of a path. A `.`, or a slash at the end, requires that what is before it is a directory.
fn split(text: &[u8]) -> Vec<&[u8]> {
    let mut components: Vec<_> = text.split(|byte| *byte == b'/').filter(|part| !part.is_empty()).collect();
    if text.ends_with(b"/") {
        components.push(b".");
    }
    components
}

impl Tree {
    /// See [`crate::ReadTree::resolve`].
    ///
    /// # Errors
    /// As there; `SymlinkInPath` for more than 40 links.
    pub fn resolve(&self, path: &RelativePath) -> Result<RelativePath> {
        let operation = "resolving";
        let root = self.reading(operation, path)?;
        let mut pending: VecDeque<Vec<u8>> = path.components().map(<[u8]>::to_vec).collect();
        let mut done = RelativePath::root();
        let mut links = 0;
        while let Some(name) = pending.pop_front() {
            // A component that is followed by others must be a directory.
            if name == b"." {
                continue;
            }
            if name == b".." {
                done = done.parent().unwrap_or_default();
                continue;
            }
            let invalid = |error| failed(io::Error::other(error), operation, path);
            let here = done.join(&name).map_err(invalid)?;
            let place = self.place(&root, &here, operation)?;
            let status = place.status().map_err(|error| failed(error, operation, path))?;
            if status.metadata.kind != FileKind::Symlink {
                if !pending.is_empty() && status.metadata.kind != FileKind::Directory {
                    return Err(failed(Errno::ENOTDIR, operation, path));
                }
                done = here;
                continue;
            }
            links += 1;
            if links > LINKS_MAX {
                return Err(failed(Errno::ELOOP, operation, path));
            }
            let text = self.link_text(&root, &here, operation)?;
            if text.starts_with(b"/") {
                done = RelativePath::root();
            }
            for component in link_components(&text, &self.mount_points).into_iter().rev() {
                pending.push_front(component.to_vec());
            }
        }
        Ok(done)
    }

    /// See [`crate::ReadTree::read_link`].
    ///
    /// # Errors
    /// As there.
    pub fn read_link(&self, path: &RelativePath) -> Result<Vec<u8>> {
        let operation = "reading the symlink";
        let root = self.reading(operation, path)?;
        self.link_text(&root, path, operation)
    }

    fn link_text(&self, root: &OpenRoot<'_>, path: &RelativePath, operation: &str) -> Result<Vec<u8>> {
        let place = self.place(root, path, operation)?;
        readlinkat(&place, place.name)
            .map(OsStringExt::into_vec)
            .map_err(|errno| failed(errno, operation, path))
    }
}
