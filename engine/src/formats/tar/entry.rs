//! One archive entry in the HAL's types, independent of its encoding.

use replicator_hal::{InodeFlags, NodeKind, Owner, RelativePath, Timestamp, Xattr};
use std::ops::Range;

/// One entry of an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its path. Only a directory may be the root.
    pub path: RelativePath,
    /// What it is.
    pub kind: EntryKind,
    /// Permission bits with setuid, setgid and sticky: the low 12 bits.
    pub mode: u32,
    /// Numeric owner; owner names in an archive are not used.
    pub owner: Owner,
    /// Time of the last change of the content.
    pub modified: Timestamp,
    /// Extended attributes, POSIX ACLs and file capabilities among them; sorted by name as the reader gives them.
    pub xattrs: Vec<Xattr>,
    /// Inode flags; only files and directories have some.
    pub flags: InodeFlags,
}

impl Entry {
    /// A simple entry, owned by root, from 1970.
    #[cfg(test)]
    pub(crate) fn plain(path: &str, kind: EntryKind) -> Self {
        Self {
            path: RelativePath::parse(path).unwrap(),
            kind,
            mode: 0o644,
            owner: Owner::default(),
            modified: Timestamp::default(),
            xattrs: Vec::new(),
            flags: InodeFlags::none(),
        }
    }

    /// An entry from a short text: `a/` is a directory, `a>b` a symlink, `a=b` a hard link to b, anything else an empty
    /// file.
    #[cfg(test)]
    pub(crate) fn sketched(text: &str) -> Self {
        let split = |at: char| text.split_once(at);
        match (split('>'), split('='), text.strip_suffix('/')) {
            (Some((name, to)), ..) => Self::plain(name, EntryKind::Symlink { text: to.into() }),
            (_, Some((name, to)), _) => {
                Self::plain(name, EntryKind::HardLink { existing: RelativePath::parse(to).unwrap() })
            }
            (.., Some(name)) => Self::plain(name, EntryKind::Directory),
            _ => Self::plain(text, EntryKind::File { len_bytes: 0, data: Vec::new() }),
        }
    }

    /// The inode flags that an archive cannot hold; they are left out.
    pub fn unsupported_flags(&self) -> InodeFlags {
        super::fflags::text(self.flags).1
    }
}

/// What an entry is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EntryKind {
    /// A regular file; its bytes follow.
    File {
        /// Length of the file, holes included.
        len_bytes: u64,
        /// The extents with data: not empty, sorted, not adjacent, within `len_bytes`. The rest is holes. A file without
        /// holes has one range, an empty file none.
        data: Vec<Range<u64>>,
    },
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink {
        /// Its text, unchanged.
        text: Vec<u8>,
    },
    /// Another name of an earlier file.
    HardLink {
        /// The earlier name.
        existing: RelativePath,
    },
    /// A device node or named pipe.
    Node(NodeKind),
}
