//! Finding the Linux root file systems in the working image, by content.
//!
//! A root file system has `/etc` and `/usr` or `/bin`. What a dirty journal holds back is not seen by a read-only mount,
//! so an ext file system that is not proven clean is checked before it is looked into: it lies in the image, and the
//! source stays as it is. What was a root file system and lost files is not taken for something else.

use super::layout::{self, Slot};
use super::mounted::with_mounted;
use super::survey::{self, Part};
use super::{tree, work};
use crate::error::{Error, Refusal, Result};
use crate::operation::Operation;
use replicator_hal::{Access, ErrorKind, FileKind, FsckOutcome, Holder, Region, RelativePath, Volume};

/// A root file system in the working image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rootfs {
    /// The partition that holds it.
    pub(super) part: Part,
    /// Where it is.
    pub(super) region: Region,
}

/// All root file systems in `image`, checked and repaired: the one in partition `hint` first, then by their place.
///
/// # Errors
/// `Unsanitisable`, if one shows signs of having been a root file system; not if `is_sanitised` is not set.
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
        if !part.kind().is_some_and(survey::can_be_sanitised) {
            continue;
        }
        let region = part.slot.region(image);
        let mut look = Look { operation, part, region: &region, checked: None, notes: &mut *notes };
        match look.judge()? {
            Content::Root => {
                operation.log(&format!("{} holds a root file system", part.slot));
                roots.push(Rootfs { part: part.clone(), region });
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

/// What the root directory of a file system shows.
enum Content {
    /// A root file system.
    Root,
    /// It may have been one, for this reason.
    Suspect(String),
    /// Anything else.
    Other,
}

/// One look into a partition.
struct Look<'a> {
    operation: &'a Operation<'a>,
    part: &'a Part,
    region: &'a Region,
    /// How the check ended, once it was made.
    checked: Option<FsckOutcome>,
    notes: &'a mut Vec<String>,
}

impl Look<'_> {
    fn judge(&mut self) -> Result<Content> {
        if layout::unused_of(self.operation, self.region)?.is_none() {
            self.check()?;
        }
        let content = match self.look() {
            // Damage that the unused blocks did not show.
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
            // A repair may take away what was there.
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
        with_mounted(self.operation, self.region, Access::ReadOnly, |volume| self.content(volume))
    }

    fn content(&self, volume: &dyn Volume) -> Result<Content> {
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
                    "its repair moved {} files to /lost+found, and may have taken a root file system apart",
                    lost.len()
                )));
            }
        }
        if self.part.is_named_root() && holds_more {
            return Ok(Content::Suspect(
                "its name is that of a root file system, but it holds none".to_owned(),
            ));
        }
        Ok(Content::Other)
    }
}

/// Whether `name` is a directory or leads to one inside of the volume (`/bin -> usr/bin`).
fn has_directory(operation: &Operation<'_>, volume: &dyn Volume, name: &str) -> Result<bool> {
    let path = RelativePath::root()
        .join(name)
        .map_err(|error| Error::Internal { detail: format!("{name}: {error}") })?;
    match operation.retry(|| volume.resolve(&path)) {
        Ok(resolved) => Ok(work::kind_of(operation, volume, &resolved)? == Some(FileKind::Directory)),
        Err(error) if is_nothing(error.kind()) => Ok(false),
        Err(error) => Err(Error::hal(format!("looking at /{name}"))(error)),
    }
}

/// Whether a path that cannot be resolved for this reason is simply not there.
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
