//! Entries that were appended to a finished tarball (`tar -r`): an overlay on the root file system in it.

use replicator_engine::formats::tar::{Entry, EntryKind, Writer};
use replicator_hal::{InodeFlags, Owner, RelativePath, Timestamp};
use serde::{Deserialize, Serialize};

/// One appended entry: a directory, unless a key gives another kind.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OverlayEntry {
    /// Path in the archive.
    pub name: String,
    /// A symlink with this text.
    pub link: Option<String>,
    /// A further name of this file.
    pub hard_link: Option<String>,
    /// A regular file with this text.
    pub text: Option<String>,
    /// Its time, in seconds since 1970; by default the present day.
    pub seconds: Option<i64>,
}

impl OverlayEntry {
    /// Adds the entry to an archive.
    ///
    /// # Errors
    /// If its names are not valid.
    pub(super) fn append(&self, writer: &mut Writer<Vec<u8>>) -> Result<(), String> {
        let parse = |name: &str| RelativePath::parse(name).map_err(|error| format!("{name}: {error}"));
        let kind = match (&self.link, &self.hard_link, &self.text) {
            (None, None, None) => EntryKind::Directory,
            (Some(text), None, None) => EntryKind::Symlink { text: text.as_bytes().to_vec() },
            (None, Some(existing), None) => EntryKind::HardLink { existing: parse(existing)? },
            (None, None, Some(text)) => {
                let len_bytes = text.len() as u64;
                let data = if text.is_empty() { Vec::new() } else { vec![0..len_bytes] };
                EntryKind::File { len_bytes, data }
            }
            _ => return Err(format!("{}: at most one of link, hard_link and text may be given", self.name)),
        };
        let mode = if kind == EntryKind::Directory { 0o700 } else { 0o640 };
        let owner = Owner { uid: 12, gid: 34 };
        let modified = Timestamp { seconds: self.seconds.unwrap_or(1_750_000_000), nanos: 5 };
        let entry = Entry {
            path: parse(&self.name)?,
            kind,
            mode,
            owner,
            modified,
            xattrs: Vec::new(),
            flags: InodeFlags::none(),
        };
        writer.append(&entry).map_err(|error| error.to_string())?;
        let text = self.text.as_deref().unwrap_or_default();
        writer.write_data(text.as_bytes()).map_err(|error| error.to_string())
    }
}
