//! The session's record: which unit is being captured, so that no other unit continues the capture.
//!
//! It is written under another name, synced and renamed, so it is either complete or missing. If it is missing or
//! unreadable, power was cut while the session was made, and it is made again. The record does not list finished media: a
//! finished image is in the drive's root, because it gets its name last.

use super::work::{self, RECORD, Work};
use crate::drive_file::read_small;
use crate::error::{Error, Refusal, Result};
use crate::from_toml;
use crate::media::Medium;
use crate::operation::Operation;
use replicator_hal::{ErrorKind, FileKind, RelativePath, WriteTree};
use serde::{Deserialize, Serialize};

/// Longest record that is read, in bytes.
const RECORD_LIMIT_BYTES: usize = 64 * 1024;

/// The content of the record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    /// Version of the program that began the session.
    pub(super) version: String,
    /// Profile of the board.
    pub(super) board: String,
    /// The media to capture.
    #[serde(default, rename = "medium")]
    pub(super) media: Vec<RecordedMedium>,
}

/// A medium of the unit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct RecordedMedium {
    /// Generic name.
    pub(super) name: String,
    /// Serial number or CID, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) identity: Option<String>,
    /// Capacity.
    pub(super) len_bytes: u64,
}

/// The session on the drive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Session {
    /// There is none.
    None,
    /// Power was cut while it was made.
    Unreadable,
    /// It can be resumed.
    Begun(Record),
}

impl Session {
    /// Looks at the drive.
    pub(super) fn look(operation: &Operation<'_>, work: &Work<'_>) -> Result<Self> {
        match work::kind_of(operation, &work.drive, &work.directory)? {
            None => return Ok(Self::None),
            Some(FileKind::Directory) => {}
            Some(_) => {
                return Err(Error::refused(
                    Refusal::WouldReplace,
                    format!("{} on the drive is no directory; remove it", work.directory),
                ));
            }
        }
        let content =
            operation.retry(|| read_small(&work.drive, &work.path_of_record()?, RECORD_LIMIT_BYTES));
        Ok(match content {
            Ok(content) => Record::parse(&content).map_or(Self::Unreadable, Self::Begun),
            Err(error) if error.kind() == ErrorKind::DeviceGone => {
                return Err(Error::hal("reading the session's record")(error));
            }
            Err(error) => {
                operation.log(&format!("the session's record cannot be read: {error}"));
                Self::Unreadable
            }
        })
    }
}

impl Work<'_> {
    fn path_of_record(&self) -> replicator_hal::Result<RelativePath> {
        self.directory.join(RECORD).map_err(|error| {
            replicator_hal::Error::new(ErrorKind::InvalidInput, "naming", RECORD, error.to_string())
        })
    }
}

impl Record {
    /// The record of a session that captures `media`.
    pub(super) fn of(version: &str, board: &str, media: &[&Medium]) -> Self {
        let media = media
            .iter()
            .filter_map(|medium| {
                let device = medium.device.as_ref()?;
                Some(RecordedMedium {
                    name: medium.name().to_owned(),
                    identity: device.identity.clone(),
                    len_bytes: device.len_bytes,
                })
            })
            .collect();
        Self { version: version.to_owned(), board: board.to_owned(), media }
    }

    /// Reads a record; `None` if this is not a record.
    pub(super) fn parse(content: &[u8]) -> Option<Self> {
        from_toml::parse(std::str::from_utf8(content).ok()?).ok()
    }

    /// Refuses to continue the session of another unit.
    pub(super) fn check_unit(&self, board: &str, media: &[Medium]) -> Result<()> {
        let other = |what: String| Err(Error::refused(Refusal::SessionOfAnotherUnit, what));
        if self.board != board {
            return other(format!("the unfinished capture on the drive is of a board {}", self.board));
        }
        for recorded in &self.media {
            let here = media.iter().find(|medium| medium.name() == recorded.name);
            let Some(device) = here.and_then(|medium| medium.device.as_ref()) else { continue };
            if recorded.is_another(device.identity.as_deref(), device.len_bytes) {
                return other(format!(
                    "the unfinished capture on the drive is of another unit: its {} was {}, this one is {}",
                    recorded.name,
                    recorded.identity.as_deref().unwrap_or("of another size"),
                    device.identity.as_deref().unwrap_or("without a serial number"),
                ));
            }
        }
        Ok(())
    }

    /// This record, with the media of an earlier one that it does not have.
    pub(super) fn with_media_of(mut self, earlier: &Record) -> Self {
        for medium in &earlier.media {
            if !self.media.iter().any(|known| known.name == medium.name) {
                self.media.push(medium.clone());
            }
        }
        self
    }
}

impl RecordedMedium {
    /// Whether a medium with this identity and length is certainly not the recorded one.
    fn is_another(&self, identity: Option<&str>, len_bytes: u64) -> bool {
        match (self.identity.as_deref(), identity) {
            (Some(recorded), Some(found)) => recorded != found,
            _ => self.len_bytes != len_bytes,
        }
    }
}

/// Makes the session, or continues it. Its directory is made first, and is durable before anything else is written.
pub(super) fn begin(
    operation: &Operation<'_>,
    work: &Work<'_>,
    record: &Record,
    is_sanitised: bool,
) -> Result<()> {
    let drive = work.drive;
    let root = RelativePath::root();
    work.create_directory(operation)?;
    // Even an existing one may not be durable yet.
    work::sync_directory(&drive, &root)?;
    work.look_for_cut_copy(operation)?;
    work.remove_leftovers(operation, is_sanitised).inspect_err(|_| {
        if is_sanitised {
            operation.short_step(work::MAY_STAY);
        }
    })?;
    let path = work.path(RECORD)?;
    match Session::look(operation, work)? {
        Session::Begun(found) if &found == record => return Ok(()),
        Session::None | Session::Unreadable | Session::Begun(_) => {}
    }
    let text = toml::to_string(record)
        .map_err(|error| Error::Internal { detail: format!("the session's record: {error}") })?;
    let new = work.path("session.new")?;
    work.write_small(operation, &new, text.as_bytes())?;
    work.sync()?;
    replace(operation, &drive, &new, &path)?;
    work.sync()
}

/// Renames a finished file to its final name. If a power cut in a replacing rename could lose both files, the old one is
/// removed first.
pub(super) fn replace(
    operation: &Operation<'_>,
    drive: &dyn WriteTree,
    from: &RelativePath,
    to: &RelativePath,
) -> Result<()> {
    if !drive.capabilities().atomic_replace {
        work::remove_if_there(operation, drive, to)?;
    }
    drive.rename(from, to).map_err(Error::hal(format!("renaming {from} to {to} on the drive")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn record(identity: Option<&str>, len_bytes: u64) -> Record {
        Record {
            version: "0.1.0".into(),
            board: "tsimx6".into(),
            media: vec![RecordedMedium {
                name: "sd".into(),
                identity: identity.map(str::to_owned),
                len_bytes,
            }],
        }
    }

    #[test]
    fn a_known_identity_decides_and_an_unknown_one_leaves_the_length() {
        let medium = |identity, len_bytes| record(identity, len_bytes).media.remove(0);
        assert!(!medium(Some("a"), 8).is_another(Some("a"), 8));
        assert!(medium(Some("a"), 8).is_another(Some("b"), 8));
        assert!(!medium(None, 8).is_another(Some("b"), 8));
        assert!(!medium(Some("a"), 8).is_another(None, 8));
        assert!(medium(None, 8).is_another(None, 9));
    }

    #[test]
    fn the_record_keeps_media_that_are_absent_now() {
        let mut earlier = record(Some("old"), 8);
        earlier.media.push(RecordedMedium { name: "emmc".into(), identity: None, len_bytes: 1 });
        let merged = record(Some("new"), 8).with_media_of(&earlier);
        let names: Vec<_> = merged.media.iter().map(|medium| medium.name.as_str()).collect();
        assert_eq!((names, merged.media[0].identity.as_deref()), (vec!["sd", "emmc"], Some("new")));
    }

    proptest! {
        #[test]
        fn a_cut_or_damaged_record_is_not_read(content in prop::collection::vec(any::<u8>(), 0..300), cut in 0_usize..20) {
            prop_assert_eq!(Record::parse(&content), None);
            let whole = toml::to_string(&record(Some("x"), 1)).unwrap();
            prop_assert_eq!(Record::parse(whole.as_bytes()), Some(record(Some("x"), 1)));
            prop_assert_eq!(Record::parse(&whole.as_bytes()[..cut]), None);
        }
    }
}
