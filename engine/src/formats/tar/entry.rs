//! What one archive entry says, in the HAL's terms and independent of how it was encoded.

use replicator_hal::{InodeFlags, NodeKind, Owner, RelativePath, Timestamp, Xattr};
use std::ops::Range;

/// One entry of an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Where it belongs. The root only for a directory.
    pub path: RelativePath,
    /// What it is.
    pub kind: EntryKind,
    /// Permission bits with setuid, setgid and sticky: the low 12 bits.
    pub mode: u32,
    /// Numeric owner; names in an archive are not used.
    pub owner: Owner,
    /// Last change of the content.
    pub modified: Timestamp,
    /// Extended attributes, POSIX ACLs and file capabilities among them; sorted by name as the reader gives them.
    pub xattrs: Vec<Xattr>,
    /// Inode flags; only files and directories have some.
    pub flags: InodeFlags,
}

impl Entry {
    /// An entry of root's from 1970 with nothing special about it.
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

    /// What a word says of an entry: `a/` is a directory, `a>b` a link, `a=b` a further name of b, all else an empty file.
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

    /// The inode flags that no archive can say; they are left out.
    pub fn unsaid_flags(&self) -> InodeFlags {
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
        /// The stretches that hold data: not empty, sorted, apart from each other, within `len_bytes`. The rest is
        /// holes. A file without holes has one range, an empty file none.
        data: Vec<Range<u64>>,
    },
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink {
        /// Its text, as it is.
        text: Vec<u8>,
    },
    /// A further name of a file that came earlier.
    HardLink {
        /// The earlier name.
        existing: RelativePath,
    },
    /// A device node or named pipe.
    Node(NodeKind),
}
