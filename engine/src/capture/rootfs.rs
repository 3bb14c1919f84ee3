//! Finds the Linux root file systems in the working image, by content.
//!
//! A root file system has `/etc` and `/usr` or `/bin`. A read-only mount does not replay a dirty journal, so an ext file
//! system that is not proven clean is checked first. The check changes the image only, not the source. A file system that
//! shows signs of a damaged root file system is refused, so that it is not captured unsanitised.

use super::layout::{self, Slot};
use super::mounted::{with_mounted, with_tree};
use super::subvolumes;
use super::survey::Part;
use super::{tree, work};
use crate::error::{Error, Refusal, Result};
use crate::operation::Operation;
use replicator_hal::{
    Access, ErrorKind, FileKind, FileSystemKind, FsckOutcome, Holder, ReadTree, Region, RelativePath, Volume,
};
use std::fmt;

/// A root file system in the working image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rootfs {
    /// The partition that holds it.
    pub(super) part: Part,
    /// Where it is.
    pub(super) region: Region,
    /// Its subvolume, as a path from the top level of a btrfs; `None` for the whole file system.
    pub(super) subvolume: Option<RelativePath>,
}

/// For reports: "partition 1, btrfs `system`, subvolume `@`".
impl fmt::Display for Rootfs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.part)?;
        match &self.subvolume {
            Some(path) => write!(f, ", subvolume `{path}`"),
            None => Ok(()),
        }
    }
}

impl Rootfs {
    /// Whether a tarball of its files is as good as an image. The file system that a write makes for a tarball is ext.
    pub(super) fn is_packed_as_files(&self) -> bool {
        self.part.kind().is_some_and(FileSystemKind::is_ext)
    }

    /// Mounts it for `work`.
    pub(super) fn with_mounted<T>(
        &self,
        operation: &Operation<'_>,
        access: Access,
        work: impl FnOnce(&dyn Volume) -> Result<T>,
    ) -> Result<T> {
        with_tree(operation, &self.region, self.subvolume.as_ref(), access, work)
    }
}

/// All root file systems in `image`, checked and repaired: the one in partition `hint` first, then in the order of their
/// position.
///
/// # Errors
/// `Unsanitisable`, if `is_sanitised` is set and a file system shows signs of a damaged root file system.
pub(super) fn find(
    operation: &Operation<'_>,
    parts: &[Part],
    image: &Holder,
    hint: u32,
    is_sanitised: bool,
    notes: &mut Vec<String>,
) -> Result<Vec<Rootfs>> {
    let mut roots = Vec::new();
    let (hinted, others): (Vec<&Part>, Vec<&Part>) = parts.iter().partition(|part| part.slot.number == hint);
    for part in hinted.into_iter().chain(others) {
        let region = part.slot.region(image);
        match part.kind() {
            Some(kind) if kind.is_ext() => {}
            // These become disk images. Only sanitising needs their root file systems.
            Some(FileSystemKind::Btrfs | FileSystemKind::Xfs) if is_sanitised => {
                roots.extend(in_other(operation, part, &region)?);
                continue;
            }
            _ => continue,
        }
        let mut look = Look { operation, part, region: &region, checked: None, notes: &mut *notes };
        match look.content_when_checked()? {
            Content::Root => {
                operation.log(&format!("{} holds a root file system", part.slot));
                roots.push(Rootfs { part: part.clone(), region, subvolume: None });
            }
            Content::Suspect(why) if is_sanitised => {
                return Err(Error::refused(Refusal::Unsanitisable, format!("{part}: {why}")));
            }
            Content::Suspect(_) | Content::Other => {
                operation.log(&format!("{}: no root file system", part.slot))
            }
        }
    }
    Ok(roots)
}

/// The root file systems in a btrfs or XFS. It is mounted for writing, so that the kernel repairs what an unclean
/// shutdown left.
fn in_other(operation: &Operation<'_>, part: &Part, region: &Region) -> Result<Vec<Rootfs>> {
    operation.step(&format!("searching {} for a root file system", part.slot));
    let trees = with_mounted(operation, region, Access::ReadWrite, |volume| {
        let mut subvolumes = vec![RelativePath::root()];
        if part.kind() == Some(&FileSystemKind::Btrfs) {
            subvolumes.extend(subvolumes::find(operation, part, &volume)?);
        }
        let mut roots = Vec::new();
        for path in subvolumes {
            if has_rootfs(operation, &volume, &path)? {
                roots.push(path);
            }
        }
        let is_empty = tree::list_sorted(operation, &volume, &RelativePath::root())?.is_empty();
        Ok((roots, is_empty))
    });
    let (roots, is_empty) = match trees {
        Err(Error::Hal { source, .. }) if source.kind() == ErrorKind::Unsupported => {
            return Err(Error::refused(Refusal::Unsanitisable, format!("{part}: {source}")));
        }
        trees => trees?,
    };
    if roots.is_empty() && part.is_named_root() && !is_empty {
        let why = "its name is that of a root file system, but it does not hold one";
        return Err(Error::refused(Refusal::Unsanitisable, format!("{part}: {why}")));
    }
    let found = roots.into_iter().map(|path| Rootfs {
        part: part.clone(),
        region: region.clone(),
        subvolume: (!path.is_root()).then_some(path),
    });
    Ok(found.collect())
}

/// Whether the tree below `top` is a root file system.
pub(super) fn has_rootfs(
    operation: &Operation<'_>,
    volume: &dyn ReadTree,
    top: &RelativePath,
) -> Result<bool> {
    let has = |name: &str| -> Result<bool> {
        let path = top.join_path(&work::in_root(name)?);
        match work::kind_of(operation, volume, &path) {
            // A link is resolved once the subvolume is mounted.
            Ok(kind) => Ok(matches!(kind, Some(FileKind::Directory | FileKind::Symlink))),
            Err(Error::Hal { source, .. }) if is_nothing(source.kind()) => Ok(false),
            Err(error) => Err(error),
        }
    };
    Ok(has("etc")? && (has("usr")? || has("bin")?))
}

/// What a file system holds, by its root directory.
enum Content {
    /// A root file system.
    Root,
    /// It may be a damaged one, for this reason.
    Suspect(String),
    /// Anything else.
    Other,
}

/// The search of one partition.
struct Look<'a> {
    operation: &'a Operation<'a>,
    part: &'a Part,
    region: &'a Region,
    /// The result of the file system check, if it was made.
    checked: Option<FsckOutcome>,
    notes: &'a mut Vec<String>,
}

impl Look<'_> {
    fn content_when_checked(&mut self) -> Result<Content> {
        if layout::unused_of(self.operation, self.region)?.is_none() {
            self.check()?;
        }
        let content = match self.look() {
            // Damage that the block map did not show.
            Err(Error::Hal { source, .. })
                if source.kind() == ErrorKind::Corrupt && self.checked.is_none() =>
            {
                self.check()?;
                self.look()?
            }
            other => other?,
        };
        if matches!(content, Content::Root) && self.checked.is_none() {
            self.check()?;
            // A repair may remove files.
            if self.checked == Some(FsckOutcome::Repaired) {
                return self.look();
            }
        }
        Ok(content)
    }

    fn check(&mut self) -> Result<()> {
        self.checked = Some(check(self.operation, &self.part.slot, self.region, self.notes)?);
        Ok(())
    }

    fn look(&self) -> Result<Content> {
        with_mounted(self.operation, self.region, Access::ReadOnly, |volume| self.content(&volume))
    }

    fn content(&self, volume: &dyn ReadTree) -> Result<Content> {
        let has = |name: &str| has_directory(self.operation, volume, name);
        let (etc, usr, bin) = (has("etc")?, has("usr")?, has("bin")?);
        if etc && (usr || bin) {
            return Ok(Content::Root);
        }
        if usr && (bin || has("lib")? || has("sbin")?) {
            return Ok(Content::Suspect("it looks like a root file system, but has no /etc".to_owned()));
        }
        let found = has("lost+found")?;
        let entries = tree::list_sorted(self.operation, volume, &RelativePath::root())?;
        let holds_more = entries.iter().any(|entry| entry.name != b"lost+found");
        if self.checked == Some(FsckOutcome::Repaired) && found {
            let lost = tree::list_sorted(self.operation, volume, &work::in_root("lost+found")?)?;
            if !lost.is_empty() {
                return Ok(Content::Suspect(format!(
                    "its repair moved {} files to /lost+found, so it may be a damaged root file system",
                    lost.len()
                )));
            }
        }
        if self.part.is_named_root() && holds_more {
            return Ok(Content::Suspect(
                "its name is that of a root file system, but it does not hold one".to_owned(),
            ));
        }
        Ok(Content::Other)
    }
}

/// Whether `name` is a directory or a link to one inside of the volume (`/bin -> usr/bin`).
fn has_directory(operation: &Operation<'_>, volume: &dyn ReadTree, name: &str) -> Result<bool> {
    let path = RelativePath::root()
        .join(name)
        .map_err(|error| Error::Internal { detail: format!("{name}: {error}") })?;
    let Some(resolved) = resolve(operation, volume, &path)? else { return Ok(false) };
    Ok(work::kind_of(operation, volume, &resolved)? == Some(FileKind::Directory))
}

/// `path` with its links resolved inside of the volume; `None` if it does not exist.
pub(super) fn resolve(
    operation: &Operation<'_>,
    volume: &dyn ReadTree,
    path: &RelativePath,
) -> Result<Option<RelativePath>> {
    match operation.retry(|| volume.resolve(path)) {
        Ok(path) => Ok(Some(path)),
        Err(error) if is_nothing(error.kind()) => Ok(None),
        Err(error) => Err(Error::hal(format!("looking at /{path}"))(error)),
    }
}

/// Whether this error means that the path does not exist.
pub(super) fn is_nothing(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::NotFound | ErrorKind::NotADirectory | ErrorKind::SymlinkInPath)
}

fn check(
    operation: &Operation<'_>,
    slot: &Slot,
    region: &Region,
    notes: &mut Vec<String>,
) -> Result<FsckOutcome> {
    operation.step(&format!("checking the file system of {slot}"));
    let fsck = operation
        .board
        .file_systems
        .fsck(region)
        .map_err(Error::hal(format!("checking the captured file system of {slot}")))?;
    for line in fsck.output.lines() {
        operation.log(line);
    }
    if fsck.outcome == FsckOutcome::Repaired {
        notes.push(match slot.number {
            0 => "file system repaired".to_owned(),
            number => format!("file system of partition {number} repaired"),
        });
    }
    Ok(fsck.outcome)
}
